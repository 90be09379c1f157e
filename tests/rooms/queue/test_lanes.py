"""Lanes on real PostgreSQL: order, leases, heartbeats, pauses, dead letters. Several workers race in each test."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.conftest import Postgres, TestHouse

from a1zap.db.pool import Database, DatabaseUnavailable
from a1zap.db.wakeups import Wakeups
from a1zap.kit.errors import ChannelUnavailable
from a1zap.queue import store
from a1zap.queue.model import Entry, LanePolicy, LeaseLost
from a1zap.queue.work_off import finish_entry, pause_s, topic, work_off

OWNER = UUID(int=7)
QUICK = LanePolicy(
    concurrency=4, lease=timedelta(seconds=0.6), attempts_max=3, backoff_first_s=0.02, poll_s=0.3
)


@dataclass
class Lanes:
    """The deliveries' lanes of a fresh database, and what was done in them."""

    db: Database
    wakeups: Wakeups
    url: str
    admin_url: str
    done: dict[UUID, list[UUID]] = field(default_factory=lambda: defaultdict(list))

    async def put(self, chat_id: UUID, subject_id: UUID | None = None) -> UUID:
        subject_id = subject_id or uuid4()
        async with self.db.owned(OWNER) as tx:
            await store.put_delivery(tx, chat_id, subject_id)
            tx.afterwards(lambda: self.wakeups.say(topic("deliveries")))
        return subject_id

    async def claim(self, count: int = 1, lease_s: float = 0.5) -> list[Entry]:
        async with self.db.unowned() as tx:
            return await store.claim(tx, "deliveries", count, timedelta(seconds=lease_s))

    async def finish(self, entry: Entry) -> None:
        async with self.db.owned(entry.owner_id) as tx:
            await finish_entry(tx, self.wakeups, entry)
        assert entry.subject_id is not None
        self.done[entry.chat_id].append(entry.subject_id)

    async def waiting(self) -> int:
        async with self.db.unowned() as tx:
            return (await store.depths(tx))["deliveries"][0]

    async def until_empty(self, within_s: float = 10.0) -> None:
        deadline_s = time.monotonic() + within_s
        while await self.waiting():
            assert time.monotonic() < deadline_s, f"{await self.waiting()} entries are still waiting"
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def worked(
        self,
        handle: Callable[[Entry], Awaitable[None]],
        *,
        workers: int = 1,
        policy: LanePolicy = QUICK,
    ) -> AsyncIterator[asyncio.Event]:
        """That many workers; from the second on with connections and wake-ups of their own, as on other machines."""
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            tasks: list[asyncio.Task[None]] = []
            for n in range(workers):
                db, wakeups = (self.db, self.wakeups) if n == 0 else await _opened(stack, self.url)
                tasks.append(
                    asyncio.create_task(work_off(db, wakeups, "deliveries", handle, policy=policy, stop=stop))
                )
            try:
                yield stop
            finally:
                stop.set()
                await asyncio.gather(*tasks)


async def _opened(stack: AsyncExitStack, url: str) -> tuple[Database, Wakeups]:
    db = await Database.open(url, connections_max=6)
    stack.push_async_callback(db.close)
    wakeups = Wakeups(url)
    await wakeups.start()
    stack.push_async_callback(wakeups.close)
    return db, wakeups


@pytest.fixture
async def lanes(postgres: Postgres, database: str) -> AsyncIterator[Lanes]:
    async with AsyncExitStack() as stack:
        db, wakeups = await _opened(stack, postgres.url(database))
        yield Lanes(db, wakeups, postgres.url(database), postgres.admin_url(database))


# ── order ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_four_workers_take_each_chats_entries_in_order_and_one_at_a_time(lanes: Lanes):
    put: dict[UUID, list[UUID]] = {uuid4(): [] for _ in range(6)}
    for _ in range(20):
        for chat_id, subjects in put.items():
            subjects.append(await lanes.put(chat_id))
    in_hand: set[UUID] = set()
    dice = random.Random(4)

    async def handle(entry: Entry) -> None:
        assert entry.chat_id not in in_hand, "two of one chat at a time"
        in_hand.add(entry.chat_id)
        await asyncio.sleep(dice.uniform(0, 0.004))
        in_hand.discard(entry.chat_id)
        await lanes.finish(entry)

    async with lanes.worked(handle, workers=4):
        await lanes.until_empty(30)
    assert lanes.done == put


async def test_the_next_of_a_chat_is_taken_at_once_when_the_one_before_it_is_done(lanes: Lanes):
    chat_id = uuid4()
    for _ in range(5):
        await lanes.put(chat_id)

    async def handle(entry: Entry) -> None:
        await asyncio.sleep(0.005)
        await lanes.finish(entry)

    began_s = time.monotonic()
    async with lanes.worked(handle, policy=replace(QUICK, poll_s=2.0)):
        await lanes.until_empty()
    assert time.monotonic() - began_s < 1.5, "it waited for the next look instead of going on"


