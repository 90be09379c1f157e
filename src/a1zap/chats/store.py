"""All SQL of chats: participants, messages, turns. Text is sealed on the way in and opened on the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from a1zap.chats.model import (
    AlreadyKnown,
    Chat,
    ChatStatus,
    Direction,
    Message,
    NewMessage,
    News,
    Stored,
    ThreadRead,
    TurnRecord,
    TurnStatus,
)
from a1zap.db.parts import Part
from a1zap.db.pool import Row, Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id

REVOKED = "[This message was taken back by its sender.]"

_CHAT = (
    "id, agent_id, channel_account_id, type, channel_kind, service, external_id_sealed, status, last_seq, answered_seq, "
    "waiting_since, last_message_at, created_at"
)
_MESSAGE = (
    "id, chat_id, seq, direction, sender_kind, sender_id, agent_id, message_type, content_sealed, rich_content_sealed, "
    "external_id, status, held_reason, possible_duplicate, error, turn_id, said_at, created_at, "
    # Asked here, so that whoever reads messages need not ask for files that hardly any has.
    "EXISTS (SELECT 1 FROM attachments f WHERE f.owner_id = messages.owner_id AND f.message_id = messages.id) AS has_files"
)
_TURN = (
    "id, chat_id, agent_id, agent_version, status, from_seq, to_seq, attempt, hops, model, tokens_in, tokens_out, "
    "cost_usd, started_at, finished_at"
)

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
        _sealed(sealer, "content_sealed", message.id, message.content),
        _sealed_json(sealer, "rich_content_sealed", message.id, message.rich_content),
        None if message.raw is None else _sealed(sealer, "raw_sealed", message.id, message.raw),
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
        f"SELECT {_CHAT} FROM chats WHERE owner_id = $1 AND id = $2{' FOR NO KEY UPDATE' if lock else ''}",
        tx.owner_id,
        chat_id,
    )
    return None if row is None else _chat(sealer, row)


async def find_chat(tx: Tx, sealer: Sealer, channel_account_id: UUID, external_id: str) -> Chat | None:
    row = await tx.row(
        f"SELECT {_CHAT} FROM chats WHERE owner_id = $1 AND channel_account_id = $2 AND external_index = $3",
        tx.owner_id,
        channel_account_id,
        chat_index(sealer, external_id),
    )
    return None if row is None else _chat(sealer, row)


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
        f"""SELECT {_CHAT} FROM chats c WHERE owner_id = $1 AND agent_id = $2
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
    return [_chat(sealer, r) for r in rows]


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
        f"SELECT {_MESSAGE} FROM messages WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        message_id,
    )
    return None if row is None else _message(sealer, row)


async def find_inbound(tx: Tx, sealer: Sealer, channel_account_id: UUID, external_id: str) -> Message | None:
    """The message from outside that its side calls so."""
    row = await tx.row(
        f"""SELECT {_MESSAGE} FROM messages WHERE owner_id = $1 AND channel_account_id = $2 AND direction = 'inbound'
            AND external_id = $3""",
        tx.owner_id,
        channel_account_id,
        external_id,
    )
    return None if row is None else _message(sealer, row)


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
        f"""SELECT {_CHAT} FROM chats c WHERE owner_id = $1 AND channel_account_id = $2 AND type = 'individual'
            AND EXISTS (SELECT 1 FROM chat_participants p
                        WHERE p.owner_id = $1 AND p.chat_id = c.id AND p.user_id = $3)
            ORDER BY last_message_at DESC LIMIT 1""",
        tx.owner_id,
        channel_account_id,
        person_id,
    )
    return None if row is None else _chat(sealer, row)


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
        _sealed(sealer, "content_sealed", message_id, REVOKED if text is None else text),
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


