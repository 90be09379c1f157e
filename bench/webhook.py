"""Part `webhook`: an open loop of 100 signed webhooks a second, while the worker answers them all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.load import Person, knock_steadily
from bench.measure import Say, percentile
from bench.plan import Plan
from bench.whole_job import whole_house

PER_S = 100.0
PEOPLE = 200
ANSWERS_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Webhook:
    p50_ms: float
    p99_ms: float
    max_ms: float
    sent: int
    refused: int
    unanswered: int  # people whose last message had no reply a minute later
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

        def waiting() -> list[Person]:
            return [
                p
                for p in people
                if p.number and provider.newest.get(p.chat) != f"[c{p.chat}:{p.number}]".encode()
            ]

        while waiting() and time.monotonic() - ended < ANSWERS_PATIENCE_S:
            await asyncio.sleep(0.05)
        latencies = [s for s, answer in answered if answer.status == 200]
        return Webhook(
            p50_ms=percentile(latencies, 0.5) * 1000,
            p99_ms=percentile(latencies, 0.99) * 1000,
            max_ms=max(latencies, default=0.0) * 1000,
            sent=len(answered),
            refused=len(answered) - len(latencies),
            unanswered=len(waiting()),
            all_answered_after_s=time.monotonic() - ended,
        )
