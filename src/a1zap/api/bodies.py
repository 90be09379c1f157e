"""Reading a body that may be large: its own limit, and one for all that are held at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.requests import Request

from a1zap.api.problems import Refused

SMALL = 1 << 20  # bodies of up to this are not counted
HELD_MAX = 256 << 20  # bytes of large bodies in memory at once; beyond it, providers come again


@asynccontextmanager
async def read_body(request: Request, bytes_max: int) -> AsyncGenerator[bytes]:
    """The whole body. It counts as held until the block ends: who works on it has it in memory, and copies of it.

    Raises:
        Refused: 413 it is larger than it may be; 503 too many large ones are being read at the moment.
    """
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > bytes_max:
        raise _too_large(bytes_max)
    held = request.app.state.bodies_held
    counted = 0
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > bytes_max:
                raise _too_large(bytes_max)
            parts.append(part)
            if size > SMALL and size - counted > SMALL:
                held.add(size - counted)
                counted = size
        raw = b"".join(parts)
        parts.clear()
        yield raw
    finally:
        held.give_back(counted)


class BodiesHeld:
    """Counts the bytes of large bodies that are being read or worked on."""

    def __init__(self, most: int = HELD_MAX) -> None:
        self._most = most
        self._now = 0

    def add(self, count: int) -> None:
        if self._now + count > self._most:
            raise Refused(503, "too many large deliveries at once: try again shortly", closes=True)
        self._now += count

    def give_back(self, count: int) -> None:
        self._now -= count


def _too_large(bytes_max: int) -> Refused:
    return Refused(413, f"a body may have {bytes_max:,} bytes here")
