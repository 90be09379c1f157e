"""The answer without a model: sentences of the articles, word for word, or an honest "I do not know"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from a1zap.knowledge.gate import SHIPPED_GATE, Gate, read_features
from a1zap.knowledge.phrases import PHRASES, Phrases
from a1zap.knowledge.rank import Ranked
from a1zap.knowledge.smalltalk import SmallTalk, question_of, read_smalltalk
from a1zap.knowledge.words import guess_language

SUGGESTED_MAX = 3
TOPICS_MAX = 10
ALIKE = 0.03
"""Two passages of the best article whose strengths differ by no more are both quoted: which one is meant is open."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What to say. `sources` are the articles behind it: of an answer the one it quotes, of a maybe those it names.

    `confidence` is the probability that the best passage answers the question; of small talk ("chat") it is 1.
    `offers_person`: the text asks whether the question should be passed on, so a "yes" to it means that.
    """

    kind: Literal["answer", "maybe", "unknown", "chat"]
    text: str
    sources: Sequence[tuple[UUID, str]]
    confidence: float
    offers_person: bool


def extract_answer(
    question: str,
    ranked: Sequence[Ranked],
    *,
    agent_name: str,
    topics: Sequence[str],
    gate: Gate = SHIPPED_GATE,
    language: str | None = None,
) -> Extracted:
    """Answer from the passages that `rank_passages` found, best first, and from nothing else.

    `topics` are the titles of the agent's articles; `language` is guessed from the question where it is not given.
    """
    said = read_smalltalk(question, agent_name=agent_name)
    if said is not None:
        return _chat(said, agent_name, topics, language)
    phrases = phrases_of(language or guess_language(question))
    if not ranked:
        return Extracted("unknown", phrases.unknown, [], 0.0, offers_person=True)
    confidence = gate.probability(read_features(question_of(question, agent_name=agent_name), ranked))
    best = ranked[0].passage
    if confidence >= gate.assert_from:
        quoted = "\n\n".join(quoted_texts(ranked))
        text = f"{quoted}\n\n{phrases.source.format(title=best.title)}"
        return Extracted("answer", text, [(best.article_id, best.title)], confidence, offers_person=False)
    if confidence >= gate.suggest_from:
        likely = list(dict.fromkeys((entry.passage.article_id, entry.passage.title) for entry in ranked))
        text = phrases.maybe.format(topics=_told([title for _, title in likely[:SUGGESTED_MAX]]))
        return Extracted("maybe", text, likely[:SUGGESTED_MAX], confidence, offers_person=True)
    return Extracted("unknown", phrases.unknown, [], confidence, offers_person=True)


def quoted_texts(ranked: Sequence[Ranked]) -> list[str]:
    """The best passage, and of its article the next if that fits as well, in reading order; `ranked` is not empty."""
    best = ranked[0]
    quoted = [
        entry.passage
        for entry in ranked
        if entry.passage.article_id == best.passage.article_id and entry.strength >= best.strength - ALIKE
    ]
    return [passage.text for passage in sorted(quoted, key=lambda passage: passage.position)]


def phrases_of(language: str) -> Phrases:
    """What we say in a language (ISO 639-1), in English where we have none for it."""
    return PHRASES.get(language, PHRASES["en"])


def _chat(said: SmallTalk, agent_name: str, topics: Sequence[str], language: str | None) -> Extracted:
    phrases = phrases_of(language or said.language)
    text: str = getattr(phrases, said.kind).format(name=agent_name)
    if said.kind in ("greeting", "how", "who", "help"):
        about = phrases.about.format(topics=_told(topics[:TOPICS_MAX], more=len(topics) > TOPICS_MAX))
        text = f"{text}\n{about if topics else phrases.nothing}"
    return Extracted("chat", text, [], 1.0, offers_person=False)


def _told(titles: Sequence[str], *, more: bool = False) -> str:
    return "\n".join([f"• {title}" for title in titles] + (["• …"] if more else []))
