"""A new database plans as if it had grown: a message is found by its key, not among all of its owner's."""

from __future__ import annotations

from uuid import uuid4

from tests.conftest import TestHouse

_BY_ID = {
    "messages": "messages_pkey",
    "chats": "chats_pkey",
    "turns": "turns_pkey",
    "channel_accounts": "channel_accounts_pkey",
    "conversation_users": "conversation_users_pkey",
}


async def test_rows_of_an_empty_table_are_looked_for_by_their_own_key(house: TestHouse):
    owner, row = uuid4(), uuid4()
    async with house.db.owned(owner) as tx:
        for table, key in _BY_ID.items():
            await tx.run(
                f"PREPARE by_id(uuid, uuid) AS SELECT 1 FROM {table} WHERE owner_id = $1 AND id = $2"
            )
            plan = await tx.rows(f"EXPLAIN EXECUTE by_id('{owner}', '{row}')")
            assert any(key in line[0] for line in plan), (table, [line[0] for line in plan])
            await tx.run("DEALLOCATE by_id")
