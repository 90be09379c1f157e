"""All SQL of endpoints and their deliveries.

What makes deliveries out of events are the functions of migration 20261123000006: they are called in the transaction
of what happened, from rooms far below this one.
Locks are taken in one order: the delivery, then its endpoint.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from a1zap.db.pool import Row, Tx
from a1zap.hooks.model import (
    Delivery,
    DeliveryStatus,
    Endpoint,
    EndpointChange,
    EndpointWanted,
    Owed,
    lane_of,
)
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id

_ENDPOINT = """id, url_sealed, description, events, agent_id, include_content, status, disabled_because, failing_since,
    held_until, old_secret_until, created_at"""
_DELIVERY = """id, endpoint_id, event_type, chat_id, subject_id, attempts, status, next_attempt_at, last_status,
    last_error, last_answer_sealed, created_at, delivered_at"""
_ENDPOINTS, _DELIVERIES = "webhook_endpoints", "webhook_deliveries"


# ── endpoints ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def insert_endpoint(tx: Tx, sealer: Sealer, wanted: EndpointWanted, secret: str) -> Endpoint:
    endpoint_id = new_id()
    row = await tx.row(
        f"""INSERT INTO webhook_endpoints
                (owner_id, id, url_sealed, description, events, agent_id, include_content, secret_sealed)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_ENDPOINT}""",
        tx.owner_id,
        endpoint_id,
        sealer.seal(wanted.url, table=_ENDPOINTS, column="url_sealed", row=endpoint_id),
        wanted.description,
        list(wanted.events),
        wanted.agent_id,
        wanted.include_content,
        sealer.seal(secret, table=_ENDPOINTS, column="secret_sealed", row=endpoint_id),
    )
    return _endpoint(sealer, row)


async def count_endpoints(tx: Tx) -> int:
    return await tx.value("SELECT count(*) FROM webhook_endpoints WHERE owner_id = $1", tx.owner_id)


async def list_endpoints(tx: Tx, sealer: Sealer) -> list[Endpoint]:
    """The owner's endpoints, oldest first."""
    rows = await tx.rows(
        f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE owner_id = $1 ORDER BY id", tx.owner_id
    )
    return [_endpoint(sealer, r) for r in rows]


async def read_endpoint(tx: Tx, sealer: Sealer, endpoint_id: UUID) -> Endpoint | None:
    row = await tx.row(
        f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE owner_id = $1 AND id = $2", tx.owner_id, endpoint_id
    )
    return None if row is None else _endpoint(sealer, row)


async def change_endpoint(
    tx: Tx, sealer: Sealer, endpoint_id: UUID, change: EndpointChange
) -> Endpoint | None:
    """Change what is given; one that is made active starts with a clean record."""
    url = change.url
    row = await tx.row(
        f"""UPDATE webhook_endpoints SET
                url_sealed = COALESCE($3, url_sealed), description = COALESCE($4, description),
                events = COALESCE($5, events), include_content = COALESCE($6, include_content),
                status = COALESCE($7, status),
                disabled_because = CASE WHEN $7 IS NULL THEN disabled_because END,
                failing_since = CASE WHEN $7 = 'active' THEN NULL ELSE failing_since END,
                held_until = CASE WHEN $7 = 'active' THEN NULL ELSE held_until END
            WHERE owner_id = $1 AND id = $2 RETURNING {_ENDPOINT}""",
        tx.owner_id,
        endpoint_id,
        None if url is None else sealer.seal(url, table=_ENDPOINTS, column="url_sealed", row=endpoint_id),
        change.description,
        None if change.events is None else list(change.events),
        change.include_content,
        change.status,
    )
    return None if row is None else _endpoint(sealer, row)


async def replace_secret(
    tx: Tx, sealer: Sealer, endpoint_id: UUID, secret: str, old_until: datetime
) -> Endpoint | None:
    """From now on `secret` signs, and the one before it as well until `old_until`."""
    row = await tx.row(
        "SELECT secret_sealed FROM webhook_endpoints WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE",
        tx.owner_id,
        endpoint_id,
    )
    if row is None:
        return None
    old = sealer.open_text(row["secret_sealed"], table=_ENDPOINTS, column="secret_sealed", row=endpoint_id)
    changed = await tx.row(
        f"""UPDATE webhook_endpoints SET secret_sealed = $3, old_secret_sealed = $4, old_secret_until = $5
            WHERE owner_id = $1 AND id = $2 RETURNING {_ENDPOINT}""",
        tx.owner_id,
        endpoint_id,
        sealer.seal(secret, table=_ENDPOINTS, column="secret_sealed", row=endpoint_id),
        sealer.seal(old, table=_ENDPOINTS, column="old_secret_sealed", row=endpoint_id),
        old_until,
    )
    return _endpoint(sealer, changed)


