"""All SQL of the lanes. The queue tables are pgmq's; the message group of an entry is its chat.

Entries hold ids only, never text, and are claimed before the owner is known: they are the one place that is not an
owner's. What they point at is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from a1zap.db.parts import Part
from a1zap.db.pool import Row, Tx
from a1zap.kit.ids import new_id
from a1zap.queue.model import QUEUES, DeadLetter, Entry, LeaseLost, QueueName

_GROUP = "headers ->> 'x-pgmq-group'"

# pgmq's own read_grouped_head aggregates the whole queue at each call (docs/performance.md has the figures at 100,000
# waiting entries). This asks the same question the other way round: visible entries, oldest first, that nobody of
# their lane stands before; one index probe each. The heads go into an array, because plans are kept without knowing
# the limit: joined, PostgreSQL expects a tenth of the queue and reads all of it (14 to 20 ms a claim instead of 0.6 to 0.9).
_CLAIM = {
    queue: f"""
    WITH heads AS (
        SELECT q.msg_id FROM pgmq.q_{queue} q
        WHERE q.vt <= now() AND NOT EXISTS (
            SELECT 1 FROM pgmq.q_{queue} e WHERE e.{_GROUP} = q.{_GROUP} AND e.msg_id < q.msg_id)
        ORDER BY q.msg_id LIMIT $1 FOR UPDATE SKIP LOCKED)
    UPDATE pgmq.q_{queue} m SET vt = now() + $2::interval, read_ct = m.read_ct + 1, last_read_at = now()
    WHERE m.msg_id = ANY (ARRAY(SELECT msg_id FROM heads))
    RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.message
    """
    for queue in QUEUES
}

# A chat has at most one entry that nobody has begun: a further message moves its time instead of adding one.
_PUT_TURN = f"""waiting_turn AS (
        UPDATE pgmq.q_turns SET vt = $3 WHERE {_GROUP} = $1::text AND read_ct = 0 AND {{only_if}} RETURNING msg_id),
    put_turn AS (
        INSERT INTO pgmq.q_turns (vt, message, headers)
        SELECT $3, $2::jsonb, jsonb_build_object('x-pgmq-group', $1::text)
        WHERE {{only_if}} AND NOT EXISTS (SELECT 1 FROM waiting_turn))"""

# The entry goes with what came of it, and tells whether another of its lane stands behind it.
_FINISH = {
    queue: f"""finished AS (
        DELETE FROM pgmq.q_{queue} m WHERE m.msg_id = $1 AND m.read_ct = $2
        RETURNING EXISTS (
            SELECT 1 FROM pgmq.q_{queue} e WHERE e.{_GROUP} = m.{_GROUP} AND e.msg_id > m.msg_id) AS has_next)"""
    for queue in QUEUES
}

_PUT = {
    queue: f"""
    INSERT INTO pgmq.q_{queue} (vt, message, headers)
    VALUES (now(), $2::jsonb, jsonb_build_object('x-pgmq-group', $1::text))
    """
    for queue in QUEUES
}

# Lane, subject and time come in rows: one that waits for its time already has it moved, as a chat's turn has.
_PUT_EACH = {
    queue: f"""
    WITH due AS (SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) AS d(lane, subject, at)),
    waiting AS (
        UPDATE pgmq.q_{queue} q SET vt = d.at FROM due d
        WHERE q.{_GROUP} = d.lane::text AND q.read_ct = 0 AND q.message ->> 's' = d.subject::text
        RETURNING d.lane, d.subject)
    INSERT INTO pgmq.q_{queue} (vt, message, headers)
    SELECT d.at, jsonb_build_object('o', $1::text, 'c', d.lane, 's', d.subject), jsonb_build_object('x-pgmq-group', d.lane)
    FROM due d WHERE NOT EXISTS (SELECT 1 FROM waiting w WHERE w.lane = d.lane AND w.subject = d.subject)
    """
    for queue in QUEUES
}


async def put_turn(tx: Tx, chat_id: UUID, due_at: datetime) -> None:
    """The chat wants a turn, not before `due_at`. Call it with the chat's row locked."""
    await tx.together(putting_turn(tx, chat_id, due_at))


