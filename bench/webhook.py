"""Part `webhook`: an open loop of 100 signed webhooks a second, while the worker answers them all."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.load import Person, knock_steadily
from bench.measure import Say, percentile
from bench.plan import Plan
from bench.whole_job import whole_house

PER_S = 100.0
PEOPLE = 200
ANSWERS_PATIENCE_S = 60.0

# Under load several messages of a chat are on their way at once and are stored in whatever order they arrive, so the
# serial of the last reply tells nothing here; the chats themselves say who waits.
UNANSWERED = """
    SELECT count(*) FROM chats c WHERE waiting_since IS NOT NULL OR EXISTS (
        SELECT 1 FROM messages m WHERE m.owner_id = c.owner_id AND m.chat_id = c.id
        AND m.direction = 'outbound' AND m.status <> 'sent')
"""


@dataclass(frozen=True, slots=True)
class Webhook:
    p50_ms: float
    p99_ms: float
    max_ms: float
    sent: int
    refused: Mapping[str, int]  # by status; a provider would deliver these again
    unanswered: int  # chats with messages that had no reply a minute later, or replies that had not left
    all_answered_after_s: float  # the end of the load

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


async def measure_webhook(plan: Plan, say: Say) -> Webhook:
    """With the agent's default settle time of 1.0 s: what a provider knocks on is an instance as it comes."""
    async with whole_house("webhook") as (rig, provider, _stub):
        agent = rig.add_agent("webhook")
        people = [Person(agent, number) for number in range(PEOPLE)]
        await knock_steadily(people[:20], rig.port, per_s=50, seconds=1)  # pools open, keys are unwrapped
        say(f"{PER_S:g} webhooks a second for {plan.webhook_s:g} s")
        answered = await knock_steadily(people, rig.port, per_s=PER_S, seconds=plan.webhook_s)
        ended = time.monotonic()

        keeper: Any = await asyncpg.connect(rig.postgres.url("a1zap"))
        while (
            unanswered := await keeper.fetchval(UNANSWERED)
        ) and time.monotonic() - ended < ANSWERS_PATIENCE_S:
            await asyncio.sleep(0.1)
        await keeper.close()
        heard = {serial[2 : serial.index(b":")] for _, serial, a in answered if a.status == 200}
        unanswered += sum(int(chat) not in provider.newest for chat in heard)
        latencies = [s for s, _, answer in answered if answer.status == 200]
        return Webhook(
            p50_ms=percentile(latencies, 0.5) * 1000,
            p99_ms=percentile(latencies, 0.99) * 1000,
            max_ms=max(latencies, default=0.0) * 1000,
            sent=len(answered),
            refused=Counter(str(answer.status) for _, _, answer in answered if answer.status != 200),
            unanswered=unanswered,
            all_answered_after_s=time.monotonic() - ended,
        )
