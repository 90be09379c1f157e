"""POST /api/agents/{agentId}/chat: say something to an agent and wait for its answer, whole or as it is written."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from pydantic import ConfigDict, Field

from a1zap.accounts.model import Principal
from a1zap.api.auth import House, WritingVisitor, recognise
from a1zap.api.events import Ends, Place, Watcher, frame, parse_place, stream
from a1zap.api.file_shapes import shapes_of
from a1zap.api.files import uploader_of
from a1zap.api.house import ApiHouse
from a1zap.api.problems import problem, problem_response
from a1zap.api.rates import hold_visitor_to_rate
from a1zap.api.reading import new_router
from a1zap.api.shapes import (
    CHAT_ID,
    EXAMPLE_AGENT_MESSAGE,
    EXAMPLE_TURN,
    EXAMPLE_USER_MESSAGE,
    MessageShape,
    Shape,
    TurnShape,
    VisitorsTurnShape,
    Wanted,
    turn_for,
)
from a1zap.api.sight import NO_CHAT, agent_in_reach
from a1zap.attachments.model import FILES_A_MESSAGE_MAX
from a1zap.attachments.take_upload import check_files
from a1zap.chats import store as chats
from a1zap.chats import turn_store
from a1zap.chats.model import Message, TurnRecord
from a1zap.intake.say import Said, Saying, say
from a1zap.kit.errors import Invalid, NotAllowed, NotFound, OverLimit, TooLarge
from a1zap.kit.ids import parse_id
from a1zap.live.announce import chat_topic
from a1zap.live.store import find_event

MESSAGE_BYTES_MAX = 16_000
ATTACHMENTS = "Ids of files that you uploaded for this agent, to go with the message; each is sent once."
PATIENCE_BEYOND_MODEL_S = 15.0  # settle time, lanes and writing come on top of what the models may take
_FIRST_LOOK_S = 0.01
_SPACING_S = 0.005
_PREFER_WAIT = re.compile(r"(?:^|,)\s*wait=(\d{1,4})\s*(?:,|$)")

router: APIRouter = new_router("chat")


class ConversationUser(Wanted):
    """Who writes, in your own words: your id of them, and a name to call them by."""

    id: str | None = Field(None, min_length=1, max_length=200)
    name: str | None = Field(None, min_length=1, max_length=200)


class ChatWanted(Wanted):
    """A message for an agent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"message": "When are you open on Saturdays?"},
                {
                    "message": "And on Sundays?",
                    "chat_id": CHAT_ID,
                    "conversation_user": {"id": "customer-17", "name": "Jane"},
                },
            ]
        }
    )

    message: str = Field("", description="Up to 16,000 bytes of text; may be empty beside a file.")
    attachments: list[str] = Field([], max_length=FILES_A_MESSAGE_MAX, description=ATTACHMENTS)
    chat_id: str | None = Field(None, description="The chat to go on with; without it a new one begins.")
    conversation_user: str | ConversationUser | None = Field(
        None,
        description="Who writes: your id of them, or id and name. Without it: whoever the chat is with, or you.",
    )


class ChatAnswer(Shape):
    """What was said and what the agent answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userMessage": EXAMPLE_USER_MESSAGE,
                    "agentResponse": EXAMPLE_AGENT_MESSAGE,
                    "agentResponses": [EXAMPLE_AGENT_MESSAGE],
                    "chat_id": CHAT_ID,
                    "turn": EXAMPLE_TURN,
                    "held_reason": None,
                }
            ]
        }
    )

    userMessage: MessageShape  # noqa: N815 - the guide's name
    agentResponse: MessageShape | None = Field(  # noqa: N815 - the guide's name
        description="The agent's answer; null where it says nothing: `turn` or `held_reason` tells why."
    )
    agentResponses: list[MessageShape] = Field(  # noqa: N815 - its plural
        description="All of it, where the agent answers in several messages."
    )
    chat_id: UUID
    turn: TurnShape | VisitorsTurnShape | None = Field(
        description="What happened to answer it; null while it goes on."
    )
    held_reason: str | None = Field(
        description="Why no turn was taken: agent_paused, agent_archived, channel_paused; human: a person has the chat."
    )


@dataclass(frozen=True, slots=True)
class _Ask:
    house: ApiHouse
    who: Principal
    said: Said
    until_s: float

    @property
    def chat_id(self) -> UUID:
        return self.said.message.chat_id

    @property
    def user_message(self) -> MessageShape:
        return MessageShape.of(self.said.message, shapes_of(self.said.files, self.house.files))

    @property
    def held_reason(self) -> str | None:
        """Why no turn will be taken, as far as that is known at once."""
        return self.said.message.held_reason or ("human" if self.said.chat_status == "human" else None)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How it ended: with a turn and what was said in it, or without one, and why."""

    turn: TurnRecord | None = None
    parts: Sequence[Message] = ()
    held_reason: str | None = None


