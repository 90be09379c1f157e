"""One outbound message leaves: once, in its chat's order, whatever crashes in between.

    queued ──provider took it──────► sent
      │ ──took nothing, later──────► queued     (the lane waits, then tries again)
      │ ──may have taken it────────► unknown    (asked first, then sent again and flagged)
      └ ──will never take it───────► failed     (the lane goes on)

The claim of the lane entry is the durable mark of an attempt, made before the provider is called: the entry counts its
claims, the message the attempts that ended cleanly. Where a claim is missing from the second count, somebody died
between claim and end, and the message may have left: it is treated as unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import structlog

from a1zap.accounts.keys import Keyring
from a1zap.agents import channel_store
from a1zap.attachments.desk import FileDesk
from a1zap.attachments.send import outbound_files
from a1zap.audit.store import record_act
from a1zap.channels.contract import (
    AccountBroken,
    Channel,
    ChannelAccount,
    Outbound,
    OutboundFile,
    SendAmbiguous,
    SendRefused,
    Sent,
    Thread,
)
from a1zap.chats import rows, sending_store
from a1zap.chats import store as chats
from a1zap.chats.chat_key import make_chat_key
from a1zap.chats.model import Hop, News
from a1zap.db.pool import Database, Tx
from a1zap.db.wakeups import Wakeups
from a1zap.kit.clock import Clock
from a1zap.kit.crypto import Sealer
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, NotConfigured, Rejected
from a1zap.live.announce import announce
from a1zap.live.model import EventKind
from a1zap.live.store import record_event, recording, tell_hooks
from a1zap.people import store as people
from a1zap.people.model import Address
from a1zap.queue import store as queue
from a1zap.queue.model import Entry
from a1zap.queue.work_off import finish_entry, wake_next

log = structlog.get_logger()

HEALTH_BELIEVED_S = 60.0


@dataclass(frozen=True, slots=True)
class Deliverer:
    """What delivering needs, handed in once."""

    db: Database
    wakeups: Wakeups
    keyring: Keyring
    channels: Mapping[str, Channel]
    egress: Egress
    clock: Clock
    files: FileDesk
    # As this process last wrote it, and when: others write it too, so it is believed for a while only.
    health: dict[UUID, tuple[str, float]] = field(default_factory=dict[UUID, tuple[str, float]])
    # Send calls of this process that are under way, by account, and how many one account may have.
    under_way: Counter[UUID] = field(default_factory=Counter[UUID])
    per_account_max: int = 1000


@dataclass(frozen=True, slots=True)
class _Attempt:
    entry: Entry
    channel: Channel
    account: ChannelAccount
    outbound: Outbound
    began_at: datetime
    is_in_doubt: bool
    is_unknown: bool  # in doubt not by a crash alone: a provider was called, and how that ended nobody knows
    is_flagged: bool


async def deliver_message(house: Deliverer, entry: Entry) -> None:
    """Hand one message to its channel and write down what came of it.

    Raises:
        ChannelUnavailable: not now; the entry is put back and tried again.
        LeaseLost: another worker has it.
    """
    attempt = await _begin(house, entry)
    if attempt is None:
        return
    began_s = house.clock.monotonic_s()
    try:
        with _hand_for(house, attempt.account.id):
            sent, flagged = await _send_once(house, attempt)
    except SendAmbiguous as error:
        await _hold_unknown(house, attempt, error)
    except AccountBroken as error:
        await _set_back(house, attempt, "queued", error)
        await pause_broken_account(house, attempt.entry.owner_id, attempt.account, error)
        raise
    except ChannelUnavailable as error:
        await _set_back(house, attempt, "queued", error)
        raise
    except NotConfigured as error:
        await _set_back(house, attempt, "queued", error)
        raise ChannelUnavailable(str(error), retry_after_s=60) from error
    except (SendRefused, Rejected) as error:
        await _end(house, attempt, "failed", took_ms=_ms(house, began_s), error=str(error))
    else:
        await _end(house, attempt, "sent", took_ms=_ms(house, began_s), sent=sent, flagged=flagged)


async def _begin(house: Deliverer, entry: Entry) -> _Attempt | None:
    """What is to be sent, and whether it may have left already; None where nothing is left to do."""
    message_id = entry.subject_id
    if message_id is None:
        raise ValueError(f"a delivery entry without a message: {entry.id}")
    async with house.db.owned(entry.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        row = await sending_store.read_unsent(tx, message_id)
        if row is None:  # delivered or failed already, or erased
            await finish_entry(tx, house.wakeups, entry)
            return None
        if row["id"] is None:
            await _give_up(tx, house, entry, message_id, "channel disconnected")
            return None
        if row["dead_because"] is not None:
            why = f"this address takes no messages any more: {row['dead_because']}"
            await _give_up(tx, house, entry, message_id, why)
            return None
        account = channel_store.account_of_row(sealer, {**dict(row), "status": row["account_status"]})
        channel = house.channels[account.kind]
        files: Sequence[OutboundFile] = ()
        if row["has_files"]:
            desk = house.files
            files = await outbound_files(tx, sealer, desk.storage, desk.links, message_id, house.clock.now())
        thread: Thread | None = None
        others: Sequence[Address] = ()
        if channel.wants_thread:
            thread = await _thread(tx, sealer, row["chat_id"])
            if row["user_id"] is not None:
                others = (await people.read_addresses(tx, sealer, row["user_id"], account.kind))[1:]
    outbound = Outbound(
        id=message_id,
        chat_external_id=sending_store.open_thread(sealer, row["chat_id"], row["external_id_sealed"]),
        chat_type=row["type"],
        service=row["service"],
        to_address=None
        if row["address_id"] is None
        else people.open_address(sealer, row["address_id"], row["address_sealed"]),
        text=rows.open_content(sealer, message_id, row["content_sealed"]),
        first_tried_at=row["first_tried_at"] or row["created_at"],
        other_addresses=[a.address for a in others],
        files=files,
        rich=rows.open_rich(sealer, message_id, row["rich_content_sealed"]),
        thread=thread,
        chat_key=make_chat_key(sealer, row["chat_id"]) if channel.wants_thread else None,
        chat_id=row["chat_id"],
        agent_name=row["agent_name"] or "",
        is_by_person=row["sender_kind"] == "owner",
        written_at=row["created_at"],
    )
    is_unknown = row["status"] == "unknown"
    return _Attempt(
        entry,
        channel,
        account,
        outbound,
        house.clock.now(),
        is_in_doubt=is_unknown or entry.tries > row["attempts"] + 1,
        is_unknown=is_unknown,
        is_flagged=row["possible_duplicate"],
    )


async def _give_up(tx: Tx, house: Deliverer, entry: Entry, message_id: UUID, why: str) -> None:
    """There is no way for this message: it has failed before anybody was called."""
    await chats.lock_chat(tx, entry.chat_id)
    await sending_store.advance_status(tx, message_id, "failed", house.clock.now(), error=why)
    await finish_entry(tx, house.wakeups, entry)
    await record_event(tx, entry.chat_id, "message.status", message_id)
    announce(tx, house.wakeups, entry.chat_id)


async def _thread(tx: Tx, sealer: Sealer, chat_id: UUID) -> Thread:
    """What the chat holds so far, as the channel names it."""
    read = await sending_store.read_thread(tx, chat_id)
    rich = None
    if read.last_inbound_id is not None:
        rich = rows.open_rich(sealer, read.last_inbound_id, read.last_rich_sealed)
    subject = (rich or {}).get("subject")
    return Thread(
        subject=subject if isinstance(subject, str) else None,
        references=read.names,
        last_inbound_id=read.last_inbound_name,
        last_inbound_at=read.last_inbound_at,
    )


@contextmanager
def _hand_for(house: Deliverer, account_id: UUID) -> Generator[None]:
    """A provider that takes calls and does not answer holds a hand for each: never all that there are.

    Raises:
        ChannelUnavailable: the account has its share; the message waits as if its channel were down, which it may well be.
    """
    if house.under_way[account_id] >= house.per_account_max:
        raise ChannelUnavailable("the channel is slow: it has not yet answered for other messages")
    house.under_way[account_id] += 1
    try:
        yield
    finally:
        house.under_way[account_id] -= 1
        if not house.under_way[account_id]:
            del house.under_way[account_id]


async def _send_once(house: Deliverer, attempt: _Attempt) -> tuple[Sent, bool]:
    """Send, after asking whether an earlier attempt got through; (answer, may be a duplicate)."""
    if attempt.account.status != "active":
        raise ChannelUnavailable("the channel is paused", retry_after_s=300)
    if not attempt.is_in_doubt:
        return await attempt.channel.send(attempt.account, attempt.outbound, house.egress), False
    was_sent = await _ask_whether_sent(house, attempt)
    if was_sent:
        return Sent(), False
    if not attempt.is_flagged:
        await _flag(house, attempt)
    try:
        return await attempt.channel.send(attempt.account, attempt.outbound, house.egress), True
    except SendAmbiguous as error:
        if was_sent is not None or not attempt.is_unknown:
            raise
        # The second call left its end open as the first did, and nobody can be asked: a third would be a guess.
        # (A crash is no such guess: who died may have called nobody, and its message must leave without a hand.)
        raise SendRefused(
            "nobody knows whether it was sent, twice over; look at the channel before sending again"
        ) from error


async def _ask_whether_sent(house: Deliverer, attempt: _Attempt) -> bool | None:
    try:
        return await attempt.channel.was_sent(attempt.account, attempt.outbound, house.egress)
    except SendRefused:
        return None  # the provider has no such question


async def _flag(house: Deliverer, attempt: _Attempt) -> None:
    async with house.db.owned(attempt.entry.owner_id) as tx:
        await sending_store.flag_possible_duplicate(tx, attempt.outbound.id)


async def _hold_unknown(house: Deliverer, attempt: _Attempt, error: SendAmbiguous) -> None:
    await _set_back(house, attempt, "unknown", error)
    raise ChannelUnavailable(str(error), retry_after_s=error.retry_after_s) from error


async def _set_back(
    house: Deliverer, attempt: _Attempt, status: Literal["queued", "unknown"], error: Exception
) -> None:
    """This attempt has ended; what an earlier one left in doubt stays in doubt."""
    kept = "unknown" if attempt.is_in_doubt else status
    now = house.clock.now()
    async with house.db.owned(attempt.entry.owner_id) as tx:
        await sending_store.set_back(
            tx, attempt.outbound.id, kept, attempt.entry.tries, now, began_at=attempt.began_at
        )
        await channel_store.note_health(tx, attempt.account.id, _health("failing", str(error), now))
    house.health.pop(attempt.account.id, None)
    log.warning("delivery_set_back", entry=attempt.entry.id, status=kept, attempt=attempt.entry.attempt)


async def _end(
    house: Deliverer,
    attempt: _Attempt,
    status: Literal["sent", "failed"],
    *,
    took_ms: float,
    sent: Sent | None = None,
    flagged: bool = False,
    error: str | None = None,
) -> None:
    now = house.clock.now()
    hop = Hop(
        "deliver_message", took_ms, {"channel": attempt.account.kind, "status": status, "flagged": flagged}
    )
    events: list[tuple[EventKind, UUID]] = [("message.status", attempt.outbound.id)]
    async with house.db.owned(attempt.entry.owner_id) as tx:
        await chats.lock_chat(tx, attempt.entry.chat_id)
        news = News(
            status,
            now,
            error,
            external_id=sent.external_id if sent else None,
            hops=[asdict(hop)],
            thread_ref=sent.thread_ref if sent else None,
        )
        has_moved, has_next, has_hooks = await tx.together(
            sending_store.advancing(tx, attempt.outbound.id, news),
            queue.finishing(attempt.entry),
            recording(tx, attempt.entry.chat_id, events),
        )
        wake_next(tx, house.wakeups, attempt.entry, has_next=queue.was_finished(attempt.entry, has_next))
        await sending_store.has_advanced(tx, attempt.outbound.id, news, has_moved)
        if has_hooks:
            await tell_hooks(tx, attempt.entry.chat_id, events)
        await _note_health(
            tx, house, attempt.account.id, "failing" if status == "failed" else "ok", error or "", now
        )
        announce(tx, house.wakeups, attempt.entry.chat_id)
    log.info(
        "message_delivered", chat_id=str(attempt.entry.chat_id), status=status, attempt=attempt.entry.attempt
    )


async def pause_broken_account(
    house: Deliverer, owner_id: UUID, account: ChannelAccount, error: AccountBroken
) -> None:
    """Nothing more is tried over an account that its provider has closed; its messages wait until its owner mended it."""
    now = house.clock.now()
    async with house.db.owned(owner_id) as tx:
        await channel_store.set_channel_status(tx, account.id, "paused")
        await channel_store.note_health(tx, account.id, _health("broken", str(error), now))
        await record_act(
            tx,
            actor="system",
            action="channel.broken",
            subject_kind="channel",
            subject_id=account.id,
            detail={"kind": account.kind, "why": str(error)[:300]},
        )
    house.health.pop(account.id, None)
    log.error("channel_broken", channel_account_id=str(account.id), kind=account.kind)


async def _note_health(
    tx: Tx, house: Deliverer, account_id: UUID, state: str, error: str, now: datetime
) -> None:
    """Write the channel's health down where it changed; most sends change nothing."""
    now_s = house.clock.monotonic_s()
    known, known_s = house.health.get(account_id, ("", 0.0))
    if known != state or now_s - known_s > HEALTH_BELIEVED_S:
        await channel_store.note_health(tx, account_id, _health(state, error, now))
        tx.afterwards(lambda: house.health.update({account_id: (state, now_s)}))


def _health(state: str, error: str, now: datetime) -> dict[str, Any]:
    return {"state": state, "error": error, "at": now.isoformat()}


def _ms(house: Deliverer, began_s: float) -> float:
    return round((house.clock.monotonic_s() - began_s) * 1000, 3)
