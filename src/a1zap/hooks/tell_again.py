"""An owner has something told at their word: a test, one delivery again, or all that failed since a time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from a1zap.audit.store import record_act
from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups
from a1zap.hooks import store
from a1zap.hooks.model import TEST_EVENT, Delivery, Endpoint
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import Conflict
from a1zap.queue.store import put_each
from a1zap.queue.work_off import topic

REPLAYED_MAX = 1000


async def tell_test(tx: Tx, sealer: Sealer, wakeups: Wakeups, endpoint: Endpoint) -> Delivery:
    """A delivery that tells of nothing.

    Raises:
        Conflict: the endpoint is not active.
    """
    _refuse_unless_active(endpoint)
    delivery = await store.insert_delivery(
        tx, sealer, endpoint.id, TEST_EVENT, {"endpoint_id": str(endpoint.id)}
    )
    await _put(tx, wakeups, [(delivery.id, delivery.id)], delivery.created_at)
    return delivery


async def replay_delivery(
    tx: Tx, wakeups: Wakeups, endpoint: Endpoint, delivery_id: UUID, actor: str
) -> bool:
    """A new round of attempts for one delivery, under its old webhook-id; False where there is none.

    Raises:
        Conflict: the endpoint is not active.
    """
    _refuse_unless_active(endpoint)
    again = await store.begin_again(tx, endpoint.id, delivery_id=delivery_id)
    await _put(tx, wakeups, again, endpoint.created_at)
    if again:
        await _record(tx, actor, delivery_id, 1)
    return bool(again)


async def replay_failed(tx: Tx, wakeups: Wakeups, endpoint: Endpoint, since: datetime, actor: str) -> int:
    """A new round for what failed since then, oldest first, at most 1000 a call; how many.

    Raises:
        Conflict: the endpoint is not active.
    """
    _refuse_unless_active(endpoint)
    again = await store.begin_again(tx, endpoint.id, since=since, count=REPLAYED_MAX)
    await _put(tx, wakeups, again, endpoint.created_at)
    if again:
        await _record(tx, actor, endpoint.id, len(again))
    return len(again)


def _refuse_unless_active(endpoint: Endpoint) -> None:
    if endpoint.status != "active":
        raise Conflict(
            f"the endpoint is {endpoint.status}: make it active first", field="status", value=endpoint.status
        )


async def _put(tx: Tx, wakeups: Wakeups, lanes: list[tuple[UUID, UUID]], at: datetime) -> None:
    """At once: any time that is past will do."""
    await put_each(tx, "hooks", [(lane, subject, at) for lane, subject in lanes])
    tx.afterwards(lambda: wakeups.say(topic("hooks")))


async def _record(tx: Tx, actor: str, subject_id: UUID, count: int) -> None:
    await record_act(
        tx,
        actor=actor,
        action="webhook_delivery.replayed",
        subject_kind="webhook_delivery",
        subject_id=subject_id,
        detail={"count": count},
    )
