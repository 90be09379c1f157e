"""The end of a turn: everything it came to, the reply, and the end of its lane entry commit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from a1zap.agents import store as agents
from a1zap.agents.model import Agent
from a1zap.chats import store as chats
from a1zap.chats import turn_store
from a1zap.chats.model import Chat, ChatStatus, NewMessage, TurnRecord, TurnStatus
from a1zap.db.parts import Part
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id, slot_of
from a1zap.kit.split_text import split_text
from a1zap.live.announce import announce
from a1zap.live.model import EventKind
from a1zap.live.store import drop_draft, recording, tell_hooks
from a1zap.queue import store as queue
from a1zap.queue.model import Entry
from a1zap.queue.work_off import finish_entry, topic, wake_next
from a1zap.turns.house import TurnHouse
from a1zap.workflows.contract import Escalate, Reply, Silence, Thought

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn came to, before it is written."""

    entry: Entry
    turn_id: UUID
    chat: Chat
    agent: Agent
    is_pulled: bool
    text_max: int | None
    thought: Thought
    from_seq: int
    to_seq: int
    answered: int
    hops: Sequence[Mapping[str, Any]]
    began_at: datetime
    late_notice: str | None


async def write_turn(house: TurnHouse, sealer: Sealer, outcome: Outcome) -> None:
    """Write a turn down. A chat that a person took over meanwhile gets the record and not the reply.

    Raises:
        LeaseLost: another worker has the chat; nothing of this is written.
    """
    now = house.clock.now()
    record = _record(outcome, _status(outcome), now)
    async with house.db.owned(outcome.entry.owner_id) as tx:
        written = await turn_store.end_turn(tx, record, new_status=_new_chat_status(outcome))
        if written is None:
            await finish_entry(tx, house.wakeups, outcome.entry)
            return
        events = [] if written == "dropped" else await _write_steps(tx, house, sealer, outcome, now)
        if outcome.is_pulled:
            await drop_draft(tx, outcome.chat.id)
        await _close(tx, house, outcome, [*events, ("turn.completed", outcome.turn_id)], now)
        announce(tx, house.wakeups, outcome.chat.id)
    log.info(
        "turn_taken",
        chat_id=str(outcome.chat.id),
        turn_id=str(outcome.turn_id),
        status=written,
        answered=outcome.answered,
        took_ms=round((now - outcome.began_at).total_seconds() * 1000, 1),
    )


async def _close(
    tx: Tx, house: TurnHouse, outcome: Outcome, events: Sequence[tuple[EventKind, UUID]], now: datetime
) -> None:
    """The entry goes, the watchers are told, the usage is counted: one round trip.

    Last of all, because all turns of the agent share the row of its usage until their commits.
    """
    said = sum(kind == "message.created" for kind, _ in events)
    has_next, has_hooks, _ = await tx.together(
        queue.finishing(outcome.entry),
        recording(tx, outcome.chat.id, events),
        _adding_usage(tx, outcome, said, now),
    )
    wake_next(tx, house.wakeups, outcome.entry, has_next=queue.was_finished(outcome.entry, has_next))
    if has_hooks:
        await tell_hooks(tx, outcome.chat.id, events)


async def _write_steps(
    tx: Tx, house: TurnHouse, sealer: Sealer, outcome: Outcome, now: datetime
) -> list[tuple[EventKind, UUID]]:
    """Do the steps, in order; what there is to tell of them."""
    events: list[tuple[EventKind, UUID]] = []
    for step in outcome.thought.steps:
        match step:
            case Reply():
                for text in _parts(outcome, step):
                    message_id = await _write_message(tx, house, sealer, outcome, text, step, now)
                    events.append(("message.created", message_id))
            case Escalate(reason):
                await chats.insert_escalation(tx, outcome.chat.id, outcome.agent.id, reason)
                events.append(("chat.changed", outcome.chat.id))
            case Silence():
                pass
    return events


async def _write_message(
    tx: Tx, house: TurnHouse, sealer: Sealer, outcome: Outcome, text: str, step: Reply, now: datetime
) -> UUID:
    message_id = new_id()
    rich: dict[str, Any] = {}
    if step.sources:
        rich["sources"] = [{"article_id": str(s.article_id), "title": s.title} for s in step.sources]
    if step.offers_person:
        rich["offers_person"] = True
    message = NewMessage(
        id=message_id,
        direction="outbound",
        sender_kind="agent",
        sender_id=None,
        agent_id=outcome.agent.id,
        content=text,
        # Who reads its messages from us has them the moment they are stored.
        status="delivered" if outcome.is_pulled else "queued",
        said_at=now,
        rich_content=rich or None,
        turn_id=outcome.turn_id,
    )
    parts = [turn_store.appending(tx, sealer, outcome.chat.id, message, now)]
    if not outcome.is_pulled:
        parts.append(queue.putting_delivery(tx, outcome.chat.id, message_id))
        tx.afterwards(lambda: house.wakeups.say(topic("deliveries")))
    result, *_ = await tx.together(*parts)
    turn_store.appended(message, result)
    return message_id


def _parts(outcome: Outcome, step: Reply) -> list[str]:
    """One message, or one a paragraph where the agent is set so; the late notice before the first."""
    text = step.text if outcome.late_notice is None else f"{outcome.late_notice}\n\n{step.text}"
    parts = [text]
    if outcome.agent.message_settings.get("split_paragraphs"):
        parts = [part for part in (p.strip() for p in text.split("\n\n")) if part]
    return [piece for part in parts for piece in split_text(part, outcome.text_max)]


def _status(outcome: Outcome) -> TurnStatus:
    if any(isinstance(s, Escalate) and s.reason == "failed_model" for s in outcome.thought.steps):
        return "failed"
    return "answered" if any(isinstance(s, Reply) for s in outcome.thought.steps) else "silent"


def _new_chat_status(outcome: Outcome) -> ChatStatus | None:
    if any(isinstance(s, Escalate) for s in outcome.thought.steps):
        return "escalated"
    return "agent" if outcome.chat.status == "closed" else None


def _record(outcome: Outcome, status: TurnStatus, now: datetime) -> TurnRecord:
    spent = outcome.thought.spent
    return TurnRecord(
        id=outcome.turn_id,
        chat_id=outcome.chat.id,
        agent_id=outcome.agent.id,
        agent_version=outcome.agent.version,
        status=status,
        from_seq=outcome.from_seq,
        to_seq=outcome.to_seq,
        attempt=outcome.entry.attempt,
        hops=outcome.hops,
        model=spent.model,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        cost_usd=spent.cost_usd,
        started_at=outcome.began_at,
        finished_at=now,
    )


def _adding_usage(tx: Tx, outcome: Outcome, said: int, now: datetime) -> Part:
    spent = outcome.thought.spent
    return agents.adding_usage(
        tx,
        outcome.agent.id,
        now.date(),
        slot=slot_of(outcome.chat.id),
        messages=outcome.answered + said,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        cost_usd=spent.cost_usd,
    )
