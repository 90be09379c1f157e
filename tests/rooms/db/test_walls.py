"""The second wall, probed: every owned table, every verb, as nobody, as the owner, as another owner."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.conftest import Postgres, TestHouse

# Keyed hashes of 256-bit secrets, found before the owner is known: equal only for the same secret.
_GLOBAL_SECRETS = {"sessions_token_hash_key", "api_keys_key_hash_key", "users_email_index_key"}
# An address is somebody's on this instance or nobody's: who else connects it is told so, and gets nobody's mail.
_ONE_EACH = {"mail_doors_address_idx"}

_OWNED = """
    SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
      AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'owner_id')
    ORDER BY 1
"""


async def test_every_owned_table_has_forced_row_level_security_and_one_policy_for_the_app(house: TestHouse):
    tables = await house.as_admin(_OWNED)
    assert len(tables) >= 25
    for table in tables:
        assert table["enabled"] and table["forced"], table["name"]
        policies = await house.as_admin(
            "SELECT policyname, roles::text[] AS roles, qual, with_check FROM pg_policies "
            "WHERE schemaname = 'public' AND tablename = $1",
            table["name"],
        )
        for_app = [p for p in policies if p["roles"] == ["a1zap_app"]]
        assert len(for_app) == 1, table["name"]
        assert "app.owner_id" in for_app[0]["qual"] and "app.owner_id" in for_app[0]["with_check"], table[
            "name"
        ]
        assert " OR " not in for_app[0]["qual"], "sharing never widens a policy"


async def test_every_table_without_an_owner_is_known_and_meant_to_be(house: TestHouse):
    rows = await house.as_admin(
        """SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm')
             AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'owner_id')"""
    )
    assert {r["relname"] for r in rows} == {"subscription_plans", "rate_cells"}


async def test_owner_id_is_never_null(house: TestHouse):
    rows = await house.as_admin(
        """SELECT attrelid::regclass::text AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = 'public' AND c.relkind = 'r' AND attname = 'owner_id' AND NOT attnotnull"""
    )
    assert [r["name"] for r in rows] == []


async def test_every_unique_key_leads_with_the_owner(house: TestHouse):
    rows = await house.as_admin(
        """SELECT i.indexrelid::regclass::text AS name, a.attname AS first
           FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
           WHERE n.nspname = 'public' AND i.indisunique
             AND c.relname NOT IN ('subscription_plans', 'rate_cells')"""
    )
    wrong = {r["name"] for r in rows if r["first"] != "owner_id"} - _GLOBAL_SECRETS - _ONE_EACH
    assert wrong == set()


async def test_every_foreign_key_between_owned_tables_carries_the_owner(house: TestHouse):
    rows = await house.as_admin(
        """SELECT conname, (SELECT array_agg(attname::text) FROM pg_attribute
                            WHERE attrelid = conrelid AND attnum = ANY(conkey)) AS columns
           FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
           WHERE contype = 'f' AND n.nspname = 'public' AND confrelid <> 'subscription_plans'::regclass"""
    )
    assert rows
    assert [r["conname"] for r in rows if "owner_id" not in r["columns"]] == []


async def test_the_app_role_can_bypass_nothing_and_owns_nothing(house: TestHouse):
    [role] = await house.as_admin("SELECT * FROM pg_roles WHERE rolname = 'a1zap_app'")
    assert not (role["rolsuper"] or role["rolbypassrls"] or role["rolcreaterole"] or role["rolcreatedb"])
    owned = await house.as_admin(
        "SELECT relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname = 'a1zap_app'"
    )
    assert owned == []
    for verb in ("TRUNCATE", "REFERENCES", "TRIGGER"):
        granted = await house.as_admin(
            "SELECT table_name FROM information_schema.role_table_grants "
            "WHERE grantee = 'a1zap_app' AND privilege_type = $1",
            verb,
        )
        assert granted == [], verb


async def test_definer_functions_pin_their_search_path_and_are_not_public(house: TestHouse):
    rows = await house.as_admin(
        """SELECT p.proname, p.proconfig::text[] AS config, p.prosecdef,
                  has_function_privilege('public', p.oid, 'EXECUTE') AS public
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'a1zap'"""
    )
    assert rows
    for row in rows:
        assert not row["public"], row["proname"]
        assert not row["prosecdef"] or any("search_path" in c for c in row["config"] or []), row["proname"]


@pytest.fixture
async def two_owners(house: TestHouse) -> tuple[UUID, UUID]:
    """Two owners with a row in every owned table that their creation fills."""
    return (await house.owner()).owner_id, (await house.owner()).owner_id


async def _as_app(postgres: Postgres, database: str, owner_id: UUID | None, sql: str) -> str:
    connection = await asyncpg.connect(postgres.url(database))
    try:
        async with connection.transaction():
            if owner_id is not None:
                await connection.execute(f"SET LOCAL app.owner_id = '{owner_id}'")
            return await connection.execute(sql)
    finally:
        await connection.close()


async def test_no_verb_reaches_another_owners_rows(
    house: TestHouse, postgres: Postgres, database: str, two_owners: tuple[UUID, UUID]
):
    ours, theirs = two_owners
    probed = 0
    for table in [t["name"] for t in await house.as_admin(_OWNED)]:
        filled = await house.as_admin(f'SELECT count(*) AS n FROM "{table}" WHERE owner_id = $1', theirs)
        if not filled[0]["n"]:
            continue
        probed += 1
        for who in (ours, None):
            seen = await _as_app(
                postgres, database, who, f"SELECT 1 FROM \"{table}\" WHERE owner_id = '{theirs}'"
            )
            assert seen == "SELECT 0", table
            if table == "audit_events":
                continue
            changed = await _as_app(
                postgres,
                database,
                who,
                f"UPDATE \"{table}\" SET owner_id = owner_id WHERE owner_id = '{theirs}'",
            )
            assert changed == "UPDATE 0", table
            gone = await _as_app(
                postgres, database, who, f"DELETE FROM \"{table}\" WHERE owner_id = '{theirs}'"
            )
            assert gone == "DELETE 0", table
        assert await _as_app(postgres, database, theirs, f'SELECT 1 FROM "{table}"') != "SELECT 0", table
    assert probed >= 4


async def test_a_row_cannot_be_written_in_another_owners_name(
    postgres: Postgres, database: str, two_owners: tuple[UUID, UUID]
):
    ours, theirs = two_owners
    for who in (ours, None):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await _as_app(
                postgres,
                database,
                who,
                f"INSERT INTO conversation_users (owner_id, id) VALUES ('{theirs}', '{uuid4()}')",
            )


async def test_the_trail_can_be_written_and_read_but_never_changed(
    postgres: Postgres, database: str, two_owners: tuple[UUID, UUID]
):
    ours, _ = two_owners
    for sql in (
        "UPDATE audit_events SET actor = 'nobody'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await _as_app(postgres, database, ours, sql)


async def test_the_setting_does_not_outlive_its_transaction(house: TestHouse, two_owners: tuple[UUID, UUID]):
    ours, _ = two_owners
    async with house.db.owned(ours) as tx:
        assert await tx.value("SELECT count(*) FROM users") == 1
    async with house.db.unowned() as tx:
        assert await tx.value("SELECT count(*) FROM users") == 0
