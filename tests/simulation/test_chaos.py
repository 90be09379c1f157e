"""The whole house under kill -9: every message that was acknowledged is answered once, in order, without a hand.

Every day, over A1Base: at least 200 kills, 20 restarts of PostgreSQL, some thousand deliveries; over each other channel
a short run. The long form, over all channels or those that are named:

    A1ZAP_TEST_CYCLES=1000 A1ZAP_TEST_SEED=7 A1ZAP_TEST_CHANNEL=whatsapp,email python -m pytest tests/simulation/test_chaos.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import Postgres
from tests.simulation.channels import LINES
from tests.simulation.chaos import Plan, run_chaos
from tests.simulation.conftest import SEED
from tests.simulation.forks import Forks

CYCLES = int(os.environ.get("A1ZAP_TEST_CYCLES", "200"))
CHANNELS = [name for name in os.environ.get("A1ZAP_TEST_CHANNEL", "").split(",") if name] or list(LINES)
IS_LONG = CYCLES > 200

pytestmark = pytest.mark.simulation


def plan_of(channel: str) -> Plan:
    if channel == "a1base" or IS_LONG:
        return Plan(
            seed=SEED,
            channels=(channel,),
            cycles=CYCLES,
            database_restarts=20,
            deliveries_min=10_000 if IS_LONG else 2_500,
            time_max_s=3_000 if IS_LONG else 240,
        )
    return Plan(
        seed=SEED,
        channels=(channel,),
        cycles=20,
        server_every=8,
        database_restarts=0,
        deliveries_min=180,
        cold=15,
        time_max_s=60,
    )


@pytest.mark.timeout(300 + CYCLES * 2)
@pytest.mark.parametrize("channel", CHANNELS)
async def test_whatever_is_killed_each_acknowledged_message_is_answered_once_and_in_order_over(
    channel: str, forks: Forks, postgres: Postgres, database: str, say: Callable[[dict[str, Any]], None]
):
    plan = plan_of(channel)
    # A run that restarts PostgreSQL has one of its own.
    shared = None if plan.database_restarts else (postgres.url(database), postgres.admin_url(database))
    verdict = await run_chaos(plan, forks=forks, database=shared, say=say)
    assert verdict.is_clean, (dict(verdict.broken), dict(verdict.examples))
    assert verdict.facts["cycles"] >= plan.cycles
    assert verdict.facts["database_restarts"] == plan.database_restarts
    # A run in which nothing was ever in doubt has proved nothing about doubt.
    assert verdict.facts["flagged"] > 0
    assert verdict.facts["repeats"] > plan.deliveries_min / 25
    assert channel == "email" or verdict.facts["told"] > 0
    if (
        channel == "a1base"
    ):  # elsewhere one flagged message may be called for more than twice in so short a run
        assert verdict.facts["extra_calls"] <= verdict.facts["flagged"]
