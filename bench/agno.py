"""Part `agno`: Agno's AgentOS from the registry, with the same stub model, 32 chats, one uvicorn process.

Three ways: its default (SQLite); its durable queue on PostgreSQL as its example has it (PostgresDb with psycopg); and
the quickest way of the durable queue that we found (AsyncPostgresDb with asyncpg). In its queue modes the answer is
taken from the run's own event stream, which costs Agno less than being asked again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
import urllib.parse
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Load, Meter, Say, Tally, cut_windows, summarise
from bench.place import OUT, PYTHON, ROOT, log_file, private_postgres, work_folder
from bench.plan import CHATS, Plan
from bench.processes import free_port, running, stub_model, tail, wait_until_ready
from bench.wire import connect, request_bytes

VENV = OUT / "agno-venv"
PINS = ROOT / "bench" / "peers" / "agno.txt"
HISTORY_WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True)
class Way:
    name: str
    mode: str
    driver: str | None  # of PostgreSQL; None: SQLite
    form: Mapping[str, str]


WAYS = (
    Way("agno_default", "default", None, {"stream": "false"}),
    Way("agno_queue", "queue", "psycopg", {"background": "true", "stream": "true"}),
    Way("agno_queue_quickest", "queue", "asyncpg", {"background": "true", "stream": "true"}),
)


async def measure_agno(plan: Plan, say: Say) -> dict[str, Load]:
    ensure_installed(say)
    found: dict[str, Load] = {}
    for way in WAYS:
        say(f"{way.name}: starting")
        found[way.name] = await _measure(way, plan, lambda line, name=way.name: say(f"{name}: {line}"))
    return found


def ensure_installed(say: Say) -> None:
    """Agno and what it needs, pinned, in an environment of its own: not one package of it touches ours."""
    stamp, pins = VENV / ".installed", PINS.read_text()
    if stamp.exists() and stamp.read_text() == pins:
        return
    say(f"installing Agno into {VENV} (once)")
    uv = Path(PYTHON).parent / "uv"
    # Without our own configuration: it leaves packages out that Agno needs.
    for command in (
        [uv, "venv", "--no-config", "--quiet", "--clear", "--python", PYTHON, VENV],
        [uv, "pip", "install", "--no-config", "--quiet", "--python", VENV / "bin" / "python", "-r", PINS],
    ):
        subprocess.run([str(part) for part in command], check=True)
    stamp.write_text(pins)


async def _measure(way: Way, plan: Plan, say: Say) -> Load:
    with work_folder("agno") as folder, stub_model(PYTHON, ROOT) as (model_url, stub_pid):
        async with _database(way, folder) as (address, postmaster):
            port, log = free_port(), log_file(way.name)
            env = {
                **os.environ,
                "BENCH_MODE": way.mode,
                "BENCH_DB": address,
                "OPENAI_BASE_URL": model_url,
                "AGNO_TELEMETRY": "false",
            }
            command = [str(VENV / "bin" / "uvicorn"), "--app-dir", str(ROOT / "bench" / "peers")]
            command += ["agno_app:app", "--port", str(port), "--log-level", "warning", "--workers", "1"]
            with running(command, env=env, log=log, cwd=folder) as process:
                wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
                groups = {"python": [process.pid], **({"postgres": [postmaster]} if postmaster else {})}
                return await _load(way, port, Meter(groups, [os.getpid(), stub_pid]), plan, say, log)


@contextlib.asynccontextmanager
async def _database(way: Way, folder: Path) -> AsyncGenerator[tuple[str, int | None]]:
    if way.driver is None:
        yield str(folder / "agno.db"), None
        return
    async with private_postgres(folder, "agno") as postgres:
        address = postgres.url("agno").replace("postgresql://", f"postgresql+{way.driver}://", 1)
        yield address, postgres.postmaster


async def _load(way: Way, port: int, meter: Meter, plan: Plan, say: Say, log: Path) -> Load:
    tally, stopping = Tally(), asyncio.Event()

    async def talk(chat: int) -> None:
        connection, number = await connect("127.0.0.1", port), 0
        while not stopping.is_set():
            number += 1
            serial = f"[c{chat}:{number}]"
            form = {"message": f"Hello, this is message {serial}, thank you", "session_id": f"s{chat}"}
            body = urllib.parse.urlencode({**form, **way.form}).encode()
            began = time.monotonic()
            answer = await connection.send(
                request_bytes(
                    "POST",
                    "/agents/bench/runs",
                    body,
                    content_type="application/x-www-form-urlencoded",
                )
            )
            tally.latencies_s.append(time.monotonic() - began)
            tally.done += 1
            tally.lost += serial.encode() not in answer.body
        connection.close()

    talking = [asyncio.create_task(talk(chat)) for chat in range(CHATS)]
    windows = await cut_windows(
        meter, tally, warm_up_s=HISTORY_WARM_UP_S, window_s=plan.window_s, count=plan.windows, say=say
    )
    stopping.set()
    await asyncio.gather(*talking)
    if tally.lost:
        raise RuntimeError(f"{way.name}: {tally.lost} of {tally.done} answers were none; see\n{tail(log)}")
    return summarise(windows)