async def test_a_chat_that_waits_holds_up_no_other(lanes: Lanes):
    stuck, free = uuid4(), uuid4()
    await lanes.put(stuck)
    await lanes.put(stuck)
    others = [await lanes.put(free) for _ in range(3)]

    async def handle(entry: Entry) -> None:
        if entry.chat_id == stuck:
            raise ChannelUnavailable("not now", retry_after_s=60)
        await lanes.finish(entry)

    async with lanes.worked(handle):
        while lanes.done[free] != others:
            await asyncio.sleep(0.01)
    assert lanes.done[stuck] == []
    assert await lanes.waiting() == 2


# ── the lease ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_lost_the_lease_writes_nothing(lanes: Lanes):
    await lanes.put(uuid4())
    (slow,) = await lanes.claim(lease_s=0.0)
    (quick,) = await lanes.claim()
    assert (quick.id, quick.attempt) == (slow.id, slow.attempt + 1)

    async def write_and_finish(entry: Entry) -> None:
        async with lanes.db.owned(OWNER) as tx:
            await tx.run(
                "INSERT INTO rate_cells (key, full_at) VALUES ('\\x01', now())"
            )  # stands for its work
            await store.finish(tx, entry)

    with pytest.raises(LeaseLost):
        await write_and_finish(slow)
    async with lanes.db.unowned() as tx:
        assert await tx.value("SELECT count(*) FROM rate_cells") == 0
        # Neither may it extend, nor give back, what is another's.
        await store.put_back(tx, slow, timedelta(hours=1))
        await store.extend(tx, "deliveries", [slow], timedelta(hours=1))
        left_s = await tx.value("SELECT EXTRACT(EPOCH FROM vt - now())::float8 FROM pgmq.q_deliveries")
    assert left_s < 1
    await lanes.finish(quick)
    assert await lanes.waiting() == 0


async def test_a_lease_that_ran_out_is_taken_up_by_another_worker(lanes: Lanes):
    await lanes.put(uuid4())
    (dead,) = await lanes.claim(lease_s=0.15)
    assert await lanes.claim() == []
    attempts: list[int] = []

    async def handle(entry: Entry) -> None:
        attempts.append(entry.attempt)
        await lanes.finish(entry)

    async with lanes.worked(handle, policy=replace(QUICK, poll_s=5.0)):  # nobody says a word: it is just due
        await lanes.until_empty(2)
    assert attempts == [dead.attempt + 1]


async def test_a_heartbeat_keeps_the_lease_while_the_work_takes_longer(lanes: Lanes):
    await lanes.put(uuid4())
    attempts: list[int] = []

    async def handle(entry: Entry) -> None:
        attempts.append(entry.attempt)
        await asyncio.sleep(1.5)  # two and a half leases
        await lanes.finish(entry)

    async with lanes.worked(handle, workers=3):
        await lanes.until_empty()
    assert attempts == [1]


async def test_without_a_heartbeat_the_same_work_is_taken_by_others(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
):
    """The test above can fail: it is the heartbeat that holds the lease."""

    async def no_beat(_self: object) -> None:
        return None

    monkeypatch.setattr("a1zap.queue.work_off._Worker.beat", no_beat)
    await lanes.put(uuid4())
    attempts: list[int] = []

    async def handle(entry: Entry) -> None:
        attempts.append(entry.attempt)
        await asyncio.sleep(1.0 if entry.attempt == 1 else 0)
        await lanes.finish(entry)

    async with lanes.worked(handle, workers=3):
        await lanes.until_empty()
        while len(attempts) < 2:
            await asyncio.sleep(0.01)
    assert attempts == [1, 2]


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pauses_double_up_to_their_limit_and_are_spread():
    policy = LanePolicy(backoff_first_s=1, backoff_max_s=10)
    for attempt, whole in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (30, 10)):
        pauses = [pause_s(attempt, policy) for _ in range(200)]
        assert whole / 2 <= min(pauses) < max(pauses) <= whole
        assert statistics.pstdev(pauses) > whole / 20


async def test_what_fails_comes_again_after_growing_pauses_and_before_the_next_of_its_chat(lanes: Lanes):
    chat_id = uuid4()
    first, second = await lanes.put(chat_id), await lanes.put(chat_id)
    tries: list[tuple[UUID | None, float]] = []

    async def handle(entry: Entry) -> None:
        tries.append((entry.subject_id, time.monotonic()))
        if entry.attempt < 3 and entry.subject_id == first:
            raise ValueError("a bug")
        await lanes.finish(entry)

    async with lanes.worked(handle, policy=replace(QUICK, attempts_max=5, backoff_first_s=0.1)):
        await lanes.until_empty()
    assert [subject for subject, _ in tries] == [first, first, first, second]
    pauses = [after - before for (_, before), (_, after) in pairwise(tries)]
    assert pauses[0] >= 0.05
    assert pauses[1] >= 0.1


