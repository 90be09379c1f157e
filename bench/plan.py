"""How long a run measures: the whole table, or a quick look."""

from __future__ import annotations

from dataclasses import dataclass

CHATS = 32  # at once, in every closed loop


@dataclass(frozen=True, slots=True)
class Plan:
    windows: int = 5
    window_s: float = 5.0
    chat_calls: int = 300
    webhook_s: float = 20.0
    growth_messages: int = 5  # in each of 128 chats, in each state and round
    growth_rounds: int = 5
    filler_messages: int = 1_000_000
    starts: int = 3
    claims: int = 100

    @property
    def is_short(self) -> bool:
        return self != Plan()


LONG = Plan()
SHORT = Plan(
    windows=2,
    window_s=2.0,
    chat_calls=50,
    webhook_s=5.0,
    growth_messages=2,
    growth_rounds=2,
    filler_messages=100_000,
    starts=1,
    claims=20,
)
