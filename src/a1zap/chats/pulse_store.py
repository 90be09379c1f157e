"""When a channel was last written to, and last written from: looked up where it stands, counted nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from a1zap.db.pool import Tx


@dataclass(frozen=True, slots=True)
class Pulse:
    """The newest message each way; None where there is none in the chats looked at."""

    last_inbound_at: datetime | None
    last_outbound_at: datetime | None


async def read_pulse(tx: Tx, agent_id: UUID, account_id: UUID) -> Pulse:
    """Of the channel's 20 chats that were written in last, so that it stays cheap however many there are."""
    row = await tx.row(
        """WITH newest AS MATERIALIZED (
               SELECT id FROM chats WHERE owner_id = $1 AND agent_id = $2 AND channel_account_id = $3
               ORDER BY last_message_at DESC, id DESC LIMIT 20)
           SELECT max(i.created_at) AS last_inbound_at, max(o.at) AS last_outbound_at
           FROM newest n
           LEFT JOIN LATERAL (
               SELECT m.created_at FROM messages m WHERE m.owner_id = $1 AND m.chat_id = n.id
               AND m.direction = 'inbound' ORDER BY m.seq DESC LIMIT 1) i ON true
           LEFT JOIN LATERAL (
               SELECT coalesce(m.status_updated_at, m.created_at) AS at FROM messages m
               WHERE m.owner_id = $1 AND m.chat_id = n.id AND m.direction = 'outbound'
               AND m.status IN ('sent', 'delivered', 'read', 'played') ORDER BY m.seq DESC LIMIT 1) o ON true""",
        tx.owner_id,
        agent_id,
        account_id,
    )
    return Pulse(None, None) if row is None else Pulse(row["last_inbound_at"], row["last_outbound_at"])
