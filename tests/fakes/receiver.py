"""Somebody's endpoint for webhooks on loopback: remembers what it was sent, and answers as it is told.

async with Receiver() as receiver:
    receiver.answers = [500, 200]       # the last one goes on
    ... tell receiver.url something, then look at receiver.got ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web


@dataclass(frozen=True)
class Got:
    """One delivery as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> dict[str, Any]:
        return orjson.loads(self.body)


@dataclass
class Receiver:
    answers: Sequence[int] = (204,)
    headers: Mapping[str, str] = field(default_factory=dict)
    said: bytes = b""
    delay_s: float = 0.0
    got: list[Got] = field(default_factory=list)
    at_once: int = 0
    at_once_max: int = 0
    url: str = ""
    gate: asyncio.Event | None = None  # with one, it answers when that is set

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/hook"
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()

    @property
    def types(self) -> list[str]:
        return [got.payload["type"] for got in self.got]

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append(Got({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        answer = self.answers[min(len(self.got), len(self.answers)) - 1]
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(self.delay_s)
        finally:
            self.at_once -= 1
        return web.Response(status=answer, headers=self.headers, body=self.said)
