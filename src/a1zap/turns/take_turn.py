"""One turn of one chat: read (one transaction), think (none), write (one transaction)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import structlog

from a1zap.agents import store as agents
from a1zap.agents.channel_store import read_channel_account
from a1zap.agents.model import Agent
from a1zap.attachments.seen import FilesByMessage
from a1zap.channels.contract import Channel, ChannelAccount
from a1zap.chats import store as chats
from a1zap.chats.model import Chat, Message
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, ModelUnavailable, OverLimit, Rejected
from a1zap.kit.ids import new_id
from a1zap.people import store as people
from a1zap.people.model import Person
from a1zap.queue.model import Entry
from a1zap.queue.work_off import finish_entry
from a1zap.routing.choose_agent import choose_agent
from a1zap.triage.choose_workflow import choose_workflow
from a1zap.turns.house import TurnHouse
from a1zap.turns.models import AgentMinds
from a1zap.turns.see_turns_files import see_turns_files
from a1zap.turns.trace import Trace
from a1zap.turns.voice import DraftVoice, SilentVoice
from a1zap.turns.write_turn import Outcome, write_turn
from a1zap.workflows.contract import Escalate, Reply, Silence, Spent, Thought, Turn

log = structlog.get_logger()

HISTORY_MAX = 30  # messages; the workflow trims them further to its token budget
UNANSWERED_MAX = 200  # messages; of a longer flood the oldest count as answered and are not read
ACKNOWLEDGE_TIME_MAX_S = 2.0  # that an answer waits for the call that says it is being written
MODEL_ATTEMPTS_MAX = 3  # turns that the models may fail before we say so and call a person

APOLOGY = (
    "I'm sorry, I can't answer right now because of a technical problem on our side. "
    "Your message is not lost: I have passed it on to a person."
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What was read: all that a turn is about."""

    sealer: Sealer
    chat: Chat
    agent: Agent
    channel_kind: str
    person: Person | None
    history: list[Message]
    unanswered: list[Message]
    from_seq: int
    spent_usd: Decimal
    account: ChannelAccount | None  # only of channels that can be shown that we write


async def take_turn(house: TurnHouse, entry: Entry) -> None:
    """Answer all unanswered messages of the entry's chat, once.

    Raises:
        LeaseLost: another worker has the chat now; nothing was written.
        ModelUnavailable: no model answered; the entry is put back and tried again.
    """
    trace = Trace(house.clock)
    trace.waited(entry.enqueued_at)
    scene = await _read(house, entry)
    if scene is None:
        return
    trace.mark("take_turn", {"unanswered": len(scene.unanswered), "history": len(scene.history)})
    channel = house.channels[scene.channel_kind]
    turn_id = new_id()
    began_at = house.clock.now()
    async with _acknowledged(channel, scene, house.egress):
        thought = await _think(house, entry, scene, trace, turn_id)
    outcome = Outcome(
        entry=entry,
        turn_id=turn_id,
        chat=scene.chat,
        agent=scene.agent,
        is_pulled=channel.is_pulled,
        text_max=channel.text_max_for(scene.chat.service),
        thought=thought,
        from_seq=scene.from_seq,
        to_seq=scene.unanswered[-1].seq,
        answered=len(scene.unanswered),
        hops=trace.hops,
        began_at=began_at,
        late_notice=_late_notice(scene, channel.stale_after_s, house.clock.now()),
    )
    await write_turn(house, scene.sealer, outcome)


