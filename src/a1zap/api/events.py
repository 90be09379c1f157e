"""A chat as it happens, as server-sent events: for those who wait for one answer, and for those who just watch.

Every event bears an id that says exactly what the watcher has seen, down to the character of an answer being written:

    <live event>                        everything up to that event
    <live event>-<turn>-<offset>-<sum>  and of that turn's answer the first <offset> characters, which had that checksum
    <live event>-<turn>-done            and that turn's answer whole

Whoever comes back with it as `Last-Event-ID` goes on there: nothing is lost, nothing is said twice. An answer that
began anew meanwhile (another model took over) is told by the checksum, and starts again with `"reset": true`.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from a1zap.accounts.model import Principal
from a1zap.api.file_shapes import FileShape, files_of
from a1zap.api.house import ApiHouse
from a1zap.api.meters import Meters
from a1zap.api.problems import problem, problem_of
from a1zap.api.server_protocol import Closing
from a1zap.api.shapes import ChatShape, MessageShape, turn_for
from a1zap.chats import store as chats
from a1zap.chats import turn_store
from a1zap.chats.model import Message
from a1zap.chats.reading_store import read_so_far
from a1zap.db.pool import DatabaseUnavailable, Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import Rejected, Unavailable
from a1zap.live.announce import Side, chat_topic, typing_topic
from a1zap.live.model import Draft, LiveEvent
from a1zap.live.store import events_after, read_draft

HEARTBEAT_S = 15.0
RECHECK_S = 5.0  # a revoked key sees nothing of a chat after this time
SPACING_S = 0.01  # between two looks, so that a quick writer does not make us look at every letter
IDLE_LOOK_MAX_S = 5.0
EVENTS_A_LOOK = 100
TURN_SEPARATOR = "\n\n"
_DONE = -1
_PLACE = re.compile(r"(\d{1,18})(?:-([0-9a-f]{32})-(?:(done)|(\d{1,9})-([0-9a-f]{8})))?")
_BEGIN = b": you are watching a chat\nretry: 1000\n\n"
_HEARTBEAT = b": still here\n\n"
# No line breaks to the standard, and to many clients that cut text into lines all the same.
_LINE_BREAKS = ((b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"), (b"\xc2\x85", rb"\u0085"))


@dataclass(frozen=True, slots=True)
class Place:
    """How far a watcher has seen: all events up to one, and some of an answer being written."""

    event_id: int
    turn: str = ""
    offset: int = 0
    checksum: str = ""

    def __str__(self) -> str:
        if not self.turn:
            return str(self.event_id)
        if self.offset == _DONE:
            return f"{self.event_id}-{self.turn}-done"
        return f"{self.event_id}-{self.turn}-{self.offset}-{self.checksum}"


def parse_place(text: str | None) -> Place | None:
    """The place that a `Last-Event-ID` names; None where it is none of ours."""
    found = _PLACE.fullmatch(text or "")
    if found is None:
        return None
    event_id, turn, done, offset, checksum = found.groups()
    return Place(int(event_id), turn or "", _DONE if done else int(offset or 0), checksum or "")


@dataclass(frozen=True, slots=True)
class Ends:
    """When a watcher of one answer is content: once the message at `seq` has had its turn, or after `until_s`."""

    seq: int
    until_s: float


class Watcher:
    """One watcher's place in one chat. `look` gives the frames of what is new since the last look."""

    def __init__(
        self, house: ApiHouse, who: Principal, chat_id: UUID, place: Place, *, ends: Ends | None = None
    ) -> None:
        self._house = house
        self._who = who
        self._chat_id = chat_id
        self._place = place
        self._files: Mapping[UUID, Sequence[FileShape]] = {}  # of the messages at hand
        self.ends = ends
        self.is_content = False
        self.has_more = False

    @property
    def other_side(self) -> Side:
        return "user" if self._who.visitor is None else "owner"

    def typing(self, *, is_typing: bool) -> bytes:
        """The frame that says that a person on the other side types. It has no id: there is no coming back to it."""
        told = {"chat_id": self._chat_id, "by": self.other_side, "is_typing": is_typing}
        return frame("typing", told)

    async def look(self) -> bytes:
        async with self._house.db.owned(self._who.owner_id) as tx:
            sealer = await self._house.keyring.sealer(tx)
            # The draft is read first: an answer that ends in between is then seen as written and as ended, in order.
            draft = await read_draft(tx, sealer, self._chat_id)
            events = await events_after(tx, self._chat_id, self._place.event_id, EVENTS_A_LOOK)
            self.has_more = len(events) == EVENTS_A_LOOK
            frames = await self._frames(tx, sealer, draft, events)
        return b"".join(frames)

    async def _frames(
        self, tx: Tx, sealer: Sealer, draft: Draft | None, events: Sequence[LiveEvent]
    ) -> list[bytes]:
        messages = await self._messages(tx, sealer, events)
        ended = {m.turn_id for m in messages.values() if m.turn_id} | {
            e.subject_id for e in events if e.kind == "turn.completed"
        }
        frames: list[bytes] = []
        if draft is not None and draft.turn_id in ended:
            frames += self._write(draft.turn_id, draft.text)
            draft = None
        for event in events:
            frames += await self._tell(tx, sealer, event, messages)
            if self.is_content:
                return frames
        if draft is not None:
            frames += self._write(draft.turn_id, draft.text)
        return frames

    async def _messages(self, tx: Tx, sealer: Sealer, events: Sequence[LiveEvent]) -> dict[UUID, Message]:
        ids = [e.subject_id for e in events if e.kind.startswith("message.")]
        found = await chats.read_messages(tx, sealer, ids) if ids else {}
        self._files = await files_of(tx, sealer, self._house.files, [*found.values()])
        return found

    async def _tell(
        self, tx: Tx, sealer: Sealer, event: LiveEvent, messages: dict[UUID, Message]
    ) -> list[bytes]:
        """The frames of one event; of one whose subject is gone, none."""
        match event.kind:
            case "message.accepted" | "message.created":
                message = messages.get(event.subject_id)
                if message is None:
                    return []
                before = self._finish_writing(message, messages)
                self._pass(event)
                shape = MessageShape.of(message, self._files.get(message.id, ()))
                return [*before, self._frame(event.kind, shape)]
            case "message.status":
                message = messages.get(event.subject_id)
                self._pass(event)
                if message is None:
                    return []
                return [self._frame(event.kind, _status(message, self._files.get(message.id, ())))]
            case "turn.completed":
                return await self._tell_turn(tx, event)
            case "chat.changed":
                return await self._tell_chat(tx, sealer, event)
            case "chat.read":
                self._pass(event)
                so_far = await read_so_far(tx, self._chat_id)
                told = {"chat_id": self._chat_id, "by": "owner", "seq": so_far.by_owner}
                return [self._frame(event.kind, told)]
            case "typing" | "error":
                self._pass(event)
                return []

    async def _tell_turn(self, tx: Tx, event: LiveEvent) -> list[bytes]:
        turn = await turn_store.read_turn(tx, event.subject_id)
        self._place = Place(event.id)
        if turn is None:
            return []
        if self.ends is not None and turn.from_seq <= self.ends.seq <= turn.to_seq:
            self.is_content = True
        return [self._frame(event.kind, turn_for(self._who, turn))]

    async def _tell_chat(self, tx: Tx, sealer: Sealer, event: LiveEvent) -> list[bytes]:
        chat = await chats.read_chat(tx, sealer, self._chat_id)
        self._pass(event)
        if chat is None:
            return []
        if self.ends is not None and chat.status == "human":
            self.is_content = True  # a person has the chat: no turn comes
        return [self._frame(event.kind, ChatShape.of(chat))]

    def _finish_writing(self, message: Message, messages: dict[UUID, Message]) -> list[bytes]:
        """What was not yet seen of an answer as it was written, now that it is there whole.

        Whoever only watches, and saw nothing of it being written, gets the message alone.
        """
        if message.turn_id is None or message.sender_kind != "agent":
            return []
        turn = message.turn_id.hex
        if self._place.turn == turn and self._place.offset == _DONE:
            return []
        frames: list[bytes] = []
        if self.ends is not None or self._place.turn == turn:
            parts = sorted(
                (m for m in messages.values() if m.turn_id == message.turn_id), key=lambda m: m.seq
            )
            frames = self._write(message.turn_id, TURN_SEPARATOR.join(p.content for p in parts))
        self._place = replace(self._place, turn=turn, offset=_DONE)
        return frames

    def _write(self, turn_id: UUID, text: str) -> list[bytes]:
        """The frames that bring a watcher from what they have seen of a turn's answer to `text`."""
        turn, place, frames = turn_id.hex, self._place, list[bytes]()
        if place.turn == turn and place.offset == _DONE:
            return []
        if place.turn != turn:
            self._place = place = Place(place.event_id, turn, 0, _checksum(""))
            frames.append(
                self._frame("typing", {"turn_id": turn_id, "chat_id": self._chat_id, "by": "agent"})
            )
        is_continued = len(text) >= place.offset and _checksum(text[: place.offset]) == place.checksum
        offset = place.offset if is_continued else 0
        if is_continued and len(text) == offset:
            return frames
        self._place = Place(place.event_id, turn, len(text), _checksum(text))
        told: dict[str, Any] = {"turn_id": turn_id, "offset": offset, "text": text[offset:]}
        frames.append(self._frame("token", told if is_continued else {**told, "reset": True}))
        return frames

    def _pass(self, event: LiveEvent) -> None:
        self._place = replace(self._place, event_id=event.id)

    def _frame(self, kind: str, content: BaseModel | dict[str, Any]) -> bytes:
        return frame(kind, content, str(self._place))


