"""One inbound message becomes durable: after this transaction our 2xx may leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from a1zap.accounts import store as accounts
from a1zap.agents.mention import is_mentioned
from a1zap.agents.model import Agent
from a1zap.attachments.stage import Staged
from a1zap.audit.store import record_act
from a1zap.channels.contract import Channel, ChannelAccount, Inbound
from a1zap.chats import sending_store
from a1zap.chats import store as chats
from a1zap.chats.model import AlreadyKnown, Hop, NewMessage, Stored
from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups
from a1zap.intake.accept_echo import accept_echo, attach
from a1zap.intake.find_thread import find_thread
from a1zap.intake.opened import Opened
from a1zap.intake.rich_content import rich_content_of
from a1zap.kit.ids import new_id, slot_of
from a1zap.live.announce import announce
from a1zap.live.model import EventKind
from a1zap.live.store import record_event, recording, tell_hooks
from a1zap.people import store as people
from a1zap.queue import store as queue
from a1zap.queue.work_off import topic

log = structlog.get_logger()

SETTLE_TIMES_MAX = (
    5  # a steady writer is answered too, at most this many settle times after the first message
)


RAW_MAX = 1 << 20  # bytes of a delivery that are kept beside the files it brought; they are in there twice


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an inbound message. `stored` is None for an echo that was matched with a message of ours."""

    stored: Stored | None
    held_reason: str | None = None


async def accept_inbound(
    tx: Tx,
    wakeups: Wakeups,
    opened: Opened,
    inbound: Inbound,
    *,
    raw: bytes | None,
    now: datetime,
    staged: Sequence[Staged] = (),
) -> Accepted:
    """Store one message and put its chat in its lane.

    Providers deliver twice, late and out of order: a message that is known already is passed over.
    All of it happens in `tx`, so what we have answered with 2xx cannot be lost.

    Raises:
        AlreadyKnown: stored before; roll back and answer 2xx.
    """
    if inbound.is_echo:
        return Accepted(await accept_echo(tx, wakeups, opened, inbound, raw=raw, now=now, staged=staged))
    sealer, account, channel = opened.sealer, opened.account, opened.channel
    held_reason = _reason_to_hold(opened.agent, account, inbound)
    person = await people.find_or_add_person(
        tx,
        sealer,
        channel_kind=account.kind if inbound.sender_is_verified else people.unproven(account.kind),
        address=inbound.sender_address,
        name=inbound.sender_name,
        other_addresses=inbound.other_addresses,
    )
    stored = await chats.store_inbound(
        tx,
        sealer,
        agent_id=opened.agent.id,
        channel_account_id=account.id,
        chat_type=inbound.chat_type,
        channel_kind=account.kind,
        service=inbound.service,
        chat_external_id=await find_thread(tx, sealer, channel, account, inbound, person.id),
        message=_new_message(inbound, person.id, raw, held_reason, opened.hops),
        now=now,
    )
    if stored.chat_is_new or inbound.chat_type != "individual":
        await chats.add_participant(tx, stored.chat_id, person.id)
    await attach(tx, wakeups, opened, stored, staged)
    if channel.answers_per_hour_max is not None and inbound.automatic is None:
        await people.revive_address(
            tx,
            sealer,
            channel_kind=account.kind,
            address=inbound.sender_address,
            is_proven=inbound.sender_is_verified,
        )
    if held_reason is None and await _is_looping(tx, channel, account, stored.chat_id, person.id, now):
        held_reason = "loop_suspected"
        await chats.hold_message(tx, stored, held_reason, now)
    if held_reason is None:
        settle_s = opened.agent.settle_s(account.kind)
        held_reason = await _count_and_queue(tx, wakeups, stored, settle_s, now)
    else:
        await record_event(tx, stored.chat_id, "message.accepted", stored.message_id)
    announce(tx, wakeups, stored.chat_id)
    log.info("message_accepted", chat_id=str(stored.chat_id), seq=stored.seq, held_reason=held_reason)
    return Accepted(stored, held_reason)


