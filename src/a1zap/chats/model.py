"""The nouns of chats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

ChatStatus = Literal["agent", "escalated", "human", "closed"]
Direction = Literal["inbound", "outbound", "internal"]
SenderKind = Literal["user", "agent", "owner", "system"]
TurnStatus = Literal["answered", "silent", "dropped", "failed"]

# Where a message's delivery can stand, in the order it moves through; `failed` ends it.
STATUS_ORDER = ("received", "queued", "sending", "unknown", "sent", "delivered", "read", "played", "failed")


class AlreadyKnown(Exception):
    """The provider delivered a message that is stored already: roll back, answer 2xx."""


@dataclass(frozen=True, slots=True)
class Chat:
    id: UUID
    agent_id: UUID
    channel_account_id: UUID
    type: Literal["individual", "group", "broadcast"]
    channel_kind: str
    service: str
    external_id: str
    status: ChatStatus
    last_seq: int
    answered_seq: int
    waiting_since: datetime | None
    last_message_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat. `seq` counts them from 1, without regard to who wrote."""

    id: UUID
    chat_id: UUID
    seq: int
    direction: Direction
    sender_kind: SenderKind
    sender_id: UUID | None
    agent_id: UUID | None
    message_type: str
    content: str
    rich_content: Mapping[str, Any] | None
    external_id: str | None
    status: str
    held_reason: str | None
    possible_duplicate: bool
    error: str | None
    turn_id: UUID | None
    said_at: datetime
    created_at: datetime
    has_files: bool


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message about to be stored."""

    id: UUID
    direction: Direction
    sender_kind: SenderKind
    sender_id: UUID | None
    agent_id: UUID | None
    content: str
    status: str
    said_at: datetime
    message_type: str = "text"
    rich_content: Mapping[str, Any] | None = None
    raw: bytes | None = None
    external_id: str | None = None
    held_reason: str | None = None
    turn_id: UUID | None = None
    hops: Sequence[Hop] = ()
    thread_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What storing a message did to its chat."""

    chat_id: UUID
    agent_id: UUID
    message_id: UUID
    seq: int
    chat_status: ChatStatus
    waiting_since: datetime | None
    chat_is_new: bool


@dataclass(frozen=True, slots=True)
class News:
    """What is learnt of a message of ours: how far it is, and under which names the other side knows it."""

    status: str
    at: datetime
    error: str | None = None
    external_id: str | None = None
    hops: Sequence[Mapping[str, Any]] | None = None
    thread_ref: str | None = None


@dataclass(frozen=True, slots=True)
class ThreadRead:
    """What stands before a message that leaves: names as the channel knows them, oldest first."""

    names: Sequence[str]
    last_inbound_id: UUID | None
    last_inbound_name: str | None
    last_inbound_at: datetime | None
    last_rich_sealed: bytes | None


@dataclass(frozen=True, slots=True)
class Hop:
    """One step on a message's way: what it did in a few words, and how long it took."""

    hop: str
    took_ms: float
    did: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """What happened when the unanswered messages `from_seq` to `to_seq` of a chat were answered."""

    id: UUID
    chat_id: UUID
    agent_id: UUID
    agent_version: int
    status: TurnStatus
    from_seq: int
    to_seq: int
    attempt: int
    hops: Sequence[Mapping[str, Any]]
    model: str | None
    tokens_in: int
    tokens_out: int
    cost_usd: Decimal
    started_at: datetime
    finished_at: datetime