def frame(kind: str, content: BaseModel | dict[str, Any], event_id: str | None = None) -> bytes:
    """One event as it goes over the wire; JSON holds no line break, so one data line is enough."""
    data = (
        content.__pydantic_serializer__.to_json(content)
        if isinstance(content, BaseModel)
        else orjson.dumps(content, default=str)  # asyncpg has a UUID of its own
    )
    for raw, escaped in _LINE_BREAKS:
        if raw in data:
            data = data.replace(raw, escaped)
    head = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (head, kind.encode(), data)


def stream(
    request: Request,
    house: ApiHouse,
    chat_id: UUID,
    watcher: Watcher,
    *,
    recheck: Callable[[], Awaitable[object]],
) -> StreamingResponse:
    """The answer that is a live stream of the chat."""
    meters: Meters = request.app.state.meters
    closing: Closing = request.scope.get("state", {}).get("closing") or Closing()

    async def counted() -> AsyncGenerator[bytes]:
        with meters.open_streams.track_inprogress():
            async for piece in _watch(house, chat_id, watcher, closing, recheck):
                yield piece

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(counted(), media_type="text/event-stream; charset=utf-8", headers=headers)


async def _watch(
    house: ApiHouse,
    chat_id: UUID,
    watcher: Watcher,
    closing: Closing,
    recheck: Callable[[], Awaitable[object]],
) -> AsyncGenerator[bytes]:
    """Look, tell, wait to be woken; until the watcher is content, may see no more, leaves, or the server stops."""
    loop = asyncio.get_running_loop()
    told_s = checked_s = loop.time()
    yield _BEGIN
    other = watcher.other_side
    with (
        house.wakeups.waiting_for(chat_topic(chat_id)) as woken,
        house.wakeups.waiting_for(typing_topic(chat_id, other, is_typing=True)) as began,
        house.wakeups.waiting_for(typing_topic(chat_id, other, is_typing=False)) as ended,
    ):
        closing.waiting.add(woken)
        try:
            while not closing.is_set:
                woken.clear()
                now_s = loop.time()
                if now_s - checked_s >= RECHECK_S:
                    await recheck()
                    checked_s = now_s
                news = _typing(watcher, began, ended) + await _look(watcher)
                if news:
                    told_s = now_s
                    yield news
                if watcher.is_content:
                    return
                if watcher.ends is not None and now_s >= watcher.ends.until_s:
                    yield frame("error", _too_long(chat_id))
                    return
                if now_s - told_s >= HEARTBEAT_S:
                    told_s = now_s
                    yield _HEARTBEAT
                if not watcher.has_more:
                    await _rest(woken, now_s, _patience_s(house, watcher, now_s - told_s))
        except (Rejected, Unavailable) as error:
            yield frame("error", problem_of(error))
        finally:
            closing.waiting.discard(woken)


