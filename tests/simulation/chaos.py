"""Seeded chaos on the whole house: real processes, a real PostgreSQL, kill -9 in mid-work, and a judge.

    python -m tests.simulation.chaos --seed 7 --cycles 200

prints JSON lines: what was planned, how it went, and the verdict. The same seed makes the same people write the same
words, the same sends fail in the same way and the same processes die at the same points; what the scheduler makes
of it differs, as it does in life.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
from tests.fakes.weather import SendCall
from tests.simulation.channels import LINES
from tests.simulation.forks import Child, Forks, Order
from tests.simulation.instruments import DOOMS, BusyFile, make_busy_file
from tests.simulation.judge import Evidence, Inbound, Outbound, TurnRow, Verdict, judge, serials_of, shown
from tests.simulation.lines import Line
from tests.simulation.restating_model import RestatingModel
from tests.simulation.traffic import Traffic

from a1zap.accounts.create_owner import create_owner
from a1zap.accounts.keys import Keyring
from a1zap.app import open_house
from a1zap.chats import rows
from a1zap.db.embedded import EmbeddedServer, restart_embedded, start_embedded, stop_embedded
from a1zap.db.migrate import migrate
from a1zap.db.place import DATABASE, make_database
from a1zap.db.pool import APP_ROLE, Database
from a1zap.kit.crypto import load_or_create_master_key
from a1zap.kit.settings import Settings

SERVER_SLOT = 0


@dataclass(frozen=True)
class Plan:
    """What a run is made of. A cycle is one kill -9 of a process that had work in hand."""

    seed: int = 1
    channels: Sequence[str] = ("a1base",)
    cycles: int = 200
    server_every: int = 10  # each so many cycles it is the server's turn
    database_restarts: int = 20
    deliveries_min: int = 3000
    workers: int = 4
    concurrency: int = 32  # of each worker
    hot: int = 3
    cold: int = 24
    lease_s: int = 1
    pause_max_s: float = 0.2  # between cycles
    drain_max_s: float = 45.0  # after the last kill all must be answered within this
    time_max_s: float = 110.0
    mutant: str = ""
    stop_at_first: bool = False  # for mutants: one broken promise is enough
    fsync: bool = False  # of the run's own PostgreSQL
    is_kept: bool = False  # is the folder with the logs left where it is?


@dataclass
class Run:
    """What is known of a run while it goes on."""

    plan: Plan
    house: _Processes
    lines: Sequence[Line]
    traffic: Traffic
    witness: _Witness
    database: EmbeddedServer | None  # where it is this run's own
    kills: Counter[str] = field(default_factory=Counter)
    restarts: list[tuple[float, float]] = field(default_factory=list)

    @property
    def cycles(self) -> int:
        return sum(self.kills.values())

    def calls(self) -> list[SendCall]:
        return [call for line in self.lines for call in line.calls]

    async def restart_database(self) -> None:
        """Stopped with no time to write anything down; it comes back through crash recovery."""
        assert self.database is not None, "a database that others use is not restarted"
        began_s = time.monotonic()
        await restart_embedded(self.database, immediate=True)
        self.restarts.append((began_s, time.monotonic()))

    async def verdict(self, *, is_over: bool) -> Verdict:
        # Taken before the tables are looked at: what was acknowledged or called by now must be in there.
        said, told = ([replace(one) for one in some] for some in (self.traffic.said, self.traffic.told))
        calls = [replace(call) for call in self.calls()]
        evidence = await self.witness.look()
        evidence.said, evidence.told, evidence.calls, evidence.calls_since = said, told, calls, self.calls()
        evidence.complaints = [complaint for line in self.lines for complaint in line.complaints]
        evidence.deaths = dict(self.house.deaths)
        evidence.restarts = list(self.restarts)
        evidence.refused = list(self.traffic.refused)
        return judge(evidence, is_over=is_over)


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Processes:
    """The server and the workers, each started again when it is gone; who is dead, and since when."""

    def __init__(
        self, plan: Plan, forks: Forks, folder: Path, environments: dict[str, dict[str, str]]
    ) -> None:
        self.deaths: dict[str, float] = {}
        self.self_kills: Counter[str] = Counter()
        self.odd_ends: list[str] = []
        self.port = int(environments["server"]["A1ZAP_PORT"])
        self.is_doomed = False  # are new workers given a doom?
        self._plan = plan
        self._forks = forks
        self.folder = folder
        self._environments = environments
        self._dice = random.Random(f"{plan.seed}:processes")
        self._n = 0
        self._is_closing = False
        self._slots: dict[int, Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        busy_file = folder / "busy"
        make_busy_file(busy_file)
        self.busy = BusyFile(busy_file)

    async def start(self) -> None:
        for slot in range(self._plan.workers + 1):
            self._slots[slot] = await self._spawn(slot)
            self._keepers.append(asyncio.create_task(self._keep(slot)))
        await self._until_served()

    async def close(self) -> None:
        self._is_closing = True
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for child in self._slots.values():
            child.kill()
        for child in self._slots.values():
            await child.ended
        self.busy.close()

    def server(self) -> Child:
        return self._slots[SERVER_SLOT]

    def workers_at_work(self) -> list[Child]:
        """Living workers that have something in hand and are not doomed to die by themselves."""
        return [
            child
            for slot, child in self._slots.items()
            if slot != SERVER_SLOT and child.is_alive and child.order.doom is None and self.busy.of(slot) > 0
        ]

    def kill(self, child: Child) -> None:
        self.deaths[child.order.name] = time.monotonic()
        child.kill()

    def spare_all(self) -> None:
        """No more dooms: those who bear one are replaced."""
        self.is_doomed = False
        for slot, child in self._slots.items():
            if slot != SERVER_SLOT and child.order.doom is not None:
                self.kill(child)

    async def _keep(self, slot: int) -> None:
        while True:
            child = self._slots[slot]
            status = await asyncio.shield(child.ended)
            self._note_end(child, status)
            self.busy.clear(slot)
            if os.WIFEXITED(status):
                await asyncio.sleep(0.2)
            self._slots[slot] = await self._spawn(slot)

    def _note_end(self, child: Child, status: int) -> None:
        name = child.order.name
        if name in self.deaths:
            return
        self.deaths[name] = time.monotonic()
        if os.WIFSIGNALED(status) and child.order.doom is not None:
            self.self_kills[child.order.doom[0]] += 1
        elif not self._is_closing:
            # No database at the start is told and is the end; whoever keeps the worker starts it again.
            said = Path(child.order.log).read_text(errors="replace").splitlines()[-1:]
            if not (said and said[0].startswith("a1zap: no PostgreSQL answers")):
                self.odd_ends.append(f"{name} ended by itself with wait status {status}: {said}")

    async def _spawn(self, slot: int) -> Child:
        self._n += 1
        kind = "server" if slot == SERVER_SLOT else "worker"
        doom = None
        if kind == "worker" and self.is_doomed and self._dice.random() < 0.5:
            doom = (self._dice.choice(DOOMS), self._dice.randrange(1, 12))
        return await self._forks.spawn(
            Order(
                name=f"{kind}-{slot}.{self._n}",
                argv=["serve"] if kind == "server" else ["worker"],
                env=self._environments[kind],
                log=str(self.folder / f"{kind}-{slot}.{self._n}.log"),
                slot=slot,
                busy_file=str(self.folder / "busy"),
                doom=doom,
                mutant=self._plan.mutant,
            )
        )

    async def _until_served(self) -> None:
        deadline_s = time.monotonic() + 30
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline_s:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{self.port}/healthz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)
        log = Path(self.server().order.log).read_text()[-3000:]
        raise TimeoutError(f"the server did not come up:\n{log}")


# ── the witness: what the tables say ────────────────────────────────────────────────────────────────────────────────

# Each step of each message's status, as it happened.
_WITNESS_SQL = """
    CREATE TABLE IF NOT EXISTS a1zap.sim_steps (n bigserial PRIMARY KEY, message_id uuid, was text, is_now text);
    CREATE OR REPLACE FUNCTION a1zap.sim_step() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO a1zap.sim_steps (message_id, was, is_now) VALUES (NEW.id, OLD.status, NEW.status);
            RETURN NULL;
        END $$;
    CREATE OR REPLACE TRIGGER sim_step AFTER UPDATE ON public.messages FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION a1zap.sim_step();
