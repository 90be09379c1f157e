"""Fit the gate's coefficients on the FIT desks, and measure them on desks they have not seen.

    python -m tests.rooms.knowledge.fit_gate

An assertion is right when it holds the text that answers the question. Beside the questions as they are, each
answerable one is asked again after its articles were taken away ("gone"): then every assertion is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from tests.rooms.knowledge.cases import FIT, GERMAN, HOLD_OUT, Case, Desk

from a1zap.embeddings.contract import Embedder
from a1zap.embeddings.embedded import EmbeddedMiniLM
from a1zap.knowledge.extract import quoted_texts
from a1zap.knowledge.gate import SHIPPED_GATE, read_features
from a1zap.knowledge.passages import Passage, split_passages
from a1zap.knowledge.rank import PassageIndex, Ranked, build_index, rank_passages

NAMES = ("dense", "dense_body", "margin", "coverage", "asks_beyond")
GONE_WEIGHT = 0.6
RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One question asked of one shelf, and whether asserting the best passage would be right."""

    desk: str
    case: Case
    kind: str
    ranked: Sequence[Ranked]
    is_right: bool

    @property
    def figures(self) -> list[float]:
        features = read_features(self.case.question, self.ranked)
        return [float(getattr(features, name)) for name in NAMES]


async def index_articles(embedder: Embedder, articles: Sequence[tuple[str, str]]) -> PassageIndex:
    passages = [
        Passage(UUID(int=number), title, position, text)
        for number, (title, content) in enumerate(articles)
        for position, text in enumerate(split_passages(title, content))
    ]
    return build_index(passages, await embedder.embed([passage.text for passage in passages]))


async def ask_desk(embedder: Embedder, desk: Desk, *, gone: bool) -> list[Asked]:
    """Every question of a desk; with `gone` the answerable ones, each without the articles that answer it."""
    index = await index_articles(embedder, desk.articles)
    asked: list[Asked] = []
    for case in desk.cases:
        if gone and case.kind != "says":
            continue
        if gone:
            rest = [(title, content) for title, content in desk.articles if not holds(content, case)]
            index = await index_articles(embedder, rest)
        vector = (await embedder.embed([case.question]))[0]
        ranked = rank_passages(case.question, vector, index)
        is_right = not gone and case.kind == "says" and holds(" ".join(quoted_texts(ranked)), case)
        asked.append(Asked(desk.name, case, "gone" if gone else case.kind, ranked, is_right))
    return asked


def holds(text: str, case: Case) -> bool:
    plain = " ".join(text.replace("**", "").split())
    return any(must in plain for must in case.musts)


def fit_logistic(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Bias and coefficients by Newton's method, with a ridge on standardised figures."""
    mean, deviation = x.mean(0), x.std(0) + 1e-9
    z = np.c_[np.ones(len(x)), (x - mean) / deviation]
    ridge = RIDGE * np.eye(z.shape[1])
    ridge[0, 0] = 1e-6
    b = np.zeros(z.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-z @ b))
        b -= np.linalg.solve(
            (z * (weights * p * (1 - p))[:, None]).T @ z + ridge, z.T @ (weights * (p - y)) + ridge @ b
        )
    coefficients = b[1:] / deviation
    return float(b[0] - coefficients @ mean), coefficients


def told(what: str, asked: Sequence[Asked], p: np.ndarray, threshold: float) -> str:
    kinds = np.array([one.kind for one in asked])
    right = np.array([one.is_right for one in asked])
    asserted = p >= threshold
    real = kinds != "gone"
    share = {
        kind: asserted[kinds == kind].mean() for kind in ("near", "off", "gone") if (kinds == kind).any()
    }
    return (
        f"{what} p>={threshold:.2f}: asserts {int((asserted & real).sum())}, right {right[asserted & real].mean():.3f}, "
        f"answers {right[asserted & real].sum() / (kinds == 'says').sum():.2f} of the answerable; asserted anyway: "
        + ", ".join(f"{kind} {value:.3f}" for kind, value in share.items())
    )


async def main() -> None:
    embedder = EmbeddedMiniLM(cache_texts=20_000)
    groups = {}
    for name, desks in (("fit", FIT), ("hold-out", HOLD_OUT), ("german", (GERMAN,))):
        groups[name] = [
            asked
            for desk in desks
            for gone in (False, True)
            for asked in await ask_desk(embedder, desk, gone=gone)
        ]
    fit = groups["fit"]
    x = np.array([one.figures for one in fit])
    y = np.array([one.is_right for one in fit], float)
    weights = np.array([GONE_WEIGHT if one.kind == "gone" else 1.0 for one in fit])
    desk = np.array([one.desk for one in fit])
    crossed = np.zeros(len(fit))
    for name in set(desk):
        bias, b = fit_logistic(x[desk != name], y[desk != name], weights[desk != name])
        crossed[desk == name] = 1 / (1 + np.exp(-(bias + x[desk == name] @ b)))
    bias, b = fit_logistic(x, y, weights)
    print(f"bias={bias:.2f},", ", ".join(f"{name}={value:.2f}" for name, value in zip(NAMES, b, strict=True)))
    for threshold in (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9):
        print(told("each desk by the others", fit, crossed, threshold))
    for name in ("hold-out", "german"):
        for threshold in (0.5, 0.7, SHIPPED_GATE.assert_from, 0.8, 0.85):
            p = np.array(
                [
                    SHIPPED_GATE.probability(read_features(one.case.question, one.ranked))
                    for one in groups[name]
                ]
            )
            print(told(f"{name}, shipped gate,", groups[name], p, threshold))


if __name__ == "__main__":
    asyncio.run(main())