async def count_answers(
    tx: Tx, chat_id: UUID, person_id: UUID, channel_account_id: UUID, since: datetime
) -> int:
    """Messages of ours since then: in this chat, or in all individual chats of the person over the account, whichever are more."""
    return await tx.value(
        """SELECT greatest(
               (SELECT count(*) FROM messages m WHERE m.owner_id = $1 AND m.chat_id = $2
                AND m.direction = 'outbound' AND m.sender_kind = 'agent' AND m.created_at > $5),
               (SELECT count(*) FROM chat_participants p
                JOIN chats c ON c.owner_id = $1 AND c.id = p.chat_id AND c.channel_account_id = $4
                    AND c.last_message_at > $5
                JOIN messages m ON m.owner_id = $1 AND m.chat_id = c.id AND m.direction = 'outbound'
                    AND m.sender_kind = 'agent' AND m.created_at > $5
                WHERE p.owner_id = $1 AND p.user_id = $3))""",
        tx.owner_id,
        chat_id,
        person_id,
        channel_account_id,
        since,
    )


async def read_thread(tx: Tx, chat_id: UUID, count: int = 10) -> ThreadRead:
    """What stands before a message that leaves: the names of the newest messages, and the newest of the other side."""
    rows = await tx.rows(
        """SELECT COALESCE(thread_ref, external_id) AS name FROM messages
           WHERE owner_id = $1 AND chat_id = $2 AND COALESCE(thread_ref, external_id) IS NOT NULL
           ORDER BY seq DESC LIMIT $3""",
        tx.owner_id,
        chat_id,
        count,
    )
    last = await tx.row(
        """SELECT id, COALESCE(thread_ref, external_id) AS name, created_at, rich_content_sealed FROM messages
           WHERE owner_id = $1 AND chat_id = $2 AND direction = 'inbound' ORDER BY seq DESC LIMIT 1""",
        tx.owner_id,
        chat_id,
    )
    return ThreadRead(
        names=[r["name"] for r in reversed(rows)],
        last_inbound_name=None if last is None else last["name"],
        last_inbound_at=None if last is None else last["created_at"],
        last_inbound_id=None if last is None else last["id"],
        last_rich_sealed=None if last is None else last["rich_content_sealed"],
    )


def open_rich(sealer: Sealer, message_id: UUID, sealed: bytes | None) -> dict[str, Any] | None:
    """The structured part of a message."""
    if sealed is None:
        return None
    return orjson.loads(sealer.open(sealed, table="messages", column="rich_content_sealed", row=message_id))


async def read_messages(tx: Tx, sealer: Sealer, ids: Sequence[UUID]) -> dict[UUID, Message]:
    rows = await tx.rows(
        f"SELECT {_MESSAGE} FROM messages WHERE owner_id = $1 AND id = ANY($2::uuid[])",
        tx.owner_id,
        list(ids),
    )
    return {r["id"]: _message(sealer, r) for r in rows}


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
        f"""SELECT {_MESSAGE} FROM messages WHERE owner_id = $1 AND chat_id = $2
            AND ($3::bigint IS NULL OR seq < $3) AND ($4::bigint IS NULL OR seq > $4)
            ORDER BY seq DESC LIMIT $5""",
        tx.owner_id,
        chat_id,
        before_seq,
        after_seq,
        count,
    )
    return [_message(sealer, r) for r in rows]


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


# ── a turn's end ────────────────────────────────────────────────────────────────────────────────────────────────────

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


async def lock_chat(tx: Tx, chat_id: UUID) -> ChatStatus | None:
    """Lock the chat's row until the transaction ends; who has the chat, or None where it is gone."""
    return await tx.value(
        "SELECT status FROM chats WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE", tx.owner_id, chat_id
    )


async def read_status(tx: Tx, chat_id: UUID) -> ChatStatus | None:
    """Who has the chat; None where it is gone."""
    return await tx.value("SELECT status FROM chats WHERE owner_id = $1 AND id = $2", tx.owner_id, chat_id)


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
        _sealed(sealer, "content_sealed", message.id, message.content),
        _sealed_json(sealer, "rich_content_sealed", message.id, message.rich_content),
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
    row = await tx.row(f"SELECT {_TURN} FROM turns WHERE owner_id = $1 AND id = $2", tx.owner_id, turn_id)
    return None if row is None else TurnRecord(**dict(row))


