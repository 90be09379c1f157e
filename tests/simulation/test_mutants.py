"""The harness can see: with any of the rules below taken out of the house, the judge turns red.

The first four are what the house stands on; a harness that stays green without them would prove nothing by being green.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import Postgres
from tests.simulation.chaos import Plan, run_chaos
from tests.simulation.conftest import SEED
from tests.simulation.forks import Forks
from tests.simulation.mutants import MUTANTS

pytestmark = pytest.mark.simulation

# What must be noticed of each (one of these is enough: the run ends at the first broken promise).
SEEN_AS = {
    "no_order_gate": {"two_turns", "sent_out_of_order", "turns_out_of_order"},
    "no_deduplication": {"stored_twice"},
    "no_lease": {"extra_unexplained", "stuck"},
    "no_fence": {"two_turns", "extra_unexplained"},
    "sent_before_sending": {"never_sent"},
    "unflagged": {"extra_unflagged"},
    "resent_unasked": {"extra_unflagged"},
    "turn_in_two_steps": {"two_turns", "no_turn", "unanswered"},
    "acknowledged_too_soon": {"lost"},
    "status_goes_back": {"status_backwards"},
    "our_own_id_is_believed": {"status_backwards"},
    "early_news_is_dropped": {"status_behind"},
    "read_before_stored": {"lost"},
    "mail_renamed": {"renamed"},
}
# Those that A1Base does not show.
SEEN_OVER = {
    "our_own_id_is_believed": "whatsapp",
    "early_news_is_dropped": "whatsapp",
    "read_before_stored": "email",
    "mail_renamed": "email",
}
SEEN_IN_THE_END = {"early_news_is_dropped", "read_before_stored"}  # until then it may still come


def plan_of(mutant: str) -> Plan:
    channels = (SEEN_OVER.get(mutant, "a1base"),)
    if mutant in SEEN_IN_THE_END:
        return Plan(
            seed=SEED,
            channels=channels,
            mutant=mutant,
            cycles=15,
            database_restarts=0,
            deliveries_min=100,
            cold=12,
            time_max_s=25,
            drain_max_s=10,
        )
    return Plan(
        seed=SEED,
        channels=channels,
        mutant=mutant,
        stop_at_first=True,
        cycles=80,
        server_every=8,
        database_restarts=0,
        deliveries_min=300,
        cold=12,
        time_max_s=25,
        drain_max_s=10,
    )


def test_each_mutant_has_its_mark():
    assert set(SEEN_AS) == set(MUTANTS)


async def test_the_judge_stays_green_with_the_house_as_it_is(
    forks: Forks, postgres: Postgres, database: str, say: Callable[[dict[str, Any]], None]
):
    """The same plan, judged as often while it goes on: what is red below is not so by itself."""
    plan = replace(plan_of(""), cycles=30, deliveries_min=200, drain_max_s=45)
    verdict = await run_chaos(
        plan, forks=forks, database=(postgres.url(database), postgres.admin_url(database)), say=say
    )
    assert verdict.is_clean, (dict(verdict.broken), dict(verdict.examples))


@pytest.mark.parametrize("mutant", list(SEEN_AS))
async def test_the_judge_turns_red_with(
    mutant: str, forks: Forks, postgres: Postgres, database: str, say: Callable[[dict[str, Any]], None]
):
    addresses = (postgres.url(database), postgres.admin_url(database))
    verdict = await run_chaos(plan_of(mutant), forks=forks, database=addresses, say=say)
    assert set(verdict.broken) & SEEN_AS[mutant], dict(verdict.broken)
