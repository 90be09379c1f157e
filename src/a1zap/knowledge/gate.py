"""How sure are we that the best passage answers the question? A logistic gate, fitted on articles of five businesses.

The coefficients come from `tests/rooms/knowledge/fit_gate.py`, which prints them and measures them on three other
businesses: what is asserted is right in 98 of 100 cases, and 6 of 10 questions that the articles answer are answered.
They are for the embedded model's cosines; another embedder wants its own fit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from a1zap.knowledge.rank import Ranked
from a1zap.knowledge.words import count_words, guess_language


@dataclass(frozen=True, slots=True)
class Features:
    """What the gate looks at. `margin`: score of the best article minus that of the next; `asks_beyond`: see below."""

    dense: float
    dense_body: float
    margin: float
    coverage: float
    asks_beyond: bool


@dataclass(frozen=True, slots=True)
class Gate:
    """Logistic coefficients, and the probabilities from which to assert, and from which to name likely articles."""

    bias: float
    dense: float
    dense_body: float
    margin: float
    coverage: float
    asks_beyond: float
    assert_from: float
    suggest_from: float

    def probability(self, features: Features) -> float:
        """That the best passage answers the question, 0 to 1."""
        logit = (
            self.bias
            + self.dense * features.dense
            + self.dense_body * features.dense_body
            + self.margin * features.margin
            + self.coverage * features.coverage
            + self.asks_beyond * features.asks_beyond
        )
        return 1 / (1 + exp(-logit))


SHIPPED_GATE = Gate(
    bias=-6.66,
    dense=3.98,
    dense_body=5.38,
    margin=6.54,
    coverage=2.79,
    asks_beyond=-1.87,
    assert_from=0.8,
    suggest_from=0.1,
)


def read_features(question: str, ranked: Sequence[Ranked]) -> Features:
    """The figures of the best of `ranked`, which must not be empty, against the best of another article."""
    best = ranked[0]
    others = [entry.score for entry in ranked if entry.passage.article_id != best.passage.article_id]
    return Features(
        dense=best.dense,
        dense_body=best.dense_body,
        margin=best.score - max(others, default=0.0),
        coverage=best.coverage,
        asks_beyond=_asks_beyond(question, best),
    )


_ASKS_PRICE = re.compile(
    r"how (?:much|expensive)(?! time)|\b(?:prices?|costs?|fees?|cheap)\b|\bwie ?viel (?:kostet|kosten)|\b(?:preis|kostet)"
    r"|\b(?:prix|coûte|cuesta|precio|costa|prezzo|preço|kost)\b|多少钱|价格|いくら|料金|كم سعر|كم تكلفة|कीमत",
    re.IGNORECASE,
)
_HAS_PRICE = re.compile(
    r"[€$£¥₹%元円]|\b(?:euros?|dollars?|pounds?|cents?|percent|prozent|francs?|franken|eur|usd|gbp|chf|reais|pesos?|dirhams?)\b"
    r"|\b(?:free|included|gratis|kostenlos|inklusive|gratuite?|incluse?s?|incluido|inclusi?|gratuito|grátis)\b"
    r"|免费|無料|مجان|मुफ़्त|रुपये|ريال|درهم",
    re.IGNORECASE,
)
# A name is a capital inside a sentence: "Do you deliver to Brazil?"
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w'-]+")
_NO_NAME = re.compile(
    r"I['’]\w+|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|may|june|july|august"
    r"|september|october|november|december",
    re.IGNORECASE,
)
_LONG_NUMBER = re.compile(r"\d{3,}")


def _asks_beyond(question: str, best: Ranked) -> bool:
    """The question names something that the passage does not: a name, a long number, or it wants a price."""
    shown = best.passage.text
    if _ASKS_PRICE.search(question) and not _HAS_PRICE.search(shown):
        return True
    whole = f"{shown} {best.heading} {best.passage.title}"
    if any(number not in whole for number in _LONG_NUMBER.findall(question)):
        return True
    # In German every noun has a capital.
    found = _NAME.findall(question) if guess_language(question) != "de" else []
    names = [name for name in found if not _NO_NAME.fullmatch(name)]
    known = set(count_words(whole)) if names else set[str]()
    return any(not known.issuperset(count_words(name)) for name in names)
