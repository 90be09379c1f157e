"""Which agent answers a turn. The spine knows one entry point: the chat's own agent."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from a1zap.chats.model import Chat


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """The agent, why, and how sure we are (a probability)."""

    agent_id: UUID
    why: str
    confidence: float


def choose_agent(chat: Chat) -> AgentChoice:
    """The agent that has the chat: it was written to directly, so there is nothing to weigh."""
    return AgentChoice(chat.agent_id, "the chat is with this agent", 1.0)
