"""A model that restates the serial numbers of the messages it was asked, so that who was answered, and when, can be judged.

Speaks OpenAI's streaming chat completions. A message is `c3#17 …`; the answer to it is `re c3#17 ~812`, to three at
once `re c3#17 c3#18 c3#19 ~812`. The number at the end counts the model's answers: no two are the same text.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any, Self

import orjson
from aiohttp import web

SERIAL = re.compile(r"\bc\d+#\d+")


class RestatingModel:
    def __init__(self, *, seed: object = 0, delay_max_s: float = 0.02) -> None:
        self.asked = 0
        self._dice = random.Random(f"{seed}:model")
        self._delay_max_s = delay_max_s
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 22)
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        text = f"re {' '.join(newest_serials(orjson.loads(await request.read())))} ~{self.asked}"
        await asyncio.sleep(self._dice.uniform(0, self._delay_max_s))
        half = len(text) // 2
        events = [
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text[:half]}}]},
            {"choices": [{"index": 0, "delta": {"content": text[half:]}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}},
        ]
        lines = [b"data: " + orjson.dumps({"object": "chat.completion.chunk", **e}) + b"\n\n" for e in events]
        return web.Response(body=b"".join([*lines, b"data: [DONE]\n\n"]), content_type="text/event-stream")


def newest_serials(body: dict[str, Any]) -> list[str]:
    """Of all user messages after the last answer, in order."""
    found: list[str] = []
    for message in body["messages"]:
        if message["role"] == "user":
            found += SERIAL.findall(message["content"])
        else:
            found = []
    return found
