"""Where the CPU goes while the load of `whole_job` runs (`python -m bench --profile`).

PostgreSQL counts its statements (pg_stat_statements); py-spy samples the server and the worker: own time by function
of Python, where what C code takes is its caller's (`run` of asyncio is uvloop and the system calls below it). The
sampling slows both down: read the shares.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg

from bench.measure import Say, Tally
from bench.place import OUT, PYTHON
from bench.rig import Rig
from bench.whole_job import WARM_UP_S, talking, whole_house

VENV = OUT / "tools-venv"
PY_SPY = "py-spy==0.4.2"
SAMPLES_PER_S = 100
SECONDS = 15.0
TOP = 25


async def profile_whole_job(say: Say) -> None:
    """Three looks at the same load: PostgreSQL's statements, then the functions of server and worker."""
    ensure_py_spy(say)
    async with whole_house("profile", is_watched=True) as (rig, provider, _), talking(rig, provider) as tally:
        say(f"warming up for {WARM_UP_S:g} s")
        await asyncio.sleep(WARM_UP_S)
        await _watch_statements(rig, tally, say)
        await asyncio.to_thread(_sample_processes, rig, say)


async def _watch_statements(rig: Rig, tally: Tally, say: Say) -> None:
    keeper: Any = await asyncpg.connect(rig.postgres.url("a1zap"))
    try:
        await keeper.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        await keeper.execute("SELECT pg_stat_statements_reset()")
        commits, wal, done = await _counters(keeper, tally)
        await asyncio.sleep(SECONDS)
        commits_after, wal_after, done_after = await _counters(keeper, tally)
        rows = await keeper.fetch(_STATEMENTS)
    finally:
        await keeper.close()
    n = max(1, done_after - done)
    calls, busy_ms = sum(r["calls"] for r in rows), sum(r["ms"] for r in rows)
    say(
        f"PostgreSQL, a message ({n:,} of them): {calls / n:.1f} statements, {busy_ms / n:.2f} ms in them, "
        f"{(commits_after - commits) / n:.1f} transactions, {(wal_after - wal) / n / 1024:.1f} kB of WAL"
    )
    say(" ms a message  calls a message  ms a call  rows a call  statement")
    for r in rows[:TOP]:
        text = re.sub(r"\s+", " ", r["query"]).strip()[:110]
        say(
            f"  {r['ms'] / n:8.3f}  {r['calls'] / n:12.2f}  {r['ms'] / r['calls']:9.3f}  {r['rows'] / r['calls']:9.1f}  {text}"
        )


_STATEMENTS = """
    SELECT s.query, sum(s.calls)::float8 AS calls, sum(s.total_exec_time + s.total_plan_time) AS ms,
           sum(s.rows)::float8 AS rows
    FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
    WHERE d.datname = 'a1zap' AND s.query NOT LIKE '%pg_stat_%' GROUP BY 1 ORDER BY 3 DESC
"""


async def _counters(keeper: Any, tally: Tally) -> tuple[int, int, int]:
    commits = await keeper.fetchval("SELECT xact_commit FROM pg_stat_database WHERE datname = 'a1zap'")
    wal = await keeper.fetchval("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
    return commits, wal, tally.done


def _sample_processes(rig: Rig, say: Say) -> None:
    """Sample server and worker at the same time, and print the functions that take the most."""
    spying: list[tuple[str, Path, subprocess.Popen[bytes]]] = []
    for name, pid in (("server", rig.process.pid), *(("worker", pid) for pid in rig.workers())):
        out = OUT / f"profile-{name}.txt"
        command = [str(VENV / "bin" / "py-spy"), "record", "--pid", str(pid), "--format", "raw", "--function"]
        command += ["--rate", str(SAMPLES_PER_S), "--duration", f"{SECONDS:.0f}", "--output", str(out)]
        spying.append(
            (name, out, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        )
    for name, out, process in spying:
        if process.wait() != 0:
            raise RuntimeError(
                f"py-spy could not sample the {name}: it needs ptrace (root, or kernel.yama.ptrace_scope=0)"
            )
        say(f"{name}, the {TOP} functions with the most own time (all of it in {out}):")
        for line in table_of(out.read_text()):
            say(line)


def ensure_py_spy(say: Say) -> None:
    if (VENV / "bin" / "py-spy").exists():
        return
    say(f"installing {PY_SPY} into {VENV} (once)")
    uv = str(Path(PYTHON).parent / "uv")
    subprocess.run(
        [uv, "venv", "--no-config", "--quiet", "--clear", "--python", PYTHON, str(VENV)], check=True
    )
    subprocess.run(
        [uv, "pip", "install", "--no-config", "--quiet", "--python", str(VENV / "bin" / "python"), PY_SPY],
        check=True,
    )


def table_of(stacks: str) -> list[str]:
    """Own time by function and by package, and what our own functions take with all they call."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    packages: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if frames[-1].startswith("_worker (concurrent/futures"):
            continue  # a thread that waits for work
        own[frames[-1]] += int(count)
        packages[re.sub(r".*\(([^/:)]+).*", r"\1", frames[-1])] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    total = sum(own.values()) or 1
    ours = [frame for frame, _ in whole.most_common() if "(a1zap/" in frame and "(a1zap/cli.py" not in frame]
    return [
        "  by package: " + ", ".join(f"{name} {n / total:.0%}" for name, n in packages.most_common(8)),
        *(f"  {n / total:6.1%} own {whole[f] / total:6.1%} in all  {f}" for f, n in own.most_common(TOP)),
        f"  our own {TOP} functions that take the most, with all that they call:",
        *(f"  {whole[f] / total:6.1%} in all  {f}" for f in ours[:TOP]),
    ]