async def test_the_outside_says_when_to_come_again(lanes: Lanes):
    await lanes.put(uuid4())
    tries: list[float] = []

    async def handle(entry: Entry) -> None:
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise ChannelUnavailable("429", retry_after_s=0.4)
        await lanes.finish(entry)

    async with lanes.worked(handle):
        await lanes.until_empty()
    assert 0.4 <= tries[1] - tries[0] < 1.0


async def test_too_many_failures_bury_an_entry_its_lane_goes_on_and_a_replay_brings_it_back(
    house: TestHouse, lanes: Lanes
):
    owner = await house.owner()
    chat_id, poison, healthy = uuid4(), uuid4(), uuid4()
    async with lanes.db.owned(owner.owner_id) as tx:
        await store.put_delivery(tx, chat_id, poison)
        await store.put_delivery(tx, chat_id, healthy)
    is_mended = False
    tries: list[Entry] = []

    async def handle(entry: Entry) -> None:
        if entry.subject_id == poison and not is_mended:
            tries.append(entry)
            raise ValueError("a bug")
        await lanes.finish(entry)

    async with lanes.worked(handle):
        await lanes.until_empty()
        assert len(tries) == QUICK.attempts_max
        assert lanes.done[chat_id] == [healthy]
        async with lanes.db.owned(owner.owner_id) as tx:
            (letter,) = await store.dead_letters(tx, 10)
        assert (letter.queue, letter.chat_id, letter.attempts, letter.reason) == (
            "deliveries", chat_id, 3, "ValueError",
        )  # fmt: skip
        is_mended = True
        async with lanes.db.owned(owner.owner_id) as tx:
            assert await store.replay(tx, letter.id, datetime.now(UTC)) is not None
            assert await store.replay(tx, letter.id, datetime.now(UTC)) is None, "twice is once"
        await lanes.until_empty()
    assert lanes.done[chat_id] == [healthy, poison]


async def test_a_replayed_letter_counts_its_tries_on(house: TestHouse, lanes: Lanes):
    """Or a worker that dies with it could not be told from one that never had it."""
    owner = await house.owner()
    async with lanes.db.owned(owner.owner_id) as tx:
        await store.put_delivery(tx, uuid4(), uuid4())
    for _ in range(2):
        (entry,) = await lanes.claim(lease_s=0.0)
    async with lanes.db.owned(owner.owner_id) as tx:
        await store.bury(tx, entry, "test")
        (letter,) = await store.dead_letters(tx, 1)
        await store.replay(tx, letter.id, datetime.now(UTC))
    (again,) = await lanes.claim()
    assert (entry.tries, again.attempt, again.tries) == (2, 1, 3)


async def test_an_entry_that_ends_its_workers_is_buried_and_not_tried_for_ever(
    house: TestHouse, lanes: Lanes
):
    owner = await house.owner()
    async with lanes.db.owned(owner.owner_id) as tx:
        await store.put_delivery(tx, uuid4(), uuid4())
    for _ in range(QUICK.attempts_max):
        await lanes.claim(lease_s=0.0)  # and the worker is gone

    async def handle(_entry: Entry) -> None:
        raise AssertionError("it is not tried again")

    async with lanes.worked(handle):
        await lanes.until_empty()
    async with lanes.db.owned(owner.owner_id) as tx:
        (letter,) = await store.dead_letters(tx, 10)
    assert letter.reason == "WorkerLost"


async def test_a_worker_told_to_stop_finishes_what_it_has_begun(lanes: Lanes):
    for _ in range(3):
        await lanes.put(uuid4())
    begun = 0

    async def handle(entry: Entry) -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0.2)
        await lanes.finish(entry)

    async with lanes.worked(handle):
        while begun < 3:
            await asyncio.sleep(0.005)
    assert await lanes.waiting() == 0


async def test_what_cannot_be_finished_in_time_is_free_for_others_at_once(lanes: Lanes):
    await lanes.put(uuid4())
    begun = asyncio.Event()

    async def handle(_entry: Entry) -> None:
        begun.set()
        await asyncio.sleep(60)

    async with lanes.worked(handle, policy=replace(QUICK, lease=timedelta(seconds=0.5))):
        await begun.wait()
    (entry,) = await lanes.claim()
    assert entry.attempt == 2


