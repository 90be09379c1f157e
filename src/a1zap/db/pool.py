"""The pool, and the two kinds of transaction: one owner's, or nobody's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import orjson

from a1zap.db.parts import Part, put_together
from a1zap.kit.errors import Unavailable

APP_ROLE = "a1zap_app"
Row: TypeAlias = Any  # an asyncpg.Record; a store turns it into a dataclass before it leaves the room

TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a goodbye that came while the connection was idle, before its end did
    asyncpg.TooManyConnectionsError,
    OSError,
)

# Two were in each other's way: one of them is to try again at once.
COLLISION = asyncpg.TransactionRollbackError
# What the very same statements may well not meet a moment later: a full disk, an end of patience.
PASSING = (
    COLLISION,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    TimeoutError,
    OSError,
)


class DatabaseUnavailable(Unavailable):
    title = "Database unavailable"


@dataclass(slots=True)
class Tx:
    """An open transaction. `owner_id` is whose rows row-level security lets it see; None sees no owned row at all.

    Statements name the owner themselves all the same: the policy is the second wall, not the first.
    """

    connection: Any
    owner_id: UUID
    _afterwards: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    async def rows(self, sql: str, *args: object) -> Sequence[Row]:
        return await self.connection.fetch(sql, *args)

    async def row(self, sql: str, *args: object) -> Row | None:
        return await self.connection.fetchrow(sql, *args)

    async def value(self, sql: str, *args: object) -> Any:
        return await self.connection.fetchval(sql, *args)

    async def together(self, *parts: Part) -> Row:
        """Do several things in one round trip; the result of each, in order. None of them sees what the others do."""
        text, args = put_together(parts)
        return await self.connection.fetchrow(text, *args)

    async def run(self, sql: str, *args: object) -> str:
        """Execute, and give back the command tag, such as `UPDATE 1`."""
        return await self.connection.execute(sql, *args)

    def afterwards(self, callback: Callable[[], None]) -> None:
        """Call this once the transaction has committed, and never if it has not."""
        self._afterwards.append(callback)

    def committed(self) -> None:
        for callback in self._afterwards:
            callback()


async def connect(url: str) -> Any:
    """One connection of its own, outside any pool: for migrations, administration and listening."""
    return await asyncpg.connect(url, timeout=10)  # pyright: ignore[reportUnknownVariableType]


def is_transaction_pooler(url: str) -> bool:
    """Supabase's transaction pooler and its like: no prepared statements, no session state, no LISTEN."""
    parts = urlsplit(url)
    return parts.port == 6543


