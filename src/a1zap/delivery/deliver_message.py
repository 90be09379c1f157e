"""One outbound message leaves: once, in its chat's order, whatever crashes in between.

    queued ──begin_attempt──► sending ──provider took it──► sent
                                 │ ──took nothing, later──► queued     (the lane waits, then tries again)
                                 │ ──may have taken it────► unknown    (asked first, then sent again and flagged)
                                 └ ──will never take it───► failed     (the lane goes on)

A message found `sending` was in the hands of a worker that died: it is treated as unknown.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import structlog

from a1zap.accounts.keys import Keyring
from a1zap.agents import channel_store
from a1zap.channels.contract import (
    Channel,
    ChannelAccount,
    Outbound,
    SendAmbiguous,
    SendRefused,
    Sent,
)
from a1zap.chats import store as chats
from a1zap.chats.model import Hop
from a1zap.db.pool import Database, Tx
from a1zap.db.wakeups import Wakeups
from a1zap.kit.clock import Clock
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, NotConfigured, Rejected
from a1zap.live.announce import announce
from a1zap.live.store import record_event
from a1zap.people import store as people
from a1zap.queue import store as queue
from a1zap.queue.model import Entry

log = structlog.get_logger()

# After so many attempts whose end nobody knows, the message stays unknown and a person decides.
AMBIGUOUS_MAX = 5


@dataclass(frozen=True, slots=True)
class Deliverer:
    """What delivering needs, handed in once."""

    db: Database
    wakeups: Wakeups
    keyring: Keyring
    channels: dict[str, Channel]
    egress: Egress
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Attempt:
    entry: Entry
    channel: Channel
    account: ChannelAccount
    outbound: Outbound
    was: str
    attempts_before: int


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
        sent, flagged = await _send_once(house, attempt)
    except SendAmbiguous as error:
        await _hold_unknown(house, attempt, error)
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
    """Claimed durably before the provider is called, so that a crash in the send window is seen afterwards."""
    message_id = entry.subject_id
    if message_id is None:
        raise ValueError(f"a delivery entry without a message: {entry.id}")
    async with house.db.owned(entry.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        row = await chats.begin_attempt(tx, message_id, house.clock.now())
        if row is None:  # delivered or failed already, or erased: nothing is left to do
            await queue.finish(tx, entry)
            return None
        chat = await chats.read_chat(tx, sealer, row["chat_id"])
        account = await channel_store.read_channel_account(tx, sealer, row["channel_account_id"])
        if chat is None or account is None:
            await chats.advance_status(
                tx, message_id, "failed", house.clock.now(), error="channel disconnected"
            )
            await queue.finish(tx, entry)
            return None
        to_address = (
            None if chat.type != "individual" else await _recipient(tx, sealer, chat.id, account.kind)
        )
        outbound = Outbound(
            id=message_id,
            chat_external_id=chat.external_id,
            chat_type=chat.type,
            service=chat.service,
            to_address=to_address,
            text=chats.open_content(sealer, message_id, row["content_sealed"]),
            first_tried_at=row["first_tried_at"],
        )
    return _Attempt(
        entry, house.channels[account.kind], account, outbound, row["was"], row["attempts_before"]
    )


async def _recipient(tx: Tx, sealer: Any, chat_id: Any, channel_kind: str) -> str | None:
    person_id = await chats.first_participant(tx, chat_id)
    return None if person_id is None else await people.read_address(tx, sealer, person_id, channel_kind)


async def _send_once(house: Deliverer, attempt: _Attempt) -> tuple[Sent, bool]:
    """Send, after asking whether an earlier attempt got through; (answer, may be a duplicate)."""
    if attempt.account.status != "active":
        raise ChannelUnavailable("the channel is paused", retry_after_s=60)
    flagged = False
    if attempt.was in ("sending", "unknown"):
        was_sent = await _ask_whether_sent(house, attempt)
        if was_sent:
            return Sent(), False
        if attempt.attempts_before >= AMBIGUOUS_MAX:
            raise SendRefused(f"after {attempt.attempts_before} attempts nobody knows whether it was sent")
        flagged = True
        await _flag(house, attempt)
    return await attempt.channel.send(attempt.account, attempt.outbound, house.egress), flagged


async def _ask_whether_sent(house: Deliverer, attempt: _Attempt) -> bool | None:
    try:
        return await attempt.channel.was_sent(attempt.account, attempt.outbound, house.egress)
    except SendRefused:
        return None  # the provider has no such question


async def _flag(house: Deliverer, attempt: _Attempt) -> None:
    async with house.db.owned(attempt.entry.owner_id) as tx:
        await chats.flag_possible_duplicate(tx, attempt.outbound.id)


async def _hold_unknown(house: Deliverer, attempt: _Attempt, error: SendAmbiguous) -> None:
    await _set_back(house, attempt, "unknown", error)
    raise ChannelUnavailable(str(error), retry_after_s=error.retry_after_s) from error


async def _set_back(
    house: Deliverer, attempt: _Attempt, status: Literal["queued", "unknown"], error: Exception
) -> None:
    async with house.db.owned(attempt.entry.owner_id) as tx:
        # An attempt before this one may have got through, and this one's failure does not tell.
        kept = "unknown" if attempt.was in ("sending", "unknown") else status
        await chats.set_back(tx, attempt.outbound.id, kept, house.clock.now())
        await channel_store.note_health(
            tx, attempt.account.id, _health("failing", str(error), house.clock.now())
        )
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
    async with house.db.owned(attempt.entry.owner_id) as tx:
        await chats.lock_chat(tx, attempt.entry.chat_id)
        await chats.advance_status(
            tx,
            attempt.outbound.id,
            status,
            now,
            error=error,
            external_id=sent.external_id if sent else None,
            hops=[asdict(hop)],
        )
        await queue.finish(tx, attempt.entry)
        await record_event(tx, attempt.entry.chat_id, "message.status", attempt.outbound.id)
        state = _health("failing", error or "", now) if status == "failed" else _health("ok", "", now)
        await channel_store.note_health(tx, attempt.account.id, state)
        announce(tx, house.wakeups, attempt.entry.chat_id)
    log.info(
        "message_delivered", chat_id=str(attempt.entry.chat_id), status=status, attempt=attempt.entry.attempt
    )


def _health(state: str, error: str, now: datetime) -> dict[str, Any]:
    return {"state": state, "error": error, "at": now.isoformat()}


def _ms(house: Deliverer, began_s: float) -> float:
    return round((house.clock.monotonic_s() - began_s) * 1000, 3)
