"""JSON from outside: parsed strictly, and asked for its shape before it is believed."""

from __future__ import annotations

import re
from typing import Any, cast

import orjson

from a1zap.kit.errors import Malformed

# What may be written in JSON and is no text: NUL (PostgreSQL refuses it) and halves of characters (UTF-8 cannot spell them).
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPE = re.compile(
    rb"(?P<whole>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<bad>\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def parse_json(raw: bytes) -> object:
    """The value that `raw` spells; NUL and lone surrogates in it become U+FFFD.

    Raises:
        orjson.JSONDecodeError: not JSON; a `json.JSONDecodeError` that says where it breaks.
    """
    if _SUSPICIOUS.search(raw):
        raw = _ESCAPE.sub(lambda found: rb"\ufffd" if found["bad"] else found[0], raw)
    return orjson.loads(raw)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that `raw` spells.

    Raises:
        Malformed: not JSON (where it breaks is said, what stands there is not), or not an object.
    """
    try:
        parsed = parse_json(raw)
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
