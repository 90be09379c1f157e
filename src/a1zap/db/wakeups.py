"""Wake-ups between processes: LISTEN/NOTIFY as a hint, never as the truth.

A wake-up may be lost (a transaction pooler hides them, a process dies between commit and notice), so whoever waits
also looks for itself now and then. Hints are gathered for a moment and sent together: a NOTIFY inside the domain's
own transaction would make all commits queue behind one lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg
import structlog

from a1zap.db.pool import TRANSIENT, connect

log = structlog.get_logger()

CHANNEL = "a1zap"
_PAYLOAD_MAX = 7_000  # bytes; PostgreSQL takes 8,000


class Wakeups:
    """Say `topic` and everybody who waits for it, in any process, is woken.

    `url` must reach PostgreSQL itself, not a transaction pooler; None means that this process only wakes itself.
    """

    def __init__(self, url: str | None, *, gather_s: float = 0.002) -> None:
        self._url = url
        self._gather_s = gather_s
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._unsaid: set[str] = set()
        self._has_unsaid = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._telling_pid = 0

    async def start(self) -> None:
        if self._url is not None:
            self._tasks = [
                asyncio.create_task(self._listen(self._url)),
                asyncio.create_task(self._tell(self._url)),
            ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    def say(self, topic: str) -> None:
        """Wake whoever waits for the topic: here at once, elsewhere within milliseconds."""
        self.wake_here(topic)
        self._unsaid.add(topic)
        self._has_unsaid.set()

    @contextmanager
    def waiting_for(self, topic: str) -> Generator[asyncio.Event]:
        """An event that is set whenever the topic is said; clear it before you look, so that nothing is missed."""
        event = asyncio.Event()
        self._waiting.setdefault(topic, set()).add(event)
        try:
            yield event
        finally:
            waiting = self._waiting[topic]
            waiting.discard(event)
            if not waiting:
                del self._waiting[topic]

    def wake_here(self, topic: str) -> None:
        """Wake whoever waits for the topic in this process, and nobody elsewhere."""
        for event in self._waiting.get(topic, ()):
            event.set()

    def _wake_all(self) -> None:
        for topic in list(self._waiting):
            self.wake_here(topic)

    async def _listen(self, url: str) -> None:
        def heard(_c: Any, pid: int, _channel: str, payload: object) -> None:
            if pid == self._telling_pid:
                return  # our own words: whoever waits here was woken when they were said
            for topic in str(payload).split(","):
                self.wake_here(topic)

        await self._with_connection(url, "listening", lambda c: c.add_listener(CHANNEL, heard), self._stay)

    async def _tell(self, url: str) -> None:
        await self._with_connection(
            url, "telling", lambda c: c.execute("SET synchronous_commit = off"), self._tell_on
        )

    async def _stay(self, connection: Any) -> None:
        self._wake_all()  # what was said while nobody listened
        while not connection.is_closed():
            await asyncio.sleep(5)
            await connection.fetchval("SELECT 1", timeout=5)

    async def _tell_on(self, connection: Any) -> None:
        self._telling_pid = connection.get_server_pid()
        while True:
            await self._has_unsaid.wait()
            await asyncio.sleep(self._gather_s)
            self._has_unsaid.clear()
            topics, self._unsaid = self._unsaid, set()
            for payload in _packed(topics):
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)

    async def _with_connection(
        self, url: str, doing: str, prepare: Callable[[Any], Any], work: Callable[[Any], Any]
    ) -> None:
        while True:
            connection: Any = None
            try:
                connection = await connect(url)
                await prepare(connection)
                await work(connection)
            except (*TRANSIENT, asyncpg.PostgresError, TimeoutError) as error:
                log.info("wakeups_interrupted", doing=doing, error=type(error).__name__)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(0.5)


def _packed(topics: set[str]) -> Iterator[str]:
    line = ""
    for topic in topics:
        if line and len(line) + len(topic) + 1 > _PAYLOAD_MAX:
            yield line
            line = ""
        line = f"{line},{topic}" if line else topic
    if line:
        yield line
