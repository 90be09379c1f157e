"""What every hop of a turn did, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from a1zap.chats.model import Hop
from a1zap.kit.clock import Clock


class Trace:
    """Marks hops as they end; each took the time since the mark before it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_s = clock.monotonic_s()
        self.hops: list[Mapping[str, Any]] = []

    def waited(self, since: datetime) -> None:
        """How long the entry stood in its lane, settle time included."""
        waited_ms = max(0.0, (self._clock.now() - since).total_seconds() * 1000)
        self.hops.append(asdict(Hop("work_off", round(waited_ms, 3), {})))

    def mark(self, hop: str, did: Mapping[str, Any]) -> None:
        now_s = self._clock.monotonic_s()
        self.hops.append(asdict(Hop(hop, round((now_s - self._last_s) * 1000, 3), did)))
        self._last_s = now_s
