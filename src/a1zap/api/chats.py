"""/api/chats and an agent's conversations: read them, watch them, answer in them as a person, take them over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import ConfigDict, Field

from a1zap.accounts.model import Principal
from a1zap.api.auth import ChatsWriter, House, ReadingVisitor, recognise
from a1zap.api.chat import ATTACHMENTS, check_once_key, check_text, read_file_ids
from a1zap.api.events import Place, Watcher, parse_place, stream
from a1zap.api.file_shapes import files_of
from a1zap.api.files import uploader_of
from a1zap.api.house import ApiHouse
from a1zap.api.paging import (
    Cursor,
    Limit,
    page_of,
    read_number_cursor,
    read_time_cursor,
    spell_cursor,
)
from a1zap.api.reading import new_router
from a1zap.api.shapes import EXAMPLE_CHAT, ChatShape, MessageShape, Wanted
from a1zap.api.sight import person_of, see_agent, see_chat
from a1zap.attachments.model import FILES_A_MESSAGE_MAX
from a1zap.chats import store
from a1zap.chats.model import Chat
from a1zap.chats.reading_store import count_unread, read_so_far
from a1zap.delivery.write_as_owner import write_as_owner
from a1zap.live.store import last_event_id as newest_event_id
from a1zap.turns.take_over import release, take_over

router: APIRouter = new_router("chats")


class OwnersMessageWanted(Wanted):
    """What a person on your side says."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Hello, this is Maria. I have looked into it."}]}
    )

    text: str = Field("", description="Up to 16,000 bytes; may be empty beside a file.")
    attachments: list[str] = Field([], max_length=FILES_A_MESSAGE_MAX, description=ATTACHMENTS)


class ChatNowShape(ChatShape):
    """A chat, and where its events are."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**EXAMPLE_CHAT, "last_event_id": "43", "other_read_seq": 2}]}
    )

    last_event_id: str = Field(description="Watch the chat's events from here, and you miss none.")
    other_read_seq: int = Field(
        description="Up to which message the other side has read. An agent reads by answering."
    )


@router.get("/api/agents/{agent_id}/conversations")
async def list_conversations(
    agent_id: str,
    request: Request,
    response: Response,
    house: House,
    who: ReadingVisitor,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Sequence[ChatShape]:
    """An agent's chats, the newest `last_message_at` first. A visitor gets their own."""
    before = read_time_cursor(cursor)
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        agent = await see_agent(tx, who, agent_id)
        person_id = await person_of(tx, sealer, who)
        if who.visitor is not None and person_id is None:
            return []
        found = await store.list_chats(
            tx, sealer, agent.id, before=before, count=limit + 1, person_id=person_id
        )
        unread = await count_unread(tx, [chat.id for chat in found], person_id=person_id)
    last = found[limit - 1] if len(found) > limit else None
    cursor_of_last = None if last is None else spell_cursor(last.last_message_at, last.id)
    page = page_of(request, response, found, limit, cursor_of_last)
    return [ChatShape.of(chat, unread.get(chat.id)) for chat in page]


@router.get("/api/chats/{chat_id}")
async def read_chat(chat_id: str, house: House, who: ReadingVisitor) -> ChatNowShape:
    """One chat."""
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        chat = await see_chat(tx, sealer, who, chat_id)
        newest = await newest_event_id(tx, chat.id)
        unread = await count_unread(tx, [chat.id], person_id=await person_of(tx, sealer, who))
        so_far = await read_so_far(tx, chat.id)
    return ChatNowShape(
        **ChatShape.of(chat, unread.get(chat.id)).model_dump(),
        last_event_id=str(newest),
        other_read_seq=so_far.by_people if who.visitor is None else so_far.by_owner,
    )