def putting_turn(tx: Tx, chat_id: UUID, due_at: datetime, *, only_if: str = "true") -> Part:
    """`put_turn` as part of a larger statement; `only_if` is SQL over the other parts' tables."""
    text = _PUT_TURN.format(only_if=only_if)
    return Part(text, "true", (str(chat_id), _payload(tx.owner_id, chat_id, None), due_at))


async def put_delivery(tx: Tx, chat_id: UUID, message_id: UUID, *, attempts_before: int = 0) -> None:
    """The message wants to leave, after everything that was put for its chat before it."""
    payload = _payload(tx.owner_id, chat_id, message_id, attempts_before)
    await tx.run(_PUT["deliveries"], str(chat_id), payload)


def putting_delivery(tx: Tx, chat_id: UUID, message_id: UUID) -> Part:
    """`put_delivery` as part of a larger statement."""
    payload = _payload(tx.owner_id, chat_id, message_id)
    return Part(f"put_delivery AS ({_PUT['deliveries']})", "true", (str(chat_id), payload))


async def put_entry(tx: Tx, queue: QueueName, lane: UUID, subject_id: UUID) -> None:
    """The subject wants to be worked on, after everything that was put into its lane before it."""
    await tx.run(_PUT[queue], str(lane), _payload(tx.owner_id, lane, subject_id))


async def put_each(tx: Tx, queue: QueueName, due: Sequence[tuple[UUID, UUID, datetime]]) -> None:
    """Each (lane, subject, time): the subject wants to be worked on, not before that time.

    One that waits in that lane already only has its time moved. Call it with the subjects' rows locked.
    """
    if due:
        await tx.run(
            _PUT_EACH[queue],
            str(tx.owner_id),
            [lane for lane, _, _ in due],
            [subject for _, subject, _ in due],
            [at for _, _, at in due],
        )


async def claim(tx: Tx, queue: QueueName, count: int, lease: timedelta) -> list[Entry]:
    """The next free lanes' heads, at most `count`, ours for `lease`."""
    return [_entry(queue, r) for r in await tx.rows(_CLAIM[queue], count, lease)]


async def next_due_s(tx: Tx, queue: QueueName) -> float | None:
    """Seconds until an entry that waits becomes visible: a settle time, a pause, a lease; None where none does."""
    return await tx.value(
        f"SELECT EXTRACT(EPOCH FROM min(vt) - now())::float8 FROM pgmq.q_{queue} WHERE vt > now()"
    )


async def finish(tx: Tx, entry: Entry) -> bool:
    """Remove the entry, in the transaction that writes what came of it. Does another of its lane stand behind it?

    Raises:
        LeaseLost: another worker claimed it in the meantime; roll back.
    """
    (has_next,) = await tx.together(finishing(entry))
    return was_finished(entry, has_next)


def finishing(entry: Entry) -> Part:
    """`finish` as part of a larger statement; give its result to `was_finished`."""
    return Part(_FINISH[entry.queue], "(SELECT has_next FROM finished)", (entry.id, entry.attempt))


def was_finished(entry: Entry, has_next: bool | None) -> bool:
    """Does another of the lane stand behind the entry that was finished?

    Raises:
        LeaseLost: it was not ours any more; roll back.
    """
    if has_next is None:
        raise LeaseLost(f"{entry.queue} entry {entry.id}, attempt {entry.attempt}")
    return has_next


async def extend(tx: Tx, queue: QueueName, entries: Sequence[Entry], lease: timedelta) -> None:
    """The heartbeat: we are still at it."""
    await tx.run(
        f"""UPDATE pgmq.q_{queue} m SET vt = now() + $3::interval
            FROM unnest($1::bigint[], $2::int[]) AS held(id, attempt)
            WHERE m.msg_id = held.id AND m.read_ct = held.attempt""",
        [e.id for e in entries],
        [e.attempt for e in entries],
        lease,
    )


