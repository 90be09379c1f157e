"""Several statements in one round trip: each is a part, and together they are one statement of PostgreSQL.

A round trip costs more CPU than most of our statements, and a message's way has many. The parts of one statement see
the database as it was when it began, not what the others do: put together only what does not look at each other, except
through the names of common table expressions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_PLACE = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """`ctes` are common table expressions, comma between, with `$1` … of their own; `result` is one scalar of them."""

    ctes: str
    result: str
    args: Sequence[object]


def put_together(parts: Sequence[Part]) -> tuple[str, list[object]]:
    """One statement whose row holds the result of each part, in order; and its arguments."""
    text = _compose(tuple((part.ctes, part.result, len(part.args)) for part in parts))
    return text, [arg for part in parts for arg in part.args]


@lru_cache(maxsize=256)  # the texts are constants of the stores, so there are few
def _compose(parts: tuple[tuple[str, str, int], ...]) -> str:
    ctes: list[str] = []
    results: list[str] = []
    before = 0
    for text, result, count in parts:
        ctes.append(_shifted(text, before))
        results.append(_shifted(result, before))
        before += count
    return f"WITH {', '.join(ctes)} SELECT {', '.join(results)}"


def _shifted(text: str, by: int) -> str:
    return _PLACE.sub(lambda found: f"${int(found[1]) + by}", text)
