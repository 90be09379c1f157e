"""`python -m evals.email_reply --data FOLDER`: how often exactly the reply is cut out of a mail.

The folder holds `cases.json`: a list of objects with `text` (the mail) and `expected` (what a person would cut out),
and optionally `source` and `name`. Two replies are the same when they are after all runs of white space are made one
space. A case has *lost* words when more than 5 % of the expected words are missing, and *leaked* words when more than
5 % of the words that came out are not expected.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from a1zap.channels.email.reply import extract_reply

_TELLING_SHARE = 0.05
_REPEATS = 3
_BESIDE_US = Path(__file__).parents[2] / "shared" / "data" / "email_replies"


@dataclass(frozen=True, slots=True)
class Judged:
    """One case: is the reply exact, which share of words was lost or leaked, and the milliseconds it took."""

    source: str
    name: str
    is_exact: bool
    lost: float
    leaked: float
    took_ms: float


def judge(case: Mapping[str, Any]) -> Judged:
    """Extract the reply and hold it against the expected one; the time is the best of a few, as machines hiccup."""
    took_s: list[float] = []
    reply = ""
    for _ in range(_REPEATS):
        start = time.perf_counter()
        reply = extract_reply(str(case["text"])).reply
        took_s.append(time.perf_counter() - start)
    got, expected = reply.split(), str(case["expected"]).split()
    return Judged(
        str(case.get("source", "")),
        str(case.get("name", "")),
        got == expected,
        _missing_share(expected, got),
        _missing_share(got, expected),
        min(took_s) * 1000,
    )


def _missing_share(words: Sequence[str], among: Sequence[str]) -> float:
    missing = Counter(words) - Counter(among)
    return missing.total() / len(words) if words else 0.0


def report(judged: Sequence[Judged]) -> list[str]:
    """The figures, a line each: by source, in all, and the cases that are not exact."""
    lines = [
        f"{source or 'cases'}: {sum(one.is_exact for one in of)} of {len(of)} exact"
        for source, of in _by_source(judged).items()
    ]
    exact = sum(one.is_exact for one in judged)
    slowest = max(judged, key=lambda one: one.took_ms)
    lines += [
        f"in all: {exact} of {len(judged)} exact ({exact / len(judged):.1%})",
        f"lost over 5 % of the words: {sum(one.lost > _TELLING_SHARE for one in judged)}",
        f"leaked over 5 % of the words: {sum(one.leaked > _TELLING_SHARE for one in judged)}",
        (
            f"slowest: {slowest.took_ms:.2f} ms ({slowest.source} {slowest.name}), "
            f"mean {sum(one.took_ms for one in judged) / len(judged):.2f} ms"
        ),
    ]
    missed = [one for one in judged if not one.is_exact]
    return lines + [
        f"not exact: {one.source} {one.name} (lost {one.lost:.0%}, leaked {one.leaked:.0%})" for one in missed
    ]


def _by_source(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    by_source: dict[str, list[Judged]] = {}
    for one in judged:
        by_source.setdefault(one.source, []).append(one)
    return by_source


def read_cases(folder: Path | None) -> list[dict[str, Any]]:
    """The cases of the folder; without one, those of `../shared/data/email_replies` where it is present."""
    place = folder or _BESIDE_US
    path = place / "cases.json"
    if not path.is_file():
        raise click.ClickException(
            f"no cases at '{path}'; say where they are: python -m evals.email_reply --data FOLDER"
        )
    cases = orjson.loads(path.read_bytes())
    if not isinstance(cases, list) or not cases:
        raise click.ClickException(f"'{path}' holds no list of cases")
    for number, case in enumerate(cases):
        if not isinstance(case, dict) or not {"text", "expected"} <= case.keys():
            raise click.ClickException(f"case {number} of '{path}' is no object with text and expected")
    return cases


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n", 1) if __doc__ else None)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with cases.json. [../shared/data/email_replies]",
)
def main(data: Path | None) -> None:
    for line in report([judge(case) for case in read_cases(data)]):
        click.echo(line)


if __name__ == "__main__":
    main()
