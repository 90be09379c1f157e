"""Who has read how far: our messages by the people outside, theirs by the owner's side. It only goes forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from a1zap.db.pool import Tx

UNREAD_COUNTED_MAX = 100


@dataclass(frozen=True, slots=True)
class ReadSoFar:
    """Up to which message of the chat each side has read. An agent has read what it has answered."""

    by_owner: int
    by_people: int


# A status that is further already, or failed, stays. Nobody reads what is not written yet.
_READ_BY_PERSON = """
    WITH before AS (
        SELECT p.read_seq, least($4::bigint, c.last_seq) AS seq FROM chat_participants p
        JOIN chats c ON c.owner_id = p.owner_id AND c.id = p.chat_id
        WHERE p.owner_id = $1 AND p.chat_id = $2 AND p.user_id = $3),
    reader AS (
        UPDATE chat_participants SET read_seq = before.seq FROM before
        WHERE owner_id = $1 AND chat_id = $2 AND user_id = $3 AND chat_participants.read_seq < before.seq),
    moved AS (
        UPDATE messages m SET status = 'read', status_updated_at = $5 FROM before
        WHERE m.owner_id = $1 AND m.chat_id = $2 AND m.seq > before.read_seq AND m.seq <= before.seq
          AND m.direction = 'outbound' AND m.status IN ('sent', 'delivered')
        RETURNING m.id, m.seq)
    SELECT id FROM moved ORDER BY seq
"""


async def mark_read_by_person(
    tx: Tx, chat_id: UUID, person_id: UUID, seq: int, now: datetime
) -> Sequence[UUID]:
    """Somebody outside has read up to `seq`: our messages that became `read` by it, in order.

    Call it with the chat's row locked.
    """
    rows = await tx.rows(_READ_BY_PERSON, tx.owner_id, chat_id, person_id, seq, now)
    return [r["id"] for r in rows]


async def mark_read_by_owner(tx: Tx, chat_id: UUID, seq: int) -> bool:
    """The owner's side has read up to `seq`; False where it had before. Call it with the chat's row locked."""
    moved = await tx.value(
        """UPDATE chats SET owner_read_seq = least($3::bigint, last_seq)
           WHERE owner_id = $1 AND id = $2 AND owner_read_seq < least($3::bigint, last_seq) RETURNING true""",
        tx.owner_id,
        chat_id,
        seq,
    )
    return moved or False


async def read_so_far(tx: Tx, chat_id: UUID) -> ReadSoFar:
    row = await tx.row(
        """SELECT greatest(c.owner_read_seq, c.answered_seq) AS by_owner,
                  (SELECT COALESCE(max(p.read_seq), 0) FROM chat_participants p
                   WHERE p.owner_id = $1 AND p.chat_id = $2) AS by_people
           FROM chats c WHERE c.owner_id = $1 AND c.id = $2""",
        tx.owner_id,
        chat_id,
    )
    return ReadSoFar(0, 0) if row is None else ReadSoFar(**dict(row))


async def count_unread(
    tx: Tx, chat_ids: Sequence[UUID], *, person_id: UUID | None = None
) -> Mapping[UUID, int]:
    """How many messages of each chat nobody on the owner's side has read, or the person has not; at most 100 are counted."""
    rows = await tx.rows(
        """SELECT c.id, n.unread FROM unnest($2::uuid[]) AS wanted(id)
           JOIN chats c ON c.owner_id = $1 AND c.id = wanted.id
           LEFT JOIN chat_participants p ON p.owner_id = $1 AND p.chat_id = c.id AND p.user_id = $3
           CROSS JOIN LATERAL (
               SELECT count(*) AS unread FROM (
                   SELECT 1 FROM messages m WHERE m.owner_id = $1 AND m.chat_id = c.id
                   AND m.seq > CASE WHEN $3::uuid IS NULL THEN c.owner_read_seq ELSE COALESCE(p.read_seq, 0) END
                   AND m.direction = CASE WHEN $3::uuid IS NULL THEN 'inbound' ELSE 'outbound' END
                   LIMIT $4) counted) n""",
        tx.owner_id,
        list(chat_ids),
        person_id,
        UNREAD_COUNTED_MAX,
    )
    return {r["id"]: r["unread"] for r in rows}


async def pass_chats_on(tx: Tx, channel_account_id: UUID, before: UUID, after: UUID) -> Sequence[UUID]:
    """What one person began over a channel is another's from now on, because they are the same: the chats moved."""
    rows = await tx.rows(
        """WITH theirs AS (
               SELECT p.chat_id, p.role, p.joined_at, p.read_seq FROM chat_participants p
               JOIN chats c ON c.owner_id = p.owner_id AND c.id = p.chat_id AND c.channel_account_id = $2
               WHERE p.owner_id = $1 AND p.user_id = $3),
           added AS (
               INSERT INTO chat_participants (owner_id, chat_id, user_id, role, joined_at, read_seq)
               SELECT $1, chat_id, $4, role, joined_at, read_seq FROM theirs ON CONFLICT DO NOTHING),
           renamed AS (
               UPDATE messages m SET sender_id = $4 FROM theirs
               WHERE m.owner_id = $1 AND m.chat_id = theirs.chat_id AND m.sender_id = $3),
           gone AS (
               DELETE FROM chat_participants p USING theirs
               WHERE p.owner_id = $1 AND p.chat_id = theirs.chat_id AND p.user_id = $3)
           SELECT chat_id FROM theirs""",
        tx.owner_id,
        channel_account_id,
        before,
        after,
    )
    return [r["chat_id"] for r in rows]
