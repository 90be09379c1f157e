"""Reading JSON that may hold anything anywhere: what is not there or is something else reads as nothing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

import orjson

from a1zap.kit.json import as_list, as_object

_DEPTH_MAX = 40
_WRITTEN_DEPTH_MAX = 200
_ENTRIES_MAX = 500
_TEXT_MAX = 65536
_ID_MAX = 400
# Later than any second count that a provider means: such a number counts milliseconds.
_SECONDS_MAX = 1e11


def object_at(found: dict[str, Any], key: str) -> dict[str, Any]:
    """The object at `key`; an empty one where there is none."""
    return as_object(found.get(key)) or {}


def objects_at(found: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """The objects in the list at `key`; a single object counts as a list of itself."""
    value = found.get(key)
    single = as_object(value)
    if single is not None:
        yield single
        return
    for entry in as_list(value) or ():
        one = as_object(entry)
        if one is not None:
            yield one


def word_at(found: dict[str, Any], key: str) -> str:
    """The text at `key` without blanks around it; a whole number counts as its digits; else ''."""
    value = found.get(key)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def id_at(found: dict[str, Any], key: str) -> str:
    """A provider's id at `key`, short enough for an index: one that is too long is named by its digest."""
    word = word_at(found, key)
    return word if len(word) <= _ID_MAX else f"long:{digest(word)}"


def digest(value: object) -> str:
    """The same for the same value, whatever the order of its keys."""
    return hashlib.sha256(orjson.dumps(bounded(value), option=orjson.OPT_SORT_KEYS)).hexdigest()[:40]


def time_at(found: dict[str, Any], key: str, now: datetime) -> datetime:
    """Seconds or milliseconds since 1970 at `key`, as number or text; `now` where it is neither. Never in the future."""
    try:
        seconds = float(word_at(found, key) or cast("Any", found.get(key)))
    except (TypeError, ValueError):
        return now
    if not math.isfinite(seconds) or seconds <= 0:
        return now
    try:
        return min(datetime.fromtimestamp(seconds / 1000 if seconds > _SECONDS_MAX else seconds, UTC), now)
    except (ValueError, OverflowError, OSError):
        return now


def bounded(value: object, depth: int = _DEPTH_MAX) -> Any:
    """The value, cut where it is deeper, wider or longer than anybody means: it can be written, stored and shown."""
    return _cut(value, depth, _ENTRIES_MAX, _TEXT_MAX)


def written(value: object) -> bytes:
    """The value as JSON: whole, but for what lies deeper than JSON can be written."""
    return orjson.dumps(_cut(value, _WRITTEN_DEPTH_MAX, None, None))


def _cut(value: object, depth: int, entries_max: int | None, text_max: int | None) -> Any:
    if isinstance(value, str):
        return value if text_max is None or len(value) <= text_max else value[:text_max] + "…"
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth <= 0:
        return "…"
    found = as_object(value)
    if found is not None:
        return {k: _cut(v, depth - 1, entries_max, text_max) for k, v in islice(found.items(), entries_max)}
    return [_cut(v, depth - 1, entries_max, text_max) for v in islice(as_list(value) or (), entries_max)]


def harmless(title: str, limit: int = 120) -> str:
    """A provider's title in one short line."""
    return " ".join("".join(c if c.isprintable() else " " for c in title).split())[:limit]
