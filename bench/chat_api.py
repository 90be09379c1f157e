"""Part `chat_api`: POST /api/agents/{id}/chat, one at a time, whole (JSON) and as it is written (server-sent events)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import orjson

from bench.measure import Say, percentile
from bench.plan import Plan
from bench.rig import Agent, Rig
from bench.whole_job import whole_house
from bench.wire import Connection, connect, request_bytes

WARM_UP_CALLS = 20
CALLS_A_CHAT = 15  # then a new chat begins: histories of 0 to 28 messages


@dataclass(frozen=True, slots=True)
class ChatApi:
    json_p50_ms: float
    json_p95_ms: float
    sse_p50_ms: float
    sse_p95_ms: float
    sse_first_byte_p50_ms: float
    calls: int

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


async def measure_chat_api(plan: Plan, say: Say) -> ChatApi:
    """The model takes 0 ms (a fraction of one on the wire), so all that is measured was added to it."""
    async with whole_house("chat_api") as (rig, _provider, _stub):
        agent = rig.add_agent("chat")
        connection = await connect("127.0.0.1", rig.port)
        whole = _Talk(rig, connection, agent, "application/json")
        watched = _Talk(rig, connection, agent, "text/event-stream")
        say(f"{plan.chat_calls} calls for JSON and as many for server-sent events, in turns")
        for number in range(WARM_UP_CALLS + plan.chat_calls):
            for talk in (whole, watched):
                await talk.call(number)
        connection.close()
    last_s = [s for _, s in whole.took_s[WARM_UP_CALLS:]]
    last_sse_s = [s for _, s in watched.took_s[WARM_UP_CALLS:]]
    return ChatApi(
        json_p50_ms=percentile(last_s, 0.5) * 1000,
        json_p95_ms=percentile(last_s, 0.95) * 1000,
        sse_p50_ms=percentile(last_sse_s, 0.5) * 1000,
        sse_p95_ms=percentile(last_sse_s, 0.95) * 1000,
        sse_first_byte_p50_ms=percentile([s for s, _ in watched.took_s[WARM_UP_CALLS:]], 0.5) * 1000,
        calls=plan.chat_calls,
    )


@dataclass(slots=True)
class _Talk:
    rig: Rig
    connection: Connection
    agent: Agent
    accept: str
    took_s: list[tuple[float, float]] = field(
        default_factory=list
    )  # to the first and to the last byte of each answer
    _chat_id: str | None = None

    async def call(self, number: int) -> None:
        if number % CALLS_A_CHAT == 0:
            self._chat_id = None
        serial = f"[c0:{number}]"
        wanted = {"message": f"Hello, this is message {serial}, thank you"}
        request = request_bytes(
            "POST",
            f"/api/agents/{self.agent.id}/chat",
            orjson.dumps(wanted if self._chat_id is None else {**wanted, "chat_id": self._chat_id}),
            content_type="application/json",
            accept=self.accept,
            authorization=f"Bearer {self.rig.key}",
        )
        began = time.monotonic()  # the loop's clock is the same
        answer = await self.connection.send(request)
        self.took_s.append((answer.first_byte_s - began, answer.last_byte_s - began))
        if answer.status != 200 or answer.body.count(serial.encode()) < 2:
            said = answer.body[:500].decode(errors="replace")
            raise RuntimeError(f"the chat API answered {answer.status}: {said}")
        self._chat_id = self._chat_id or _chat_id(answer.body)


def _chat_id(body: bytes) -> str:
    at = body.index(b'"chat_id"') + 9
    start = body.index(b'"', at) + 1
    return body[start : body.index(b'"', start)].decode()