@router.post(
    "/api/agents/{agent_id}/chat",
    response_model=ChatAnswer,
    responses={
        200: {
            "description": "The answer; with `Accept: text/event-stream`, as it is written.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": (
                        "id: 41\nevent: message.accepted\ndata: {…}\n\n"
                        "id: 41-0193b1a30f107b208c776e5d4c3b2a19-0-00000000\nevent: typing\ndata: {…}\n\n"
                        "id: 41-0193b1a30f107b208c776e5d4c3b2a19-12-3c1fa9d0\nevent: token\n"
                        'data: {"turn_id": "…", "offset": 0, "text": "On Saturdays"}\n\n'
                        "id: 42-0193b1a30f107b208c776e5d4c3b2a19-done\nevent: message.created\ndata: {…}\n\n"
                        "id: 43\nevent: turn.completed\ndata: {…}\n\n"
                    ),
                }
            },
        },
        202: {
            "description": "Stored; the answer takes longer. `Location` names the chat's events.",
            "model": ChatAnswer,
        },
    },
)
async def chat(
    agent_id: str,
    wanted: ChatWanted,
    request: Request,
    house: House,
    who: WritingVisitor,
    idempotency_key: Annotated[
        str | None, Header(max_length=255, description="A repeat with the same key changes nothing.")
    ] = None,
    last_event_id: Annotated[str | None, Header(description="With event streams: go on from there.")] = None,
    prefer: Annotated[
        str | None, Header(description="`wait=5`: wait at most so many seconds for the answer.")
    ] = None,
) -> Response:
    """Say something to an agent.

    The message is stored before anything else happens; its answer may be awaited, watched, or asked for later.
    """
    began_s = house.clock.monotonic_s()
    await hold_visitor_to_rate(house, who)
    saying = _saying(agent_id, wanted, who, idempotency_key, began_s)
    said = await say(house, saying)
    ask = _Ask(house, who, said, asyncio.get_running_loop().time() + _patience_s(house, prefer))
    if said.message.held_reason == "over_limit":
        return _over_limit(house, said)
    if "text/event-stream" in request.headers.get("accept", ""):
        return await _watched(request, ask, last_event_id)
    if ask.held_reason is not None:
        return _answer(ask, _Outcome(held_reason=ask.held_reason))
    return _answer(ask, await _wait_for_turn(ask))


def check_text(text: str, field: str) -> str:
    """A message's text, if it is one that we take.

    Raises:
        Invalid: it says nothing.
        TooLarge: it has more than 16,000 bytes.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > MESSAGE_BYTES_MAX:
        raise TooLarge(f"a message may have {MESSAGE_BYTES_MAX:,} bytes; this one has {size:,}", field=field)
    if not text.strip():
        raise Invalid("the message says nothing", field=field)
    return text


def read_file_ids(wanted: Sequence[str]) -> Sequence[UUID]:
    """The ids of uploads to send.

    Raises:
        Invalid: one is no id, or stands there twice.
    """
    ids = [parse_id(text) for text in wanted]
    found = [one for one in ids if one is not None]
    if len(found) < len(ids):
        raise Invalid("attachments holds ids of files, as their upload answered", field="attachments")
    return check_files(found)


def check_once_key(key: str | None) -> str | None:
    """An Idempotency-Key, if it is one that can be compared.

    Raises:
        Invalid: empty, or not plain ASCII.
    """
    if key is not None and not (key and key.isascii() and key.isprintable()):
        raise Invalid("an Idempotency-Key is 1 to 255 printable ASCII characters", field="Idempotency-Key")
    return key


def _saying(agent_id: str, wanted: ChatWanted, who: Principal, key: str | None, began_s: float) -> Saying:
    user = wanted.conversation_user
    user = ConversationUser(id=user, name=None) if isinstance(user, str) else user
    if who.visitor is not None and user is not None and user.id is not None:
        raise NotAllowed("a visitor is who they are: conversation_user may hold a name and no id")
    chat_id = None if wanted.chat_id is None else parse_id(wanted.chat_id)
    reachable = agent_in_reach(who, agent_id)
    files = read_file_ids(wanted.attachments)
    text = wanted.message if files and not wanted.message else check_text(wanted.message, "message")
    if wanted.chat_id is not None and chat_id is None:
        raise NotFound(NO_CHAT)
    return Saying(
        owner_id=who.owner_id,
        agent_id=reachable,
        kind="api" if who.visitor is None else "web",
        text=text,
        default_address=_own_address(who),
        address=who.visitor or (None if user is None else user.id),
        name=None if user is None else user.name,
        chat_id=chat_id,
        is_guest=who.visitor is not None,
        once_key=check_once_key(key),
        began_s=began_s,
        files=files,
        uploader=uploader_of(who),
    )


def _own_address(who: Principal) -> str:
    """Who an owner is in a chat that they begin themselves: themselves, or one of their programs."""
    return f"key:{who.credential_id}" if who.kind == "key" else f"owner:{who.owner_id}"


def _patience_s(house: ApiHouse, prefer: str | None) -> float:
    longest_s = house.settings.model_deadline_s + PATIENCE_BEYOND_MODEL_S
    wanted = _PREFER_WAIT.search(prefer or "")
    return min(longest_s, float(wanted[1])) if wanted else longest_s


async def _wait_for_turn(ask: _Ask) -> _Outcome | None:
    """How it ended; None where it goes on beyond the asker's patience."""
    loop = asyncio.get_running_loop()
    with ask.house.wakeups.waiting_for(chat_topic(ask.chat_id)) as woken:
        if not ask.said.is_repeat:
            # No turn is that quick; one that was all the same is found by the look that follows.
            await _rest(woken, min(_FIRST_LOOK_S, ask.until_s - loop.time()))
        while True:
            woken.clear()
            looked_s = loop.time()
            outcome = await _look(ask)
            if outcome is not None or looked_s >= ask.until_s:
                return outcome
            if await _rest(woken, min(ask.house.settings.poll_s, ask.until_s - looked_s)):
                # Every piece of a draft wakes us, and we only want to know about the end.
                await asyncio.sleep(max(0.0, looked_s + _SPACING_S - loop.time()))


