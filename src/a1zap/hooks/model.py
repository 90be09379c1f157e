"""The nouns of outgoing webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

EventType = Literal[
    "message.created",
    "message.status",
    "turn.completed",
    "chat.handed_off",
    "chat.escalated",
    "agent.created",
    "agent.updated",
    "agent.paused",
    "agent.deleted",
    "channel.broken",
    "usage.limit_reached",
    "endpoint.disabled",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
TEST_EVENT = "webhook.test"  # only when the owner asks for it, whatever the filter says

EndpointStatus = Literal["active", "paused", "disabled"]
DeliveryStatus = Literal["pending", "delivered", "failed", "given_up"]

ENDPOINTS_MAX = 20  # an owner's; each event is written once for each of them that wants it
_LANES = 4


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that is told. No `events`: all of them. `agent_id`: only what concerns that agent."""

    id: UUID
    url: str
    description: str
    events: Sequence[str]
    agent_id: UUID | None
    include_content: bool
    status: EndpointStatus
    disabled_because: str | None
    failing_since: datetime | None
    held_until: datetime | None
    old_secret_until: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EndpointWanted:
    """An endpoint to be made."""

    url: str
    description: str = ""
    events: Sequence[str] = ()
    agent_id: UUID | None = None
    include_content: bool = False


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What is to be different; None: as it was."""

    url: str | None = None
    description: str | None = None
    events: Sequence[str] | None = None
    include_content: bool | None = None
    status: Literal["active", "paused"] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint, as the log shows it. Its id is the `webhook-id`.

    pending: on its way. failed: it will be tried again at `next_attempt_at`. given_up: it will not.
    """

    id: UUID
    endpoint_id: UUID
    event_type: str
    chat_id: UUID | None
    subject_id: UUID | None
    attempts: int
    status: DeliveryStatus
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    last_answer: str | None
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Owed:
    """A delivery in a worker's hand, with what it needs of its endpoint."""

    id: UUID
    endpoint_id: UUID
    event_type: str
    chat_id: UUID | None
    subject_id: UUID | None
    facts: Mapping[str, Any]
    attempts: int
    status: DeliveryStatus
    created_at: datetime
    next_attempt_at: datetime | None
    is_early: bool
    endpoint_status: EndpointStatus
    held_until: datetime | None
    failing_since: datetime | None
    include_content: bool
    url: str = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    payload: bytes | None = field(repr=False)

    @property
    def lane(self) -> UUID:
        """Where its attempts take turns with those of the same chat."""
        return lane_of(self.endpoint_id, self.chat_id or self.id)


@dataclass(frozen=True, slots=True)
class HookPolicy:
    """How patient we are. `schedule_s`: seconds to wait before each attempt, the first included."""

    schedule_s: Sequence[float] = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    jitter: float = 0.1  # that share of the wait is added at most, by chance
    timeout_s: float = 20.0
    hold_max: timedelta = timedelta(hours=1)  # the longest Retry-After that we heed
    disable_after: timedelta = timedelta(days=5)


def lane_of(endpoint_id: UUID, about_id: UUID) -> UUID:
    """One of an endpoint's four lanes; the SQL function a1zap.hook_lane computes the same."""
    return UUID(int=endpoint_id.int ^ (about_id.int % _LANES))
