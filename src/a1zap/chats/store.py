"""All SQL of chats: participants, messages that come in, and reading. Text is sealed on the way in and opened on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from a1zap.chats.model import (
    AlreadyKnown,
    Chat,
    ChatStatus,
    Direction,
    Message,
    NewMessage,
    Stored,
)
from a1zap.chats.rows import (
    CHAT,
    MESSAGE,
    chat_of_row,
    message_of_row,
    sealed_json,
    sealed_part,
)
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id

REVOKED = "[This message was taken back by its sender.]"

# ── one message in ──────────────────────────────────────────────────────────────────────────────────────────────────

# The chat's row is locked from here to the commit: its counter gives messages their order, and whoever else touches
# this chat waits. A chat that does not exist yet is made; two at once make one.
_STORE_INBOUND = """
    WITH chat AS (
        INSERT INTO chats (owner_id, id, agent_id, channel_account_id, type, channel_kind, service, external_index,
                           external_id_sealed, last_seq, waiting_since, last_message_at)
        VALUES ($1, $2, $3, $4, $5, $25, $6, $7, $8, 1, $9, $10)
        ON CONFLICT (owner_id, channel_account_id, external_index) DO UPDATE SET
            last_seq = chats.last_seq + 1,
            waiting_since = COALESCE(chats.waiting_since, $9),
            last_message_at = greatest(chats.last_message_at, $10)
        RETURNING id, agent_id, last_seq, status, waiting_since, (xmax = 0) AS is_new),
    message AS (
        INSERT INTO messages (owner_id, id, chat_id, seq, direction, sender_kind, sender_id, agent_id,
                              channel_account_id, message_type, content_sealed, rich_content_sealed, raw_sealed,
                              external_id, status, held_reason, said_at, created_at, hops, thread_ref)
        SELECT $1, $11, chat.id, chat.last_seq, $12, $13, $14, $15, $4, $16, $17, $18, $19, $20, $21, $22, $23, $10, $24,
               $26
        FROM chat
        ON CONFLICT (owner_id, channel_account_id, direction, external_id) DO NOTHING RETURNING id)
    SELECT chat.*, (SELECT id FROM message) AS message_id FROM chat
