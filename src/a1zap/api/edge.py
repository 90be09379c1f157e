"""The edge: what every request passes before anybody reads it, and every answer before it leaves. Pure ASGI.

* a body has a size (1 MiB of JSON) and a time (10 s, whole) that it must keep: 413, 408
* what changes something and has a body says that it is JSON: 415. No page of another site can make a browser say so
  without asking us first, so this also stands against cross-site request forgery
* every answer tells browsers what they may not do with it, and carries the id under which we log
* a bug is a 500 that says nothing, and a line in the log that says where, without anybody's words
"""

from __future__ import annotations

import asyncio
import os
import re
import traceback
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from a1zap.api.meters import Meters
from a1zap.api.problems import Refused, http_error_response, problem, problem_response

log = structlog.get_logger()

JSON_BYTES_MAX = 1 << 20
WEBHOOK_BYTES_MAX = (
    40 << 20
)  # a mail with its files; each kind of channel has its own, smaller, limit (api/webhooks.py)
BODY_TIME_MAX_S = 10.0
LARGE_BODY_TIME_MAX_S = 60.0

FORM_BYTES = 1 << 16  # what a form may hold beside its file
FORM_TIME_MAX_S = 300.0

_UPLOAD = re.compile(r"/api/agents/[^/]+/files")
_FORM = re.compile(rb"\s*multipart/form-data\s*;.*", re.IGNORECASE)
_CHANGING = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_JSON = re.compile(rb"\s*application/(?:json|[a-z0-9.+-]+\+json)\s*(?:;.*)?", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")

_CONTENT_POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    b"frame-ancestors 'none'"
)
_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    # The origin must reach us with forms of our own pages; an address with a token in it must reach nobody else.
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", _CONTENT_POLICY),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Edge:
    def __init__(
        self, app: ASGIApp, *, meters: Meters, is_https: bool, file_bytes_max: int = JSON_BYTES_MAX
    ) -> None:
        self.app = app
        self._meters = meters
        self._form_bytes_max = file_bytes_max + FORM_BYTES
        self._headers = (
            (*_HEADERS, (b"strict-transport-security", b"max-age=31536000")) if is_https else _HEADERS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(scope, send, self._headers, self._form_bytes_max)
        try:
            if visit.has_body:
                visit.refuse_early()
                receive = _bounded(receive, visit.bytes_max, visit.began_s + visit.time_max_s)
            await self.app(scope, receive, visit.send)
        except Refused as refused:
            await http_error_response(refused)(scope, receive, visit.send)
        except Exception as error:  # noqa: BLE001 - whatever it was, it must neither leak nor end the server
            await visit.fail(error)
        finally:
            visit.count(self._meters)


class _Visit:
    """One request on its way through."""

    def __init__(
        self, scope: Scope, send: Send, headers: tuple[tuple[bytes, bytes], ...], form_bytes_max: int
    ) -> None:
        self._scope = scope
        self._send = send
        self._form_bytes_max = form_bytes_max
        self._is_upload = _UPLOAD.fullmatch(scope["path"]) is not None
        self._common = headers
        self._status = 0
        self._is_stream = False
        self._content_type = self._length = b""
        self._id = b""
        self.has_body = False
        self.began_s = asyncio.get_running_loop().time()
        for name, value in scope["headers"]:
            if name == b"content-length":
                self._length = value
                self.has_body = self.has_body or value != b"0"
            elif name == b"transfer-encoding":
                self.has_body = True
            elif name == b"content-type":
                self._content_type = value
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                self._id = value
        self._id = self._id or os.urandom(8).hex().encode()

    @property
    def bytes_max(self) -> int:
        if self._is_upload:
            return self._form_bytes_max
        return WEBHOOK_BYTES_MAX if self._scope["path"].startswith("/api/webhooks/") else JSON_BYTES_MAX

    @property
    def time_max_s(self) -> float:
        """A body that says it is large has longer."""
        if self._is_upload:
            return FORM_TIME_MAX_S
        is_large = self._length.isdigit() and int(self._length) > JSON_BYTES_MAX
        return LARGE_BODY_TIME_MAX_S if is_large else BODY_TIME_MAX_S

    def refuse_early(self) -> None:
        """What the head of the request tells already.

        Raises:
            Refused: too large, or not JSON.
        """
        if self._length and (not self._length.isdigit() or int(self._length) > self.bytes_max):
            raise _too_large(self.bytes_max)
        path: str = self._scope["path"]
        if (
            self._scope["method"] in _CHANGING
            and path.startswith("/api/")
            and not path.startswith("/api/webhooks/")
            and not (_FORM if self._is_upload else _JSON).fullmatch(self._content_type)
        ):
            if self._is_upload:
                raise Refused(415, "send multipart/form-data with the file in the field 'file'")
            raise Refused(415, "send JSON, with the header Content-Type: application/json")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            own: list[tuple[bytes, bytes]] = [*message.get("headers", ())]
            names = {name for name, _ in own}
            headers = [*own, *(common for common in self._common if common[0] not in names)]
            headers.append((b"x-request-id", self._id))
            if b"cache-control" not in names:
                is_file = b"etag" in names and b"last-modified" in names
                headers.append((b"cache-control", b"no-cache" if is_file else b"no-store"))
            self._is_stream = (b"content-type", b"text/event-stream; charset=utf-8") in headers
            message = {**message, "headers": headers}
        await self._send(message)

    async def fail(self, error: Exception) -> None:
        """A bug: said to the outside as such and no more; written down without what anybody wrote."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "/a1zap/" in f.filename][-4:]
        log.error(
            "request_failed",
            request_id=self._id.decode(),
            route=self._route,
            error=type(error).__name__,
            at=[f"{f.filename.rpartition('/a1zap/')[2]}:{f.lineno} {f.name}" for f in [*ours, frames[-1]]],
        )
        if self._status:
            # Half an answer has left: all we can do is not to make it look whole.
            raise ConnectionAbortedError("the answer broke off") from None
        detail = "the failure has been written down on our side, under the id in x-request-id"
        response = problem_response(problem(500, "Something went wrong", detail))
        await response(self._scope, _nothing, self.send)

    def count(self, meters: Meters) -> None:
        took_s = asyncio.get_running_loop().time() - self.began_s
        meters.observe(self._route, self._scope["method"], self._status, took_s, is_stream=self._is_stream)

    @property
    def _route(self) -> str:
        """The route's template, never the address itself: there are as many of those as anybody likes."""
        route: Any = self._scope.get("route")
        return getattr(route, "path", None) or "none"


def _bounded(receive: Receive, bytes_max: int, until_s: float) -> Receive:
    """`receive`, for as many bytes and as long as a body may have."""
    seen = 0
    is_whole = False

    async def receive_bounded() -> Message:
        nonlocal seen, is_whole
        if is_whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until_s):
                message = await receive()
        except TimeoutError:
            raise Refused(408, "the body did not come in time", closes=True) from None
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if seen > bytes_max:
                raise _too_large(bytes_max)
        return message

    return receive_bounded


def _too_large(bytes_max: int) -> Refused:
    return Refused(413, f"a body may have {bytes_max:,} bytes here")


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
