"""All SQL of chat pages: an agent's web channel, asked for by those who do not know its owner yet, and ended visits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from a1zap.db.pool import Tx

_NO_VISIT = UUID(int=0)


@dataclass(frozen=True, slots=True)
class ChatPage:
    """Whose chat page it is, by which channel, and whether the visit that was asked about has ended."""

    owner_id: UUID
    is_public: bool
    account_id: UUID
    has_ended: bool


async def find_chat_page(tx: Tx, agent_id: UUID, visit_id: UUID = _NO_VISIT) -> ChatPage | None:
    """The agent's chat page; asked before the owner is known, through the directory."""
    row = await tx.row(
        "SELECT owner_id, is_public, account_id, has_ended FROM a1zap.chat_page_of($1, $2)",
        agent_id,
        visit_id,
    )
    return None if row is None else ChatPage(**dict(row))


async def find_agent_of_web_chat(tx: Tx, chat_id: UUID) -> UUID | None:
    """Whose web chat it is; asked before the owner is known, through the directory."""
    return await tx.value("SELECT a1zap.agent_of_web_chat($1)", chat_id)


async def end_visit(tx: Tx, visit_id: UUID, until: datetime) -> None:
    """The visit's tokens count no more. It would have ended by itself at `until`."""
    await tx.run(
        "INSERT INTO ended_visits (owner_id, id, until) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        tx.owner_id,
        visit_id,
        until,
    )
