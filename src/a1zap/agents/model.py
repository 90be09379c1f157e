"""The nouns of agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

AgentStatus = Literal["active", "paused", "archived"]
AgentType = Literal["personal", "work"]

SETTLE_CHAT_S = 1.0
SETTLE_MAX_S = 30.0


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent as its owner configured it. `version` grows with every change."""

    owner_id: UUID
    id: UUID
    name: str
    handle: str
    description: str
    agent_type: AgentType
    status: AgentStatus
    system_prompt: str
    model_settings: Mapping[str, Any]
    message_settings: Mapping[str, Any]
    respond_only_when_mentioned: bool
    is_public: bool
    version: int
    created_at: datetime
    updated_at: datetime
    knowledge_revision: int = 0

    @property
    def models(self) -> tuple[str, ...]:
        """The model and its fallbacks, in order; empty means the instance's default."""
        named = [self.model_settings.get("model"), *self.model_settings.get("fallbacks", ())]
        return tuple(str(name) for name in named if name)

    @property
    def sees_images(self) -> bool:
        """Are its models shown pictures? One that refuses them is told of them instead, whatever is set."""
        return self.model_settings.get("sees_images") is not False

    @property
    def budget_usd_per_day(self) -> float | None:
        """What its models may cost a day (UTC); None is no limit."""
        limit = self.model_settings.get("budget_usd_per_day")
        return None if limit is None else float(limit)

    def settle_s(self, channel_kind: str) -> float:
        """Seconds of quiet to wait for before answering, so that three quick messages get one answer."""
        default = 0.0 if channel_kind == "api" else SETTLE_CHAT_S
        wanted = self.message_settings.get("settle_s")
        if wanted is None or channel_kind == "api":
            return default
        return min(max(float(wanted), 0.0), SETTLE_MAX_S)


@dataclass(frozen=True, slots=True)
class AgentChange:
    """What of an agent may be changed; None leaves a field as it is."""

    name: str | None = None
    handle: str | None = None
    description: str | None = None
    status: AgentStatus | None = None
    system_prompt: str | None = None
    model_settings: Mapping[str, Any] | None = None
    message_settings: Mapping[str, Any] | None = None
    respond_only_when_mentioned: bool | None = None
    is_public: bool | None = None
