"""One inbound message becomes durable: after this transaction our 2xx may leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from a1zap.accounts import store as accounts
from a1zap.agents.model import Agent
from a1zap.audit.store import record_act
from a1zap.channels.contract import ChannelAccount, Inbound, Receipt
from a1zap.chats import store as chats
from a1zap.chats.model import AlreadyKnown, Hop, NewMessage, Stored
from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups
from a1zap.intake.match_echo import match_echo
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id, slot_of
from a1zap.live.announce import announce
from a1zap.live.store import record_event
from a1zap.people import store as people
from a1zap.queue import store as queue
from a1zap.queue.work_off import topic

log = structlog.get_logger()

SETTLE_TIMES_MAX = (
    5  # a steady writer is answered too, at most this many settle times after the first message
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an inbound message. `stored` is None for an echo that was matched with a message of ours."""

    stored: Stored | None
    held_reason: str | None = None


async def accept_inbound(
    tx: Tx,
    sealer: Sealer,
    wakeups: Wakeups,
    *,
    account: ChannelAccount,
    agent: Agent,
    inbound: Inbound,
    raw: bytes | None,
    hops: tuple[Hop, ...],
    now: datetime,
) -> Accepted:
    """Store one message and put its chat in its lane.

    Providers deliver twice, late and out of order: a message that is known already is passed over.
    All of it happens in `tx`, so what we have answered with 2xx cannot be lost.

    Raises:
        AlreadyKnown: stored before; roll back and answer 2xx.
    """
    if inbound.is_echo:
        return await _accept_echo(tx, sealer, account=account, agent=agent, inbound=inbound, raw=raw, now=now)
    held_reason = _reason_to_hold(agent, account)
    person = await people.find_or_add_person(
        tx, sealer, channel_kind=account.kind, address=inbound.sender_address, name=inbound.sender_name
    )
    message = NewMessage(
        id=new_id(),
        direction="inbound",
        sender_kind="user",
        sender_id=person.id,
        agent_id=None,
        content=inbound.text,
        status="received",
        said_at=inbound.said_at,
        message_type=inbound.message_type,
        rich_content=_rich(inbound),
        raw=raw,
        external_id=inbound.external_id,
        held_reason=held_reason,
        hops=hops,
    )
    stored = await chats.store_inbound(
        tx,
        sealer,
        agent_id=agent.id,
        channel_account_id=account.id,
        chat_type=inbound.chat_type,
        channel_kind=account.kind,
        service=inbound.service,
        chat_external_id=inbound.chat_external_id,
        message=message,
        now=now,
    )
    if stored.chat_is_new or inbound.chat_type != "individual":
        await chats.add_participant(tx, stored.chat_id, person.id)
    await record_event(tx, stored.chat_id, "message.accepted", stored.message_id)
    announce(tx, wakeups, stored.chat_id)
    # Counted here and not earlier, because all chats of the owner share the meter's row until their commits.
    if held_reason is None and not await _count(tx, stored.chat_id, now):
        held_reason = "over_limit"
        await chats.hold_message(tx, stored, held_reason, now)
    if held_reason is None and stored.chat_status != "human":
        await queue.put_turn(
            tx, stored.chat_id, due_at(now, stored.waiting_since or now, agent.settle_s(account.kind))
        )
        tx.afterwards(lambda: wakeups.say(topic("turns")))
    log.info("message_accepted", chat_id=str(stored.chat_id), seq=stored.seq, held_reason=held_reason)
    return Accepted(stored, held_reason)


def due_at(now: datetime, waiting_since: datetime, settle_s: float) -> datetime:
    """When the chat's turn is due: after a quiet settle time, and never later than five of them in all."""
    quiet = now + timedelta(seconds=settle_s)
    latest = waiting_since + timedelta(seconds=SETTLE_TIMES_MAX * settle_s)
    return max(now, min(quiet, latest))


async def accept_receipt(tx: Tx, wakeups: Wakeups, account_id: UUID, receipt: Receipt) -> None:
    """News about a message of ours moves its status forward, or changes nothing."""
    found = await chats.find_sent(tx, account_id, receipt.external_id)
    if found is None:
        return
    message_id, chat_id = found
    await chats.lock_chat(tx, chat_id)
    if await chats.advance_status(tx, message_id, receipt.status.value, receipt.at, error=receipt.error):
        await record_event(tx, chat_id, "message.status", message_id)
        announce(tx, wakeups, chat_id)


def _reason_to_hold(agent: Agent, account: ChannelAccount) -> str | None:
    """Why a message is stored but not answered, whatever the plan; None where it is."""
    if agent.status != "active":
        return f"agent_{agent.status}"
    return None if account.status == "active" else "channel_paused"


async def _count(tx: Tx, chat_id: UUID, now: datetime) -> bool:
    """Count the message against the owner's plan; the first one over it is told to the owner."""
    within, is_first_over = await accounts.count_message(tx, now, slot=slot_of(chat_id))
    if is_first_over:
        await record_act(
            tx,
            actor="system",
            action="usage.limit_reached",
            subject_kind="owner",
            subject_id=tx.owner_id,
            detail={"limit": "max_messages_per_month", "month": now.strftime("%Y-%m")},
        )
        log.warning("usage_limit_reached", owner_id=str(tx.owner_id), limit="max_messages_per_month")
    return within


async def _accept_echo(
    tx: Tx,
    sealer: Sealer,
    *,
    account: ChannelAccount,
    agent: Agent,
    inbound: Inbound,
    raw: bytes | None,
    now: datetime,
) -> Accepted:
    """Our own side's message came back: it confirms one we sent, or somebody of ours wrote by another way."""
    if await match_echo(tx, sealer, account, inbound, now):
        return Accepted(None)
    stored = await chats.store_inbound(
        tx,
        sealer,
        agent_id=agent.id,
        channel_account_id=account.id,
        chat_type=inbound.chat_type,
        channel_kind=account.kind,
        service=inbound.service,
        chat_external_id=inbound.chat_external_id,
        message=NewMessage(
            id=new_id(),
            direction="outbound",
            sender_kind="owner",
            sender_id=None,
            agent_id=agent.id,
            content=inbound.text,
            status="sent",
            said_at=inbound.said_at,
            message_type=inbound.message_type,
            rich_content=_rich(inbound),
            raw=raw,
            external_id=inbound.external_id,
        ),
        now=now,
    )
    await record_event(tx, stored.chat_id, "message.created", stored.message_id)
    return Accepted(stored)


def _rich(inbound: Inbound) -> dict[str, object] | None:
    """The structured part of a message, with what the channel knows of who was meant and whether it is proven."""
    rich: dict[str, object] = dict(inbound.rich_content or {})
    if inbound.is_mentioned is not None:
        rich["is_mentioned"] = inbound.is_mentioned
    if not inbound.sender_is_verified:
        rich["sender_is_verified"] = False
    return rich or None


__all__ = ["Accepted", "AlreadyKnown", "accept_inbound", "accept_receipt", "due_at"]
