"""Plans are exact: however many processes count at once, and whatever is delivered twice."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from tests.conftest import Postgres, TestHouse

from a1zap.accounts import store

_TAKER = """
import asyncio, sys
from datetime import UTC, datetime
from uuid import UUID
from a1zap.accounts import store
from a1zap.db.pool import Database

async def main(url, owner, what, tries):
    db = await Database.open(url, connections_max=2)
    got = 0
    for _ in range(tries):
        async with db.owned(UUID(owner)) as tx:
            if what == "message":
                got += (await store.count_message(tx, datetime(2026, 11, 5, tzinfo=UTC)))[0]
            else:
                got += await store.take_agent_place(tx, "work")
    await db.close()
    print(got)

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
"""


async def _take_in_processes(url: str, owner: object, what: str, *, processes: int, tries: int) -> list[int]:
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _TAKER, url, str(owner), what, str(tries), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(processes)
    ]
    return [int((await p.communicate())[0]) for p in running]


async def test_sixteen_processes_count_messages_to_the_limit_and_not_one_further(
    house: TestHouse, postgres: Postgres, database: str
):
    owner = await house.owner(plan="free")
    await house.as_admin("UPDATE subscription_plans SET max_messages_per_month = 500 WHERE id = 'free'")
    taken = await _take_in_processes(
        postgres.url(database), owner.owner_id, "message", processes=16, tries=40
    )
    assert sum(taken) == 500
    async with house.db.owned(owner.owner_id) as tx:
        usage = await store.read_usage(tx, datetime(2026, 11, 30, tzinfo=UTC).date())
    assert (usage.messages, usage.messages_held) == (500, 140)


async def test_sixteen_processes_take_the_plans_agent_places_and_not_one_more(
    house: TestHouse, postgres: Postgres, database: str
):
    owner = await house.owner(plan="pro")
    taken = await _take_in_processes(postgres.url(database), owner.owner_id, "agent", processes=16, tries=2)
    assert sum(taken) == 5


async def test_minus_one_is_unlimited_and_a_new_month_begins_at_zero(house: TestHouse):
    unlimited, free = await house.owner(plan="enterprise"), await house.owner(plan="free")
    async with house.db.owned(unlimited.owner_id) as tx:
        for _ in range(20):
            assert await store.count_message(tx, datetime(2026, 11, 5, tzinfo=UTC)) == (True, False)
    await house.as_admin("UPDATE subscription_plans SET max_messages_per_month = 1 WHERE id = 'free'")
    async with house.db.owned(free.owner_id) as tx:
        november, december = datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
        assert await store.count_message(tx, november) == (True, False)
        assert await store.count_message(tx, november) == (False, True)
        assert await store.count_message(tx, november) == (False, False)
        assert await store.count_message(tx, december) == (True, False)


async def test_an_owner_who_moves_to_a_limited_plan_keeps_what_was_counted_before(house: TestHouse):
    owner = await house.owner(plan="enterprise")
    await house.as_admin("UPDATE subscription_plans SET max_messages_per_month = 12 WHERE id = 'free'")
    now = datetime(2026, 11, 5, tzinfo=UTC)
    async with house.db.owned(owner.owner_id) as tx:
        for slot in range(10):
            assert (await store.count_message(tx, now, slot=slot))[0]
        await store.set_plan(tx, "free")
        assert [(await store.count_message(tx, now, slot=7))[0] for _ in range(4)] == [
            True,
            True,
            False,
            False,
        ]
        usage = await store.read_usage(tx, now.date())
    assert (usage.messages, usage.messages_held) == (12, 2)
