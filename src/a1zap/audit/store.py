"""The trail: who did what to which thing. Append-only; the application's role cannot change or remove a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from a1zap.db.pool import Tx
from a1zap.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Act:
    """Who did what to which thing, and when."""

    id: UUID
    actor: str
    action: str
    subject_kind: str
    subject_id: UUID | None
    detail: Mapping[str, Any]
    created_at: datetime


# Some acts are told to the owner's endpoints for webhooks, where there are any (migration 20261123000006).
_RECORD = """
    WITH recorded AS (
        INSERT INTO audit_events (owner_id, id, actor, action, subject_kind, subject_id, detail)
        VALUES ($1, $2, $3, $4, $5, $6, $7))
    SELECT a1zap.tell_hooks_of_act($1, $4, $6, $7)
    WHERE EXISTS (SELECT 1 FROM webhook_endpoints WHERE owner_id = $1 AND status <> 'disabled')
"""


async def record_act(
    tx: Tx,
    *,
    actor: str,
    action: str,
    subject_kind: str,
    subject_id: UUID | None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write an act down in the transaction that does it. `detail` holds no message text and no secret."""
    await tx.run(
        _RECORD,
        tx.owner_id,
        new_id(),
        actor,
        action,
        subject_kind,
        subject_id,
        dict(detail or {}),
    )


async def list_acts(tx: Tx, *, before: UUID | None, count: int) -> list[Act]:
    """The owner's trail, newest first, of those before the given one."""
    rows = await tx.rows(
        """SELECT id, actor, action, subject_kind, subject_id, detail, created_at FROM audit_events
           WHERE owner_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3""",
        tx.owner_id,
        before,
        count,
    )
    return [Act(**dict(r)) for r in rows]


async def has_act(tx: Tx, action: str) -> bool:
    """Has this ever been done for the owner?"""
    found = await tx.value(
        "SELECT true FROM audit_events WHERE owner_id = $1 AND action = $2 LIMIT 1", tx.owner_id, action
    )
    return found or False
