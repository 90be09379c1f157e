"""A delivery that takes long to understand is stored as it came; a worker reads it. After this our 2xx may leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

import structlog

from a1zap.agents import channel_store
from a1zap.db.pool import Tx
from a1zap.intake.desk import Desk
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id
from a1zap.queue import store as queue
from a1zap.queue.work_off import topic

log = structlog.get_logger()

LANES = 64  # of one account: a mail that is hard to read holds up few others


async def keep_delivery(
    desk: Desk, owner_id: UUID, account_id: UUID, raw: bytes, meta: Mapping[str, Any]
) -> bool:
    """Store a delivery that is known to be authentic, and have it read; False where the very same is kept already.

    Deliveries of one sender (`meta["envelope_from"]`, where the door knows it) are read in the order they came in.
    """
    async with desk.db.owned(owner_id) as tx:
        return await keep_delivery_in(tx, await desk.keyring.sealer(tx), desk, account_id, raw, meta)


async def keep_delivery_in(
    tx: Tx, sealer: Sealer, desk: Desk, account_id: UUID, raw: bytes, meta: Mapping[str, Any]
) -> bool:
    """`keep_delivery` within a transaction of the caller's."""
    delivery_id = new_id()
    is_new = await channel_store.keep_raw_delivery(tx, sealer, delivery_id, account_id, raw, meta)
    if is_new:
        lane = uuid5(account_id, str(hash_slot(str(meta.get("envelope_from", "")))))
        await queue.put_entry(tx, "intakes", lane, delivery_id)
        tx.afterwards(lambda: desk.wakeups.say(topic("intakes")))
    log.info("delivery_kept", channel_account_id=str(account_id), bytes=len(raw), is_new=is_new)
    return is_new


def hash_slot(text: str) -> int:
    """One of `LANES`, always the same for the same text (Python's own hash is not)."""
    return uuid5(UUID(int=0), text).int % LANES