async def _rest(woken: asyncio.Event, at_most_s: float) -> bool:
    """Wait to be woken; False where nobody did in that time."""
    try:
        async with asyncio.timeout(max(0.0, at_most_s)):
            return await woken.wait()
    except TimeoutError:
        return False


async def _look(ask: _Ask) -> _Outcome | None:
    """How it ended, if it did."""
    async with ask.house.db.owned(ask.who.owner_id) as tx:
        turn = await turn_store.find_turn_of(tx, ask.chat_id, ask.said.message.seq)
        if turn is None:
            status = await chats.read_status(tx, ask.chat_id)
            return _Outcome(held_reason="human") if status in ("human", None) else None
        sealer = await ask.house.keyring.sealer(tx)
        return _Outcome(
            turn, await turn_store.messages_of_turn(tx, sealer, turn.id, ask.chat_id, turn.to_seq)
        )


def _answer(ask: _Ask, outcome: _Outcome | None) -> Response:
    """200 with what came of it, or 202 where it goes on."""
    ended = outcome or _Outcome()
    parts = [MessageShape.of(part) for part in ended.parts]
    answer = ChatAnswer.model_construct(
        userMessage=ask.user_message,
        agentResponse=parts[0] if parts else None,
        agentResponses=parts,
        chat_id=ask.chat_id,
        turn=None if ended.turn is None else turn_for(ask.who, ended.turn),
        held_reason=ended.held_reason,
    )
    body = answer.__pydantic_serializer__.to_json(answer)
    headers = {"location": _events_address(ask.chat_id)} if outcome is None else None
    return Response(body, 202 if outcome is None else 200, headers, media_type="application/json")


def _over_limit(house: ApiHouse, said: Said) -> Response:
    now = house.clock.now()
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    found = problem(
        429,
        OverLimit.title,
        "the plan's messages of this month are used up: the message is stored and not answered",
        {
            "field": "max_messages_per_month",
            "held_reason": "over_limit",
            "message_id": str(said.message.id),
            "chat_id": str(said.message.chat_id),
        },
    )
    return problem_response(found, {"retry-after": str(math.ceil((next_month - now).total_seconds()))})


# ── as it is written ────────────────────────────────────────────────────────────────────────────────────────────────


async def _watched(request: Request, ask: _Ask, last_event_id: str | None) -> Response:
    """The chat from this message on, until it has its answer."""
    if ask.held_reason is not None:
        return _told([_accepted(ask), frame("error", _not_answered(ask.held_reason))])
    place = parse_place(last_event_id)
    if place is None:
        async with ask.house.db.owned(ask.who.owner_id) as tx:
            found = await find_event(tx, ask.chat_id, "message.accepted", ask.said.message.id)
        if found is None:
            return await _told_again(ask)
        place = Place(found - 1)
    ends = Ends(ask.said.message.seq, ask.until_s)
    watcher = Watcher(ask.house, ask.who, ask.chat_id, place, ends=ends)

    async def recheck() -> None:
        await recognise(ask.house, request)

    return stream(request, ask.house, ask.chat_id, watcher, recheck=recheck)


async def _told_again(ask: _Ask) -> Response:
    """A repeat so late that the events are gone: what is stored of them."""
    outcome = await _wait_for_turn(ask) or _Outcome()
    frames = [_accepted(ask), *(frame("message.created", MessageShape.of(part)) for part in outcome.parts)]
    if outcome.turn is not None:
        frames.append(frame("turn.completed", turn_for(ask.who, outcome.turn)))
    else:
        frames.append(frame("error", _not_answered(outcome.held_reason or "waiting")))
    return _told(frames)


def _accepted(ask: _Ask) -> bytes:
    return frame("message.accepted", ask.user_message)


def _told(frames: Sequence[bytes]) -> Response:
    return Response(b"".join(frames), media_type="text/event-stream; charset=utf-8")


def _not_answered(reason: str) -> dict[str, Any]:
    why = {"human": "a person has this chat", "waiting": "its turn has not come"}
    detail = f"the message is stored and not answered: {why.get(reason, reason.replace('_', ' '))}"
    return problem(409, "Not answered", detail, {"held_reason": reason})


def _events_address(chat_id: UUID) -> str:
    return f"/api/chats/{chat_id}/events"
