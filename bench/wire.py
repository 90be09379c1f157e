"""HTTP/1.1 as cheap as Python can speak it: the load generator and the stubs share the cores with what they measure.

A client connection with one request at a time, and a server protocol that hands whole requests to a function.
Only what the benchmark needs: keep-alive, Content-Length and chunked bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    first_byte_s: float  # loop times
    last_byte_s: float


class Connection(asyncio.Protocol):
    """One keep-alive connection of a client."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._data = b""
        self._first_byte_s = 0.0

    def connection_made(self, transport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError(f"the server hung up: {exc}"))

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a whole request; its answer comes as the future's result."""
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._waiting = self._loop.create_future()
        self._data = b""
        self._first_byte_s = 0.0
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        if not self._first_byte_s:
            self._first_byte_s = self._loop.time()
        self._data = self._data + data if self._data else data
        body = _whole_body(self._data)
        if body is None or self._waiting is None or self._waiting.done():
            return
        status = int(self._data[9:12])
        self._waiting.set_result(Answer(status, body, self._first_byte_s, self._loop.time()))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(host: str, port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
    return connection


def request_bytes(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A whole request; `content_type` and the like are header names with underscores for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "host: bench", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body


def _whole_body(data: bytes) -> bytes | None:
    """The body once all of it is here; None until then."""
    end = data.find(_END_OF_HEAD)
    if end < 0:
        return None
    head, start = data[:end].lower(), end + 4
    at = head.find(b"content-length:")
    if at >= 0:
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        return data[start : start + length] if len(data) >= start + length else None
    if b"transfer-encoding: chunked" in head:
        return _unchunked(data[start:]) if data.endswith(b"0\r\n\r\n") else None
    return b""  # 204 and its like


def _unchunked(data: bytes) -> bytes:
    pieces, at = [], 0
    while True:
        line_end = data.index(b"\r\n", at)
        size = int(data[at:line_end].split(b";")[0], 16)
        if size == 0:
            return b"".join(pieces)
        pieces.append(data[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2


# ── server side ─────────────────────────────────────────────────────────────────────────────────────────────────────

Handle = Callable[[bytes, bytes], bytes]  # (head with the request line, body) to the whole response


class Serving(asyncio.Protocol):
    """One connection of a stub server; `handle` answers at once, which is what a stub of 0 ms does."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        while self._data:
            end = self._data.find(_END_OF_HEAD)
            if end < 0:
                return
            head = self._data[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._data) < end + 4 + length:
                return
            body = self._data[end + 4 : end + 4 + length]
            self._data = self._data[end + 4 + length :]
            assert self._transport is not None
            self._transport.write(self._handle(head, body))


async def serve(handle: Handle, host: str = "127.0.0.1", port: int = 0) -> tuple[asyncio.Server, int]:
    """Serve `handle` on a free port."""
    server = await asyncio.get_running_loop().create_server(lambda: Serving(handle), host, port, backlog=1024)
    return server, server.sockets[0].getsockname()[1]


def json_response(body: bytes, status: str = "200 OK") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