"""


class _Witness:
    """Reads the tables as the owner does, and what only an administrator sees."""

    def __init__(self, db: Database, admin_url: str, keyring: Keyring, owner_id: UUID) -> None:
        self._db, self._admin_url, self._keyring, self._owner_id = db, admin_url, keyring, owner_id

    async def begin(self) -> None:
        connection = await asyncpg.connect(self._admin_url)
        try:
            await connection.execute(_WITNESS_SQL)
        finally:
            await connection.close()

    async def look(self) -> Evidence:
        evidence = Evidence()
        async with self._db.owned(self._owner_id) as tx:
            sealer = await self._keyring.sealer(tx)
            # Turns before messages: whatever is named by then is there by now.
            turns = await tx.rows(
                "SELECT chat_id, from_seq, to_seq, status FROM turns WHERE owner_id = $1", self._owner_id
            )
            messages = await tx.rows(
                """SELECT id, chat_id, seq, direction, sender_kind, content_sealed, external_id, status,
                          possible_duplicate, attempts, error
                   FROM messages WHERE owner_id = $1 ORDER BY chat_id, seq""",
                self._owner_id,
            )
        evidence.turns = [TurnRow(str(r["chat_id"]), r["from_seq"], r["to_seq"], r["status"]) for r in turns]
        opened = [
            (r, str(r["chat_id"]), rows.open_content(sealer, r["id"], r["content_sealed"])) for r in messages
        ]
        evidence.inbound = [
            Inbound(chat, r["seq"], r["external_id"], serials_of(text))
            for r, chat, text in opened
            if r["direction"] == "inbound"
        ]
        evidence.outbound = [
            _outbound(r, chat, text) for r, chat, text in opened if r["direction"] == "outbound"
        ]
        evidence.steps, evidence.left = await self._behind_the_walls()
        return evidence

    async def left(self) -> dict[str, int]:
        return (await self._behind_the_walls(steps=False))[1]

    async def _behind_the_walls(
        self, *, steps: bool = True
    ) -> tuple[list[tuple[UUID, str, str]], dict[str, int]]:
        connection = await asyncpg.connect(self._admin_url)
        try:
            found = (
                await connection.fetch("SELECT message_id, was, is_now FROM a1zap.sim_steps ORDER BY n")
                if steps
                else []
            )
            row = await connection.fetchrow(
                """SELECT (SELECT count(*) FROM pgmq.q_turns) AS turns,
                          (SELECT count(*) FROM pgmq.q_deliveries) AS deliveries,
                          (SELECT count(*) FROM pgmq.q_intakes) AS intakes,
                          (SELECT count(*) FROM raw_deliveries WHERE read_at IS NULL) AS unread_raw_deliveries,
                          (SELECT count(*) FROM early_receipts r JOIN messages m USING (owner_id, channel_account_id, external_id)
                           WHERE m.direction = 'outbound') AS early_receipts,
                          (SELECT count(*) FROM dead_letters) AS dead_letters,
                          (SELECT count(*) FROM unread_deliveries) AS unread_deliveries"""
            )
        finally:
            await connection.close()
        return [tuple(r) for r in found], dict(row)  # type: ignore[misc]


def _outbound(row: Any, chat: str, text: str) -> Outbound:
    return Outbound(
        id=row["id"],
        chat=chat,
        seq=row["seq"],
        text=text,
        status=row["status"],
        is_flagged=row["possible_duplicate"],
        sender_kind=row["sender_kind"],
        attempts=row["attempts"],
        error=row["error"],
        external_id=row["external_id"],
    )


# ── a run ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def run_chaos(
    plan: Plan,
    *,
    forks: Forks | None = None,
    database: tuple[str, str] | None = None,
    say: Callable[[dict[str, Any]], None] = lambda _line: None,
) -> Verdict:
    """Do it, and judge. `database`: (app's, administrator's) address; without it a PostgreSQL is made for the run."""
    began_s = time.monotonic()
    say({"plan": asdict(plan)})
    async with AsyncExitStack() as stack:
        forks = forks or await stack.enter_async_context(Forks())
        run = await stack.enter_async_context(prepared(plan, forks, database))
        ready_s = time.monotonic()
        say({"ready_after_s": round(ready_s - began_s, 2), "folder": str(run.house.folder)})
        stop = asyncio.Event()
        speaking = asyncio.create_task(run.traffic.speak(stop))
        early = await _havoc(run, say)
        stop.set()
        await speaking
        run.house.spare_all()
        havoc_s = time.monotonic() - ready_s
        drained_s = None if early is not None else await drained(run)
        verdict = early or await run.verdict(is_over=True)
        for end in run.house.odd_ends:
            verdict.blame("odd_end", end)
        if early is None and drained_s is None:
            verdict.blame("stuck", f"not all was answered {plan.drain_max_s} s after the last kill")
        kills = run.kills + Counter({f"self_{k}": n for k, n in run.house.self_kills.items()})
        verdict.facts.update(
            cycles=sum(kills.values()),
            database_restarts=len(run.restarts),
            deliveries=run.traffic.deliveries,
            repeats=run.traffic.repeats,
        )
        say(
            {
                "seed": plan.seed,
                "channels": plan.channels,
                "mutant": plan.mutant,
                "kills": kills,
                "havoc_s": round(havoc_s, 1),
                "drained_s": drained_s,
                "seconds": round(time.monotonic() - began_s, 1),
                **shown(verdict),
            }
        )
    return verdict


async def _havoc(run: Run, say: Callable[[dict[str, Any]], None]) -> Verdict | None:
    """Kill until the plan is met; the verdict at once where one broken promise is enough."""
    plan, dice = run.plan, random.Random(f"{run.plan.seed}:havoc")
    run.house.is_doomed = True
    restart_at = [
        round(plan.cycles * (i + 1) / (plan.database_restarts + 1)) for i in range(plan.database_restarts)
    ]
    began_s = looked_s = time.monotonic()
    total = 0
    while total < plan.cycles or run.traffic.deliveries < plan.deliveries_min:
        if time.monotonic() - began_s > plan.time_max_s:
            break
        await asyncio.sleep(dice.uniform(0, plan.pause_max_s))
        total = run.cycles + sum(run.house.self_kills.values())
        while restart_at and restart_at[0] <= total:
            restart_at.pop(0)
            await run.restart_database()
        if total < plan.cycles:
            await _kill_one(
                run, dice, is_servers_turn=plan.server_every > 0 and (total + 1) % plan.server_every == 0
            )
        if plan.stop_at_first and time.monotonic() - looked_s > 0.5:
            looked_s = time.monotonic()
            verdict = await run.verdict(is_over=False)
            if not verdict.is_clean:
                return verdict
    return None


async def _kill_one(run: Run, dice: random.Random, *, is_servers_turn: bool) -> None:
    """kill -9 of one process that has work in hand at that moment; nothing where nobody has."""
    for _ in range(100):
        if is_servers_turn:
            if run.traffic.in_flight and run.house.server().is_alive:
                await asyncio.sleep(dice.uniform(0, 0.01))
                run.house.kill(run.house.server())
                run.kills["server"] += 1
                await run.house._until_served()
                return
        elif at_work := run.house.workers_at_work():
            child = dice.choice(at_work)
            await asyncio.sleep(dice.uniform(0, 0.02))
            if child in run.house.workers_at_work():
                run.house.kill(child)
                run.kills["worker"] += 1
                return
        await asyncio.sleep(0.005)


async def drained(run: Run) -> float | None:
    """Seconds until all is delivered, answered and sent; None where it takes too long."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < run.plan.drain_max_s:
        if run.traffic.unacknowledged == 0 and not any((await run.witness.left()).values()):
            return round(time.monotonic() - began_s, 2)
        await asyncio.sleep(0.1)
    return None


