"""Part `start`: seconds from the command to ready, on an empty data folder and later; and what an idle instance holds."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass

from bench.measure import Say
from bench.place import log_file, work_folder
from bench.plan import Plan
from bench.processes import command_line, memory, tree
from bench.rig import rig_environment, started

IDLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Start:
    first_s: float
    later_s: float
    rss_mb: float
    pss_mb: float
    processes: int
    runs: int

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


async def measure_start(plan: Plan, say: Say) -> Start:
    """As `make run` starts it, demo agents and their articles included; without a model's key."""
    firsts: list[float] = []
    laters: list[float] = []
    log = log_file("start")
    held = memory([])
    for number in range(plan.starts):
        with work_folder("start") as folder:
            env = rig_environment(folder, "https://api.openai.com/v1", A1ZAP_IS_DEMO_WANTED="true")
            del env["OPENAI_API_KEY"], env["A1ZAP_EGRESS_ALLOW"]
            with started(env, log) as (_, _, ready_s):
                firsts.append(ready_s)
            for _ in range(2):
                with started(env, log) as (process, _, ready_s):
                    laters.append(ready_s)
                    await asyncio.sleep(IDLE_S)
                    pythons = [p for p in tree(process.pid) if "python" in command_line(p)]
                    held = memory(pythons)
        say(
            f"{number + 1}/{plan.starts}: first {firsts[-1]:.1f} s, later {laters[-1]:.1f} s, {held.rss_mb:.0f} MB"
        )
    return Start(
        statistics.median(firsts),
        statistics.median(laters),
        held.rss_mb,
        held.pss_mb,
        held.processes,
        len(firsts),
    )
