"""Part `floor`: what the same three statements and one model call cost in one bare script."""

from __future__ import annotations

import asyncio

import orjson

from bench.measure import Load, Say, Window, summarise
from bench.place import PYTHON, ROOT, private_postgres, work_folder
from bench.plan import CHATS, Plan
from bench.processes import stub_model


async def measure_floor(plan: Plan, say: Say) -> Load:
    with work_folder("floor") as folder, stub_model(PYTHON, ROOT) as (model_url, _):
        async with private_postgres(folder, "floor") as postgres:
            say(f"{plan.windows} windows of {plan.window_s:g} s")
            script = await asyncio.create_subprocess_exec(
                PYTHON,
                "-m",
                "bench.floor_script",
                postgres.url("floor"),
                model_url,
                str(postgres.postmaster),
                str(CHATS),
                str(plan.window_s),
                str(plan.windows),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
            )
            printed, _ = await script.communicate()
            if script.returncode != 0:
                raise RuntimeError(f"the floor's script ended with code {script.returncode}")
            return summarise([Window(**w) for w in orjson.loads(printed)])
