"""All SQL of messages of ours on their way: what stands before them, how far they are, what the other side calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from a1zap.chats.model import (
    Message,
    News,
    ThreadRead,
)
from a1zap.chats.rows import (
    MESSAGE,
    message_of_row,
)
from a1zap.db.parts import Part
from a1zap.db.pool import Row, Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id

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


EARLY_WITHIN = timedelta(days=2)  # that a receipt which waits is looked for


async def take_early_receipts(
    tx: Tx, older_than: datetime, *, within: timedelta = EARLY_WITHIN, count: int = 500
) -> Sequence[Row]:
    """Take those out whose message is known by now, with it, in the order they came; drop what nobody came for in time.

    Only those that came `within` this time are looked at: another program that sends over the same number makes
    thousands that nobody ever comes for.
    """
    await tx.run(
        "DELETE FROM early_receipts WHERE owner_id = $1 AND created_at < $2", tx.owner_id, older_than
    )
    return await tx.rows(
        """WITH known AS (
               SELECT r.owner_id, r.id, m.id AS message_id, m.chat_id FROM early_receipts r
               JOIN messages m ON m.owner_id = r.owner_id AND m.channel_account_id = r.channel_account_id
                   AND m.direction = 'outbound' AND m.external_id = r.external_id
               WHERE r.owner_id = $1 AND r.created_at > now() - $3::interval
               ORDER BY r.id LIMIT $2 FOR UPDATE OF r SKIP LOCKED),
           gone AS (
               DELETE FROM early_receipts r USING known k WHERE r.owner_id = k.owner_id AND r.id = k.id
               RETURNING r.id, r.status, r.at, r.error, k.message_id, k.chat_id)
           SELECT * FROM gone ORDER BY id""",
        tx.owner_id,
        count,
        within,
    )


async def unconfirmed_sends(tx: Tx, sealer: Sealer, chat_id: UUID) -> list[Message]:
    """Recent messages of ours whose provider id is not known yet, oldest first: echoes are matched with these."""
    rows = await tx.rows(
        f"""SELECT {MESSAGE} FROM messages WHERE owner_id = $1 AND chat_id = $2 AND direction = 'outbound'
            AND external_id IS NULL AND status IN ('sending', 'unknown', 'sent', 'queued')
            AND seq > (SELECT last_seq - 200 FROM chats WHERE owner_id = $1 AND id = $2)
            ORDER BY seq LIMIT 50""",
        tx.owner_id,
        chat_id,
    )
    return [message_of_row(sealer, r) for r in rows]


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
