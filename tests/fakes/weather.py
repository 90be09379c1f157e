"""How a provider on loopback misbehaves by seed, and its record of what it was called for.

A call is answered or failed by dice of its own (seed, text, how often it was tried), so that a failure is found again
whatever the order of calls.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Weather:
    """How bad it is: the share of send calls (0 to 1) that each failure befalls; the rest are taken and answered."""

    delay_max_s: float = 0.03  # half before the message is taken, half after
    too_many: float = 0.0  # "slow down", not taken
    broken: float = 0.0  # an error of the provider's, not taken
    reset_before: float = 0.0  # the connection breaks, not taken
    reset_after: float = 0.0  # taken, and the connection breaks
    gateway_lost: float = 0.0  # taken, and 502 or 504
    hang: float = 0.0  # taken, and never answered
    slow: float = 0.0  # taken, and answered after SLOW_S: news of it comes first
    refused: float = 0.0  # never taken, whoever asks
    deaf: float = 0.0  # not taken, and no answer before the weather changes: then the connection breaks


SLOW_S = 0.3
FAIR = Weather()
ROUGH = Weather(
    too_many=0.02, broken=0.02, reset_before=0.01, reset_after=0.01, gateway_lost=0.01, hang=0.0005
)
# Outcomes after which the caller cannot know whether the message was taken.
AMBIGUOUS = frozenset(("reset_after", "gateway_lost", "hang"))


@dataclass
class SendCall:
    """One send call. Times are seconds of the monotonic clock; `answered_s` None: no answer left.

    `key` is the name by which a repeat can be known (a webhook-id, a Message-ID, our mark), where the call carries one;
    `is_known_again`: the provider takes a message of the same key once only. `is_told_failed`: it said so later.
    """

    account_id: str
    thread_id: str
    text: str
    came_s: float
    caller: str  # who says to call, where the test makes its processes say so
    outcome: str = "under way"
    taken_s: float | None = None
    answered_s: float | None = None
    message_id: str | None = None
    key: str = ""
    is_known_again: bool = False
    is_told_failed: bool = False


def fate_of(weather: Weather, dice: random.Random) -> str:
    """The failure that befalls a call, `slow`, or `taken`."""
    throw = dice.random()
    for name in (
        "too_many", "broken", "reset_before", "reset_after", "gateway_lost", "hang", "slow", "refused", "deaf",
    ):  # fmt: skip
        throw -= getattr(weather, name)
        if throw < 0:
            return name
    return "taken"