async def put_back(tx: Tx, entry: Entry, wait: timedelta) -> None:
    """Give the entry back, to be claimed again after `wait`. Its lane waits with it."""
    await tx.run(
        f"""UPDATE pgmq.q_{entry.queue} SET vt = now() + $3::interval
            WHERE msg_id = $1 AND read_ct = $2""",
        entry.id,
        entry.attempt,
        wait,
    )


async def bury(tx: Tx, entry: Entry, reason: str) -> None:
    """Too many failures: out of the lane, into the dead letters, where the owner can see and replay it."""
    await finish(tx, entry)
    await tx.run(
        """INSERT INTO dead_letters (owner_id, id, queue, chat_id, payload, attempts, reason)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        tx.owner_id,
        new_id(),
        entry.queue,
        entry.chat_id,
        _payload(tx.owner_id, entry.chat_id, entry.subject_id, entry.tries),
        entry.attempt,
        reason[:500],
    )


async def dead_letters(tx: Tx, count: int) -> list[DeadLetter]:
    """The owner's dead letters, newest first."""
    rows = await tx.rows(
        """SELECT id, queue, chat_id, attempts, reason, created_at, replayed_at FROM dead_letters
           WHERE owner_id = $1 ORDER BY created_at DESC LIMIT $2""",
        tx.owner_id,
        count,
    )
    return [DeadLetter(**dict(r)) for r in rows]


async def replay(tx: Tx, letter_id: UUID, now: datetime) -> DeadLetter | None:
    """Put a dead letter back into its lane; None where there is no such letter or it has been replayed already."""
    row = await tx.row(
        """UPDATE dead_letters SET replayed_at = $3 WHERE owner_id = $1 AND id = $2 AND replayed_at IS NULL
           RETURNING id, queue, chat_id, attempts, reason, created_at, replayed_at, payload""",
        tx.owner_id,
        letter_id,
        now,
    )
    if row is None:
        return None
    if row["queue"] == "turns":
        await put_turn(tx, row["chat_id"], now)
    elif row["queue"] != "deliveries":
        await put_entry(tx, row["queue"], row["chat_id"], UUID(row["payload"]["s"]))
    else:
        # Its tries are counted on, or a worker that dies with it now would go unseen (see deliver_message).
        tries = row["payload"].get("a", 0)
        await put_delivery(tx, row["chat_id"], UUID(row["payload"]["s"]), attempts_before=tries)
    return DeadLetter(**{k: v for k, v in dict(row).items() if k != "payload"})


async def depths(tx: Tx) -> dict[QueueName, tuple[int, float]]:
    """Entries waiting and seconds since the oldest was due, by queue: for metrics and readiness."""
    found: dict[QueueName, tuple[int, float]] = {}
    for queue in QUEUES:
        row = await tx.row(
            f"""SELECT count(*) AS waiting,
                       COALESCE(EXTRACT(EPOCH FROM now() - min(vt) FILTER (WHERE vt <= now())), 0)::float8 AS late_s
                FROM pgmq.q_{queue}"""
        )
        found[queue] = (row["waiting"], row["late_s"]) if row else (0, 0.0)
    return found


def _payload(
    owner_id: UUID, chat_id: UUID, subject_id: UUID | None, attempts_before: int = 0
) -> dict[str, str | int]:
    payload: dict[str, str | int] = {"o": str(owner_id), "c": str(chat_id)}
    if subject_id is not None:
        payload["s"] = str(subject_id)
    if attempts_before:
        payload["a"] = attempts_before
    return payload


def _entry(queue: QueueName, row: Row) -> Entry:
    message = row["message"]
    subject = message.get("s")
    return Entry(
        queue=queue,
        id=row["msg_id"],
        attempt=row["read_ct"],
        owner_id=UUID(message["o"]),
        chat_id=UUID(message["c"]),
        subject_id=UUID(subject) if subject else None,
        enqueued_at=row["enqueued_at"],
        attempts_before=message.get("a", 0),
    )
