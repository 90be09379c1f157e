"""The nouns of what is happening now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

EventKind = Literal[
    "message.accepted",
    "message.created",
    "message.status",
    "typing",
    "turn.completed",
    "chat.changed",
    "chat.read",
    "error",
]


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """Something happened in a chat. `id` only grows within the chat; `subject_id` is the message or turn."""

    id: int
    chat_id: UUID
    kind: EventKind
    subject_id: UUID


@dataclass(frozen=True, slots=True)
class Draft:
    """What a running turn has said so far."""

    turn_id: UUID
    text: str
