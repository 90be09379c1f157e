"""Bring a database to this version: plain SQL files, in order, each once, in Supabase's form and bookkeeping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import structlog

from a1zap.db.pool import connect

log = structlog.get_logger()

# Any number known to nobody else: two programs that migrate at once take turns.
_LOCK = 0x61317A61


@dataclass(frozen=True, slots=True)
class Migration:
    version: str
    name: str
    sql: str


def shipped_migrations() -> list[Migration]:
    """Every migration of this release, oldest first."""
    found: list[Migration] = []
    for entry in files("a1zap.db").joinpath("migrations").iterdir():
        if entry.name.endswith(".sql"):
            version, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append(Migration(version, name, entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda m: m.version)


async def migrate(url: str, *, on_step: Callable[[str], None] = lambda _step: None) -> list[str]:
    """Apply what is missing, each file in one transaction; gives back the versions applied.

    `url` must reach PostgreSQL itself (no transaction pooler) as a role that may create roles and tables.
    """
    connection = await connect(url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await _make_ledger(connection)
        await _install_pgmq(connection, on_step)
        known = await _known(connection)
        applied: list[str] = []
        for migration in shipped_migrations():
            if migration.version in known:
                continue
            on_step(f"migrating: {migration.version} {migration.name}")
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO supabase_migrations.schema_migrations (version, name, statements) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    [migration.sql],
                )
            applied.append(migration.version)
        return applied
    finally:
        await connection.close()


async def missing_migrations(connection: Any) -> list[str]:
    """Versions of this release that the database does not have; readiness asks for it."""
    if await connection.fetchval("SELECT to_regclass('supabase_migrations.schema_migrations')") is None:
        return [m.version for m in shipped_migrations()]
    known = await _known(connection)
    return [m.version for m in shipped_migrations() if m.version not in known]


async def _known(connection: Any) -> set[str]:
    rows: list[Any] = await connection.fetch("SELECT version FROM supabase_migrations.schema_migrations")
    return {row["version"] for row in rows}


async def _make_ledger(connection: Any) -> None:
    await connection.execute(
        """
        CREATE SCHEMA IF NOT EXISTS supabase_migrations;
        CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (
            version text PRIMARY KEY, statements text[], name text)
        """
    )


async def _install_pgmq(connection: Any, on_step: Callable[[str], None]) -> None:
    """The SQL-only form, from the wheel that carries it, where PostgreSQL has no pgmq extension to offer."""
    if (
        await connection.fetchval("SELECT to_regprocedure('pgmq.send(text, jsonb, jsonb, timestamptz)')")
        is not None
    ):
        return
    if await connection.fetchval("SELECT 1 FROM pg_available_extensions WHERE name = 'pgmq'"):
        return  # the first migration creates it
    on_step("installing pgmq (SQL only)")
    sql = _wheel_text("pgmq", "sql/pgmq.sql")
    async with connection.transaction():
        await connection.execute(sql)


def _wheel_text(package: str, path: str) -> str:
    """A file of an installed wheel, read without importing it (its own imports are not installed)."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the wheel '{package}' is not installed; run: make setup")
    return (Path(spec.submodule_search_locations[0]) / path).read_text(encoding="utf-8")