# ── getting ready ───────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def prepared(plan: Plan, forks: Forks, database: tuple[str, str] | None) -> AsyncIterator[Run]:
    """Database, owner, agents with their channels, providers, model, people; then the processes."""
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="a1zap-chaos-"))
        if not plan.is_kept:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        server: EmbeddedServer | None = None
        if database is None:
            # Without fsync a power cut would cost data, and nobody cuts the power here; but each commit must have left
            # the process before it is answered, or an immediate stop would lose what we were told is kept.
            server = await start_embedded(
                folder / "postgres", fsync=plan.fsync, settings={"synchronous_commit": "on"}
            )
            stack.push_async_callback(stop_embedded, server)
            await make_database(server.url(user="postgres", database="postgres"), DATABASE)
            database = (
                server.url(user=APP_ROLE, database=DATABASE),
                server.url(user="postgres", database=DATABASE),
            )
            await migrate(database[1])
        model = await stack.enter_async_context(RestatingModel(seed=plan.seed))
        lines = [LINES[kind](seed=plan.seed) for kind in plan.channels]
        for line in lines:
            await stack.enter_async_context(line)
        owner_id = await _furnish(folder, database[0], lines)
        port = _free_port()
        traffic = Traffic(f"http://127.0.0.1:{port}", lines, hot=plan.hot, cold=plan.cold, seed=plan.seed)
        stack.push_async_callback(traffic.close)
        environment = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")},
            "A1ZAP_DATA_DIR": str(folder),
            "A1ZAP_PORT": str(port),
            "A1ZAP_WORKERS": "0",
            "A1ZAP_IS_DEMO_WANTED": "false",
            "A1ZAP_LEASE_S": str(plan.lease_s),
            "A1ZAP_CONCURRENCY": str(plan.concurrency),
            "A1ZAP_POLL_S": "0.25",
            "A1ZAP_ATTEMPTS_MAX": "100",  # being killed is no failure of the message
            "A1ZAP_EGRESS_ALLOW": "127.0.0.0/8",
            "OPENAI_API_KEY": "test-key-of-no-value",
            "OPENAI_BASE_URL": model.base_url,
            "OPENBLAS_NUM_THREADS": "1",
        }
        # The server finds its private PostgreSQL by itself where it is one; workers are told, as on another machine.
        servers = environment if server is not None else {**environment, "DATABASE_URL": database[1]}
        environments = {"server": servers, "worker": {**environment, "DATABASE_URL": database[0]}}
        house = _Processes(plan, forks, folder, environments)
        stack.push_async_callback(house.close)
        db = await Database.open(database[0], connections_max=2, connections_min=0)
        stack.push_async_callback(db.close)
        keyring = Keyring(load_or_create_master_key(folder, None))
        witness = _Witness(db, database[1], keyring, owner_id)
        await witness.begin()
        await house.start()
        yield Run(plan, house, lines, traffic, witness, server)


