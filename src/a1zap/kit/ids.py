"""Ids: UUIDv7, so that they sort by time and fill index pages in order (RFC 9562)."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

import uuid_utils.compat

OwnerId = NewType("OwnerId", UUID)
AgentId = NewType("AgentId", UUID)
PersonId = NewType("PersonId", UUID)
ChatId = NewType("ChatId", UUID)
MessageId = NewType("MessageId", UUID)
TurnId = NewType("TurnId", UUID)
ChannelAccountId = NewType("ChannelAccountId", UUID)


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid_utils.compat.uuid7()


def parse_id(text: str) -> UUID | None:
    """The id a text spells, or None: an unknown id and a malformed one are the same 404."""
    try:
        return UUID(text)
    except ValueError:
        return None


SLOTS = 16


def slot_of(key: UUID) -> int:
    """One of sixteen slots, the same for the same id: counters that many write to are spread over so many rows."""
    return key.int % SLOTS