async def delete_endpoint(tx: Tx, endpoint_id: UUID) -> bool:
    """The endpoint goes, and its log with it."""
    await tx.run(
        "DELETE FROM webhook_deliveries WHERE owner_id = $1 AND endpoint_id = $2", tx.owner_id, endpoint_id
    )
    gone = await tx.value(
        "DELETE FROM webhook_endpoints WHERE owner_id = $1 AND id = $2 RETURNING id", tx.owner_id, endpoint_id
    )
    return gone is not None


async def note_success(tx: Tx, endpoint_id: UUID) -> None:
    await tx.run(
        """UPDATE webhook_endpoints SET failing_since = NULL, held_until = NULL
           WHERE owner_id = $1 AND id = $2 AND (failing_since IS NOT NULL OR held_until IS NOT NULL)""",
        tx.owner_id,
        endpoint_id,
    )


async def note_failure(
    tx: Tx, endpoint_id: UUID, now: datetime, held_until: datetime | None
) -> datetime | None:
    """Since when nothing has been taken; None where the endpoint is gone."""
    return await tx.value(
        """UPDATE webhook_endpoints SET failing_since = COALESCE(failing_since, $3),
               held_until = GREATEST(held_until, $4)
           WHERE owner_id = $1 AND id = $2 RETURNING failing_since""",
        tx.owner_id,
        endpoint_id,
        now,
        held_until,
    )


async def disable_endpoint(tx: Tx, endpoint_id: UUID, because: str) -> bool:
    """Tell it nothing more; False where it was so already."""
    done = await tx.value(
        """UPDATE webhook_endpoints SET status = 'disabled', disabled_because = $3
           WHERE owner_id = $1 AND id = $2 AND status <> 'disabled' RETURNING id""",
        tx.owner_id,
        endpoint_id,
        because,
    )
    return done is not None


# ── deliveries ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def insert_delivery(
    tx: Tx, sealer: Sealer, endpoint_id: UUID, event_type: str, facts: dict[str, Any]
) -> Delivery:
    """A delivery that no event made (a test)."""
    row = await tx.row(
        f"""INSERT INTO webhook_deliveries (owner_id, id, endpoint_id, event_type, facts, next_attempt_at)
            VALUES ($1, $2, $3, $4, $5, now()) RETURNING {_DELIVERY}""",
        tx.owner_id,
        new_id(),
        endpoint_id,
        event_type,
        facts,
    )
    return _delivery(sealer, row)


async def take_up(tx: Tx, sealer: Sealer, delivery_id: UUID, now: datetime) -> Owed | None:
    """A delivery with its endpoint, both held until the transaction ends; None where it is gone.

    Whether it is early is the database's to say: its clock decides when entries are seen.
    """
    row = await tx.row(
        """SELECT d.id, d.endpoint_id, d.event_type, d.chat_id, d.subject_id, d.facts, d.attempts, d.status, d.created_at, d.next_attempt_at,
                  d.payload_sealed, d.next_attempt_at > now() + interval '1 second' AS is_early,
                  CASE WHEN e.held_until > now() THEN e.held_until END AS held_until,
                  e.status AS endpoint_status, e.failing_since, e.include_content, e.url_sealed, e.secret_sealed,
                  CASE WHEN e.old_secret_until > $3 THEN e.old_secret_sealed END AS old_secret_sealed
           FROM webhook_deliveries d JOIN webhook_endpoints e ON e.owner_id = d.owner_id AND e.id = d.endpoint_id
           WHERE d.owner_id = $1 AND d.id = $2 FOR NO KEY UPDATE OF d FOR SHARE OF e""",
        tx.owner_id,
        delivery_id,
        now,
    )
    return None if row is None else _owed(sealer, row)


async def keep_payload(tx: Tx, sealer: Sealer, delivery_id: UUID, payload: bytes) -> None:
    """What every attempt sends from here on."""
    await tx.run(
        "UPDATE webhook_deliveries SET payload_sealed = $3 WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        delivery_id,
        sealer.seal(payload, table=_DELIVERIES, column="payload_sealed", row=delivery_id),
    )


async def end_attempt(
    tx: Tx,
    sealer: Sealer,
    delivery_id: UUID,
    status: DeliveryStatus,
    *,
    next_attempt_at: datetime | None = None,
    answered: int | None = None,
    error: str | None = None,
    answer: str | None = None,
    delivered_at: datetime | None = None,
) -> None:
    """What came of an attempt. One that was delivered meanwhile stays so."""
    await tx.run(
        """UPDATE webhook_deliveries SET status = $3, next_attempt_at = $4, last_status = $5, last_error = $6,
               last_answer_sealed = $7, delivered_at = $8, attempts = attempts + 1
           WHERE owner_id = $1 AND id = $2 AND status <> 'delivered'""",
        tx.owner_id,
        delivery_id,
        status,
        next_attempt_at,
        answered,
        error,
        None
        if not answer
        else sealer.seal(answer, table=_DELIVERIES, column="last_answer_sealed", row=delivery_id),
        delivered_at,
    )