@router.get("/api/chats/{chat_id}/messages")
async def list_messages(
    chat_id: str,
    request: Request,
    response: Response,
    house: House,
    who: ReadingVisitor,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Sequence[MessageShape]:
    """A chat's messages, newest first; `Link: rel="next"` leads to older ones."""
    before = read_number_cursor(cursor)
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        chat = await see_chat(tx, sealer, who, chat_id)
        found = await store.list_messages(tx, sealer, chat.id, before_seq=before, count=limit + 1)
        files = await files_of(tx, sealer, house.files, found)
    last = spell_cursor(found[limit - 1].seq) if len(found) > limit else None
    page = page_of(request, response, found, limit, last)
    return [MessageShape.of(message, files.get(message.id, ())) for message in page]


@router.post("/api/chats/{chat_id}/messages", status_code=201)
async def write_a_message(
    chat_id: str,
    wanted: OwnersMessageWanted,
    house: House,
    who: ChatsWriter,
    idempotency_key: Annotated[
        str | None, Header(max_length=255, description="A repeat with the same key changes nothing.")
    ] = None,
) -> MessageShape:
    """Answer in a chat as a person. It leaves on the channel that the chat came by."""
    text = wanted.text if wanted.attachments and not wanted.text else check_text(wanted.text, "text")
    files = read_file_ids(wanted.attachments)
    once_key = check_once_key(idempotency_key)
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        message = await write_as_owner(
            tx,
            sealer,
            house.wakeups,
            await see_chat(tx, sealer, who, chat_id),
            text,
            channels=house.channels,
            once_key=once_key,
            now=house.clock.now(),
            files=files,
            uploader=uploader_of(who),
        )
        shapes = await files_of(tx, sealer, house.files, [message] if files else [])
    return MessageShape.of(message, shapes.get(message.id, ()))


@router.post("/api/chats/{chat_id}/takeover")
async def take_a_chat_over(chat_id: str, house: House, who: ChatsWriter) -> ChatShape:
    """A person takes the chat: the agent is silent, and what it was about to say is not sent."""
    return await _hand(house, who, chat_id, to_person=True)


@router.post("/api/chats/{chat_id}/release")
async def release_a_chat(chat_id: str, house: House, who: ChatsWriter) -> ChatShape:
    """The agent gets the chat back, and answers what is written from now on."""
    return await _hand(house, who, chat_id, to_person=False)


@router.get(
    "/api/chats/{chat_id}/events",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events, without end.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: 44\nevent: message.created\ndata: {"id": "…", "content": "…"}\n\n',
                }
            },
        }
    },
)
async def watch_a_chat(
    chat_id: str,
    request: Request,
    house: House,
    who: ReadingVisitor,
    last_event_id: Annotated[str | None, Header(description="Go on after this event.")] = None,
    after: Annotated[
        str | None,
        Query(max_length=100, description="The same, for the first request of a browser's EventSource."),
    ] = None,
) -> Response:
    """What happens in a chat, as it happens; without `Last-Event-ID`, from now on.

    Events: message.accepted, typing, token, message.created, message.status, turn.completed, chat.changed, chat.read,
    error. `typing` says who: the agent, or a person of the other side (user, owner), and whether they still do.
    """
    async with house.db.owned(who.owner_id) as tx:
        chat = await see_chat(tx, await house.keyring.sealer(tx), who, chat_id)
        place = parse_place(last_event_id) or parse_place(after) or Place(await newest_event_id(tx, chat.id))

    async def recheck() -> None:
        again = await recognise(house, request)
        async with house.db.owned(again.owner_id) as tx:
            await see_chat(tx, await house.keyring.sealer(tx), again, chat_id)

    return stream(request, house, chat.id, Watcher(house, who, chat.id, place), recheck=recheck)


async def _hand(house: ApiHouse, who: Principal, chat_id: str, *, to_person: bool) -> ChatShape:
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        chat = await see_chat(tx, sealer, who, chat_id)
        if to_person:
            await take_over(tx, house.wakeups, chat.id, actor=who.actor, clock=house.clock)
        else:
            await release(tx, house.wakeups, chat.id, actor=who.actor)
        return ChatShape.of(await _again(tx, sealer, who, chat))


async def _again(tx: Any, sealer: Any, who: Principal, chat: Chat) -> Chat:
    return await see_chat(tx, sealer, who, str(chat.id))
