"""One event is told to one endpoint: at least once, under the same webhook-id however often.

    pending ──2xx──► delivered
       │ ──anything else──► failed      tried again by the schedule, over days; then given_up
       └ ──410, or five days of nothing──► the endpoint is disabled, and its owner told

An entry waits for its time in a lane of its own, so that no retry stands in the way of another; when it is due it goes
into one of the endpoint's four lanes, so that however slow an endpoint is, it keeps four hands of ours at most.
A crash between the call and its commit tells again: the receiver knows it by the webhook-id.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from uuid import UUID

import structlog

from a1zap.accounts.keys import Keyring
from a1zap.audit.store import record_act
from a1zap.db.pool import Database, Tx
from a1zap.db.wakeups import Wakeups
from a1zap.hooks import store
from a1zap.hooks.compose_payload import compose_payload
from a1zap.hooks.model import HookPolicy, Owed
from a1zap.kit.clock import Clock
from a1zap.kit.crypto import Sealer
from a1zap.kit.egress import Egress, EgressFailed, EgressRefused, EgressTimedOut, EgressTooLarge
from a1zap.kit.standard_webhooks import sign
from a1zap.queue.model import Entry
from a1zap.queue.store import put_each
from a1zap.queue.work_off import finish_entry, topic

log = structlog.get_logger()

ANSWER_READ_BYTES = 1 << 16
ANSWER_KEPT = 200  # characters
_ASKS_TO_WAIT = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Teller:
    """What telling needs, handed in once."""

    db: Database
    wakeups: Wakeups
    keyring: Keyring
    egress: Egress
    clock: Clock
    policy: HookPolicy


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of an attempt. `is_final`: no further attempt can end otherwise."""

    is_taken: bool
    answered: int | None = None
    error: str | None = None
    answer: str | None = None
    wait_s: float | None = None
    is_final: bool = False


async def deliver_event(house: Teller, entry: Entry) -> None:
    """Tell one event, and write down what came of it.

    Raises:
        LeaseLost: another worker has it.
    """
    if entry.subject_id is None:
        raise ValueError(f"a hook entry without a delivery: {entry.id}")
    owed = await _begin(house, entry, entry.subject_id)
    if owed is not None:
        await _end(house, entry, owed, await _attempt(house, owed))


