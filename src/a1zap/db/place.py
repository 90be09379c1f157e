"""Which PostgreSQL this instance works on: the one that DATABASE_URL names, or a private one in the data folder."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from a1zap.db.embedded import start_embedded, stop_embedded
from a1zap.db.pool import APP_ROLE, connect

DATABASE = "a1zap"


@dataclass(frozen=True, slots=True)
class Place:
    """Addresses of one database. `app_url` is for work, `admin_url` for migrations, `direct_url` for wake-ups."""

    app_url: str
    admin_url: str
    direct_url: str | None
    bin_dir: Path | None = None  # where psql and pg_dump are, with a private server


@asynccontextmanager
async def open_place(
    data_dir: Path, *, database_url: str | None, database_direct_url: str | None
) -> AsyncGenerator[Place]:
    """A database to work on; a private server is started where it is not running, and left by its last user."""
    if database_url:
        yield Place(database_url, database_direct_url or database_url, database_direct_url)
        return
    server = await start_embedded(data_dir / "postgres")
    try:
        await make_database(server.url(user="postgres", database="postgres"), DATABASE)
        yield Place(
            app_url=server.url(user=APP_ROLE, database=DATABASE),
            admin_url=server.url(user="postgres", database=DATABASE),
            direct_url=server.url(user=APP_ROLE, database=DATABASE),
            bin_dir=server.bin_dir,
        )
    finally:
        await stop_embedded(server)


async def make_database(admin_url: str, name: str, *, template: str = "template1") -> None:
    """Make a database exist; two programs at once make one."""
    connection = await connect(admin_url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close()
