"""A worker reads a delivery that was kept: its parts become durable, and it is marked as read, part by part.

    kept ─► channel.read (no transaction) ─► files staged ─► each part in a transaction of its own ─► marked read

A crash in between repeats the reading: parts that are stored already are passed over.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from a1zap.agents import channel_store
from a1zap.channels.contract import Inbound, Item, Kept, Unread
from a1zap.chats.model import AlreadyKnown, Hop
from a1zap.db.pool import Tx
from a1zap.intake.accept_item import accept_item, stage
from a1zap.intake.desk import Desk
from a1zap.intake.opened import Opened
from a1zap.kit.errors import Malformed
from a1zap.queue.model import Entry
from a1zap.queue.work_off import finish_entry

log = structlog.get_logger()


async def read_delivery(desk: Desk, entry: Entry) -> None:
    """Understand one kept delivery and store what it says; what nobody can read is kept as unread, and shown.

    Raises:
        LeaseLost: another worker has it.
    """
    began_s = desk.clock.monotonic_s()
    opened = await _open(desk, entry)
    if opened is None:
        return
    scene, kept = opened
    read_s = desk.clock.monotonic_s()
    try:
        items = await scene.channel.read(scene.account, kept, desk.clock.now())
    except Malformed as error:
        items = [Unread(str(error), kept.raw)]
    done_s = desk.clock.monotonic_s()
    hops = (
        Hop("receive_webhook", _ms(began_s, read_s), {"channel": scene.account.kind, "bytes": len(kept.raw)}),
        Hop("parse", _ms(read_s, done_s), {"items": len(items)}),
    )
    scene = Opened(scene.sealer, scene.channel, scene.account, scene.agent, hops, done_s)
    for item in items:
        await _store(desk, entry, scene, item)
    async with desk.db.owned(entry.owner_id) as tx:
        await channel_store.mark_raw_delivery_read(tx, kept.id, desk.clock.now())
        await finish_entry(tx, desk.wakeups, entry)


async def _open(desk: Desk, entry: Entry) -> tuple[Opened, Kept] | None:
    if entry.subject_id is None:
        raise ValueError(f"an intake entry without a delivery: {entry.id}")
    async with desk.db.owned(entry.owner_id) as tx:
        sealer = await desk.keyring.sealer(tx)
        found = await channel_store.read_raw_delivery(tx, sealer, entry.subject_id)
        account = None if found is None else await channel_store.read_channel_account(tx, sealer, found[0])
        placed = (
            None
            if account is None
            else await channel_store.find_agent_on_channel(
                tx, sealer, account.agent_id, account_id=account.id
            )
        )
        if found is None or account is None or placed is None:  # read already, or disconnected meanwhile
            await finish_entry(tx, desk.wakeups, entry)
            return None
    return Opened(sealer, desk.channels[account.kind], account, placed[0], (), 0.0), found[1]


async def _store(desk: Desk, entry: Entry, scene: Opened, item: Item) -> None:
    staged = await stage(desk, scene, item)
    try:
        async with desk.db.owned(entry.owner_id) as tx:
            if isinstance(item, Inbound) and await _is_from_a_colleague(tx, scene.account.kind, item):
                item = replace(item, automatic="own_mail")
            await accept_item(tx, desk, scene, item, None, staged)
    except AlreadyKnown:
        log.info("delivery_repeated", owner_id=str(entry.owner_id))


async def _is_from_a_colleague(tx: Tx, kind: str, inbound: Inbound) -> bool:
    """Is the sender an agent of the same owner's? Two of them would answer each other until the cap.

    What our mails say of themselves tells it too, unless a relay took it out. Other owners' addresses are left to
    that: whoever connects an address must not keep others from hearing its real owner.
    """
    if inbound.automatic is not None:
        return False
    local, at, domain = inbound.sender_address.rpartition("@")
    return bool(at) and await channel_store.is_own_identity(tx, kind, f"{local.partition('+')[0]}@{domain}")


def _ms(began_s: float, ended_s: float) -> float:
    return round((ended_s - began_s) * 1000, 3)
