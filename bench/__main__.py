"""`make bench` or `python -m bench`: measure, print the table, keep the figures as JSON in bench/out."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import orjson
import uvloop

from bench.agno import measure_agno
from bench.backlog import measure_backlog
from bench.chat_api import measure_chat_api
from bench.floor import measure_floor
from bench.growth import measure_growth
from bench.mails import measure_email
from bench.measure import Say, busy_share
from bench.place import OUT, ROOT, clear_logs
from bench.plan import LONG, SHORT, Plan
from bench.profile import profile_whole_job
from bench.report import commit, machine, page, rows_of, table
from bench.start import measure_start
from bench.webhook import measure_webhook
from bench.whatsapp import measure_whatsapp
from bench.whole_job import measure_whole_job

PAGE = ROOT / "docs" / "performance.md"


async def _whole_job(plan: Plan, say: Say) -> Any:
    return (await measure_whole_job(plan, say)).as_dict()


async def _chat_api(plan: Plan, say: Say) -> Any:
    return (await measure_chat_api(plan, say)).as_dict()


async def _webhook(plan: Plan, say: Say) -> Any:
    return (await measure_webhook(plan, say)).as_dict()


async def _whatsapp(plan: Plan, say: Say) -> Any:
    return {name: found.as_dict() for name, found in (await measure_whatsapp(plan, say)).items()}


async def _growth(plan: Plan, say: Say) -> Any:
    return [cost.as_dict() for cost in await measure_growth(plan, say)]


async def _agno(plan: Plan, say: Say) -> Any:
    return {name: load.as_dict() for name, load in (await measure_agno(plan, say)).items()}


async def _floor(plan: Plan, say: Say) -> Any:
    return (await measure_floor(plan, say)).as_dict()


async def _start(plan: Plan, say: Say) -> Any:
    return (await measure_start(plan, say)).as_dict()


async def _backlog(plan: Plan, say: Say) -> Any:
    return [claims.as_dict() for claims in await measure_backlog(plan, say)]


async def _email(plan: Plan, say: Say) -> Any:
    return (await measure_email(plan, say)).as_dict()


# In this order, so that what is compared is measured side by side.
PARTS: dict[str, Callable[[Plan, Say], Awaitable[Any]]] = {
    "floor": _floor,
    "whole_job": _whole_job,
    "agno": _agno,
    "chat_api": _chat_api,
    "webhook": _webhook,
    "whatsapp": _whatsapp,
    "growth": _growth,
    "start": _start,
    "backlog": _backlog,
    "email": _email,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--short", is_flag=True, help="A quick look: fewer and shorter windows, a smaller filler.")
@click.option(
    "--write", is_flag=True, help="Renew docs/performance.md. Needs all parts at full length in this run."
)
@click.option(
    "--profile",
    is_flag=True,
    help="Print where whole_job spends its time: statements, functions of server and worker.",
)
def main(parts: tuple[str, ...], *, short: bool, write: bool, profile: bool) -> None:
    """Measure a1zap on this machine, and print each figure with its goal.

    \b
    floor      the same three statements and one model call in one bare script
    whole_job  signed webhook to reply at the provider, 32 chats at once: messages/s, CPU, latency, order
    agno       Agno's AgentOS: default, and its durable PostgreSQL queue
    chat_api   POST /api/agents/{id}/chat one at a time, JSON and events
    webhook    100 signed webhooks a second, as A1Base sends them
    whatsapp   200 a second, as Meta sends them
    growth     chats of 1,000 messages, 1,000,000 messages in the database
    start      command to ready, and idle memory
    backlog    one claim while 100,000 entries wait
    email      raw mails parsed and their replies extracted, in the child with its limits, on one core

    Without PARTS all of them run, about ten minutes. Ratios (agno, floor) need whole_job in the same run.
    Everything runs on loopback, in folders below bench/out that are removed afterwards; JSON and logs stay there.
    Stop other work on the machine first: the share it took is printed as noise.
    """
    clear_logs()
    if profile:
        uvloop.run(profile_whole_job(_say))
        return
    plan, chosen = (SHORT if short else LONG), [p for p in PARTS if not parts or p in parts]
    if write and (short or len(chosen) < len(PARTS)):
        raise click.UsageError(
            "--write needs every part at full length, in one run: leave PARTS and --short out"
        )
    figures: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "plan": asdict(plan),
        "busy_before": {},
    }
    failed = []
    for number, name in enumerate(chosen, 1):
        began = time.monotonic()
        head = f"[{number}/{len(chosen)} {name}]"
        figures["busy_before"][name] = busy = busy_share(2.0)
        _say(f"{head} the machine is {busy:.0%} busy with other things; measuring ...")
        try:
            figures[name] = uvloop.run(PARTS[name](plan, lambda line, head=head: _say(f"{head} {line}")))
        except Exception as error:  # the other parts' figures are worth having
            failed.append(name)
            _say(f"{head} failed: {type(error).__name__}: {error}")
        _say(f"{head} took {time.monotonic() - began:.0f} s")
    _keep(figures)
    click.echo()
    click.echo(table(rows_of(figures)))
    if write and not failed:
        PAGE.write_text(page(figures), encoding="utf-8")
        _say(f"wrote {PAGE.relative_to(ROOT)}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _keep(figures: dict[str, Any]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    text = orjson.dumps(figures, option=orjson.OPT_INDENT_2)
    for name in ("latest.json", f"{figures['at'].replace(':', '')}.json"):
        (OUT / name).write_bytes(text)


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


if __name__ == "__main__":
    main()
