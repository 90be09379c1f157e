"""Which passages fit a question best: exact search by meaning and by words, both at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from a1zap.knowledge.passages import HEADING_MARK, Passage
from a1zap.knowledge.sentences import split_sentences
from a1zap.knowledge.smalltalk import question_of
from a1zap.knowledge.words import asked_words, count_words

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

# BM25's usual constants: how soon a repeated word stops counting, and how much a long passage is held against it.
K1 = 1.2
B = 0.75
DENSE_SHARE = 0.7
# Of bodies with like scores the one that is nearest itself, holds more of the question's words and says more.
TIE_DENSE_BODY = 0.1
TIE_COVERAGE = 0.1
TIE_LENGTH = 0.03
LENGTH_CHARS_ENOUGH = 400
WIDENED_CHARS_MAX = 350
"""A found sentence is given with its neighbours, as far as they fit in this: one alone often lacks the point."""
WIDENED_LENGTH = 0.1
LED_BY_HEADING = 0.15
"""Where the heading is so much nearer to the question than the text below it, one starts to read at the top."""
AN_ARTICLE_MAX = 2
"""Passages of one article in a ranking: overlapping windows of the best one would leave no room for another."""


@dataclass(frozen=True, slots=True)
class PassageIndex:
    """Everything of an agent's articles that a search needs; built once, never changed.

    `bodies`, `titles` and `headings` are rows of `passages` and `vectors`, one entry a body: itself, the title of its
    article and its heading (or the title, where it has none); `lengths` is log(characters), of long bodies cut off.
    `postings` lead from a word to the bodies that hold it and what it weighs there; a body's title and heading count
    as its words.
    """

    passages: tuple[Passage, ...]
    vectors: Floats
    bodies: Rows
    titles: Rows
    headings: Rows
    lengths: Floats
    postings: dict[str, tuple[Rows, Floats]]
    rarity: dict[str, float]
    rarity_unknown: float
    version: int = 0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage and why it stands where it does; all figures in [0, 1], or [-1, 1] for cosines.

    The order goes by `strength`, which is `score` and what breaks ties.
    `dense` is the cosine to the question of the best of title, heading and body, `dense_body` that of the body alone.
    `bm25` is the share of the best thinkable score, `coverage` that of the question's words (by rarity) found.
    """

    passage: Passage
    heading: str
    strength: float
    score: float
    dense: float
    dense_body: float
    bm25: float
    coverage: float


def build_index(passages: Sequence[Passage], vectors: Floats, *, version: int = 0) -> PassageIndex:
    """Index passages in reading order (article by article, by position); `vectors` [n_passages, n_dimensions].

    10,000 passages take about half a second: call it in a thread.
    """
    bodies, titles, headings = _rows_of_bodies(passages)
    leading = {row: Counter(count_words(passages[row].text)) for row in {*titles, *headings}}
    words: list[Counter[str]] = []
    for body, title, heading in zip(bodies, titles, headings, strict=True):
        counted = Counter(count_words(passages[body].text)) + leading[title]
        words.append(counted + leading[heading] if heading != title else counted)
    articles: dict[str, set[UUID]] = {}
    for body, counted in zip(bodies, words, strict=True):
        for word in counted:
            articles.setdefault(word, set()).add(passages[body].article_id)
    total = len({passage.article_id for passage in passages})
    return PassageIndex(
        passages=tuple(passages),
        vectors=vectors,
        bodies=np.array(bodies, np.int32),
        titles=np.array(titles, np.int32),
        headings=np.array(headings, np.int32),
        lengths=np.log([min(1 + len(passages[row].text), LENGTH_CHARS_ENOUGH) for row in bodies]).astype(
            np.float32
        ),
        postings=_postings(words),
        rarity={word: _rarity(len(found), total) for word, found in articles.items()},
        rarity_unknown=_rarity(0, total),
        version=version,
    )


def _rows_of_bodies(passages: Sequence[Passage]) -> tuple[list[int], list[int], list[int]]:
    bodies: list[int] = []
    titles: list[int] = []
    headings: list[int] = []
    title = heading = 0
    for row, passage in enumerate(passages):
        if row == 0 or passage.article_id != passages[row - 1].article_id:
            title = heading = row
        elif passage.is_heading:
            heading = row
        else:
            bodies.append(row)
            titles.append(title)
            headings.append(heading)
    return bodies, titles, headings


def _rarity(articles_with: int, articles: int) -> float:
    """Inverse document frequency, counted in articles: an article of many windows is still one."""
    return log(1 + (articles - articles_with + 0.5) / (articles_with + 0.5))


