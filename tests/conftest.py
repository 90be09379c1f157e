"""Real PostgreSQL for every test: one private server a run (fsync off), one migrated template, one database a test.

`house`        a wired house on a fresh database, no server, no worker
`running`      the same with a real HTTP server on a free port and a worker in this process
`make_house`   either, with settings of your own
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import uvicorn

from a1zap.accounts.create_owner import create_owner
from a1zap.accounts.model import ALL_SCOPES
from a1zap.accounts.sign_in import add_api_key
from a1zap.app import House, open_house
from a1zap.db.embedded import EmbeddedServer, start_embedded, stop_embedded
from a1zap.db.migrate import migrate
from a1zap.db.pool import APP_ROLE
from a1zap.embeddings.embedded import EmbeddedMiniLM
from a1zap.kit.settings import Settings

TEMPLATE = "a1zap_template"

# Nothing of the developer's own environment may reach a test.
for _name in list(os.environ):
    if _name.startswith(
        ("A1ZAP_", "OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "STACK_", "DATABASE_")
    ) and not _name.startswith(("A1ZAP_TEST_", "A1ZAP_CHROMIUM")):
        del os.environ[_name]


@dataclass(frozen=True)
class Postgres:
    """The run's server. `url` is the app's role, `admin_url` the superuser's."""

    server: EmbeddedServer

    def url(self, database: str) -> str:
        return self.server.url(user=APP_ROLE, database=database)

    def admin_url(self, database: str) -> str:
        return self.server.url(user="postgres", database=database)


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    """One server for all processes of a run (pytest-xdist's workers attach to the same)."""
    shared = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)
    folder = Path(tempfile.gettempdir()) / f"a1zap-tests-{shared}"
    folder.mkdir(mode=0o755, exist_ok=True)
    server = await start_embedded(folder / "postgres", fsync=False)
    try:
        found = Postgres(server)
        with (folder / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            await _make_template(found)
        yield found
    finally:
        await stop_embedded(server)


async def _make_template(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.admin_url("postgres"))
    try:
        if await connection.fetchval(
            "SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate", TEMPLATE
        ):
            return
        await connection.execute(f'DROP DATABASE IF EXISTS "{TEMPLATE}"')
        await connection.execute(f'CREATE DATABASE "{TEMPLATE}"')
        await migrate(postgres.admin_url(TEMPLATE))
        await connection.execute(f'ALTER DATABASE "{TEMPLATE}" IS_TEMPLATE true')
    finally:
        await connection.close()


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[str]:
    """The name of a fresh, migrated database of this test's own."""
    name = f"t_{uuid4().hex}"
    connection = await asyncpg.connect(postgres.admin_url("postgres"))
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        yield name
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def embedder() -> EmbeddedMiniLM:
    """The real one, loaded once a run."""
    return EmbeddedMiniLM()


@dataclass(frozen=True)
class TestOwner:
    __test__ = False

    owner_id: UUID
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


@dataclass(frozen=True)
class TestHouse:
    """A house under test. `url` is its server's address, '' where there is none."""

    __test__ = False

    house: House
    url: str
    admin_url: str
    stop_worker: asyncio.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.house, name)

    async def owner(self, *, plan: str = "enterprise", email: str | None = None) -> TestOwner:
        """A fresh owner with an API key of all scopes."""
        owner_id = await create_owner(
            self.house.db,
            self.house.keyring,
            self.house.passwords,
            email=email or f"{uuid4().hex}@example.com",
            password=None,
            plan_id=plan,
        )
        _, key = await add_api_key(self.house.db, owner_id, name="test", scopes=ALL_SCOPES, actor="test")
        return TestOwner(owner_id, key)

    async def as_admin(self, sql: str, *args: object) -> list[Any]:
        """Look past every wall: what is really in the tables."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()


MakeHouse = Callable[..., Awaitable[TestHouse]]


@pytest.fixture
async def make_house(
    postgres: Postgres, database: str, embedder: EmbeddedMiniLM, tmp_path: Path
) -> AsyncIterator[MakeHouse]:
    """Make a house on this test's database: `await make_house(serve=True, work=True, settings={…}, make_model=…)`."""
    async with AsyncExitStack() as stack:

        async def make(
            *, serve: bool = False, work: bool = False, settings: dict[str, Any] | None = None, **wiring: Any
        ) -> TestHouse:
            chosen = Settings(
                data_dir=tmp_path, **{"poll_s": 0.5, "is_demo_wanted": False, **(settings or {})}
            )
            house = await stack.enter_async_context(
                open_house(
                    chosen,
                    database_url=postgres.url(database),
                    direct_url=postgres.url(database),
                    **{"embedder": embedder, **wiring},
                )
            )
            url = await stack.enter_async_context(_serving(house)) if serve else ""
            stop = await stack.enter_async_context(_working(house)) if work else None
            return TestHouse(house, url, postgres.admin_url(database), stop)

        yield make


@pytest.fixture
async def house(make_house: MakeHouse) -> TestHouse:
    return await make_house()


@pytest.fixture
async def running(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True, work=True)


@asynccontextmanager
async def _serving(house: House) -> AsyncIterator[str]:
    """A real server on a free port of this machine."""
    config = uvicorn.Config(
        house.api(),
        host="127.0.0.1",
        port=0,
        log_config=None,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        if task.done():
            await task
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await task


@asynccontextmanager
async def _working(house: House) -> AsyncIterator[asyncio.Event]:
    """One worker in this process."""
    stop = asyncio.Event()
    task = asyncio.create_task(house.work(stop))
    try:
        yield stop
    finally:
        stop.set()
        await task
