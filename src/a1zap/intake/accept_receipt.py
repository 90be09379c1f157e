"""News about messages of ours: they move a status forward, or wait for the message they are about, or change nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog

from a1zap.channels.contract import ChannelAccount, Receipt
from a1zap.chats import sending_store
from a1zap.chats import store as chats
from a1zap.db.pool import PASSING, DatabaseUnavailable, Tx
from a1zap.db.wakeups import Wakeups
from a1zap.intake.desk import Desk
from a1zap.kit.crypto import Sealer
from a1zap.live.announce import announce
from a1zap.live.store import record_event
from a1zap.people import store as people

log = structlog.get_logger()

EARLY_KEPT = timedelta(days=1)
SETTLE_EVERY_S = 2.0
RECENT = timedelta(minutes=1)  # the answer to a send is hardly ever later than this
ALL_EVERY = 300  # looks: some ten minutes


async def accept_receipt(
    tx: Tx, sealer: Sealer, wakeups: Wakeups, account: ChannelAccount, receipt: Receipt
) -> None:
    """Move the message's status forward; a receipt that overtook the answer to its send waits for that."""
    found = await _find(tx, account, receipt)
    if found is None:
        if receipt.external_id:
            await sending_store.keep_early_receipt(
                tx, account.id, receipt.external_id, receipt.status.value, receipt.at, receipt.error
            )
        return
    message_id, chat_id = found
    await chats.lock_chat(tx, chat_id)
    if receipt.dead_address:
        # Only for a message of ours and one it was sent to: anybody can write a bounce, and must not silence others by it.
        await people.mark_address_dead(
            tx,
            sealer,
            channel_kind=account.kind,
            address=receipt.dead_address,
            of=await chats.list_participants(tx, chat_id),
            why=receipt.error or receipt.status.value,
        )
    if await sending_store.advance_status(
        tx,
        message_id,
        receipt.status.value,
        receipt.at,
        error=receipt.error,
        external_id=receipt.external_id or None,
    ):
        await record_event(tx, chat_id, "message.status", message_id)
        announce(tx, wakeups, chat_id)


async def _find(tx: Tx, account: ChannelAccount, receipt: Receipt) -> tuple[UUID, UUID] | None:
    """(message, chat) that a receipt is about: by our own id where the provider gives it back, else by the provider's."""
    if receipt.message_id is not None:
        chat_id = await sending_store.read_chat_of_outbound(tx, receipt.message_id, account.id)
        if chat_id is not None:
            return receipt.message_id, chat_id
    return await sending_store.find_sent(tx, account.id, receipt.external_id) if receipt.external_id else None


async def settle_early_receipts(desk: Desk, stop: asyncio.Event) -> None:
    """Until `stop`: see to it that receipts that came too early reach their messages."""
    look = 0
    while not stop.is_set():
        within = RECENT if look % ALL_EVERY else EARLY_KEPT
        try:
            async with desk.db.standalone() as tx:
                owners = [
                    r["owner_id"] for r in await tx.rows("SELECT * FROM a1zap.owners_with_early_receipts()")
                ]
            for owner_id in owners:
                await _settle(desk, owner_id, within)
            look += 1
        except (DatabaseUnavailable, *PASSING) as error:
            log.warning("early_receipts_wait", error=type(error).__name__)
        try:
            await asyncio.wait_for(stop.wait(), SETTLE_EVERY_S)
        except TimeoutError:
            continue


async def _settle(desk: Desk, owner_id: UUID, within: timedelta) -> None:
    async with desk.db.owned(owner_id) as tx:
        rows = await sending_store.take_early_receipts(tx, desk.clock.now() - EARLY_KEPT, within=within)
        for chat_id in sorted({r["chat_id"] for r in rows}):
            await chats.lock_chat(tx, chat_id)
        for row in rows:
            if await sending_store.advance_status(
                tx, row["message_id"], row["status"], row["at"], error=row["error"]
            ):
                await record_event(tx, row["chat_id"], "message.status", row["message_id"])
                announce(tx, desk.wakeups, row["chat_id"])
