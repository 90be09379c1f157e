"""Lists in pages: newest first, an opaque cursor to go on from, `Link: rel="next"` where there is more."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import Query, Request, Response

from a1zap.kit.errors import Invalid
from a1zap.kit.ids import parse_id

LIMIT_DEFAULT = 50
LIMIT_MAX = 100

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most.")]
Cursor = Annotated[
    str | None,
    Query(max_length=200, description="Where to go on from: out of the `Link` header of the page before."),
]

T = TypeVar("T")


def page_of(
    request: Request, response: Response, found: Sequence[T], limit: int, cursor_of_last: str | None
) -> Sequence[T]:
    """The page out of `limit` + 1 found rows; with the extra one there is a next page, and a link to it."""
    if len(found) > limit and cursor_of_last is not None:
        query = {k: v for k, v in request.query_params.items() if k != "cursor"} | {"cursor": cursor_of_last}
        response.headers["link"] = f'<{origin_of(request)}{request.url.path}?{urlencode(query)}>; rel="next"'
    return found[:limit]


def origin_of(request: Request) -> str:
    """The address under which the asker reaches us, without a slash at the end."""
    public_url: str | None = request.app.state.house.settings.public_url
    return (public_url or str(request.base_url)).rstrip("/")


def spell_cursor(*place: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place, default=str)).decode().rstrip("=")


def read_id_cursor(cursor: str | None) -> UUID | None:
    """The id to go on from.

    Raises:
        Invalid: it is no cursor of this list's.
    """
    if cursor is None:
        return None
    place = _read(cursor, 1)
    found = parse_id(str(place[0]))
    if found is None:
        raise _not_ours()
    return found


def read_number_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    place = _read(cursor, 1)
    if not isinstance(place[0], int) or not 0 <= place[0] < 2**62:
        raise _not_ours()
    return place[0]


def read_time_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    if cursor is None:
        return None
    place = _read(cursor, 2)
    found = parse_id(str(place[1]))
    try:
        at = datetime.fromisoformat(str(place[0]))
    except ValueError:
        raise _not_ours() from None
    if found is None or at.tzinfo is None:
        raise _not_ours()
    return at, found


def _read(cursor: str, length: int) -> list[Any]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place: object = orjson.loads(raw)
    except (ValueError, binascii.Error):
        raise _not_ours() from None
    if not isinstance(place, list) or len(cast("list[Any]", place)) != length:
        raise _not_ours()
    return cast("list[Any]", place)


def _not_ours() -> Invalid:
    return Invalid(
        "that is no cursor of this list: take it from the Link header of the page before", field="cursor"
    )
