"""The pool under cancellation: whatever is broken off, the next borrower finds a clean connection."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from tests.conftest import Postgres, TestHouse

from a1zap.db.pool import Database, DatabaseUnavailable


async def test_a_transaction_broken_off_twice_leaves_a_clean_connection(
    house: TestHouse, postgres: Postgres, database: str
):
    """Web servers cancel again and again until a request is gone; a rollback must survive that."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    owner = await house.owner()
    db = await Database.open(postgres.url(database), connections_max=1)
    try:
        for _ in range(20):

            async def work() -> None:
                async with db.owned(owner.owner_id) as tx:
                    await tx.value("SELECT pg_sleep(5)")

            task = asyncio.create_task(work())
            await asyncio.sleep(0.01)
            while not task.done():
                task.cancel()
                await asyncio.sleep(0)
            async with db.owned(owner.owner_id) as tx:
                assert await tx.value("SELECT count(*) FROM users") == 1
        async with db.unowned() as tx:
            assert await tx.value("SELECT count(*) FROM users") == 0
    finally:
        loop.set_exception_handler(None)
        await db.close()
    assert told == []


async def test_a_wrong_call_of_ours_is_a_bug_and_not_an_outage(house: TestHouse):
    owner = await house.owner()
    with pytest.raises(asyncpg.InterfaceError) as caught:
        async with house.db.owned(owner.owner_id) as tx:
            await tx.value("SELECT $1::int", 1, 2)
    assert not isinstance(caught.value, DatabaseUnavailable)


async def test_what_was_to_happen_afterwards_happens_only_after_a_commit(house: TestHouse):
    owner, happened = await house.owner(), list[str]()
    async with house.db.owned(owner.owner_id) as tx:
        tx.afterwards(lambda: happened.append("kept"))
    with pytest.raises(ZeroDivisionError):
        async with house.db.owned(owner.owner_id) as tx:
            tx.afterwards(lambda: happened.append("undone"))
            raise ZeroDivisionError
    assert happened == ["kept"]


async def test_a_database_that_is_not_there_is_named_without_its_password():
    with pytest.raises(DatabaseUnavailable) as caught:
        await Database.open("postgresql://me:hunter2@127.0.0.1:1/nowhere")
    assert "127.0.0.1:1" in str(caught.value) and "hunter2" not in str(caught.value)
