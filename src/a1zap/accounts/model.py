"""The nouns of owners."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

Scope = Literal["agents:read", "agents:write", "chats:read", "chats:write", "keys:write"]
ALL_SCOPES: tuple[Scope, ...] = ("agents:read", "agents:write", "chats:read", "chats:write", "keys:write")

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Owner:
    owner_id: UUID
    email: str | None
    auth_source: Literal["local", "stack"]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, once and for all ways of asking: a session, a Stack Auth token, an API key, a visitor.

    `agent_id` narrows a key or a visitor to one agent. `visitor` is the visitor's address; with it nothing is
    allowed but writing to that agent and reading one's own chats.
    """

    kind: Literal["session", "stack", "key", "visitor"]
    owner_id: UUID
    scopes: frozenset[Scope]
    credential_id: UUID | None = None
    agent_id: UUID | None = None
    visitor: str | None = None

    @property
    def actor(self) -> str:
        """How the audit trail names the asker."""
        return f"{self.kind}:{self.credential_id}" if self.credential_id else self.kind


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: UUID
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    agent_id: UUID | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an owner may use; -1 is unlimited."""

    id: str
    name: str
    max_personal_agents: int
    max_work_agents: int
    max_messages_per_month: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What of it is used: agents now, messages in the current month."""

    personal_agents: int
    work_agents: int
    messages: int
    messages_held: int
