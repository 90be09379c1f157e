"""How the tests of the HTTP face talk to it: clients, agents, event streams, signed deliveries, a model on strings."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import orjson
from tests.conftest import TestHouse, TestOwner

from a1zap.llm.contract import Finished, ModelEvent, ModelRequest, Price, Text

SECRET = "an-api-secret-of-no-value"


def client(house: TestHouse, owner: TestOwner | None = None, **more: Any) -> httpx.AsyncClient:
    headers = owner.headers if owner else {}
    return httpx.AsyncClient(base_url=house.url, headers=headers, timeout=20, trust_env=False, **more)


async def new_agent(http: httpx.AsyncClient, **fields: Any) -> str:
    answer = await http.post("/api/agents", json={"name": "Ada", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def connect_a1base(http: httpx.AsyncClient, agent_id: str, **more: str) -> str:
    settings = {
        "kind": "a1base",
        "number": "+15550001111",
        "account_id": "acc-1",
        "api_key": "key",
        "api_secret": SECRET,
        **more,
    }
    answer = await http.post(
        f"/api/agents/{agent_id}/channels", json={k: v for k, v in settings.items() if v}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def delivery(text: str = "Hello", **more: Any) -> bytes:
    """A message as A1Base delivers it."""
    return orjson.dumps(
        {
            "thread_id": "thread-1",
            "message_id": f"m-{uuid4().hex}",
            "thread_type": "individual",
            "sender_number": "+61400123456",
            "sender_name": "Jane",
            "a1_account_id": "acc",
            "timestamp": datetime.now(UTC).isoformat(),  # an old one is answered with an excuse
            "service": "whatsapp",
            "message_type": "text",
            "is_from_agent": False,
            "message_content": {"text": text},
            **more,
        }
    )


def signed(raw: bytes, *, secret: str = SECRET, at: float | None = None, **more: str) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    signature = hmac.new(secret.encode(), stamp.encode() + raw, hashlib.sha256).hexdigest()
    return {"x-timestamp": stamp, "x-signature": signature, "content-type": "application/json", **more}


@dataclass(frozen=True)
class Event:
    id: str | None
    kind: str
    data: Any


async def events_of(response: httpx.Response) -> AsyncIterator[Event]:
    """The events of a stream as they come; comments are passed over."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if not line:
            if "data" in fields:
                yield Event(fields.get("id"), fields["event"], orjson.loads(fields["data"]))
            fields = {}
            continue
        name, _, value = line.partition(": ")
        fields[name] = value


async def whole_stream(http: httpx.AsyncClient, agent_id: str, body: Any, **headers: str) -> list[Event]:
    """Say something, and all events until the stream ends."""
    async with stream(http, "POST", f"/api/agents/{agent_id}/chat", json=body, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in events_of(response)]


@asynccontextmanager
async def stream(
    http: httpx.AsyncClient, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
) -> AsyncIterator[httpx.Response]:
    sent = {"accept": "text/event-stream", **(headers or {})}
    async with http.stream(method, path, headers=sent, **more) as response:
        yield response


def written(events: Sequence[Event]) -> str:
    """What the token events add up to, as a page would show it."""
    text = ""
    for event in events:
        if event.kind == "token":
            assert event.data["offset"] <= len(text)
            text = text[: event.data["offset"]] + event.data["text"]
    return text


@dataclass
class ModelOnStrings:
    """Says its pieces, each when it is let; `hold` makes it wait for `go` before each piece."""

    pieces: Sequence[str] = ("All ", "is ", "well.")
    hold: bool = False
    name: str = "test:strings"
    price: Price = field(default_factory=Price)
    asked: int = 0
    _may: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def go(self, pieces: int = 1) -> None:
        for _ in range(pieces):
            self._may.release()

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.asked += 1
        for piece in self.pieces:
            if self.hold:
                await self._may.acquire()
            yield Text(piece)
        yield Finished("stop", 9, 5)

    def wiring(self, **settings: Any) -> dict[str, Any]:
        """What `make_house` wants to hear of it."""
        return {"make_model": lambda _name: self, "settings": {"default_model": self.name, **settings}}


async def until(condition: Any, *, within_s: float = 5.0) -> Any:
    """What the asynchronous condition gives, once it gives something."""
    deadline_s = time.monotonic() + within_s
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < deadline_s, "it did not become so in time"
        await asyncio.sleep(0.02)
