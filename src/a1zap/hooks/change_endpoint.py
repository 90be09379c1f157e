"""An owner names an address to be told, changes it, gives it a new secret, or takes it away."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from a1zap.accounts.keys import Keyring
from a1zap.audit.store import record_act
from a1zap.db.pool import Database, Tx
from a1zap.db.wakeups import Wakeups
from a1zap.hooks import store
from a1zap.hooks.model import ENDPOINTS_MAX, Endpoint, EndpointChange, EndpointWanted
from a1zap.kit.errors import NotFound, OverLimit
from a1zap.kit.standard_webhooks import new_secret
from a1zap.queue.store import put_each
from a1zap.queue.work_off import topic

NO_ENDPOINT = "there is no such webhook endpoint"


async def create_endpoint(
    db: Database, keyring: Keyring, *, owner_id: UUID, wanted: EndpointWanted, secret: str | None, actor: str
) -> tuple[Endpoint, str]:
    """The endpoint, and the secret that its messages are signed with: shown now, and never again.

    Raises:
        OverLimit: the owner has as many as one may have.
    """
    secret = secret or new_secret()
    async with db.owned(owner_id) as tx:
        if await store.count_endpoints(tx) >= ENDPOINTS_MAX:
            raise OverLimit(f"{ENDPOINTS_MAX} webhook endpoints are the most: delete one first")
        endpoint = await store.insert_endpoint(tx, await keyring.sealer(tx), wanted, secret)
        await _record(tx, actor, "created", endpoint.id)
    return endpoint, secret


async def change_endpoint(
    db: Database,
    keyring: Keyring,
    wakeups: Wakeups,
    *,
    owner_id: UUID,
    endpoint_id: UUID,
    change: EndpointChange,
    actor: str,
) -> Endpoint:
    """Change an endpoint. One that is made active again is told what has waited for it.

    Raises:
        NotFound: there is no such endpoint.
    """
    async with db.owned(owner_id) as tx:
        endpoint = await store.change_endpoint(tx, await keyring.sealer(tx), endpoint_id, change)
        if endpoint is None:
            raise NotFound(NO_ENDPOINT)
        if change.status == "active":
            # The row is ours until the commit: a worker that finds it paused has let go of its entry before, or waits.
            await put_each(tx, "hooks", await store.unfinished(tx, endpoint_id))
            tx.afterwards(lambda: wakeups.say(topic("hooks")))
        await _record(tx, actor, change.status or "changed", endpoint_id)
    return endpoint


async def rotate_secret(
    db: Database,
    keyring: Keyring,
    *,
    owner_id: UUID,
    endpoint_id: UUID,
    keep_old: timedelta,
    now: datetime,
    actor: str,
) -> tuple[Endpoint, str]:
    """A new secret, shown now and never again; the one before it signs too for as long as `keep_old`.

    Raises:
        NotFound: there is no such endpoint.
    """
    secret = new_secret()
    async with db.owned(owner_id) as tx:
        sealer = await keyring.sealer(tx)
        endpoint = await store.replace_secret(tx, sealer, endpoint_id, secret, now + keep_old)
        if endpoint is None:
            raise NotFound(NO_ENDPOINT)
        await _record(tx, actor, "secret_rotated", endpoint_id)
    return endpoint, secret


async def delete_endpoint(db: Database, *, owner_id: UUID, endpoint_id: UUID, actor: str) -> None:
    """The endpoint goes, with its log.

    Raises:
        NotFound: there is no such endpoint.
    """
    async with db.owned(owner_id) as tx:
        if not await store.delete_endpoint(tx, endpoint_id):
            raise NotFound(NO_ENDPOINT)
        await _record(tx, actor, "deleted", endpoint_id)


async def _record(tx: Tx, actor: str, what: str, endpoint_id: UUID) -> None:
    await record_act(
        tx,
        actor=actor,
        action=f"webhook_endpoint.{what}",
        subject_kind="webhook_endpoint",
        subject_id=endpoint_id,
    )