async def _read(house: TurnHouse, entry: Entry) -> Scene | None:
    """All the turn needs, in one short transaction; None where there is nothing (left) to answer."""
    async with house.db.owned(entry.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        chat = await chats.read_chat(tx, sealer, entry.chat_id)
        scene = None if chat is None or chat.status == "human" else await _look(tx, sealer, chat, house)
        if scene is None:
            # Nothing to do, but a message may be coming in at this moment: its chat's row tells us to look again.
            await _finish_idle(tx, house, entry, chat)
        return scene


async def _look(tx: Tx, sealer: Sealer, chat: Chat, house: TurnHouse) -> Scene | None:
    history = list(reversed(await chats.list_messages(tx, sealer, chat.id, count=HISTORY_MAX)))
    unanswered = [m for m in history if _is_unanswered(m, chat)]
    if not unanswered:
        return None
    from_seq = unanswered[0].seq
    if unanswered[0] is history[0]:  # the page may not hold all of them
        unanswered = [*await _older_unanswered(tx, sealer, chat, from_seq), *unanswered]
        from_seq = chat.answered_seq + 1
    agent = await agents.read_agent(tx, choose_agent(chat).agent_id)
    if agent is None:
        return None
    person_id = unanswered[-1].sender_id
    day = house.clock.now().date()
    return Scene(
        sealer=sealer,
        chat=chat,
        agent=agent,
        channel_kind=chat.channel_kind,
        person=None if person_id is None else await people.read_person(tx, sealer, person_id),
        history=[m for m in history if m not in unanswered],
        unanswered=unanswered,
        from_seq=from_seq,
        spent_usd=Decimal(0)
        if agent.budget_usd_per_day is None
        else await agents.spent_usd(tx, agent.id, day),
        account=await read_channel_account(tx, sealer, chat.channel_account_id)
        if house.channels[chat.channel_kind].acknowledges
        else None,
    )


async def _older_unanswered(tx: Tx, sealer: Sealer, chat: Chat, before_seq: int) -> list[Message]:
    count = UNANSWERED_MAX - HISTORY_MAX
    found = await chats.list_messages(
        tx, sealer, chat.id, before_seq=before_seq, after_seq=chat.answered_seq, count=count
    )
    return [m for m in reversed(found) if _is_unanswered(m, chat)]


def _is_unanswered(message: Message, chat: Chat) -> bool:
    return message.direction == "inbound" and message.held_reason is None and message.seq > chat.answered_seq


async def _finish_idle(tx: Tx, house: TurnHouse, entry: Entry, chat: Chat | None) -> None:
    if chat is not None:
        await chats.lock_chat(tx, chat.id)
    await finish_entry(tx, house.wakeups, entry)


@asynccontextmanager
async def _acknowledged(channel: Channel, scene: Scene, egress: Egress) -> AsyncGenerator[None]:
    """Meanwhile the other side is shown that its message was read and is being answered, where its channel can."""
    external_id = scene.unanswered[-1].external_id
    if scene.account is None or external_id is None or scene.agent.status != "active":
        yield
        return
    showing = asyncio.create_task(_show(channel, scene.account, external_id, egress))
    try:
        yield
    finally:
        # It ends before the answer leaves: a "typing" that arrives after the answer would stay.
        await asyncio.wait({showing}, timeout=ACKNOWLEDGE_TIME_MAX_S)
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _show(channel: Channel, account: ChannelAccount, external_id: str, egress: Egress) -> None:
    try:
        await channel.acknowledge(account, external_id, egress)
    except (ChannelUnavailable, Rejected) as error:
        log.info("not_acknowledged", channel=account.kind, error=type(error).__name__)


async def _think(house: TurnHouse, entry: Entry, scene: Scene, trace: Trace, turn_id: Any) -> Thought:
    """No transaction is open in here: a model may take its time."""
    choice = choose_agent(scene.chat)
    trace.mark("choose_agent", {"why": choice.why, "confidence": choice.confidence})
    if scene.agent.status != "active":
        return Thought([Silence(f"the agent is {scene.agent.status}")])
    triage = choose_workflow(scene.agent, scene.chat, scene.unanswered)
    trace.mark(
        "choose_workflow",
        {"response_type": triage.response_type, "why": triage.why, "confidence": triage.confidence},
    )
    if triage.response_type == "noReply":
        return Thought([Silence(triage.why)])
    files = await see_turns_files(house, entry.owner_id, scene)
    thought = await _run(house, entry, scene, files, triage.response_type, turn_id)
    did = {"workflow": triage.response_type, "why": thought.why, "model": thought.spent.model}
    trace.mark("run", did | ({"files": sum(len(some) for some in files.values())} if files else {}))
    return thought


async def _run(
    house: TurnHouse, entry: Entry, scene: Scene, files: FilesByMessage, response_type: str, turn_id: Any
) -> Thought:
    turn = Turn(
        id=turn_id,
        agent=scene.agent,
        chat=scene.chat,
        channel_kind=scene.channel_kind,
        person=scene.person,
        unanswered=scene.unanswered,
        history=scene.history,
        now=house.clock.now(),
        files=files,
    )
    minds = AgentMinds(
        entry.owner_id,
        scene.agent,
        house.models.models_of(scene.agent),
        house.shelf,
        spent_usd=scene.spent_usd,
        deadline_s=house.models.deadline_s,
    )
    voice = _voice(house, entry, scene, turn_id)
    try:
        return await house.workflows[response_type].run(turn, minds, voice)
    except OverLimit as error:
        return Thought([Reply(APOLOGY), Escalate("budget")], Spent(), str(error))
    except ModelUnavailable as error:
        if entry.attempt < MODEL_ATTEMPTS_MAX:
            raise
        log.error("models_failed", chat_id=str(scene.chat.id), attempts=entry.attempt, error=str(error))
        return Thought([Reply(APOLOGY), Escalate("failed_model")], Spent(), str(error))
    finally:
        if isinstance(voice, DraftVoice):
            await voice.stop()


def _voice(house: TurnHouse, entry: Entry, scene: Scene, turn_id: Any) -> DraftVoice | SilentVoice:
    if not house.channels[scene.channel_kind].is_pulled:
        return SilentVoice()
    return DraftVoice(
        house.db, house.wakeups, scene.sealer, owner_id=entry.owner_id, chat_id=scene.chat.id, turn_id=turn_id
    )


def _late_notice(scene: Scene, stale_after_s: float, now: datetime) -> str | None:
    """Said before an answer to messages that are older than their channel's staleness limit."""
    oldest = min(m.said_at for m in scene.unanswered)
    if (now - oldest).total_seconds() <= stale_after_s:
        return None
    return f"(This answers your message of {oldest:%Y-%m-%d %H:%M} UTC, which reached us late. We are sorry for the wait.)"
