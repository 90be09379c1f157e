"""The whole house under kill -9: every message that was acknowledged is answered once, in order, without a hand.

Every day: at least 200 kills, 20 restarts of PostgreSQL, some thousand deliveries. The long form:

    A1ZAP_TEST_CYCLES=1000 A1ZAP_TEST_SEED=7 python -m pytest tests/simulation/test_chaos.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.simulation.chaos import Plan, run_chaos
from tests.simulation.conftest import SEED
from tests.simulation.forks import Forks

CYCLES = int(os.environ.get("A1ZAP_TEST_CYCLES", "200"))
IS_LONG = CYCLES > 200

pytestmark = pytest.mark.simulation


@pytest.mark.timeout(300 + CYCLES * 2)
async def test_whatever_is_killed_each_acknowledged_message_is_answered_once_and_in_order(
    forks: Forks, say: Callable[[dict[str, Any]], None]
):
    plan = Plan(
        seed=SEED,
        cycles=CYCLES,
        database_restarts=20,
        deliveries_min=10_000 if IS_LONG else 2_500,
        time_max_s=3_000 if IS_LONG else 240,
    )
    verdict = await run_chaos(plan, forks=forks, say=say)
    assert verdict.is_clean, (dict(verdict.broken), dict(verdict.examples))
    assert verdict.facts["cycles"] >= CYCLES
    assert verdict.facts["database_restarts"] == 20
    # A run in which nothing was ever in doubt has proved nothing about doubt.
    assert verdict.facts["flagged"] > 0
    assert verdict.facts["repeats"] > 100
    assert verdict.facts["extra_calls"] <= verdict.facts["flagged"]