def _typing(watcher: Watcher, began: asyncio.Event, ended: asyncio.Event) -> bytes:
    """Who has begun and stopped since the last look has stopped."""
    if not began.is_set() and not ended.is_set():
        return b""
    is_typing = not ended.is_set()
    began.clear()
    ended.clear()
    return b"" if watcher.ends is not None else watcher.typing(is_typing=is_typing)


async def _look(watcher: Watcher) -> bytes:
    try:
        return await watcher.look()
    except DatabaseUnavailable:
        return b""  # it comes back; nothing that happens meanwhile is lost on whoever waits


def _patience_s(house: ApiHouse, watcher: Watcher, quiet_s: float) -> float:
    """Seconds until the next look where no wake-up comes; a long quiet chat is looked at less often."""
    often_s = house.settings.poll_s
    return often_s if watcher.ends is not None else max(often_s, min(IDLE_LOOK_MAX_S, quiet_s / 5))


async def _rest(woken: asyncio.Event, looked_s: float, at_most_s: float) -> None:
    """Until somebody says that there is news, or it is time to look anyway."""
    try:
        async with asyncio.timeout(at_most_s):
            await woken.wait()
    except TimeoutError:
        return
    since_s = asyncio.get_running_loop().time() - looked_s
    if since_s < SPACING_S:
        await asyncio.sleep(SPACING_S - since_s)


def _status(message: Message, files: Sequence[FileShape]) -> dict[str, Any]:
    """What has changed of a message; its files where it has any, because they come after it."""
    told: dict[str, Any] = {"attachments": [f.model_dump(mode="json") for f in files]} if files else {}
    return told | {
        "id": message.id,
        "status": message.status,
        "error": message.error,
        "possible_duplicate": message.possible_duplicate,
    }


def _too_long(chat_id: UUID) -> dict[str, Any]:
    detail = f"the answer is not there yet: watch /api/chats/{chat_id}/events, or ask again later"
    return problem(503, "Still working", detail)


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"
