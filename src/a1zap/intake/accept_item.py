"""One part of a delivery becomes durable, whatever kind of part it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson
import structlog

from a1zap.agents import channel_store
from a1zap.attachments.stage import Staged, stage_files
from a1zap.attachments.store import drop_files_of
from a1zap.channels.contract import Amendment, ChannelAccount, Inbound, Item, Receipt, Relink, Unread
from a1zap.chats import store as chats
from a1zap.chats.model import AlreadyKnown, Hop
from a1zap.db.pool import COLLISION, PASSING, Tx
from a1zap.db.wakeups import Wakeups
from a1zap.intake.accept_inbound import accept_inbound
from a1zap.intake.accept_receipt import accept_receipt
from a1zap.intake.desk import Desk
from a1zap.intake.opened import Opened
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import Unavailable
from a1zap.live.announce import announce
from a1zap.live.store import record_event
from a1zap.people import store as people

log = structlog.get_logger()


async def accept_item(
    tx: Tx,
    desk: Desk,
    opened: Opened,
    item: Item,
    raw: bytes | None,
    staged: Sequence[Staged] | None = None,
) -> None:
    """Store one part of a delivery; `raw` are the bytes of the whole, kept with the first message of it.

    Files whose bytes came along are `staged` before (`stage`): a storage that is slow must not hold a transaction open.

    Raises:
        AlreadyKnown: a message that is stored already; roll back.
    """
    match item:
        case Inbound():
            if staged is None:
                staged = await stage(desk, opened, item)
            took_ms = round((desk.clock.monotonic_s() - opened.read_at_s) * 1000, 3)
            hop = Hop("accept_inbound", took_ms, {"service": item.service})
            told = replace(opened, hops=(*opened.hops, hop))
            await accept_inbound(tx, desk.wakeups, told, item, raw=raw, now=desk.clock.now(), staged=staged)
        case Receipt():
            await accept_receipt(tx, opened.sealer, desk.wakeups, opened.account, item)
        case Amendment():
            await _amend(tx, opened, desk.wakeups, item)
        case Relink():
            await _relink(tx, opened, item)
        case Unread():
            await keep_unread(tx, opened.sealer, opened.account, item.raw, item.reason)


def brings_bytes(item: Item) -> bool:
    """Did files come along, and not only word of them?"""
    return isinstance(item, Inbound) and any(file.content is not None for file in item.attachments)


async def stage(desk: Desk, opened: Opened, item: Item) -> Sequence[Staged]:
    """Make the bytes of an item's files durable: before the item is, and with no transaction open."""
    if not isinstance(item, Inbound) or not item.attachments:
        return ()
    return await stage_files(desk.storage, opened.sealer, item.attachments)


def is_passing(error: Exception) -> bool:
    """Would the very same perhaps be stored later, if not at once? Then the provider is to come again."""
    return isinstance(error, (Unavailable, *PASSING)) and not isinstance(error, COLLISION)


async def accept_alone(desk: Desk, opened: Opened, item: Item, raw: bytes | None) -> None:
    """Store one part in a transaction of its own; one that can never be stored is kept as unread.

    Refusing it would make the provider send the whole delivery again, for days. It is tried three times, because what
    somebody else does at the same moment may be in its way.
    """
    owner_id = opened.account.owner_id
    failed: Exception | None = None
    staged: Sequence[Staged] | None = None
    for _ in range(3):
        try:
            staged = await stage(desk, opened, item) if staged is None else staged
            async with desk.db.owned(owner_id) as tx:
                await accept_item(tx, desk, opened, item, raw, staged)
        except AlreadyKnown:
            log.info("delivery_repeated", owner_id=str(owner_id))
        except Exception as error:
            if is_passing(error):
                raise
            failed = error
            continue
        return
    if isinstance(failed, COLLISION):
        raise failed
    why = type(failed).__name__
    log.error(
        "item_not_stored", channel_account_id=str(opened.account.id), item=type(item).__name__, error=why
    )
    whole = item.raw if isinstance(item, Unread) else repr(item).encode("utf-8", "backslashreplace")
    async with desk.db.owned(owner_id) as tx:
        await keep_unread(tx, opened.sealer, opened.account, whole, f"it could not be stored: {why}")


async def keep_unread(tx: Tx, sealer: Sealer, account: ChannelAccount, raw: bytes, reason: str) -> None:
    """Authentic, so it is worth keeping; and refusing it would only make the provider send it again."""
    delivery_id = await channel_store.keep_unread_delivery(tx, sealer, account.id, raw, reason)
    log.warning("delivery_unread", channel_account_id=str(account.id), delivery_id=str(delivery_id))


async def _relink(tx: Tx, opened: Opened, item: Relink) -> None:
    kind = opened.account.kind
    person = await people.relink(tx, opened.sealer, channel_kind=kind, before=item.before, after=item.after)
    if person is None:
        what = orjson.dumps({"before": list(item.before), "after": list(item.after)})
        await keep_unread(
            tx, opened.sealer, opened.account, what, "a new identity of somebody who is unknown here"
        )
    elif item.after:
        await chats.rekey_chats(tx, opened.sealer, kind, item.before, item.after[0])


async def _amend(tx: Tx, opened: Opened, wakeups: Wakeups, item: Amendment) -> None:
    """A person changed a message or took it back. What was answered stays answered; what was not is answered as it is now."""
    # A person of the owner's may change what they wrote by hand as well: that is an outbound message here.
    account_id, name = opened.account.id, item.target_external_id
    found = await chats.find_by_external_id(tx, account_id, "inbound", name)
    found = found or await chats.find_by_external_id(tx, account_id, "outbound", name)
    if found is None:  # it may be on its way yet: kept, so that the owner can see it
        what = "took back" if item.text is None else "changed"
        await keep_unread(
            tx,
            opened.sealer,
            opened.account,
            (item.text or "").encode(),
            f"somebody {what} a message that has not come ({item.target_external_id[:100]})",
        )
        return
    message_id, chat_id = found
    await chats.lock_chat(tx, chat_id)
    if not await chats.amend_message(tx, opened.sealer, message_id, item.text, item.at):
        return
    if item.text is None:
        await drop_files_of(tx, message_id)
    await record_event(tx, chat_id, "message.status", message_id)
    announce(tx, wakeups, chat_id)
