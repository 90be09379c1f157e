"""All SQL of live events and drafts."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from a1zap.db.parts import Part
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.live.model import Draft, EventKind, LiveEvent

Events = Sequence[tuple[EventKind, UUID]]

# Whoever has an endpoint for webhooks is told through it, in the same transaction; who has none pays for one look into
# an index (migration 20261123000006).
_RECORD = """recorded AS (
    INSERT INTO live_events (owner_id, chat_id, kind, subject_id)
    SELECT $1, $2, e.kind, e.subject_id
    FROM unnest($3::text[], $4::uuid[]) WITH ORDINALITY AS e(kind, subject_id, place) ORDER BY e.place)"""
_HAS_HOOKS = "EXISTS (SELECT 1 FROM webhook_endpoints WHERE owner_id = $1 AND status <> 'disabled')"


async def record_event(tx: Tx, chat_id: UUID, kind: EventKind, subject_id: UUID) -> None:
    """Write one event down; see `record_events`."""
    await record_events(tx, chat_id, [(kind, subject_id)])


async def record_events(tx: Tx, chat_id: UUID, events: Events) -> None:
    """Write events down in this order, with what they tell of, in one transaction.

    Call it with the chat's row locked: then ids grow in the order of the commits, and a watcher who has seen one has
    seen all before it.
    """
    (has_hooks,) = await tx.together(recording(tx, chat_id, events))
    if has_hooks:
        await tell_hooks(tx, chat_id, events)


def recording(tx: Tx, chat_id: UUID, events: Events) -> Part:
    """`record_events` as part of a larger statement. Its result: must `tell_hooks` be called after it?"""
    return Part(_RECORD, _HAS_HOOKS, _event_args(tx, chat_id, events))


async def tell_hooks(tx: Tx, chat_id: UUID, events: Events) -> None:
    """Owe these events to the owner's endpoints. A statement of its own, because it reads what the events tell of."""
    await tx.run("SELECT a1zap.tell_hooks($1, $2, $3, $4)", *_event_args(tx, chat_id, events))


def _event_args(tx: Tx, chat_id: UUID, events: Events) -> Sequence[object]:
    return tx.owner_id, chat_id, [kind for kind, _ in events], [subject_id for _, subject_id in events]


async def events_after(tx: Tx, chat_id: UUID, after_id: int, count: int = 200) -> list[LiveEvent]:
    rows = await tx.rows(
        """SELECT id, chat_id, kind, subject_id FROM live_events
           WHERE owner_id = $1 AND chat_id = $2 AND id > $3 ORDER BY id LIMIT $4""",
        tx.owner_id,
        chat_id,
        after_id,
        count,
    )
    return [LiveEvent(**dict(r)) for r in rows]


async def find_event(tx: Tx, chat_id: UUID, kind: EventKind, subject_id: UUID) -> int | None:
    """The newest event of that kind about that subject; None where there is none (any more)."""
    return await tx.value(
        """SELECT id FROM live_events WHERE owner_id = $1 AND chat_id = $2 AND kind = $3 AND subject_id = $4
           ORDER BY id DESC LIMIT 1""",
        tx.owner_id,
        chat_id,
        kind,
        subject_id,
    )


async def last_event_id(tx: Tx, chat_id: UUID) -> int:
    """The newest event of the chat; 0 where there is none."""
    return await tx.value(
        "SELECT COALESCE(max(id), 0) FROM live_events WHERE owner_id = $1 AND chat_id = $2",
        tx.owner_id,
        chat_id,
    )


async def write_draft(tx: Tx, sealer: Sealer, chat_id: UUID, turn_id: UUID, text: str) -> None:
    """Replace what the chat's running turn has said so far. Need not survive a crash, so it does not wait for the disk."""
    await tx.run("SET LOCAL synchronous_commit = off")
    await tx.run(
        """INSERT INTO turn_drafts (owner_id, chat_id, turn_id, text_sealed) VALUES ($1, $2, $3, $4)
           ON CONFLICT (owner_id, chat_id) DO UPDATE
           SET turn_id = EXCLUDED.turn_id, text_sealed = EXCLUDED.text_sealed, updated_at = now()""",
        tx.owner_id,
        chat_id,
        turn_id,
        sealer.seal(text, table="turn_drafts", column="text_sealed", row=turn_id),
    )


async def read_draft(tx: Tx, sealer: Sealer, chat_id: UUID) -> Draft | None:
    """What the chat's running turn has said so far; None where nobody is typing."""
    row = await tx.row(
        """SELECT turn_id, text_sealed FROM turn_drafts
           WHERE owner_id = $1 AND chat_id = $2 AND updated_at > now() - interval '2 minutes'""",
        tx.owner_id,
        chat_id,
    )
    if row is None:
        return None
    text = sealer.open_text(row["text_sealed"], table="turn_drafts", column="text_sealed", row=row["turn_id"])
    return Draft(turn_id=row["turn_id"], text=text)


async def drop_draft(tx: Tx, chat_id: UUID) -> None:
    await tx.run("DELETE FROM turn_drafts WHERE owner_id = $1 AND chat_id = $2", tx.owner_id, chat_id)
