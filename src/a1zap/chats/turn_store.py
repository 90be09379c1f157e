"""All SQL of turns: how one ends, what it says, and finding it again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from a1zap.chats.model import (
    AlreadyKnown,
    ChatStatus,
    Message,
    NewMessage,
    TurnRecord,
    TurnStatus,
)
from a1zap.chats.rows import (
    MESSAGE,
    TURN,
    message_of_row,
    sealed_json,
    sealed_part,
)
from a1zap.db.parts import Part
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer

# The chat's row is locked from here to the commit. A person who has the chat by now keeps it, and the turn is dropped;
# so it is where all of it has been answered meanwhile, or was passed on to a person and given back.
_END_TURN = """
    WITH old AS (SELECT id, answered_seq FROM chats WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE),
    chat AS (
        UPDATE chats c SET
            answered_seq = greatest(c.answered_seq, $3),
            waiting_since = (SELECT min(m.created_at) FROM messages m WHERE m.owner_id = $1 AND m.chat_id = $2
                             AND m.seq > $3 AND m.direction = 'inbound' AND m.held_reason IS NULL),
            status = CASE WHEN c.status = 'human' OR old.answered_seq >= $3 THEN c.status ELSE COALESCE($4, c.status) END
        FROM old WHERE c.owner_id = $1 AND c.id = old.id
        RETURNING c.status, c.status = 'human' OR old.answered_seq >= $3 AS is_dropped),
    turn AS (
        INSERT INTO turns (owner_id, id, chat_id, agent_id, agent_version, status, from_seq, to_seq, attempt, hops,
                           model, tokens_in, tokens_out, cost_usd, started_at, finished_at)
        SELECT $1, $5, $2, $6, $7, CASE WHEN chat.is_dropped THEN 'dropped' ELSE $8 END, $9, $3, $10, $11, $12,
               $13, $14, $15, $16, $17
        FROM chat RETURNING status)
    SELECT turn.status FROM turn
"""


async def end_turn(tx: Tx, turn: TurnRecord, *, new_status: ChatStatus | None = None) -> TurnStatus | None:
    """Lock the chat, write the turn down and move the chat past the messages it answered.

    The turn's status as it was written: `dropped` where a person has the chat by now, or where its messages have been
    answered or passed on meanwhile; None where the chat is gone.
    """
    return await tx.value(
        _END_TURN,
        tx.owner_id,
        turn.chat_id,
        turn.to_seq,
        new_status,
        turn.id,
        turn.agent_id,
        turn.agent_version,
        turn.status,
        turn.from_seq,
        turn.attempt,
        list(turn.hops),
        turn.model,
        turn.tokens_in,
        turn.tokens_out,
        turn.cost_usd,
        turn.started_at,
        turn.finished_at,
    )


async def append_message(
    tx: Tx, sealer: Sealer, chat_id: UUID, message: NewMessage, now: datetime
) -> int | None:
    """Put a message of ours at the end of a chat; its seq, or None where the chat is gone.

    Raises:
        AlreadyKnown: there is a message of that external id (an idempotency key of the caller's).
    """
    (result,) = await tx.together(appending(tx, sealer, chat_id, message, now))
    return appended(message, result)


_APPEND = """grown AS (
        UPDATE chats SET last_seq = last_seq + 1, last_message_at = greatest(last_message_at, $12)
        WHERE owner_id = $1 AND id = $2 RETURNING id, last_seq, channel_account_id),
    appended AS (
        INSERT INTO messages (owner_id, id, chat_id, seq, direction, sender_kind, sender_id, agent_id,
                              channel_account_id, message_type, content_sealed, rich_content_sealed, status,
                              external_id, turn_id, said_at, created_at, hops)
        SELECT $1, $3, grown.id, grown.last_seq, $4, $5, $6, $7, grown.channel_account_id, $8, $9, $10, $11, $13,
               $14, $12, $12, $15
        FROM grown ON CONFLICT (owner_id, channel_account_id, direction, external_id) DO NOTHING RETURNING seq)"""
# The message's place; null where the chat is gone, 0 where there is a message of that external id.
_APPENDED = "(SELECT COALESCE((SELECT seq FROM appended), 0) FROM grown)"


def appending(tx: Tx, sealer: Sealer, chat_id: UUID, message: NewMessage, now: datetime) -> Part:
    """`append_message` as part of a larger statement; give its result to `appended`."""
    args = (
        tx.owner_id,
        chat_id,
        message.id,
        message.direction,
        message.sender_kind,
        message.sender_id,
        message.agent_id,
        message.message_type,
        sealed_part(sealer, "content_sealed", message.id, message.content),
        sealed_json(sealer, "rich_content_sealed", message.id, message.rich_content),
        message.status,
        now,
        message.external_id,
        message.turn_id,
        [asdict(h) for h in message.hops],
    )
    return Part(_APPEND, _APPENDED, args)


def appended(message: NewMessage, seq: int | None) -> int | None:
    """What `appending` came to.

    Raises:
        AlreadyKnown: there is a message of that external id; roll back.
    """
    if seq == 0:
        raise AlreadyKnown(message.external_id)
    return seq


async def read_turn(tx: Tx, turn_id: UUID) -> TurnRecord | None:
    row = await tx.row(f"SELECT {TURN} FROM turns WHERE owner_id = $1 AND id = $2", tx.owner_id, turn_id)
    return None if row is None else TurnRecord(**dict(row))


async def find_turn_of(tx: Tx, chat_id: UUID, seq: int) -> TurnRecord | None:
    """The turn that answered the message at `seq`; None while there is none."""
    row = await tx.row(
        f"""SELECT {TURN} FROM turns WHERE owner_id = $1 AND chat_id = $2 AND to_seq >= $3 AND from_seq <= $3
            ORDER BY to_seq LIMIT 1""",
        tx.owner_id,
        chat_id,
        seq,
    )
    return None if row is None else TurnRecord(**dict(row))


async def messages_of_turn(
    tx: Tx, sealer: Sealer, turn_id: UUID, chat_id: UUID, after_seq: int
) -> list[Message]:
    """What the agent said in a turn, in order. A turn's messages stand behind what it answered."""
    rows = await tx.rows(
        f"""SELECT {MESSAGE} FROM messages WHERE owner_id = $1 AND chat_id = $2 AND seq > $3 AND turn_id = $4
            AND direction = 'outbound' ORDER BY seq""",
        tx.owner_id,
        chat_id,
        after_seq,
        turn_id,
    )
    return [message_of_row(sealer, r) for r in rows]
