"""Part `chat_api`: POST /api/agents/{id}/chat, one at a time, whole (JSON) and as it is written (server-sent events)."""

from __future__ import annotations

import time
from dataclasses import dataclass

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
        await _converse(rig, connection, agent, "application/json", WARM_UP_CALLS)
        say(f"{plan.chat_calls} calls for JSON")
        whole = await _converse(rig, connection, agent, "application/json", plan.chat_calls)
        say(f"{plan.chat_calls} calls for server-sent events")
        watched = await _converse(rig, connection, agent, "text/event-stream", plan.chat_calls)
        connection.close()
    last_s, last_sse_s = [s for _, s in whole], [s for _, s in watched]
    return ChatApi(
        json_p50_ms=percentile(last_s, 0.5) * 1000,
        json_p95_ms=percentile(last_s, 0.95) * 1000,
        sse_p50_ms=percentile(last_sse_s, 0.5) * 1000,
        sse_p95_ms=percentile(last_sse_s, 0.95) * 1000,
        sse_first_byte_p50_ms=percentile([s for s, _ in watched], 0.5) * 1000,
        calls=plan.chat_calls,
    )


async def _converse(
    rig: Rig, connection: Connection, agent: Agent, accept: str, calls: int
) -> list[tuple[float, float]]:
    """Seconds to the first and to the last byte of each answer."""
    found: list[tuple[float, float]] = []
    chat_id = None
    for number in range(calls):
        if number % CALLS_A_CHAT == 0:
            chat_id = None
        serial = f"[c0:{number}]"
        wanted = {"message": f"Hello, this is message {serial}, thank you"}
        request = request_bytes(
            "POST",
            f"/api/agents/{agent.id}/chat",
            orjson.dumps(wanted if chat_id is None else {**wanted, "chat_id": chat_id}),
            content_type="application/json",
            accept=accept,
            authorization=f"Bearer {rig.key}",
        )
        began = time.monotonic()
        answer = await connection.send(request)
        # The loop's clock is the monotonic one.
        found.append((answer.first_byte_s - began, answer.last_byte_s - began))
        if answer.status != 200 or answer.body.count(serial.encode()) < 2:
            raise RuntimeError(
                f"the chat API answered {answer.status}: {answer.body[:500].decode(errors='replace')}"
            )
        chat_id = chat_id or _chat_id(answer.body)
    return found


def _chat_id(body: bytes) -> str:
    at = body.index(b'"chat_id"') + 9
    start = body.index(b'"', at) + 1
    return body[start : body.index(b'"', start)].decode()
