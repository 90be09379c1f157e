"""Part `backlog`: one claim of 32 lanes' heads while 100,000 entries wait in 10,000 groups; ours beside pgmq's own.

Ours is `queue.store.claim` as the worker calls it; pgmq's is `read_grouped_head`. Claimed entries are finished before
the next claim, outside of the time that is taken, as a worker would.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from a1zap.db.migrate import migrate
from a1zap.db.pool import Database, Tx
from a1zap.queue import store
from bench.measure import Say, percentile
from bench.place import private_postgres, work_folder
from bench.plan import CHATS, Plan
from bench.processes import cpu_s

ENTRIES, GROUPS = 100_000, 10_000
LEASE = timedelta(seconds=30)

# How the groups lie: taking turns (every group's head comes first), in a row (nine of ten entries on the way are not
# heads), and one group of 50,000 before all others (each claim must find its way past it).
SHAPES = {
    "taking turns": "n % 10000",
    "in a row": "n / 10",
    "one lane of 50,000 first": "CASE WHEN n < 50000 THEN 0 ELSE n % 9999 + 1 END",
}
_FILL = """
    INSERT INTO pgmq.q_deliveries (vt, message, headers)
    SELECT now() - interval '1 second',
           jsonb_build_object('o', md5('o')::uuid, 'c', md5(g::text)::uuid, 's', md5(n::text)::uuid),
           jsonb_build_object('x-pgmq-group', md5(g::text)::uuid)
    FROM (SELECT n, {group} AS g FROM generate_series(0, $1 - 1) n) q
"""


@dataclass(frozen=True, slots=True)
class Claims:
    shape: str
    by: str
    p50_ms: float
    p95_ms: float
    postgres_cpu_ms: float  # a claim
    heads: float  # found by a claim, on average

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


async def measure_backlog(plan: Plan, say: Say) -> list[Claims]:
    found: list[Claims] = []
    with work_folder("backlog") as folder:
        async with private_postgres(folder, "backlog") as postgres:
            url = postgres.url("backlog")
            await migrate(url)
            db = await Database.open(url)
            keeper: Any = await asyncpg.connect(url)
            for shape, group in SHAPES.items():
                await _fill(keeper, group)
                for by, claim, count in (
                    ("a1zap", _our_claim, plan.claims),
                    ("pgmq read_grouped_head", _pgmq_claim, max(3, plan.claims // 10)),
                ):
                    say(f"{shape}: {count} claims by {by}")
                    found.append(await _measure(db, shape, by, claim, count, postgres.postmaster))
            await keeper.close()
            await db.close()
    return found


async def _fill(keeper: Any, group: str) -> None:
    await keeper.execute("TRUNCATE pgmq.q_deliveries")
    await keeper.execute(_FILL.format(group=group), ENTRIES)
    await keeper.execute("VACUUM ANALYZE pgmq.q_deliveries")


Claim = Callable[[Tx], Awaitable[list[int]]]


async def _our_claim(tx: Tx) -> list[int]:
    return [e.id for e in await store.claim(tx, "deliveries", CHATS, LEASE)]


async def _pgmq_claim(tx: Tx) -> list[int]:
    rows = await tx.rows(
        "SELECT msg_id FROM pgmq.read_grouped_head('deliveries', $1, $2)",
        int(LEASE.total_seconds()),
        CHATS,
    )
    return [r["msg_id"] for r in rows]


async def _measure(db: Database, shape: str, by: str, claim: Claim, count: int, postmaster: int) -> Claims:
    times_s: list[float] = []
    taken_s = 0.0
    heads = 0
    for _ in range(count):
        before, began = cpu_s(postmaster), time.perf_counter()
        async with db.unowned() as tx:
            if by != "a1zap":
                await tx.run("SET LOCAL ROLE NONE")  # our application's role may not call pgmq's functions
            ids = await claim(tx)
        times_s.append(time.perf_counter() - began)
        taken_s += cpu_s(postmaster) - before
        heads += len(ids)
        async with db.unowned() as tx:
            await tx.run("DELETE FROM pgmq.q_deliveries WHERE msg_id = ANY($1::bigint[])", ids)
    return Claims(
        shape,
        by,
        statistics.median(times_s) * 1000,
        percentile(times_s, 0.95) * 1000,
        taken_s / count * 1000,
        heads / count,
    )
