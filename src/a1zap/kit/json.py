"""JSON from outside: parsed strictly, and asked for its shape before it is believed."""

from __future__ import annotations

from typing import Any, cast

import orjson

from a1zap.kit.errors import Malformed


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that `raw` spells.

    Raises:
        Malformed: not JSON (where it breaks is said, what stands there is not), or not an object.
    """
    try:
        parsed: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} at position {error.pos}") from None
    found = as_object(parsed)
    if found is None:
        raise Malformed("the body is not a JSON object")
    return found


def as_object(value: object) -> dict[str, Any] | None:
    """The value if it is an object."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[Any] | None:
    """The value if it is a list."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def text_at(found: dict[str, Any], key: str) -> str:
    """The text at `key`; '' where there is none or something else."""
    value = found.get(key)
    return value if isinstance(value, str) else ""