async def test_a_worker_outlives_a_database_that_goes_away(lanes: Lanes):
    chat_id = uuid4()

    async def handle(entry: Entry) -> None:
        await asyncio.sleep(0.01)
        await lanes.finish(entry)

    async with lanes.worked(handle, workers=2):
        for _ in range(5):
            await _again_if_gone(lambda: lanes.put(chat_id))
            connection = await asyncpg.connect(lanes.admin_url)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'a1zap_app' AND datname = current_database()"
            )
            await connection.close()
        await _again_if_gone(lanes.until_empty)
    assert len(lanes.done[chat_id]) == 5


async def _again_if_gone(do: Callable[[], Awaitable[object]]) -> None:
    for _ in range(20):
        with suppress(DatabaseUnavailable):
            await do()
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the database stayed away")


# ── turns: one entry that nobody has begun ──────────────────────────────────────────────────────────────────────────


async def test_a_chat_has_one_turn_that_nobody_has_begun_and_a_further_message_moves_its_time(lanes: Lanes):
    chat_id, now = uuid4(), datetime.now(UTC)
    for wait_s in (0, 30, 60):
        async with lanes.db.owned(OWNER) as tx:
            await store.put_turn(tx, chat_id, now + timedelta(seconds=wait_s))
    async with lanes.db.unowned() as tx:
        assert (await store.depths(tx))["turns"][0] == 1
        assert await store.claim(tx, "turns", 9, timedelta(seconds=9)) == [], "it was moved to later"
        due_s = await store.next_due_s(tx, "turns")
    assert due_s is not None and 55 < due_s <= 60


async def test_a_turn_that_was_begun_is_not_moved_and_the_next_stands_behind_it(lanes: Lanes):
    chat_id, now = uuid4(), datetime.now(UTC)
    async with lanes.db.owned(OWNER) as tx:
        await store.put_turn(tx, chat_id, now)
    async with lanes.db.unowned() as tx:
        (begun,) = await store.claim(tx, "turns", 9, timedelta(seconds=30))
    for _ in range(2):
        async with lanes.db.owned(OWNER) as tx:
            await store.put_turn(tx, chat_id, now)
    async with lanes.db.unowned() as tx:
        assert (await store.depths(tx))["turns"][0] == 2
        assert await store.claim(tx, "turns", 9, timedelta(seconds=30)) == [], "one turn at a time"
        await store.finish(tx, begun)
    async with lanes.db.unowned() as tx:
        (following,) = await store.claim(tx, "turns", 9, timedelta(seconds=30))
    assert following.id > begun.id


# ── a deep backlog ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(60)
async def test_a_claim_from_a_deep_backlog_does_not_read_the_backlog(
    lanes: Lanes, capsys: pytest.CaptureFixture[str]
):
    """100,000 entries of 10,000 chats; the figures are printed beside those of pgmq's own grouped read."""
    connection = await asyncpg.connect(lanes.admin_url)
    try:
        await connection.execute(
            """INSERT INTO pgmq.q_deliveries (vt, message, headers)
               SELECT now(), jsonb_build_object('o', $1::text, 'c', c, 's', c), jsonb_build_object('x-pgmq-group', c)
               FROM generate_series(1, 100000) n, LATERAL (SELECT lpad((n % 10000)::text, 32, '0')::uuid::text AS c) x""",
            str(OWNER),
        )
        await connection.execute("ANALYZE pgmq.q_deliveries")
        ours_ms = [await _timed_ms(lanes.claim(32, lease_s=60)) for _ in range(20)]
        theirs_ms = [
            await _timed_ms(connection.fetch("SELECT * FROM pgmq.read_grouped_head('deliveries', 60, 32)"))
            for _ in range(3)
        ]
        pages = await _pages_read(connection)
    finally:
        await connection.close()
    with capsys.disabled():
        print(
            f'\n{{"backlog": 100000, "chats": 10000, "claim_32_ms": {statistics.median(ours_ms):.1f}, '
            f'"claim_32_max_ms": {max(ours_ms):.1f}, "read_grouped_head_32_ms": {statistics.median(theirs_ms):.1f}, '
            f'"pages_a_claim": {pages}}}'
        )
    # A claim touches what it claims and what it steps over; the whole queue has thousands of pages.
    assert pages < 4_000


async def _timed_ms(work: Awaitable[object]) -> float:
    began_s = time.perf_counter()
    await work
    return (time.perf_counter() - began_s) * 1000


async def _pages_read(connection: asyncpg.Connection) -> int:
    """Pages that one claim of 32 reads, planned as the application plans it."""
    await connection.execute("SET plan_cache_mode = 'force_generic_plan'")
    sql = store._CLAIM["deliveries"]
    await connection.execute(f"PREPARE claim (int, interval) AS {sql}")
    plan = await connection.fetchval("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE claim (32, '60 s')")
    whole = json.loads(plan)[0]["Plan"]
    return whole["Shared Hit Blocks"] + whole["Shared Read Blocks"]
