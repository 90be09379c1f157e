"""Deliberately broken builds: with each of them the judge must go red, or the harness proves nothing.

A mutant is put into a forked process by name, on top of the real code; the sources are never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from a1zap import app
from a1zap.agents import channel_store
from a1zap.channels.a1base import parse as a1base
from a1zap.channels.email import channel as email
from a1zap.chats import sending_store
from a1zap.db.pool import Tx
from a1zap.delivery import deliver_message as delivery
from a1zap.intake import accept_item, read_delivery
from a1zap.kit.errors import A1ZapError
from a1zap.queue import store, work_off
from a1zap.turns import take_turn, write_turn


def no_order_gate() -> None:
    """Any waiting entry may be claimed, whoever of its lane stands before it."""
    for queue, sql in store._CLAIM.items():
        before, gate, rest = sql.partition("AND NOT EXISTS (")
        _, end, after = rest.partition("e.msg_id < q.msg_id)")
        assert gate and end, "the claim has another form now: mend this mutant"
        store._CLAIM[queue] = before + after


def no_deduplication() -> None:
    """Each delivery is a message of its own, whatever id its provider gave it."""
    parse = a1base._inbound

    def parse_anew(*args: Any) -> Any:
        inbound = parse(*args)
        return inbound if inbound.is_echo else replace(inbound, external_id=uuid4().hex)

    a1base._inbound = parse_anew


def no_lease() -> None:
    """What one worker has in hand, the others may take at once."""
    policy_of = app.lane_policy
    app.lane_policy = lambda settings: replace(policy_of(settings), lease=timedelta(0))

    async def no_heartbeat(self: Any) -> None:
        return None

    work_off._Worker.beat = no_heartbeat  # type: ignore[method-assign]


def no_fence() -> None:
    """A worker whose lease ran out writes all the same. The lease is short enough to run out."""
    no_lease()
    policy_of = app.lane_policy
    app.lane_policy = lambda settings: replace(policy_of(settings), lease=timedelta(milliseconds=5))

    async def finish_unfenced(tx: Tx, entry: Any) -> bool:
        await tx.run(f"DELETE FROM pgmq.q_{entry.queue} WHERE msg_id = $1", entry.id)
        return True

    store.finish = finish_unfenced  # type: ignore[assignment]


def sent_before_sending() -> None:
    """A message is marked as sent, and its entry removed, before the provider is called."""

    async def deliver(house: Any, entry: Any) -> None:
        attempt = await delivery._begin(house, entry)
        if attempt is None:
            return
        await delivery._end(house, attempt, "sent", took_ms=0.0)
        with suppress(A1ZapError):
            await delivery._send_once(house, attempt)

    app.deliver_message = deliver  # type: ignore[assignment]


def unflagged() -> None:
    """What is sent again after an open end is not marked as perhaps doubled."""

    async def no_flag(*_args: Any) -> None:
        return None

    delivery._flag = no_flag  # type: ignore[assignment]


def resent_unasked() -> None:
    """A message found in a dead worker's hands is taken for one that nobody tried."""
    begin = delivery._begin

    async def begin_forgetfully(house: Any, entry: Any) -> Any:
        attempt = await begin(house, entry)
        return None if attempt is None else replace(attempt, is_in_doubt=False)

    delivery._begin = begin_forgetfully  # type: ignore[assignment]


def turn_in_two_steps() -> None:
    """The turn's entry is removed in a transaction of its own, before the turn is written."""
    write = write_turn.write_turn
    finish = store.finish

    async def write_after(house: Any, sealer: Any, outcome: Any) -> None:
        async with house.db.owned(outcome.entry.owner_id) as tx:
            await finish(tx, outcome.entry)

        async def finished(*_args: Any) -> None:
            return None

        write_turn.finish_entry = finished  # type: ignore[assignment]
        await write(house, sealer, outcome)

    take_turn.write_turn = write_after  # type: ignore[assignment]


def acknowledged_too_soon() -> None:
    """The webhook is answered 2xx before the message is stored."""
    import asyncio

    from a1zap.api import webhooks  # the mutant belongs to the HTTP face

    for name in ("receive_for_agent", "receive_for_account"):
        receive = getattr(webhooks, name, None)
        if receive is None:
            continue

        async def receive_later(*args: Any, receive: Any = receive) -> None:
            async def later() -> None:
                await asyncio.sleep(0.02)
                await receive(*args)

            task = asyncio.ensure_future(later())
            _KEPT.add(task)
            task.add_done_callback(lambda t: (_KEPT.discard(t), t.exception()))

        setattr(webhooks, name, receive_later)


def status_goes_back() -> None:
    """The newest news about a message wins, even where it is older than what is known."""
    sending_store._ADVANCE = (
        sending_store._ADVANCE.split("AND array_position", 1)[0] + " RETURNING true AS has_moved)"
    )


# ── what only the simulation of a channel sees ──────────────────────────────────────────────────────────────────────


def our_own_id_is_believed() -> None:
    """News that names a message by our own id is written down as it comes, whatever is known already."""
    accept = accept_item.accept_receipt

    async def accept_believing(tx: Tx, sealer: Any, wakeups: Any, account: Any, receipt: Any) -> None:
        if receipt.message_id is None:
            await accept(tx, sealer, wakeups, account, receipt)
            return
        await tx.run(
            "UPDATE messages SET status = $3 WHERE owner_id = $1 AND id = $2 AND direction = 'outbound'",
            tx.owner_id,
            receipt.message_id,
            receipt.status.value,
        )

    accept_item.accept_receipt = accept_believing


def early_news_is_dropped() -> None:
    """News of a message whose provider id nobody knows yet is answered 2xx and forgotten."""

    async def keep_nothing(*_args: Any) -> None:
        return None

    sending_store.keep_early_receipt = keep_nothing


def read_before_stored() -> None:
    """A kept delivery is marked as read before what it says is stored."""
    open_kept = read_delivery._open

    async def open_and_mark(desk: Any, entry: Any) -> Any:
        opened = await open_kept(desk, entry)
        if opened is not None:
            async with desk.db.owned(entry.owner_id) as tx:
                await channel_store.mark_raw_delivery_read(tx, opened[1].id, desk.clock.now())
        return opened

    read_delivery._open = open_and_mark


def mail_renamed() -> None:
    """Each attempt to send a mail gives it a Message-ID of its own."""
    compose = email.compose_letter

    async def compose_anew(*args: Any) -> Any:
        return replace(await compose(*args), message_id=f"{uuid4()}@sim.test")

    email.compose_letter = compose_anew


_KEPT: set[Any] = set()


MUTANTS: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        no_order_gate,
        no_deduplication,
        no_lease,
        no_fence,
        sent_before_sending,
        unflagged,
        resent_unasked,
        turn_in_two_steps,
        acknowledged_too_soon,
        status_goes_back,
        our_own_id_is_believed,
        early_news_is_dropped,
        read_before_stored,
        mail_renamed,
    )
}


def install(name: str) -> None:
    """Break this process; '' leaves it whole."""
    if name:
        MUTANTS[name]()
