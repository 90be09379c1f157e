"""Time as an argument."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where `now` comes from; tests bring their own."""

    def now(self) -> datetime:
        """The present instant, timezone-aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only grow, for durations."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()
