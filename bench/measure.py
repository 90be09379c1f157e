"""Figures out of samples: windows of a running load, medians over them, percentiles, noise."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.processes import cpu_s, machine_busy_s, tree

Say = Callable[[str], None]


def percentile(values: Sequence[float], q: float) -> float:
    """The `q`-quantile (0 to 1) by nearest rank; 0.0 where there is none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(q * 1_000_000) * len(ordered) // 1_000_000) - 1))]


@dataclass(slots=True)
class Tally:
    """What the load generator saw; it goes on counting while windows are cut out of it."""

    done: int = 0
    latencies_s: list[float] = field(default_factory=list)
    lost: int = 0
    out_of_order: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    seconds: float
    messages: int
    cpu_s: Mapping[str, float]  # by group of processes
    others_s: float  # CPU of everybody else on the machine: noise
    latencies_s: Sequence[float]


@dataclass(frozen=True, slots=True)
class Meter:
    """Process trees whose CPU counts for the measure, by group; and the helpers, which are only there to measure.

    A tree inside of another (a worker below its server) is counted once, in its own group.
    """

    counted: Mapping[str, Sequence[int]]
    helpers: Sequence[int] = ()

    def read(self) -> dict[str, float]:
        return {name: cpu_s(*pids, without=self._below(pids)) for name, pids in self.counted.items()}

    def _below(self, pids: Sequence[int]) -> list[int]:
        """Counted processes that hang below these ones and have a group of their own."""
        others = [pid for group in self.counted.values() for pid in group if pid not in pids]
        return [pid for pid in tree(*pids) if pid in others]

    def read_helpers(self) -> float:
        counted = [pid for pids in self.counted.values() for pid in pids]
        return cpu_s(*self.helpers, without=counted) if self.helpers else 0.0


def busy_share(seconds: float) -> float:
    """How much of the machine is taken while we do nothing."""
    before = machine_busy_s()
    time.sleep(seconds)
    return (machine_busy_s() - before) / seconds / (os.cpu_count() or 1)


async def cut_windows(
    meter: Meter, tally: Tally, *, warm_up_s: float, window_s: float, count: int, say: Say
) -> list[Window]:
    """Sample a load that runs: `count` windows after a warm-up."""
    await asyncio.sleep(warm_up_s)
    found: list[Window] = []
    for number in range(count):
        before = Moment.take(meter, tally)
        await asyncio.sleep(window_s)
        found.append(Moment.take(meter, tally).since(before, tally))
        last = found[-1]
        say(f"window {number + 1}/{count}: {last.messages / last.seconds:.0f} messages/s")
    return found


@dataclass(frozen=True, slots=True)
class Moment:
    """All counters at one time; the difference of two is a window."""

    at_s: float
    done: int
    samples: int
    cpu_s: Mapping[str, float]
    helpers_s: float
    busy_s: float

    @classmethod
    def take(cls, meter: Meter, tally: Tally) -> Moment:
        return cls(
            time.monotonic(),
            tally.done,
            len(tally.latencies_s),
            meter.read(),
            meter.read_helpers(),
            machine_busy_s(),
        )

    def since(self, before: Moment, tally: Tally) -> Window:
        taken = {name: self.cpu_s[name] - before.cpu_s[name] for name in self.cpu_s}
        known = sum(taken.values()) + self.helpers_s - before.helpers_s
        return Window(
            seconds=self.at_s - before.at_s,
            messages=self.done - before.done,
            cpu_s=taken,
            others_s=max(0.0, self.busy_s - before.busy_s - known),
            latencies_s=tally.latencies_s[before.samples : self.samples],
        )


@dataclass(frozen=True, slots=True)
class Load:
    """Medians over windows; latencies over all of them together."""

    messages_per_s: float
    cpu_ms: float  # a message, all counted groups
    cpu_ms_by_group: Mapping[str, float]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    messages: int
    windows: int
    noise: float  # share of the machine that others took

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def summarise(windows: Sequence[Window]) -> Load:
    used = [w for w in windows if w.messages]
    if not used:
        raise RuntimeError(
            "not one message came through while it was measured: look at the logs in bench/out"
        )
    latencies = [s for w in used for s in w.latencies_s]
    groups = used[0].cpu_s.keys()
    by_group = {name: statistics.median(w.cpu_s[name] / w.messages * 1000 for w in used) for name in groups}
    return Load(
        messages_per_s=statistics.median(w.messages / w.seconds for w in used),
        cpu_ms=statistics.median(sum(w.cpu_s.values()) / w.messages * 1000 for w in used),
        cpu_ms_by_group=by_group,
        p50_ms=percentile(latencies, 0.50) * 1000,
        p95_ms=percentile(latencies, 0.95) * 1000,
        p99_ms=percentile(latencies, 0.99) * 1000,
        messages=sum(w.messages for w in used),
        windows=len(used),
        noise=sum(w.others_s for w in used) / sum(w.seconds for w in used) / (os.cpu_count() or 1),
    )
