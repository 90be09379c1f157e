"""The nouns of the lanes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

QueueName = Literal["turns", "deliveries", "intakes", "fetches", "hooks"]
QUEUES: tuple[QueueName, ...] = ("turns", "deliveries", "intakes", "fetches", "hooks")


@dataclass(frozen=True, slots=True)
class Entry:
    """One claimed entry: the head of a lane, ours until the lease runs out.

    The lane is a chat for turns and deliveries; `chat_id` is then the chat's, and else whatever the lane is called after.

    `attempt` counts claims; it is also the fence: an entry that another worker has claimed since bears a higher one,
    and our transaction that tries to finish it fails. `tries` also counts those before it was a dead letter.
    """

    queue: QueueName
    id: int
    attempt: int
    owner_id: UUID
    chat_id: UUID
    subject_id: UUID | None
    enqueued_at: datetime
    attempts_before: int = 0

    @property
    def tries(self) -> int:
        return self.attempts_before + self.attempt


class LeaseLost(Exception):
    """Another worker has this entry now; whatever we were about to write must not be written."""


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How a queue is worked off."""

    concurrency: int = 32
    lease: timedelta = timedelta(seconds=30)
    attempts_max: int = 8
    backoff_first_s: float = 0.5
    backoff_max_s: float = 300.0
    poll_s: float = 1.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: UUID
    queue: QueueName
    chat_id: UUID
    attempts: int
    reason: str
    created_at: datetime
    replayed_at: datetime | None