async def give_up(tx: Tx, delivery_id: UUID, why: str) -> None:
    """No attempt was made, and none will be."""
    await tx.run(
        """UPDATE webhook_deliveries SET status = 'given_up', next_attempt_at = NULL, last_error = $3
           WHERE owner_id = $1 AND id = $2""",
        tx.owner_id,
        delivery_id,
        why,
    )


async def begin_again(
    tx: Tx,
    endpoint_id: UUID,
    *,
    delivery_id: UUID | None = None,
    since: datetime | None = None,
    count: int = 1,
) -> list[tuple[UUID, UUID]]:
    """A new round for one delivery, or for those since a time that failed; (lane, delivery) of each, now locked."""
    rows = await tx.rows(
        """UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_attempt_at = now(), delivered_at = NULL
           WHERE owner_id = $1 AND id IN (
               SELECT id FROM webhook_deliveries
               WHERE owner_id = $1 AND endpoint_id = $2
                 AND CASE WHEN $3::uuid IS NULL THEN status IN ('failed', 'given_up') AND created_at >= $4
                          ELSE id = $3 END
               ORDER BY id LIMIT $5 FOR NO KEY UPDATE)
           RETURNING id, chat_id""",
        tx.owner_id,
        endpoint_id,
        delivery_id,
        since,
        count,
    )
    return sorted((lane_of(endpoint_id, r["chat_id"] or r["id"]), r["id"]) for r in rows)


async def unfinished(tx: Tx, endpoint_id: UUID) -> list[tuple[UUID, UUID, datetime]]:
    """(lane, delivery, when) of what an endpoint that was paused is still owed. They wait in lanes of their own."""
    rows = await tx.rows(
        """SELECT id, COALESCE(next_attempt_at, now()) AS at FROM webhook_deliveries
           WHERE owner_id = $1 AND endpoint_id = $2 AND status IN ('pending', 'failed') ORDER BY id""",
        tx.owner_id,
        endpoint_id,
    )
    return [(r["id"], r["id"], r["at"]) for r in rows]


async def list_deliveries(
    tx: Tx, sealer: Sealer, endpoint_id: UUID, *, status: str | None, before: UUID | None, count: int
) -> list[Delivery]:
    """An endpoint's log, newest first."""
    rows = await tx.rows(
        f"""SELECT {_DELIVERY} FROM webhook_deliveries WHERE owner_id = $1 AND endpoint_id = $2
            AND ($3::text IS NULL OR status = $3) AND ($4::uuid IS NULL OR id < $4) ORDER BY id DESC LIMIT $5""",
        tx.owner_id,
        endpoint_id,
        status,
        before,
        count,
    )
    return [_delivery(sealer, r) for r in rows]


async def read_delivery(
    tx: Tx, sealer: Sealer, endpoint_id: UUID, delivery_id: UUID
) -> tuple[Delivery, bytes | None] | None:
    """A delivery with what is sent, once that is made."""
    row = await tx.row(
        f"""SELECT {_DELIVERY}, payload_sealed FROM webhook_deliveries
            WHERE owner_id = $1 AND endpoint_id = $2 AND id = $3""",
        tx.owner_id,
        endpoint_id,
        delivery_id,
    )
    return None if row is None else (_delivery(sealer, row), _payload(sealer, row))


def _endpoint(sealer: Sealer, row: Row) -> Endpoint:
    columns = dict(row)
    url = columns.pop("url_sealed")
    return Endpoint(
        url=sealer.open_text(url, table=_ENDPOINTS, column="url_sealed", row=row["id"]), **columns
    )


def _delivery(sealer: Sealer, row: Row) -> Delivery:
    columns = dict(row)
    columns.pop("payload_sealed", None)
    sealed = columns.pop("last_answer_sealed")
    answer = None
    if sealed is not None:
        answer = sealer.open_text(sealed, table=_DELIVERIES, column="last_answer_sealed", row=row["id"])
    return Delivery(last_answer=answer, **columns)


def _payload(sealer: Sealer, row: Row) -> bytes | None:
    sealed = row["payload_sealed"]
    if sealed is None:
        return None
    return sealer.open(sealed, table=_DELIVERIES, column="payload_sealed", row=row["id"])


def _owed(sealer: Sealer, row: Row) -> Owed:
    columns = dict(row)
    endpoint_id: UUID = row["endpoint_id"]
    secrets: list[str] = []
    for name in ("secret_sealed", "old_secret_sealed"):
        sealed = columns.pop(name)
        if sealed is not None:
            secrets.append(sealer.open_text(sealed, table=_ENDPOINTS, column=name, row=endpoint_id))
    url = sealer.open_text(columns.pop("url_sealed"), table=_ENDPOINTS, column="url_sealed", row=endpoint_id)
    payload = _payload(sealer, row)
    columns.pop("payload_sealed")
    return Owed(**columns, url=url, secrets=secrets, payload=payload)