class Database:
    """A pool of connections. Borrow one for a transaction, never across a model call."""

    def __init__(self, pool: Any, *, sets_role: bool) -> None:
        self._pool = pool
        self._sets_role = sets_role

    @classmethod
    async def open(cls, url: str, *, connections_max: int = 16, connections_min: int = 1) -> Database:
        """Connect.

        Raises:
            DatabaseUnavailable: nobody answers at that address; the message names the host, never the password.
        """
        pooled = is_transaction_pooler(url)
        pool: Any = None
        try:
            pool = await asyncpg.create_pool(  # pyright: ignore[reportUnknownVariableType]
                url,
                min_size=connections_min,
                max_size=connections_max,
                init=_prepare_connection,
                reset=_leave_as_is,
                statement_cache_size=0 if pooled else 256,
                max_inactive_connection_lifetime=300,
                command_timeout=30,
                # Every statement of ours is one shape with bound values: planning it anew buys nothing. A pooler
                # refuses settings at the start, and keeps no plans either.
                server_settings={} if pooled else {"plan_cache_mode": "force_generic_plan"},
                timeout=10,
            )
            role: Any = await pool.fetchval("SELECT current_user")
        except TRANSIENT as error:
            if pool is not None:
                pool.terminate()
            raise DatabaseUnavailable(
                f"no PostgreSQL answers at {_where(url)}: {type(error).__name__}"
            ) from error
        return cls(pool, sets_role=role != APP_ROLE)

    async def close(self) -> None:
        await self._pool.close()

    def terminate(self) -> None:
        """Drop every connection at once, as a crash would."""
        self._pool.terminate()

    @asynccontextmanager
    async def owned(self, owner_id: UUID) -> AsyncGenerator[Tx]:
        """One owner's transaction: committed when the block ends, rolled back when it raises.

        `BEGIN` and the settings go out together; both settings end with the transaction, so nothing leaks to the
        next borrower, through a transaction pooler neither.
        """
        role = f"set_config('role', '{APP_ROLE}', true), " if self._sets_role else ""
        begin = f"BEGIN; SELECT {role}set_config('app.owner_id', '{UUID(int=owner_id.int)}', true)"
        async with self._transaction(begin, owner_id) as tx:
            yield tx

    @asynccontextmanager
    async def unowned(self) -> AsyncGenerator[Tx]:
        """Nobody's transaction: sees the directory functions and the queue, and no owned row."""
        begin = f"BEGIN; SELECT set_config('role', '{APP_ROLE}', true)" if self._sets_role else "BEGIN"
        async with self._transaction(begin, UUID(int=0)) as tx:
            yield tx

    @asynccontextmanager
    async def standalone(self) -> AsyncGenerator[Tx]:
        """No transaction: each statement stands alone, and saves the two round trips around it.

        For the directory functions and the queue, which are nobody's. It sees no owned row: where the connection's
        own role could, this is `unowned` after all.
        """
        if self._sets_role:
            async with self.unowned() as tx:
                yield tx
            return
        connection = await self._borrow()
        try:
            yield Tx(connection, UUID(int=0))
        except TRANSIENT as error:
            if not _is_gone(error, connection):
                raise
            _throw_away(connection)
            raise _gone(error) from error
        finally:
            await self._pool.release(connection)

    async def _borrow(self) -> Any:
        try:
            return await self._pool.acquire(timeout=10)
        except (*TRANSIENT, TimeoutError) as error:
            raise _gone(error) from error

    @asynccontextmanager
    async def _transaction(self, begin: str, owner_id: UUID) -> AsyncGenerator[Tx]:
        connection = await self._borrow()
        tx = Tx(connection, owner_id)
        try:
            await connection.execute(begin)
            yield tx
            await connection.execute("COMMIT")
        except BaseException as error:
            gone = _is_gone(error, connection)
            await asyncio.shield(self._roll_back_and_release(connection))
            if gone:
                raise _gone(error) from error
            raise
        await self._pool.release(connection)
        tx.committed()

    async def _roll_back_and_release(self, connection: Any) -> None:
        """Back into the pool, clean. Whoever is cancelled again meanwhile must not stop this half-way: shield it."""
        await self._roll_back(connection)
        await self._pool.release(connection)

    async def _roll_back(self, connection: Any) -> None:
        # A connection that cannot be rolled back may hold anything: it is thrown away, not given to the next.
        try:
            if not _is_closed(connection):
                await connection.execute("ROLLBACK", timeout=5)
        except (*TRANSIENT, TimeoutError, asyncpg.PostgresError):
            _throw_away(connection)


def _is_closed(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # one that was lost has left the pool by itself, and says so


def _throw_away(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


def _is_gone(error: BaseException, connection: Any) -> bool:
    """Has the database gone away? An interface error on a living connection is a bug of ours, and must be seen."""
    if isinstance(error, asyncpg.InterfaceError):
        return _is_closed(connection)
    return isinstance(error, TRANSIENT)


def _gone(error: BaseException) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"the database cannot be reached: {type(error).__name__}", retry_after_s=1)


async def _prepare_connection(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=_encode_jsonb,
        decoder=_decode_jsonb,
        format="binary",
    )


def _encode_jsonb(value: object) -> bytes:
    return b"\x01" + orjson.dumps(value)  # jsonb's binary form: a version, then the text


def _decode_jsonb(data: bytes) -> Any:
    return orjson.loads(data[1:])


async def _leave_as_is(_connection: Any) -> None:
    """Nothing to reset: every setting of ours is local to its transaction. Saves a round trip a transaction."""


def _where(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or parts.query or 'the local socket'}:{parts.port or 5432}{parts.path}"