def _new_message(
    inbound: Inbound, person_id: UUID, raw: bytes | None, held_reason: str | None, hops: tuple[Hop, ...]
) -> NewMessage:
    return NewMessage(
        id=new_id(),
        direction="inbound",
        sender_kind="user",
        sender_id=person_id,
        agent_id=None,
        content=inbound.text,
        status="received",
        said_at=inbound.said_at,
        message_type=inbound.message_type,
        rich_content=rich_content_of(inbound),
        raw=None if raw is None or (inbound.attachments and len(raw) > RAW_MAX) else raw,
        external_id=inbound.external_id,
        held_reason=held_reason,
        hops=hops,
        thread_ref=inbound.thread_ref,
    )


def due_at(now: datetime, waiting_since: datetime, settle_s: float) -> datetime:
    """When the chat's turn is due: after a quiet settle time, and never later than five of them in all."""
    quiet = now + timedelta(seconds=settle_s)
    latest = waiting_since + timedelta(seconds=SETTLE_TIMES_MAX * settle_s)
    return max(now, min(quiet, latest))


def _reason_to_hold(agent: Agent, account: ChannelAccount, inbound: Inbound) -> str | None:
    """Why a message is stored but not answered, whatever the plan; None where it is."""
    if agent.status != "active":
        return f"agent_{agent.status}"
    if account.status != "active":
        return "channel_paused"
    if inbound.automatic is not None:
        return f"automatic_{inbound.automatic}"
    if inbound.message_type == "reaction":
        return "reaction"
    if inbound.chat_type == "individual" or not agent.respond_only_when_mentioned or inbound.is_mentioned:
        return None
    is_named = is_mentioned(inbound.text, name=agent.name, handle=agent.handle)
    return None if is_named else "not_mentioned"


async def _is_looping(
    tx: Tx, channel: Channel, account: ChannelAccount, chat_id: UUID, person_id: UUID, now: datetime
) -> bool:
    """Has this chat or this address had more answers in an hour than a person would read?"""
    if channel.answers_per_hour_max is None:
        return False
    since = now - timedelta(hours=1)
    answers = await sending_store.count_answers(tx, chat_id, person_id, account.id, since)
    return answers >= channel.answers_per_hour_max


async def _count_and_queue(
    tx: Tx, wakeups: Wakeups, stored: Stored, settle_s: float, now: datetime
) -> str | None:
    """Count the message against the owner's plan, tell the watchers, put the chat in its lane; why it is held, if it is.

    Last of all, because all chats of the owner share the meter's row until their commits. One round trip.
    """
    events: list[tuple[EventKind, UUID]] = [("message.accepted", stored.message_id)]
    parts = [
        accounts.counting(tx, now, slot=slot_of(stored.chat_id)),
        recording(tx, stored.chat_id, events),
    ]
    if stored.chat_status != "human":
        due = due_at(now, stored.waiting_since or now, settle_s)
        parts.append(queue.putting_turn(tx, stored.chat_id, due, only_if=accounts.COUNTED))
    within, has_hooks, *_ = await tx.together(*parts)
    if has_hooks:
        await tell_hooks(tx, stored.chat_id, events)
    if not within:
        await chats.hold_message(tx, stored, "over_limit", now)
        await _tell_over_limit(tx, now)
        return "over_limit"
    if stored.chat_status != "human":
        tx.afterwards(lambda: wakeups.say(topic("turns")))
    return None


async def _tell_over_limit(tx: Tx, now: datetime) -> None:
    """The first message over the plan's limit is told to the owner."""
    if await accounts.count_held(tx, now):
        await record_act(
            tx,
            actor="system",
            action="usage.limit_reached",
            subject_kind="owner",
            subject_id=tx.owner_id,
            detail={"limit": "max_messages_per_month", "month": now.strftime("%Y-%m")},
        )
        log.warning("usage_limit_reached", owner_id=str(tx.owner_id), limit="max_messages_per_month")


__all__ = ["Accepted", "AlreadyKnown", "accept_inbound", "due_at"]
