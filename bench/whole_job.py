"""Part `whole_job`: signed webhook → stored → turn → model call → reply handed to the provider, 32 chats at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.load import Person, Provider, talk
from bench.measure import Load, Say, Tally, cut_windows, summarise
from bench.place import PYTHON, ROOT, work_folder
from bench.plan import CHATS, Plan
from bench.processes import Memory, memory, stub_model
from bench.rig import Rig, open_rig
from bench.wire import connect

WARM_UP_S = 6.0  # until every chat has a full history of 30 messages, which is the dearest it gets


@dataclass(frozen=True, slots=True)
class WholeJob:
    load: Load
    lost: int
    out_of_order: int
    duplicates: int
    memory: Memory

    def as_dict(self) -> dict[str, object]:
        return {
            **self.load.as_dict(),
            "lost": self.lost,
            "out_of_order": self.out_of_order,
            "duplicates": self.duplicates,
            "rss_mb": self.memory.rss_mb,
            "pss_mb": self.memory.pss_mb,
        }


@asynccontextmanager
async def whole_house(name: str) -> AsyncGenerator[tuple[Rig, Provider, int]]:
    """An instance with its stubs around it; the last is the process id of the stub model."""
    with work_folder(name) as folder, stub_model(PYTHON, ROOT) as (model_url, stub_pid):
        provider = await Provider.open()
        try:
            async with open_rig(folder, model_url=model_url, provider_url=provider.url) as rig:
                yield rig, provider, stub_pid
        finally:
            provider.close()


async def measure_whole_job(
    plan: Plan, say: Say, *, while_running: Callable[[Rig], None] | None = None
) -> WholeJob:
    """`while_running` is called once the load is warm (the profiler comes in there)."""
    async with whole_house("whole_job") as (rig, provider, stub_pid):
        agent = rig.add_agent("whole", settle_s=0)
        tally, stopping = Tally(), asyncio.Event()
        talking = []
        for number in range(CHATS):
            connection = await connect("127.0.0.1", rig.port)
            talking.append(
                asyncio.create_task(
                    talk(Person(agent, number), connection, provider, tally, stopping=stopping)
                )
            )
        say(f"warming up for {WARM_UP_S:g} s")
        cutting = asyncio.create_task(
            cut_windows(
                rig.meter(stub_pid),
                tally,
                warm_up_s=WARM_UP_S,
                window_s=plan.window_s,
                count=plan.windows,
                say=say,
            )
        )
        if while_running is not None:
            await asyncio.sleep(WARM_UP_S)
            await asyncio.to_thread(while_running, rig)
        await asyncio.wait([cutting, *talking], return_when=asyncio.FIRST_COMPLETED)
        for task in talking:
            if task.done():
                task.result()  # it broke: say how
        windows = await cutting
        stopping.set()
        await asyncio.gather(*talking)
        return WholeJob(
            summarise(windows),
            tally.lost,
            tally.out_of_order,
            provider.received - tally.done - tally.lost,
            memory(rig.python_processes()),
        )
