"""The worker's loop: claim what is due, hand it on, keep the lease, back off, bury."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from a1zap.db.pool import Database, DatabaseUnavailable, Tx
from a1zap.db.wakeups import Wakeups
from a1zap.kit.errors import Unavailable
from a1zap.queue import store
from a1zap.queue.model import Entry, LanePolicy, LeaseLost, QueueName

log = structlog.get_logger()

Handle = Callable[[Entry], Awaitable[None]]
OnBuried = Callable[[Entry, str], Awaitable[None]]


def topic(queue: QueueName) -> str:
    """What is said when a queue has something new."""
    return f"lanes:{queue}"


async def finish_entry(tx: Tx, wakeups: Wakeups, entry: Entry) -> None:
    """Remove the entry, in the transaction that writes what came of it; the next of its lane is free with the commit.

    Call it with the chat's row locked: who puts an entry in its lane has it too, so that none slips in unseen.

    Raises:
        LeaseLost: another worker claimed it in the meantime; roll back.
    """
    wake_next(tx, wakeups, entry, has_next=await store.finish(tx, entry))


def wake_next(tx: Tx, wakeups: Wakeups, entry: Entry, *, has_next: bool) -> None:
    """After the commit that ends an entry, the next of its lane is free."""
    if has_next:
        # Here only: this worker has a free hand, and nobody else was waiting for this lane.
        tx.afterwards(lambda: wakeups.wake_here(topic(entry.queue)))


async def work_off(
    db: Database,
    wakeups: Wakeups,
    queue: QueueName,
    handle: Handle,
    *,
    policy: LanePolicy,
    stop: asyncio.Event,
) -> None:
    """Work a queue off until `stop` is set; then finish what is begun, as far as its lease allows.

    `handle` removes the entry itself, in the transaction that writes what came of it. What it raises decides:
    `LeaseLost` is dropped, `Unavailable` waits as long as the outside asked, anything else is a bug and is seen;
    both come again with growing pauses until `attempts_max`, then the entry is buried.
    """
    worker = _Worker(db, queue, handle, policy)
    heartbeat = asyncio.create_task(worker.beat())
    try:
        with wakeups.waiting_for(topic(queue)) as woken:
            while not stop.is_set():
                woken.clear()
                claimed_all = await worker.claim_and_begin()
                if not claimed_all:
                    await worker.rest(woken, stop)
        await worker.finish_begun()
    finally:
        heartbeat.cancel()
        with suppress(asyncio.CancelledError):
            await heartbeat
        await worker.give_back()


class _Worker:
    def __init__(self, db: Database, queue: QueueName, handle: Handle, policy: LanePolicy) -> None:
        self._db = db
        self._queue: QueueName = queue
        self._handle = handle
        self._policy = policy
        self._begun: dict[int, tuple[Entry, asyncio.Task[None]]] = {}
        self._freed = asyncio.Event()
        self._next_look_s = policy.poll_s

    async def claim_and_begin(self) -> bool:
        """Claim as many as there are free hands; True where there may be more to claim at once."""
        free = self._policy.concurrency - len(self._begun)
        if free <= 0:
            return False
        try:
            async with self._db.standalone() as tx:
                entries = await store.claim(tx, self._queue, free, self._policy.lease)
                due_s = await store.next_due_s(tx, self._queue) if len(entries) < free else None
        except DatabaseUnavailable as error:
            log.warning("claim_failed", queue=self._queue, error=str(error))
            await asyncio.sleep(0.2)
            return False
        self._next_look_s = (
            self._policy.poll_s if due_s is None else min(max(due_s, 0.001), self._policy.poll_s)
        )
        for entry in entries:
            task = asyncio.create_task(self._take(entry))
            self._begun[entry.id] = (entry, task)
        return len(entries) == free

    async def rest(self, woken: asyncio.Event, stop: asyncio.Event) -> None:
        """Until something new is said, a hand is free, something becomes due, it is time to look again, or to stop."""
        # While a hand is free, another that becomes free changes nothing: there was no more to claim.
        self._freed.clear()
        is_full = len(self._begun) >= self._policy.concurrency
        events = (self._freed, stop) if is_full else (woken, stop)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=self._next_look_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def finish_begun(self) -> None:
        tasks = [task for _, task in self._begun.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._policy.lease.total_seconds() * 0.8)

    async def give_back(self) -> None:
        """What could not be finished is free for others at once. The claim still counts: it may have had effects."""
        for entry, task in list(self._begun.values()):
            task.cancel()
            with suppress(Exception, asyncio.CancelledError):
                await task
            with suppress(DatabaseUnavailable):
                async with self._db.standalone() as tx:
                    await store.put_back(tx, entry, timedelta(0))

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(self._policy.lease.total_seconds() / 3)
            held = [entry for entry, _ in self._begun.values()]
            if not held:
                continue
            try:
                async with self._db.standalone() as tx:
                    await store.extend(tx, self._queue, held, self._policy.lease)
            except DatabaseUnavailable as error:
                log.warning("heartbeat_failed", queue=self._queue, error=str(error))

    async def _take(self, entry: Entry) -> None:
        try:
            if entry.attempt > self._policy.attempts_max:
                # None of those who claimed it came back to say why: it ends its workers, and takes others' work along.
                await self._again(entry, "WorkerLost", None)
                return
            await self._handle(entry)
        except LeaseLost:
            log.info("lease_lost", queue=self._queue, entry=entry.id, attempt=entry.attempt)
        except DatabaseUnavailable as error:
            # The entry comes back when its lease runs out; there is nobody to tell now.
            log.warning("entry_interrupted", queue=self._queue, entry=entry.id, error=str(error))
        except Unavailable as error:
            await self._again(entry, type(error).__name__, error.retry_after_s)
        except Exception as error:
            log.error(
                "entry_failed", queue=self._queue, entry=entry.id, attempt=entry.attempt, exc_info=error
            )
            await self._again(entry, type(error).__name__, None)
        finally:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                self._begun.pop(entry.id, None)
            self._freed.set()

    async def _again(self, entry: Entry, reason: str, wait_s: float | None) -> None:
        try:
            if entry.attempt >= self._policy.attempts_max:
                async with self._db.owned(entry.owner_id) as tx:
                    await store.bury(tx, entry, reason)
                log.error(
                    "entry_buried", queue=self._queue, entry=entry.id, reason=reason, attempts=entry.attempt
                )
                return
            pause = (
                pause_s(entry.attempt, self._policy)
                if wait_s is None
                else min(wait_s, self._policy.backoff_max_s)
            )
            async with self._db.standalone() as tx:
                await store.put_back(tx, entry, timedelta(seconds=pause))
        except (DatabaseUnavailable, LeaseLost) as error:
            log.warning("entry_not_put_back", queue=self._queue, entry=entry.id, error=type(error).__name__)


def pause_s(attempt: int, policy: LanePolicy) -> float:
    """Seconds before the next attempt: doubling, bounded, with full jitter on the upper half."""
    whole = min(policy.backoff_max_s, policy.backoff_first_s * 2 ** (attempt - 1))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load, not keeping a secret
