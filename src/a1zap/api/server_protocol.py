"""uvicorn's HTTP protocol with limits that it lacks: a head and a body that come in time, and a head of bounded size.

uvicorn keeps a connection whose head or body never ends for as long as the other side likes. Here a head must be
whole within `HEAD_TIME_MAX_S` of the connection's or the request's first byte, on kept-alive connections too, and
whoever is still sending a body `BODY_TIME_MAX_S` after the head is cut off (the edge answers 408 shortly before).
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from a1zap.api.edge import BODY_TIME_MAX_S as BODY_ANSWERED_AFTER_S
from a1zap.api.edge import JSON_BYTES_MAX
from a1zap.api.edge import LARGE_BODY_TIME_MAX_S as LARGE_BODY_ANSWERED_AFTER_S

HEAD_TIME_MAX_S = 10.0
BODY_TIME_MAX_S = BODY_ANSWERED_AFTER_S + 2.0
LARGE_BODY_TIME_MAX_S = LARGE_BODY_ANSWERED_AFTER_S + 2.0
HEAD_BYTES_MAX = 64 * 1024
LINGER_S = 1.0

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 29\r\nconnection: close\r\n\r\nthe request head is too large"
)


class Closing:
    """Tells the live streams of a connection that the server is about to stop, so that they end politely."""

    def __init__(self) -> None:
        self.is_set = False
        self.waiting: set[asyncio.Event] = set()

    def set(self) -> None:
        self.is_set = True
        for event in self.waiting:
            event.set()


class HeadTimeoutProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.closing = Closing()
        self._timer: TimerHandle | None = None
        self._is_in_head = self._is_large = False
        self._head_bytes = 0
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._time(HEAD_TIME_MAX_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.closing.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._timer is None and not self._has_open_request():
            # Empty lines before a request begin none, and end the keep-alive time-out all the same.
            self._time(HEAD_TIME_MAX_S)
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self._is_refused:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._is_large = False
        self._head_bytes = 0
        self.scope.setdefault("state", {})["closing"] = self.closing
        self._time(HEAD_TIME_MAX_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES_MAX:
            raise ValueError("head too large")  # the parser stops, and send_400_response is called
        if name.lower() == b"content-length" and value.isdigit():
            self._is_large = len(value) < 20 and int(value) > JSON_BYTES_MAX
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._time(LARGE_BODY_TIME_MAX_S if self._is_large else BODY_TIME_MAX_S)
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if self._head_bytes > HEAD_BYTES_MAX:
            # Closed at once, with more of the head on its way, the answer would be lost with the connection.
            self._is_refused = True
            self.transport.write(_TOO_LARGE)
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._time(LINGER_S)
            return
        super().send_400_response(msg)

    def on_message_complete(self) -> None:
        self._stop_timer()
        super().on_message_complete()

    def shutdown(self) -> None:
        self.closing.set()
        super().shutdown()

    def _has_open_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

    def _time(self, limit_s: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(limit_s, self._cut)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