def _postings(words: Sequence[Counter[str]]) -> dict[str, tuple[Rows, Floats]]:
    """For each word the bodies that hold it, and BM25's weight there without the rarity."""
    lengths = [counted.total() for counted in words]
    mean = sum(lengths) / max(1, len(lengths))
    found: dict[str, tuple[list[int], list[float]]] = {}
    for body, counted in enumerate(words):
        damping = K1 * (1 - B + B * lengths[body] / mean) if mean else K1
        for word, times in counted.items():
            rows, weights = found.setdefault(word, ([], []))
            rows.append(body)
            weights.append(times * (K1 + 1) / (times + damping))
    return {
        word: (np.array(rows, np.int32), np.array(weights, np.float32))
        for word, (rows, weights) in found.items()
    }


def rank_passages(
    question: str, question_vector: Floats, index: PassageIndex, *, top: int = 8
) -> list[Ranked]:
    """The bodies that fit best, best first: at most `top`, and of each article at most two that do not overlap.

    Score: 0.7 x the best cosine of title, heading and body + 0.3 x BM25.
    """
    if not len(index.bodies):
        return []
    cosines = index.vectors @ question_vector
    dense_body = cosines[index.bodies]
    dense = np.maximum(np.maximum(cosines[index.titles], cosines[index.headings]), dense_body)
    bm25, coverage = _word_scores(question, index)
    score = DENSE_SHARE * dense + (1 - DENSE_SHARE) * bm25
    ties = TIE_DENSE_BODY * dense_body + TIE_COVERAGE * coverage + TIE_LENGTH * index.lengths
    strength = (score + ties).astype(np.float32)
    led = (cosines[index.headings] - dense_body > LED_BY_HEADING) & (index.headings != index.titles)
    return [
        Ranked(
            passage=index.passages[int(index.bodies[shown])],
            heading=index.passages[int(index.headings[n])].text.removeprefix(HEADING_MARK),
            strength=float(strength[n]),
            score=float(score[n]),
            dense=float(dense[n]),
            dense_body=float(dense_body[n]),
            bm25=float(bm25[n]),
            coverage=float(coverage[n]),
        )
        for n, shown in _chosen(index, strength, led, top)
    ]


def _word_scores(question: str, index: PassageIndex) -> tuple[Floats, Floats]:
    """BM25 as a share of what it could be at most, and coverage, for each body."""
    bm25 = np.zeros(len(index.bodies), np.float32)
    coverage = np.zeros(len(index.bodies), np.float32)
    thinkable = 0.0
    for word in asked_words(question_of(question) or question):
        rarity = index.rarity.get(word, index.rarity_unknown)
        thinkable += rarity
        if word in index.postings:
            rows, weights = index.postings[word]
            bm25[rows] += np.float32(rarity) * weights
            coverage[rows] += np.float32(rarity)
    if thinkable:
        bm25 /= np.float32(thinkable * (K1 + 1))
        coverage /= np.float32(thinkable)
    return bm25, coverage


def _chosen(index: PassageIndex, strength: Floats, led: NDArray[np.bool_], top: int) -> list[tuple[int, int]]:
    """The strongest bodies, each with the body that is shown for it; no sentence is shown twice."""
    chosen: list[tuple[int, int]] = []
    shown_of: dict[UUID, list[str]] = {}
    for n in np.argsort(-strength, kind="stable").tolist():
        passage = index.passages[int(index.bodies[n])]
        before = shown_of.setdefault(passage.article_id, [])
        if len(before) == AN_ARTICLE_MAX or any(passage.text in text for text in before):
            continue
        said = _sentences("\n".join(before)) if before else set[str]()
        if said and said & _sentences(passage.text):
            continue
        shown = _widened(n, index, strength, said, from_top=bool(led[n]))
        before.append(index.passages[int(index.bodies[shown])].text)
        chosen.append((n, shown))
        if len(chosen) == top:
            break
    return chosen


def _sentences(text: str) -> set[str]:
    return {sentence for line in text.split("\n") for sentence in split_sentences(line.removeprefix("• "))}


def _widened(body: int, index: PassageIndex, strength: Floats, said: set[str], *, from_top: bool) -> int:
    """The strongest short body below the same heading that holds this one, or, `from_top`, that begins there."""
    below = np.flatnonzero(index.headings == index.headings[body]).tolist()
    texts = {n: index.passages[int(index.bodies[n])].text for n in below}
    own, first = texts[body], texts[below[0]]
    wider = [
        n
        for n, text in texts.items()
        if (text.startswith(first) if from_top else own in text)
        and len(text) <= WIDENED_CHARS_MAX
        and not (said and said & _sentences(text))
    ]
    return max(wider, key=lambda n: float(strength[n] + WIDENED_LENGTH * index.lengths[n]), default=body)