async def _furnish(folder: Path, url: str, lines: Sequence[Line]) -> UUID:
    """An owner, and an agent for each account of each line."""
    settings = Settings(data_dir=folder, is_demo_wanted=False)
    async with open_house(settings, database_url=url) as house:
        owner_id = await create_owner(
            house.db,
            house.keyring,
            house.passwords,
            email="owner@example.com",
            password=None,
            plan_id="enterprise",
        )
        for line in lines:
            await line.connect(house, owner_id)
    return owner_id


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say_json(line: dict[str, Any]) -> None:
    print(json.dumps(line, default=str), flush=True)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--channels", default="a1base", help="with commas between: " + ", ".join(LINES))
    options.add_argument("--cycles", type=int, default=200)
    options.add_argument("--deliveries", type=int, default=3000)
    options.add_argument("--restarts", type=int, default=20)
    options.add_argument("--mutant", default="")
    options.add_argument("--time-max", type=float, default=600)
    options.add_argument("--fsync", action="store_true", help="as in production; slower")
    options.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    given = options.parse_args()
    plan = Plan(
        seed=given.seed,
        channels=tuple(given.channels.split(",")),
        cycles=given.cycles,
        deliveries_min=given.deliveries,
        database_restarts=given.restarts,
        mutant=given.mutant,
        time_max_s=given.time_max,
        fsync=given.fsync,
        is_kept=given.keep,
    )
    verdict = asyncio.run(run_chaos(plan, say=say_json))
    sys.exit(0 if verdict.is_clean else 1)


if __name__ == "__main__":
    main()