async def find_turn_of(tx: Tx, chat_id: UUID, seq: int) -> TurnRecord | None:
    """The turn that answered the message at `seq`; None while there is none."""
    row = await tx.row(
        f"""SELECT {_TURN} FROM turns WHERE owner_id = $1 AND chat_id = $2 AND to_seq >= $3 AND from_seq <= $3
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
        f"""SELECT {_MESSAGE} FROM messages WHERE owner_id = $1 AND chat_id = $2 AND seq > $3 AND turn_id = $4
            AND direction = 'outbound' ORDER BY seq""",
        tx.owner_id,
        chat_id,
        after_seq,
        turn_id,
    )
    return [_message(sealer, r) for r in rows]


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


# ── delivery ────────────────────────────────────────────────────────────────────────────────────────────────────────

# Forward only: a receipt that comes before the answer to the send is not undone by it.
_RANK = "array_position(ARRAY['received','queued','sending','unknown','sent','delivered','read','played','failed'], {0})"
# A name that another message has already (an echo in other words came first) is not taken twice: that would fail for
# good, and the message would be sent again and again.
_NAMED = """COALESCE(external_id, CASE WHEN NOT EXISTS (
               SELECT 1 FROM messages o WHERE o.owner_id = $1 AND o.channel_account_id = messages.channel_account_id
               AND o.direction = 'outbound' AND o.external_id = {0}) THEN {0} END)"""
_ADVANCE = f"""moved AS (
    UPDATE messages SET status = $3, status_updated_at = $4, error = COALESCE($5, error),
           external_id = {_NAMED.format("$6::text")}, hops = COALESCE($7, hops), thread_ref = COALESCE($8, thread_ref)
    WHERE owner_id = $1 AND id = $2 AND direction = 'outbound' AND status <> 'failed'
      AND {_RANK.format("$3::text")} > {_RANK.format("status")}
    RETURNING true AS has_moved)"""

# The answer to a send that was overtaken by a receipt still brings the provider's id.
_LEARN = f"""
    UPDATE messages SET external_id = {_NAMED.format("$3::text")}, hops = COALESCE($4, hops),
           thread_ref = COALESCE($5, thread_ref)
    WHERE owner_id = $1 AND id = $2 AND direction = 'outbound'
"""


async def read_unsent(tx: Tx, message_id: UUID) -> Row | None:
    """A message that has not left for certain, with where it goes; None where nothing is left to do for it."""
    return await tx.row(
        """SELECT m.status, m.attempts, m.sender_kind, m.rich_content_sealed, m.possible_duplicate, m.content_sealed,
                  m.first_tried_at, m.created_at, c.type, c.service, c.external_id_sealed, c.id AS chat_id, c.channel_kind,
                  (SELECT a.name FROM a1_agents a WHERE a.owner_id = $1 AND a.id = m.agent_id) AS agent_name,
                  k.id, k.owner_id, k.agent_id, k.kind, k.identity, k.credentials_sealed, k.status AS account_status,
                  p.user_id, u.address_id, u.address_sealed, u.dead_because,
                  EXISTS (SELECT 1 FROM attachments f WHERE f.owner_id = $1 AND f.message_id = m.id) AS has_files
           FROM messages m JOIN chats c ON c.owner_id = m.owner_id AND c.id = m.chat_id
           LEFT JOIN channel_accounts k
               ON k.owner_id = m.owner_id AND k.id = m.channel_account_id AND k.deleted_at IS NULL
           LEFT JOIN LATERAL (
               SELECT user_id FROM chat_participants p WHERE p.owner_id = $1 AND p.chat_id = c.id AND c.type = 'individual'
               ORDER BY p.joined_at LIMIT 1) p ON true
           LEFT JOIN LATERAL (
               SELECT u.id AS address_id, u.address_sealed, u.dead_because FROM user_addresses u
               WHERE u.owner_id = $1 AND u.user_id = p.user_id
                 AND u.channel_kind IN (c.channel_kind, c.channel_kind || ':unproven')
               ORDER BY u.channel_kind, u.id DESC LIMIT 1) u ON true
           WHERE m.owner_id = $1 AND m.id = $2 AND m.status IN ('queued', 'sending', 'unknown')""",
        tx.owner_id,
        message_id,
    )


def open_thread(sealer: Sealer, chat_id: UUID, sealed: bytes) -> str:
    """The thread's id on its channel, of a row read by `read_unsent`."""
    return sealer.open_text(sealed, table="chats", column="external_id_sealed", row=chat_id)


def open_content(sealer: Sealer, message_id: UUID, sealed: bytes) -> str:
    """The text of a message row read by `read_unsent`."""
    return sealer.open_text(sealed, table="messages", column="content_sealed", row=message_id)


async def set_back(
    tx: Tx, message_id: UUID, status: str, attempts: int, now: datetime, *, began_at: datetime
) -> None:
    """An attempt, begun at `began_at`, ended without the message having left (`queued`), or with nobody knowing (`unknown`)."""
    await tx.run(
        """UPDATE messages SET status = $3, attempts = $4, status_updated_at = $5,
                  first_tried_at = COALESCE(first_tried_at, $6)
           WHERE owner_id = $1 AND id = $2 AND status IN ('queued', 'sending', 'unknown')""",
        tx.owner_id,
        message_id,
        status,
        attempts,
        now,
        began_at,
    )


async def flag_possible_duplicate(tx: Tx, message_id: UUID) -> None:
    await tx.run(
        "UPDATE messages SET possible_duplicate = true WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        message_id,
    )


async def advance_status(
    tx: Tx,
    message_id: UUID,
    status: str,
    at: datetime,
    *,
    error: str | None = None,
    external_id: str | None = None,
    hops: Sequence[Mapping[str, Any]] | None = None,
    thread_ref: str | None = None,
) -> bool:
    """Move a message's status forward; False where that would have been backwards (what is learnt stays)."""
    news = News(status, at, error, external_id, None if hops is None else list(hops), thread_ref)
    (has_moved,) = await tx.together(advancing(tx, message_id, news))
    return await has_advanced(tx, message_id, news, has_moved)


def advancing(tx: Tx, message_id: UUID, news: News) -> Part:
    """`advance_status` as part of a larger statement; give its result to `has_advanced`."""
    args = (
        tx.owner_id,
        message_id,
        news.status,
        news.at,
        news.error,
        news.external_id,
        news.hops,
        news.thread_ref,
    )
    return Part(_ADVANCE, "(SELECT has_moved FROM moved)", args)


async def has_advanced(tx: Tx, message_id: UUID, news: News, has_moved: bool | None) -> bool:
    """Did the status move? Where it was further already, the news is still learnt from."""
    if has_moved is None and (news.external_id is not None or news.hops is not None):
        await tx.run(_LEARN, tx.owner_id, message_id, news.external_id, news.hops, news.thread_ref)
    return has_moved is not None


async def find_sent(tx: Tx, channel_account_id: UUID, external_id: str) -> tuple[UUID, UUID] | None:
    """(message, chat) of the message of ours that the provider calls so."""
    row = await tx.row(
        """SELECT id, chat_id FROM messages WHERE owner_id = $1 AND channel_account_id = $2 AND direction = 'outbound'
           AND external_id = $3""",
        tx.owner_id,
        channel_account_id,
        external_id,
    )
    return None if row is None else (row["id"], row["chat_id"])


async def read_chat_of_outbound(tx: Tx, message_id: UUID, channel_account_id: UUID) -> UUID | None:
    """The chat of a message of ours that went over this account; None where there is no such message."""
    return await tx.value(
        """SELECT chat_id FROM messages WHERE owner_id = $1 AND id = $2 AND channel_account_id = $3
           AND direction = 'outbound'""",
        tx.owner_id,
        message_id,
        channel_account_id,
    )


async def keep_early_receipt(
    tx: Tx, channel_account_id: UUID, external_id: str, status: str, at: datetime, error: str | None
) -> None:
    """A receipt for a message that nobody here calls so yet: the answer to its send may be on its way."""
    await tx.run(
        """INSERT INTO early_receipts (owner_id, id, channel_account_id, external_id, status, at, error)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        tx.owner_id,
        new_id(),
        channel_account_id,
        external_id,
        status,
        at,
        error,
    )


async def take_early_receipts(tx: Tx, older_than: datetime, count: int = 500) -> Sequence[Row]:
    """Take those out whose message is known by now, with it, in the order they came; drop what nobody came for in time."""
    await tx.run(
        "DELETE FROM early_receipts WHERE owner_id = $1 AND created_at < $2", tx.owner_id, older_than
    )
    return await tx.rows(
        """WITH known AS (
               SELECT r.owner_id, r.id, m.id AS message_id, m.chat_id FROM early_receipts r
               JOIN messages m ON m.owner_id = r.owner_id AND m.channel_account_id = r.channel_account_id
                   AND m.direction = 'outbound' AND m.external_id = r.external_id
               WHERE r.owner_id = $1 ORDER BY r.id LIMIT $2 FOR UPDATE OF r SKIP LOCKED),
           gone AS (
               DELETE FROM early_receipts r USING known k WHERE r.owner_id = k.owner_id AND r.id = k.id
               RETURNING r.id, r.status, r.at, r.error, k.message_id, k.chat_id)
           SELECT * FROM gone ORDER BY id""",
        tx.owner_id,
        count,
    )


async def unconfirmed_sends(tx: Tx, sealer: Sealer, chat_id: UUID) -> list[Message]:
    """Recent messages of ours whose provider id is not known yet, oldest first: echoes are matched with these."""
    rows = await tx.rows(
        f"""SELECT {_MESSAGE} FROM messages WHERE owner_id = $1 AND chat_id = $2 AND direction = 'outbound'
            AND external_id IS NULL AND status IN ('sending', 'unknown', 'sent', 'queued')
            AND seq > (SELECT last_seq - 200 FROM chats WHERE owner_id = $1 AND id = $2)
            ORDER BY seq LIMIT 50""",
        tx.owner_id,
        chat_id,
    )
    return [_message(sealer, r) for r in rows]


# ── rows to nouns ───────────────────────────────────────────────────────────────────────────────────────────────────


def _chat(sealer: Sealer, row: Row) -> Chat:
    fields = dict(row)
    sealed = fields.pop("external_id_sealed")
    fields["external_id"] = sealer.open_text(
        sealed, table="chats", column="external_id_sealed", row=row["id"]
    )
    return Chat(**fields)


def _message(sealer: Sealer, row: Row) -> Message:
    fields = dict(row)
    rich = fields.pop("rich_content_sealed")
    fields["content"] = open_content(sealer, row["id"], fields.pop("content_sealed"))
    fields["rich_content"] = (
        None
        if rich is None
        else orjson.loads(sealer.open(rich, table="messages", column="rich_content_sealed", row=row["id"]))
    )
    return Message(**fields)


def _sealed(sealer: Sealer, column: str, message_id: UUID, content: str | bytes) -> bytes:
    return sealer.seal(content, table="messages", column=column, row=message_id)


def _sealed_json(
    sealer: Sealer, column: str, message_id: UUID, content: Mapping[str, Any] | None
) -> bytes | None:
    return None if content is None else _sealed(sealer, column, message_id, orjson.dumps(dict(content)))
