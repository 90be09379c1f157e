"""Errors as problem+json (RFC 9457): what it is, whose move it is, and which field and value it is about."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from a1zap.kit.errors import A1ZapError, Invalid, Malformed, NotSignedIn, Rejected, Unavailable

log = structlog.get_logger()

PROBLEM_TYPE = "application/problem+json"
VALUE_CHARACTERS_MAX = 100

# What stands in these is a person's words or a secret: it is named in a problem and never repeated in one.
_UNSPEAKABLE = frozenset(
    [
        "message",
        "text",
        "content",
        "title",
        "name",
        "description",
        "system_prompt",
        "password",
        "token",
        "key",
        "secret",
        "api_key",
        "api_secret",
        "account_id",
        "credentials",
        "conversation_user",
        "cursor",
        "base_url",
        "source_url",
        "email",
    ]
)

_TITLES = {
    400: "Malformed",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid",
}
_DETAILS = {404: "there is nothing at this address", 405: "this address does not take this method"}


class Refused(HTTPException):
    """Refused at the edge; an HTTPException, because FastAPI lets nothing else through while it reads a body."""

    def __init__(self, status: int, detail: str, *, closes: bool = False) -> None:
        super().__init__(status, detail, {"connection": "close"} if closes else None)


def problem(status: int, title: str, detail: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One problem. Its type is a name for programs; the detail is for people."""
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return {
        "type": f"urn:problem-type:a1zap:{name}",
        "title": title,
        "status": status,
        "detail": detail,
        **(more or {}),
    }


def problem_of(error: A1ZapError) -> dict[str, Any]:
    """The problem that one of our errors is. What is not meant for the outside says only that it happened."""
    if not isinstance(error, Rejected | Unavailable):
        return problem(500, "Something went wrong", "the failure has been written down on our side")
    more: dict[str, Any] = {}
    if isinstance(error, Rejected) and error.field is not None:
        more["field"] = error.field
        more |= _value(error.field, error.value)
    return problem(error.status, error.title, str(error), more)


def problem_response(found: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(found), found["status"], headers, media_type=PROBLEM_TYPE)


def error_response(error: A1ZapError) -> Response:
    return problem_response(problem_of(error), _headers(error))


def http_error_response(error: HTTPException) -> Response:
    status = error.status_code
    known = _DETAILS.get(status, "the request could not be read")
    detail = error.detail if isinstance(error, Refused) else known
    return problem_response(problem(status, _TITLES.get(status, "Refused"), detail), error.headers)


def validation_problem(errors: Sequence[Any]) -> dict[str, Any]:
    """The problem of a request that does not have the form it should: the first fault up front, then all of them."""
    if any(fault["type"] == "json_invalid" for fault in errors):
        fault = errors[0]
        where = fault["loc"][-1] if fault["loc"] else 0
        reason = fault.get("ctx", {}).get("error", "")
        return problem(400, Malformed.title, f"the body is not JSON: {reason} at position {where}")
    faults = [_fault(fault) for fault in errors[:20]]
    first = faults[0]
    more = {k: v for k, v in first.items() if k != "detail"}
    return problem(422, Invalid.title, f"{first['field']}: {first['detail']}", {**more, "errors": faults})


def add_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(A1ZapError, _on_our_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)


async def _on_our_error(_request: Request, error: Exception) -> Response:
    ours = cast("A1ZapError", error)
    if not isinstance(ours, Rejected | Unavailable):
        log.error("request_failed", error=type(ours).__name__)
    return error_response(ours)


async def _on_validation_error(_request: Request, error: Exception) -> Response:
    return problem_response(validation_problem(cast("RequestValidationError", error).errors()))


async def _on_http_error(_request: Request, error: Exception) -> Response:
    return http_error_response(cast("HTTPException", error))


def _headers(error: A1ZapError) -> dict[str, str]:
    headers: dict[str, str] = {}
    wait_s = getattr(error, "retry_after_s", None)
    if wait_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait_s)))
    if isinstance(error, NotSignedIn):
        headers["www-authenticate"] = 'Bearer realm="a1zap"'
    return headers


def _fault(fault: Mapping[str, Any]) -> dict[str, Any]:
    where = [str(part) for part in fault["loc"] if part not in ("body", "query", "path", "header")]
    field = ".".join(where) or "body"
    if fault["type"] == "extra_forbidden":
        # Its value may be anything, a misspelt secret too.
        return {"field": field, "detail": "there is no such field here"}
    detail = str(fault["msg"]).removeprefix("Value error, ")
    return {"field": field, "detail": detail[:300], **_value(field, fault.get("input"))}


def _value(field: str, value: object) -> dict[str, Any]:
    """The value as it may be shown: short, a plain one, and nobody's words or secret."""
    if any(part in _UNSPEAKABLE for part in re.split(r"[.\d]+", field.lower())):
        return {}
    if isinstance(value, str):
        return {"value": value[:VALUE_CHARACTERS_MAX]}
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return {"value": value if abs(value) < 2**53 else str(value)[:VALUE_CHARACTERS_MAX]}
    return {}