"""


async def store_inbound(
    tx: Tx,
    sealer: Sealer,
    *,
    agent_id: UUID,
    channel_account_id: UUID,
    chat_type: str,
    channel_kind: str,
    service: str,
    chat_external_id: str,
    message: NewMessage,
    now: datetime,
) -> Stored:
    """Put a message from outside at the end of its chat, and lock the chat until the transaction ends.

    Raises:
        AlreadyKnown: this account has a message of that external id in that direction.
    """
    chat_id = new_id()
    row = await tx.row(
        _STORE_INBOUND,
        tx.owner_id,
        chat_id,
        agent_id,
        channel_account_id,
        chat_type,
        service,
        chat_index(sealer, chat_external_id),
        sealer.seal(chat_external_id, table="chats", column="external_id_sealed", row=chat_id),
        now if message.held_reason is None and message.direction == "inbound" else None,
        now,
        message.id,
        message.direction,
        message.sender_kind,
        message.sender_id,
        message.agent_id,
        message.message_type,
        sealed_part(sealer, "content_sealed", message.id, message.content),
        sealed_json(sealer, "rich_content_sealed", message.id, message.rich_content),
        None if message.raw is None else sealed_part(sealer, "raw_sealed", message.id, message.raw),
        message.external_id,
        message.status,
        message.held_reason,
        message.said_at,
        [asdict(h) for h in message.hops],
        channel_kind,
        message.thread_ref,
    )
    if row is None or row["message_id"] is None:
        raise AlreadyKnown(message.external_id)
    if row["is_new"]:
        await _begin_stint(tx, row["id"], row["agent_id"], service)
    return Stored(
        chat_id=row["id"],
        agent_id=row["agent_id"],
        message_id=message.id,
        seq=row["last_seq"],
        chat_status=row["status"],
        waiting_since=row["waiting_since"],
        chat_is_new=row["is_new"],
    )


async def hold_message(tx: Tx, stored: Stored, reason: str, now: datetime) -> None:
    """Mark a message just stored as one that is not answered; its chat waits for it no longer."""
    await tx.run(
        "UPDATE messages SET held_reason = $3 WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        stored.message_id,
        reason,
    )
    await tx.run(
        "UPDATE chats SET waiting_since = NULL WHERE owner_id = $1 AND id = $2 AND waiting_since = $3",
        tx.owner_id,
        stored.chat_id,
        now,
    )


async def add_participant(tx: Tx, chat_id: UUID, person_id: UUID) -> None:
    await tx.run(
        """INSERT INTO chat_participants (owner_id, chat_id, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING""",
        tx.owner_id,
        chat_id,
        person_id,
    )


def chat_index(sealer: Sealer, external_id: str) -> bytes:
    """Equal for equal thread ids of one owner."""
    return sealer.blind_index(external_id, table="chats", column="external_index")


async def _begin_stint(tx: Tx, chat_id: UUID, agent_id: UUID, channel: str) -> None:
    await tx.run(
        "INSERT INTO agent_conversations (owner_id, id, chat_id, agent_id, channel) VALUES ($1, $2, $3, $4, $5)",
        tx.owner_id,
        new_id(),
        chat_id,
        agent_id,
        channel,
    )


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def read_chat(tx: Tx, sealer: Sealer, chat_id: UUID, *, lock: bool = False) -> Chat | None:
    """A chat of the owner's; with `lock`, nobody else touches it until the transaction ends."""
    row = await tx.row(
        f"SELECT {CHAT} FROM chats WHERE owner_id = $1 AND id = $2{' FOR NO KEY UPDATE' if lock else ''}",
        tx.owner_id,
        chat_id,
    )
    return None if row is None else chat_of_row(sealer, row)


async def find_chat(tx: Tx, sealer: Sealer, channel_account_id: UUID, external_id: str) -> Chat | None:
    row = await tx.row(
        f"SELECT {CHAT} FROM chats WHERE owner_id = $1 AND channel_account_id = $2 AND external_index = $3",
        tx.owner_id,
        channel_account_id,
        chat_index(sealer, external_id),
    )
    return None if row is None else chat_of_row(sealer, row)


async def list_chats(
    tx: Tx,
    sealer: Sealer,
    agent_id: UUID,
    *,
    before: tuple[datetime, UUID] | None,
    count: int,
    person_id: UUID | None = None,
) -> list[Chat]:
    """The agent's chats, newest `last_message_at` first; only a person's own where one is named."""
    rows = await tx.rows(
        f"""SELECT {CHAT} FROM chats c WHERE owner_id = $1 AND agent_id = $2
            AND ($3::timestamptz IS NULL OR (last_message_at, id) < ($3, $4::uuid))
            AND ($6::uuid IS NULL OR EXISTS (SELECT 1 FROM chat_participants p
                 WHERE p.owner_id = $1 AND p.chat_id = c.id AND p.user_id = $6))
            ORDER BY last_message_at DESC, id DESC LIMIT $5""",
        tx.owner_id,
        agent_id,
        before[0] if before else None,
        before[1] if before else None,
        count,
        person_id,
    )
    return [chat_of_row(sealer, r) for r in rows]


async def list_participants(tx: Tx, chat_id: UUID, count: int = 100) -> list[UUID]:
    """Who is in a chat, those who came first before."""
    rows = await tx.rows(
        """SELECT user_id FROM chat_participants WHERE owner_id = $1 AND chat_id = $2 ORDER BY joined_at LIMIT $3""",
        tx.owner_id,
        chat_id,
        count,
    )
    return [r["user_id"] for r in rows]


async def first_participant(tx: Tx, chat_id: UUID) -> UUID | None:
    """Whom an individual chat is with."""
    return await tx.value(
        "SELECT user_id FROM chat_participants WHERE owner_id = $1 AND chat_id = $2 ORDER BY joined_at LIMIT 1",
        tx.owner_id,
        chat_id,
    )


async def is_participant(tx: Tx, chat_id: UUID, person_id: UUID) -> bool:
    return (
        await tx.value(
            "SELECT true FROM chat_participants WHERE owner_id = $1 AND chat_id = $2 AND user_id = $3",
            tx.owner_id,
            chat_id,
            person_id,
        )
        or False
    )


async def read_message(tx: Tx, sealer: Sealer, message_id: UUID) -> Message | None:
    row = await tx.row(
        f"SELECT {MESSAGE} FROM messages WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        message_id,
    )
    return None if row is None else message_of_row(sealer, row)


async def find_inbound(tx: Tx, sealer: Sealer, channel_account_id: UUID, external_id: str) -> Message | None:
    """The message from outside that its side calls so."""
    row = await tx.row(
        f"""SELECT {MESSAGE} FROM messages WHERE owner_id = $1 AND channel_account_id = $2 AND direction = 'inbound'
            AND external_id = $3""",
        tx.owner_id,
        channel_account_id,
        external_id,
    )
    return None if row is None else message_of_row(sealer, row)


async def find_by_external_id(
    tx: Tx, channel_account_id: UUID, direction: Direction, external_id: str
) -> tuple[UUID, UUID] | None:
    """(message, chat) of the message that the other side calls so."""
    row = await tx.row(
        """SELECT id, chat_id FROM messages WHERE owner_id = $1 AND channel_account_id = $2 AND direction = $3
           AND external_id = $4""",
        tx.owner_id,
        channel_account_id,
        direction,
        external_id,
    )
    return None if row is None else (row["id"], row["chat_id"])


async def find_chats_of(tx: Tx, channel_account_id: UUID, names: Sequence[str]) -> list[UUID]:
    """The chats in which messages of these names stand (as `external_id` or `thread_ref`), in the order of the names."""
    rows = await tx.rows(
        """SELECT n.name, m.chat_id FROM unnest($3::text[]) WITH ORDINALITY AS n(name, place) JOIN LATERAL (
               SELECT chat_id FROM messages WHERE owner_id = $1 AND channel_account_id = $2
                   AND direction IN ('inbound', 'outbound') AND external_id = n.name
               UNION ALL
               SELECT chat_id FROM messages WHERE owner_id = $1 AND channel_account_id = $2 AND thread_ref = n.name
               LIMIT 1) m ON true
           ORDER BY n.place""",
        tx.owner_id,
        channel_account_id,
        list(names),
    )
    return [r["chat_id"] for r in rows]


async def find_persons_chat(tx: Tx, sealer: Sealer, channel_account_id: UUID, person_id: UUID) -> Chat | None:
    """The newest individual chat of a person over this account."""
    row = await tx.row(
        f"""SELECT {CHAT} FROM chats c WHERE owner_id = $1 AND channel_account_id = $2 AND type = 'individual'
            AND EXISTS (SELECT 1 FROM chat_participants p
                        WHERE p.owner_id = $1 AND p.chat_id = c.id AND p.user_id = $3)
            ORDER BY last_message_at DESC LIMIT 1""",
        tx.owner_id,
        channel_account_id,
        person_id,
    )
    return None if row is None else chat_of_row(sealer, row)


async def rekey_chats(tx: Tx, sealer: Sealer, channel_kind: str, before: Sequence[str], after: str) -> None:
    """Individual chats that were called after an address of somebody's are called after their new one."""
    rows = await tx.rows(
        """SELECT id, channel_account_id FROM chats WHERE owner_id = $1 AND channel_kind = $2 AND type = 'individual'
           AND external_index = ANY($3::bytea[]) ORDER BY id FOR NO KEY UPDATE""",
        tx.owner_id,
        channel_kind,
        [chat_index(sealer, name) for name in before],
    )
    for row in rows:
        await tx.run(
            """UPDATE chats SET external_index = $3, external_id_sealed = $4 WHERE owner_id = $1 AND id = $2
               AND NOT EXISTS (SELECT 1 FROM chats o WHERE o.owner_id = $1 AND o.channel_account_id = $5
                               AND o.external_index = $3)""",
            tx.owner_id,
            row["id"],
            chat_index(sealer, after),
            sealer.seal(after, table="chats", column="external_id_sealed", row=row["id"]),
            row["channel_account_id"],
        )


async def amend_message(tx: Tx, sealer: Sealer, message_id: UUID, text: str | None, at: datetime) -> bool:
    """Its sender changed a message, or took it back (None): what it said before is gone, and by a late edit not back.

    What was taken back before it was answered is not answered. Call it with the chat's row locked. False where news
    of a later time came before.
    """
    chat_id = await tx.value(
        """UPDATE messages SET content_sealed = $3, edited_at = CASE WHEN $4 THEN edited_at ELSE $5 END,
               revoked_at = CASE WHEN $4 THEN $5 END,
               rich_content_sealed = CASE WHEN $4 THEN NULL ELSE rich_content_sealed END,
               raw_sealed = CASE WHEN $4 THEN NULL ELSE raw_sealed END,
               held_reason = CASE WHEN $4 AND direction = 'inbound' AND seq > (
                   SELECT answered_seq FROM chats c WHERE c.owner_id = $1 AND c.id = messages.chat_id)
                   THEN COALESCE(held_reason, 'taken_back') ELSE held_reason END
           WHERE owner_id = $1 AND id = $2 AND revoked_at IS NULL AND ($4 OR edited_at IS NULL OR edited_at <= $5)
           RETURNING chat_id""",
        tx.owner_id,
        message_id,
        sealed_part(sealer, "content_sealed", message_id, REVOKED if text is None else text),
        text is None,
        at,
    )
    if chat_id is not None and text is None:
        await tx.run(
            """UPDATE chats c SET waiting_since = (
                   SELECT min(m.created_at) FROM messages m WHERE m.owner_id = $1 AND m.chat_id = $2
                   AND m.seq > c.answered_seq AND m.direction = 'inbound' AND m.held_reason IS NULL)
               WHERE c.owner_id = $1 AND c.id = $2 AND c.waiting_since IS NOT NULL""",
            tx.owner_id,
            chat_id,
        )
    return chat_id is not None


async def read_messages(tx: Tx, sealer: Sealer, ids: Sequence[UUID]) -> dict[UUID, Message]:
    rows = await tx.rows(
        f"SELECT {MESSAGE} FROM messages WHERE owner_id = $1 AND id = ANY($2::uuid[])",
        tx.owner_id,
        list(ids),
    )
    return {r["id"]: message_of_row(sealer, r) for r in rows}


async def list_messages(
    tx: Tx,
    sealer: Sealer,
    chat_id: UUID,
    *,
    before_seq: int | None = None,
    after_seq: int | None = None,
    count: int,
) -> list[Message]:
    """Newest first, of those before and after the given places."""
    rows = await tx.rows(
        f"""SELECT {MESSAGE} FROM messages WHERE owner_id = $1 AND chat_id = $2
            AND ($3::bigint IS NULL OR seq < $3) AND ($4::bigint IS NULL OR seq > $4)
            ORDER BY seq DESC LIMIT $5""",
        tx.owner_id,
        chat_id,
        before_seq,
        after_seq,
        count,
    )
    return [message_of_row(sealer, r) for r in rows]


async def unanswered_before(tx: Tx, chat: Chat, seq: int) -> int:
    """How many unanswered messages stand before `seq`: those that the newest page did not hold."""
    return await tx.value(
        """SELECT count(*) FROM messages WHERE owner_id = $1 AND chat_id = $2 AND seq > $3 AND seq < $4
           AND direction = 'inbound' AND held_reason IS NULL""",
        tx.owner_id,
        chat.id,
        chat.answered_seq,
        seq,
    )


async def read_hops(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """How messages came in or left."""
    rows = await tx.rows(
        "SELECT id, hops FROM messages WHERE owner_id = $1 AND id = ANY($2::uuid[])", tx.owner_id, list(ids)
    )
    return {r["id"]: r["hops"] or [] for r in rows}


# ── who has the chat ───────────────────────────────────────────────────────────────────────────────────────────────


async def lock_chat(tx: Tx, chat_id: UUID) -> ChatStatus | None:
    """Lock the chat's row until the transaction ends; who has the chat, or None where it is gone."""
    return await tx.value(
        "SELECT status FROM chats WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE", tx.owner_id, chat_id
    )


async def read_status(tx: Tx, chat_id: UUID) -> ChatStatus | None:
    """Who has the chat; None where it is gone."""
    return await tx.value("SELECT status FROM chats WHERE owner_id = $1 AND id = $2", tx.owner_id, chat_id)


async def set_chat_status(tx: Tx, chat_id: UUID, status: ChatStatus) -> bool:
    done = await tx.value(
        "UPDATE chats SET status = $3 WHERE owner_id = $1 AND id = $2 RETURNING true",
        tx.owner_id,
        chat_id,
        status,
    )
    return done or False


async def skip_unanswered(tx: Tx, chat_id: UUID) -> None:
    """A person has the chat: what is unanswered is theirs now."""
    await tx.run(
        "UPDATE chats SET answered_seq = last_seq, waiting_since = NULL WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        chat_id,
    )


async def insert_escalation(tx: Tx, chat_id: UUID, agent_id: UUID, reason: str) -> None:
    await tx.run(
        "INSERT INTO escalations (owner_id, id, chat_id, agent_id, reason) VALUES ($1, $2, $3, $4, $5)",
        tx.owner_id,
        new_id(),
        chat_id,
        agent_id,
        reason,
    )


async def resolve_escalations(tx: Tx, chat_id: UUID, now: datetime) -> None:
    await tx.run(
        "UPDATE escalations SET resolved_at = $3 WHERE owner_id = $1 AND chat_id = $2 AND resolved_at IS NULL",
        tx.owner_id,
        chat_id,
        now,
    )