async def _begin(house: Teller, entry: Entry, delivery_id: UUID) -> Owed | None:
    """The delivery with its payload; None where it is not its turn, or never will be."""
    async with house.db.owned(entry.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        owed = await store.take_up(tx, sealer, delivery_id, house.clock.now())
        if owed is not None and await _is_its_turn(tx, house, entry, owed):
            if owed.payload is not None:
                return owed
            payload = await compose_payload(tx, sealer, owed)
            if payload is not None:
                await store.keep_payload(tx, sealer, owed.id, payload)
                return replace(owed, payload=payload)
            await store.give_up(tx, owed.id, "what it was about is gone")
        await finish_entry(tx, house.wakeups, entry)
    return None


async def _is_its_turn(tx: Tx, house: Teller, entry: Entry, owed: Owed) -> bool:
    """May it be told now? Where not, it waits where it has to."""
    if owed.status in ("delivered", "given_up") or owed.endpoint_status == "paused":
        return False  # who resumes the endpoint puts what it is owed into the lanes again
    if owed.endpoint_status == "disabled":
        await store.give_up(tx, owed.id, "the endpoint is disabled")
        return False
    if owed.is_early:  # two entries of one delivery met: a replay, and a retry that was waiting
        await put_each(tx, "hooks", [(owed.id, owed.id, owed.next_attempt_at or owed.created_at)])
        return False
    if owed.held_until is not None:
        await put_each(tx, "hooks", [(owed.id, owed.id, _blurred(owed.held_until, 5.0))])
        return False
    if entry.chat_id != owed.lane:
        await put_each(tx, "hooks", [(owed.lane, owed.id, owed.created_at)])
        tx.afterwards(lambda: house.wakeups.wake_here(topic("hooks")))
        return False
    return True


async def _attempt(house: Teller, owed: Owed) -> _Outcome:
    now = house.clock.now()
    try:
        answer = await house.egress.request(
            "POST",
            owed.url,
            headers={
                "content-type": "application/json",
                **sign(owed.secrets, str(owed.id), now, owed.payload or b""),
            },
            body=owed.payload,
            total_s=house.policy.timeout_s,
            read_max_bytes=ANSWER_READ_BYTES,
        )
    except EgressRefused as error:
        return _Outcome(False, error=str(error)[:300], is_final=True)
    except EgressTooLarge as error:  # what it says matters, not how much
        return _judged(error.answer_status, {}, b"", now)
    except (EgressTimedOut, EgressFailed) as error:
        return _Outcome(False, error=str(error)[:300])
    return _judged(answer.status, answer.headers, answer.body, now)


def _judged(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> _Outcome:
    if 200 <= status < 300:
        return _Outcome(True, status)
    wait_s = _retry_after_s(headers.get("retry-after", ""), now) if status in _ASKS_TO_WAIT else None
    said = body[: 4 * ANSWER_KEPT].decode("utf-8", "replace").replace("\x00", "")[:ANSWER_KEPT]
    error = (
        f"answered {status}, a redirect: those are not followed"
        if 300 <= status < 400
        else f"answered {status}"
    )
    return _Outcome(False, status, error, said or None, wait_s, is_final=status == 410)


def _retry_after_s(value: str, now: datetime) -> float | None:
    """Seconds, or a date, as HTTP writes them."""
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


async def _end(house: Teller, entry: Entry, owed: Owed, outcome: _Outcome) -> None:
    now = house.clock.now()
    async with house.db.owned(entry.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        await finish_entry(tx, house.wakeups, entry)
        if outcome.is_taken:
            await store.end_attempt(
                tx, sealer, owed.id, "delivered", answered=outcome.answered, delivered_at=now
            )
            await store.note_success(tx, owed.endpoint_id)
        else:
            await _fail(tx, sealer, house, owed, outcome, now)
    log.info(
        "event_told" if outcome.is_taken else "event_not_told",
        endpoint_id=str(owed.endpoint_id),
        delivery_id=str(owed.id),
        event_type=owed.event_type,
        attempt=owed.attempts + 1,
        answered=outcome.answered,
    )


async def _fail(tx: Tx, sealer: Sealer, house: Teller, owed: Owed, outcome: _Outcome, now: datetime) -> None:
    """The next attempt by the schedule, if there is one; the end of the endpoint's patience with us, or ours with it."""
    policy = house.policy
    held_until = None
    if outcome.wait_s is not None:
        held_until = now + min(timedelta(seconds=outcome.wait_s), policy.hold_max)
    tries = owed.attempts + 1
    next_at = None
    if tries < len(policy.schedule_s) and not outcome.is_final:
        wait_s = policy.schedule_s[tries]
        next_at = _blurred(now + timedelta(seconds=wait_s), wait_s * policy.jitter)
        next_at = next_at if held_until is None else max(next_at, held_until)
    await store.end_attempt(
        tx,
        sealer,
        owed.id,
        "given_up" if next_at is None else "failed",
        next_attempt_at=next_at,
        answered=outcome.answered,
        error=outcome.error,
        answer=outcome.answer,
    )
    if next_at is not None:
        await put_each(tx, "hooks", [(owed.id, owed.id, next_at)])
    failing_since = await store.note_failure(tx, owed.endpoint_id, now, held_until)
    if outcome.answered == 410:
        await _disable(tx, owed, "it answered 410: gone")
    elif failing_since is not None and now - failing_since >= policy.disable_after:
        await _disable(tx, owed, f"nothing was taken since {failing_since:%Y-%m-%d %H:%M} UTC")


async def _disable(tx: Tx, owed: Owed, because: str) -> None:
    if not await store.disable_endpoint(tx, owed.endpoint_id, because):
        return
    # In the owner's trail, and told to their other endpoints.
    await record_act(
        tx,
        actor="system",
        action="webhook_endpoint.disabled",
        subject_kind="webhook_endpoint",
        subject_id=owed.endpoint_id,
        detail={"because": because},
    )
    log.warning("endpoint_disabled", owner_id=str(tx.owner_id), endpoint_id=str(owed.endpoint_id))


def _blurred(at: datetime, by_s: float) -> datetime:
    return at + timedelta(seconds=random.uniform(0, by_s))  # noqa: S311 - spreading load, not keeping a secret
