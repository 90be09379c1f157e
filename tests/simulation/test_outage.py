"""Two channels in one house, one of them down for a while: only its own chats wait, and then they drain in order."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.conftest import Postgres
from tests.fakes.weather import FAIR, Weather
from tests.simulation.chaos import Plan, Run, drained, prepared
from tests.simulation.conftest import SEED
from tests.simulation.forks import Forks
from tests.simulation.test_chaos import IS_LONG

pytestmark = pytest.mark.simulation

OUTAGES = {"answers every call with an error": Weather(broken=1.0), "is deaf": Weather(deaf=1.0)}
PHASE_S = 2.0
PATIENCE_S = 5.0


# A channel that is deaf is the worst of them, and the one that is tried with every commit.
@pytest.mark.parametrize("outage", list(OUTAGES) if IS_LONG else ["is deaf"])
async def test_a_channel_that_is_down_holds_up_nobody_elses_chats_and_then_drains_in_order_when_it(
    outage: str, forks: Forks, postgres: Postgres, database: str, say: Callable[[dict[str, Any]], None]
):
    # More chats of the channel that goes down than all workers together have hands.
    plan = Plan(
        seed=SEED, channels=("whatsapp", "webhook"), workers=2, concurrency=8, hot=0, cold=24, drain_max_s=30
    )
    addresses = (postgres.url(database), postgres.admin_url(database))
    async with prepared(plan, forks, addresses) as run:
        broken, well = run.lines
        broken.weather = well.weather = FAIR
        stop = asyncio.Event()
        speaking = asyncio.create_task(run.traffic.speak(stop))
        await asyncio.sleep(PHASE_S / 2)  # pools open, models are known
        before_ms = await _latency_ms(run, PHASE_S)

        broken.weather = OUTAGES[outage]
        await asyncio.sleep(0.3)  # what was taken just before may still be answered
        taken_before = _taken(run, "whatsapp")
        during_ms = await _latency_ms(run, PHASE_S)
        stop.set()
        await speaking
        await _until(lambda: run.traffic.unanswered("webhook") == 0, PATIENCE_S)
        waiting = run.traffic.unanswered("whatsapp")
        late = run.traffic.unanswered("webhook")
        assert _taken(run, "whatsapp") == taken_before

        broken.weather = FAIR
        drained_s = await drained(run)
        verdict = await run.verdict(is_over=True)
    say(
        {
            "outage": outage,
            "before_ms": before_ms,
            "during_ms": during_ms,
            "waiting": waiting,
            "drained_s": drained_s,
        }
    )
    assert late == 0, f"{late} messages of the channel that is well had no answer while the other was down"
    assert waiting >= 24  # each of its chats had something to drain
    assert drained_s is not None
    assert verdict.is_clean, (dict(verdict.broken), dict(verdict.examples))
    assert during_ms < before_ms * 2 + 250, "its latency says nothing of the other's trouble"


async def _latency_ms(run: Run, seconds: float) -> float:
    """The median from a message's 2xx to its answer's leaving, of those that come in so many seconds on the second channel."""
    began_s = time.monotonic()
    await asyncio.sleep(seconds)
    acknowledged = {
        said.serial: said.acknowledged_s
        for said in run.traffic.said
        if said.acknowledged_s is not None and said.acknowledged_s > began_s
    }
    found = [
        call.taken_s - at_s
        for call in run.lines[1].calls
        for serial in call.text.split()
        if call.taken_s is not None and (at_s := acknowledged.get(serial)) is not None
    ]
    return round(statistics.median(found) * 1000, 1) if found else float("inf")


def _taken(run: Run, kind: str) -> int:
    return sum(call.taken_s is not None for line in run.lines if line.kind == kind for call in line.calls)


async def _until(is_so: Callable[[], bool], seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not is_so():
                await asyncio.sleep(0.05)
