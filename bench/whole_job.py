"""Part `whole_job`: signed webhook → stored → turn → model call → reply handed to the provider, 32 chats at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.load import Person, Provider, talk
from bench.measure import Load, Say, Tally, cut_windows, summarise
from bench.place import PYTHON, ROOT, work_folder
from bench.plan import CHATS, Plan
from bench.processes import Memory, memory, stub_model
from bench.rig import Rig, open_rig
from bench.wire import connect

WARM_UP_S = (
    15.0  # full histories of 30 messages, which is the dearest it gets, and a database that knows its tables
)


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
async def whole_house(name: str, *, is_watched: bool = False) -> AsyncGenerator[tuple[Rig, Provider, int]]:
    """An instance with its stubs around it; the last is the process id of the stub model."""
    with work_folder(name) as folder, stub_model(PYTHON, ROOT) as (model_url, stub_pid):
        provider = await Provider.open()
        try:
            async with open_rig(
                folder, model_url=model_url, provider_url=provider.url, is_watched=is_watched
            ) as rig:
                yield rig, provider, stub_pid
        finally:
            provider.close()


async def measure_whole_job(plan: Plan, say: Say) -> WholeJob:
    async with whole_house("whole_job") as (rig, provider, stub_pid), talking(rig, provider) as tally:
        say(f"warming up for {WARM_UP_S:g} s")
        windows = await cut_windows(
            rig.meter(stub_pid),
            tally,
            warm_up_s=WARM_UP_S,
            window_s=plan.window_s,
            count=plan.windows,
            say=say,
        )
        held = memory(rig.python_processes())
    return WholeJob(
        summarise(windows),
        tally.lost,
        tally.out_of_order,
        provider.received - tally.done - tally.lost,
        held,
    )


@asynccontextmanager
async def talking(rig: Rig, provider: Provider) -> AsyncGenerator[Tally]:
    """32 people who talk until the block ends; what they counted is whole once it has ended."""
    agent = rig.add_agent("whole", settle_s=0)
    tally, stopping = Tally(), asyncio.Event()

    async def one(number: int) -> None:
        connection = await connect("127.0.0.1", rig.port)
        await talk(Person(agent, number), connection, provider, tally, stopping=stopping)
        connection.close()

    async with asyncio.TaskGroup() as group:  # where one breaks, the block is cancelled and says why
        for number in range(CHATS):
            group.create_task(one(number))
        yield tally
        stopping.set()
