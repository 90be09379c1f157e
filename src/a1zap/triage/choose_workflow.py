"""Which workflow answers a turn: rules first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from a1zap.agents.model import Agent
from a1zap.chats.model import Chat, Message

ResponseType = Literal["simpleResponse", "noReply"]


@dataclass(frozen=True, slots=True)
class WorkflowChoice:
    """The workflow by the guide's response type, why, and how sure we are (a probability)."""

    response_type: ResponseType
    why: str
    confidence: float


def choose_workflow(agent: Agent, chat: Chat, unanswered: Sequence[Message]) -> WorkflowChoice:
    """What is to be done about the unanswered messages of a chat."""
    if all(m.message_type == "reaction" for m in unanswered):
        return WorkflowChoice("noReply", "only reactions", 1.0)
    if (
        chat.type != "individual"
        and agent.respond_only_when_mentioned
        and not any(is_mentioned(agent, m) for m in unanswered)
    ):
        return WorkflowChoice("noReply", "a group, and nobody mentioned the agent", 1.0)
    return WorkflowChoice("simpleResponse", "a message to answer", 1.0)


def is_mentioned(agent: Agent, message: Message) -> bool:
    """Does the message name the agent: by its channel's own word for it, by @handle, or by name as a whole word?"""
    flagged = (message.rich_content or {}).get("is_mentioned")
    if isinstance(flagged, bool) and flagged:
        return True
    text = message.content.casefold()
    names = (rf"@{re.escape(agent.handle.casefold())}", re.escape(agent.name.casefold()))
    return any(re.search(rf"(?<!\w){name}(?!\w)", text) for name in names)
