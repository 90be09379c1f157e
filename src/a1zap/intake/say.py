"""Somebody writes through the chat API or a chat page: it becomes an Inbound like any other, and is durable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from a1zap.agents import channel_store
from a1zap.agents.model import Agent
from a1zap.attachments.model import Attachment
from a1zap.attachments.store import attachments_of, kind_of_upload
from a1zap.attachments.take_upload import send_with
from a1zap.channels.contract import ChannelAccount, Inbound
from a1zap.chats import store as chats
from a1zap.chats.model import AlreadyKnown, Chat, ChatStatus, Hop, Message
from a1zap.db.pool import Tx
from a1zap.intake.accept_inbound import accept_inbound
from a1zap.intake.desk import Desk
from a1zap.intake.opened import Opened
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import Conflict, Invalid, NotFound
from a1zap.kit.ids import new_id
from a1zap.people import store as people

NO_AGENT = "there is no such agent"
NO_CHAT = "there is no such chat"


@dataclass(frozen=True, slots=True)
class Saying:
    """What somebody wants to say.

    `address` is who they are on this channel; None means whoever the chat is with, or `default_address` in a new one.
    `is_guest`: they may continue only chats that they are part of. `once_key` makes a repeat change nothing.
    """

    owner_id: UUID
    agent_id: UUID
    kind: Literal["api", "web"]
    text: str
    default_address: str
    address: str | None = None
    name: str | None = None
    chat_id: UUID | None = None
    is_guest: bool = False
    once_key: str | None = None
    began_s: float = 0.0
    files: Sequence[UUID] = ()  # uploads to send with it
    uploader: str = ""  # who may send them


@dataclass(frozen=True, slots=True)
class Said:
    """What was stored. `chat_status` `human`: a person has the chat, and no turn comes."""

    message: Message
    chat_status: ChatStatus
    is_repeat: bool = False
    files: Sequence[Attachment] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    sealer: Sealer
    agent: Agent
    account: ChannelAccount
    chat: Chat | None
    address: str


async def say(desk: Desk, saying: Saying) -> Said:
    """Store a message in its chat, or in a new one, and put the chat in its lane.

    Raises:
        NotFound: there is no such agent, or no such chat of this agent and person.
        Invalid: the chat goes over another channel, or a file is not theirs to send.
        Conflict: `once_key` was used for another message.
    """
    try:
        async with desk.db.owned(saying.owner_id) as tx:
            return await _store(tx, desk, saying)
    except AlreadyKnown:
        async with desk.db.owned(saying.owner_id) as tx:
            return await _find_again(tx, desk, saying)


async def _store(tx: Tx, desk: Desk, saying: Saying) -> Said:
    now, began_s = desk.clock.now(), desk.clock.monotonic_s()
    place = await _find_place(tx, desk, saying)
    message_type = await kind_of_upload(tx, saying.files[0]) if saying.files else None
    found_s = desk.clock.monotonic_s()
    hops = (
        Hop("receive_webhook", _ms(saying.began_s, began_s), {"channel": saying.kind}),
        Hop("parse", 0.0, {"items": 1}),
        Hop("accept_inbound", _ms(began_s, found_s), {"service": saying.kind}),
    )
    channel = desk.channels[saying.kind]
    inbound = Inbound(
        external_id=_external_id(saying, place.address),
        chat_external_id=place.chat.external_id if place.chat else str(new_id()),
        chat_type="individual",
        service=saying.kind,
        sender_address=place.address,
        sender_name=saying.name,
        message_type=message_type or "text",
        text=saying.text,
        said_at=now,
    )
    opened = Opened(place.sealer, channel, place.account, place.agent, hops, found_s)
    accepted = await accept_inbound(tx, desk.wakeups, opened, inbound, raw=None, now=now)
    stored = accepted.stored
    message = None if stored is None else await chats.read_message(tx, place.sealer, stored.message_id)
    if stored is None or message is None:
        raise LookupError("a message was stored and is gone within one transaction")
    await send_with(
        tx,
        place.sealer,
        saying.files,
        agent_id=place.agent.id,
        uploader=saying.uploader,
        chat_id=message.chat_id,
        message_id=message.id,
    )
    return Said(message, stored.chat_status, files=await _files(tx, place.sealer, saying, message.id))


async def _files(tx: Tx, sealer: Sealer, saying: Saying, message_id: UUID) -> Sequence[Attachment]:
    """The message's files, looked for only where there are any."""
    if not saying.files:
        return ()
    return (await attachments_of(tx, sealer, [message_id])).get(message_id, ())


async def _find_place(tx: Tx, desk: Desk, saying: Saying) -> _Place:
    sealer = await desk.keyring.sealer(tx)
    found = await channel_store.find_agent_on_channel(tx, sealer, saying.agent_id, kind=saying.kind)
    if found is None or not found[1]:
        raise NotFound(NO_AGENT)
    agent, (account, *_) = found
    address = saying.address or saying.default_address
    if saying.chat_id is None:
        return _Place(sealer, agent, account, None, address)
    chat = await chats.read_chat(tx, sealer, saying.chat_id)
    if chat is None or chat.agent_id != agent.id:
        raise NotFound(NO_CHAT)
    if saying.is_guest:
        person = await people.find_person(tx, sealer, channel_kind=saying.kind, address=address)
        if person is None or not await chats.is_participant(tx, chat.id, person.id):
            raise NotFound(NO_CHAT)
    if chat.channel_account_id != account.id:
        raise Invalid(
            f"this chat goes over {chat.service}: answer in it with POST /api/chats/{{id}}/messages",
            field="chat_id",
        )
    if saying.address is None:
        partner = await chats.first_participant(tx, chat.id)
        known = None if partner is None else await people.read_address(tx, sealer, partner, saying.kind)
        address = known or address
    return _Place(sealer, agent, account, chat, address)


async def _find_again(tx: Tx, desk: Desk, saying: Saying) -> Said:
    """The message that was stored the first time."""
    place = await _find_place(tx, desk, saying)
    external_id = _external_id(saying, place.address)
    message = await chats.find_inbound(tx, place.sealer, place.account.id, external_id)
    chat = None if message is None else await chats.read_chat(tx, place.sealer, message.chat_id)
    if message is None or chat is None:
        raise LookupError("a message is known and cannot be found")
    if message.content != saying.text or (saying.chat_id is not None and saying.chat_id != chat.id):
        raise Conflict("this Idempotency-Key was used for another message", field="Idempotency-Key")
    files = await _files(tx, place.sealer, saying, message.id)
    if [f.id for f in files] != [*saying.files]:
        raise Conflict("this Idempotency-Key was used for another message", field="Idempotency-Key")
    return Said(message, chat.status, is_repeat=True, files=files)


def _external_id(saying: Saying, address: str) -> str:
    """Unique in the channel; of one sender's key always the same, and nobody else's key gives it."""
    if saying.once_key is None:
        return str(new_id())
    return "once:" + hashlib.sha256(f"{address}\n{saying.once_key}".encode()).hexdigest()[:40]


def _ms(began_s: float, ended_s: float) -> float:
    return max(0.0, round((ended_s - began_s) * 1000, 3))
