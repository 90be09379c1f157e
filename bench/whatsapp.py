"""Part `whatsapp`: an open loop of 200 webhooks a second, signed as Meta signs them; stored, and then answered as well.

Once without a worker on the machine (it is on another), and once with one that answers them all meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import asyncpg
import orjson

from bench.load import knock_steadily
from bench.measure import Moment, Say, Tally, percentile
from bench.place import PYTHON, ROOT, work_folder
from bench.plan import Plan
from bench.processes import stub_model
from bench.rig import Rig, open_rig
from bench.webhook import UNANSWERED
from bench.wire import json_response, request_bytes, serve

PER_S = 200.0
PEOPLE = 200
ANSWERS_PATIENCE_S = 120.0
NUMBER_ID = "106540352242922"
SECRET = b"bench-app-secret"
_READ = json_response(b'{"success":true}')
_STORED = "SELECT count(*) FROM messages WHERE direction = 'inbound'"


@dataclass(frozen=True, slots=True)
class WhatsApp:
    p50_ms: float
    p99_ms: float
    max_ms: float
    sent: int
    refused: Mapping[str, int]  # by status
    stored: int  # messages in the database right after the load, of `sent` less those refused
    answers: int  # that Meta's stub took
    unanswered: (
        int  # chats with messages that had no reply ANSWERS_PATIENCE_S later, or replies that had not left
    )
    all_answered_after_s: float  # the end of the load
    cpu_ms_by_group: Mapping[
        str, float
    ]  # a webhook, while the load ran; answering what is answered meanwhile is in it
    noise: float  # share of the machine that others took meanwhile

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Meta:
    """The Graph API's send call."""

    url: str = ""
    taken: int = 0

    def answer(self, _head: bytes, body: bytes) -> bytes:
        if b'"status":"read"' in body:
            return _READ
        self.taken += 1
        told = {"messaging_product": "whatsapp", "messages": [{"id": f"wamid.OUT{self.taken}"}]}
        return json_response(orjson.dumps(told))


@dataclass(slots=True)
class Person:
    """Somebody who writes to the number, and has said `number` messages so far."""

    chat: int
    number: int = 0

    def next_message(self) -> tuple[bytes, bytes]:
        """The next message's serial, and the signed webhook that brings it."""
        self.number += 1
        serial, sender = f"[c{self.chat}:{self.number}]", f"1666{self.chat:07d}"
        message = {
            "from": sender,
            "id": f"wamid.{self.chat}.{self.number}",
            "timestamp": str(int(time.time())),
            "type": "text",
            "text": {"body": f"Hello, this is message {serial}, thank you"},
        }
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": NUMBER_ID},
            "contacts": [{"profile": {"name": "Jane"}, "wa_id": sender}],
            "messages": [message],
        }
        entry = {"id": "102290129340398", "changes": [{"field": "messages", "value": value}]}
        body = orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})
        signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        request = request_bytes(
            "POST",
            "/api/webhooks/whatsapp",
            body,
            content_type="application/json",
            x_hub_signature_256=f"sha256={signature}",
        )
        return serial.encode(), request


async def measure_whatsapp(plan: Plan, say: Say) -> dict[str, WhatsApp]:
    """At the shared address of all numbers, with the agent's default settle time of 1.0 s."""
    return {
        "stored": await _measure_house(plan, say, has_workers=False),
        "answered": await _measure_house(plan, say, has_workers=True),
    }


async def _measure_house(plan: Plan, say: Say, *, has_workers: bool) -> WhatsApp:
    meta = Meta()
    server, port = await serve(meta.answer)
    meta.url = f"http://127.0.0.1:{port}/v25.0"
    with ExitStack() as stack:
        stack.callback(server.close)
        folder = stack.enter_context(work_folder("whatsapp"))
        model_url, stub_pid = stack.enter_context(stub_model(PYTHON, ROOT))
        async with open_rig(
            folder, model_url=model_url, provider_url=meta.url, has_workers=has_workers
        ) as rig:
            return await _measure(rig, meta, stub_pid, plan, say, has_workers=has_workers)


async def _measure(
    rig: Rig, meta: Meta, stub_pid: int, plan: Plan, say: Say, *, has_workers: bool
) -> WhatsApp:
    _connect(rig, meta)
    people = [Person(number) for number in range(PEOPLE)]
    warmed = await knock_steadily(
        people[:20], rig.port, per_s=50, seconds=1
    )  # pools open, keys are unwrapped
    say(f"{PER_S:g} webhooks a second for {plan.webhook_s:g} s, {'a' if has_workers else 'no'} worker")
    tally, meter = Tally(), rig.meter(stub_pid, has_workers=has_workers)
    before = Moment.take(meter, tally)
    answered = await knock_steadily(people, rig.port, per_s=PER_S, seconds=plan.webhook_s)
    window = Moment.take(meter, tally).since(before, tally)
    ended = time.monotonic()
    keeper = await asyncpg.connect(rig.postgres.url("a1zap"))
    try:
        stored = await keeper.fetchval(_STORED) - len(warmed)
        unanswered = await keeper.fetchval(UNANSWERED)
        while has_workers and unanswered and time.monotonic() - ended < ANSWERS_PATIENCE_S:
            await asyncio.sleep(0.1)
            unanswered = await keeper.fetchval(UNANSWERED)
    finally:
        await keeper.close()
    latencies = [s for s, _, answer in answered if answer.status == 200]
    return WhatsApp(
        p50_ms=percentile(latencies, 0.5) * 1000,
        p99_ms=percentile(latencies, 0.99) * 1000,
        max_ms=max(latencies, default=0.0) * 1000,
        sent=len(answered),
        refused=Counter(str(answer.status) for _, _, answer in answered if answer.status != 200),
        stored=stored,
        answers=meta.taken,
        unanswered=unanswered,
        all_answered_after_s=time.monotonic() - ended,
        cpu_ms_by_group={name: s / len(answered) * 1000 for name, s in window.cpu_s.items()},
        noise=window.others_s / window.seconds / (os.cpu_count() or 1),
    )


def _connect(rig: Rig, meta: Meta) -> None:
    agent = rig.call("POST", "/api/agents", {"name": "Bench WhatsApp", "agent_type": "work"})
    rig.call(
        "POST",
        f"/api/agents/{agent['id']}/channels",
        {
            "kind": "whatsapp",
            "phone_number_id": NUMBER_ID,
            "access_token": "bench-token",
            "app_secret": SECRET.decode(),
            "graph_url": meta.url,
        },
    )
