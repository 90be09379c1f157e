"""Which chat does a message belong to? What the sender's side says, held against what we know of the sender."""

from __future__ import annotations

from uuid import UUID

from a1zap.channels.contract import Channel, ChannelAccount, Inbound
from a1zap.chats import store as chats
from a1zap.chats.chat_key import open_chat_key
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id

CONTINUES_MAX = 50  # names of earlier messages that are looked up


async def find_thread(
    tx: Tx, sealer: Sealer, channel: Channel, account: ChannelAccount, inbound: Inbound, person_id: UUID
) -> str:
    """The chat's id on its channel: of the chat the message continues, or the one it names.

    A message continues a chat by the token of our reply address or by the names of its messages, and only if its
    sender is part of that chat: who has come by a token or a forwarded mail begins a chat of their own.
    """
    if channel.chats_follow_people and inbound.chat_type == "individual":
        theirs = await chats.find_persons_chat(tx, sealer, account.id, person_id)
        return await name_for(tx, sealer, account, inbound) if theirs is None else theirs.external_id
    if inbound.chat_key is None and not inbound.continues:
        return await _named(tx, sealer, account, inbound, person_id)
    candidates: list[UUID] = []
    if inbound.chat_key is not None:
        named = open_chat_key(sealer, inbound.chat_key)
        candidates += [] if named is None else [named]
    if inbound.continues:
        candidates += await chats.find_chats_of(tx, account.id, list(inbound.continues)[:CONTINUES_MAX])
    for chat_id in dict.fromkeys(candidates):
        if await chats.is_participant(tx, chat_id, person_id):
            chat = await chats.read_chat(tx, sealer, chat_id)
            if chat is not None and chat.channel_account_id == account.id:
                return chat.external_id
    if candidates:
        # The id a message names for a new chat may be one that is taken (a forged References): theirs is a new one.
        taken = await chats.find_chat(tx, sealer, account.id, inbound.chat_external_id)
        if taken is not None and not await chats.is_participant(tx, taken.id, person_id):
            return str(new_id())
    return inbound.chat_external_id


async def name_for(tx: Tx, sealer: Sealer, account: ChannelAccount, inbound: Inbound) -> str:
    """What a person's first chat is called: as the channel calls it, unless that chat is somebody else's.

    A number changes hands, and the chat of whoever had it may be called by it still.
    """
    taken = await chats.find_chat(tx, sealer, account.id, inbound.chat_external_id)
    if taken is None or await chats.first_participant(tx, taken.id) is None:
        return inbound.chat_external_id
    return str(new_id())


async def _named(tx: Tx, sealer: Sealer, account: ChannelAccount, inbound: Inbound, person_id: UUID) -> str:
    """The chat that a message names; beside it, where that is somebody's and the sender only says to be them."""
    if inbound.sender_is_verified or inbound.chat_type != "individual":
        return inbound.chat_external_id
    taken = await chats.find_chat(tx, sealer, account.id, inbound.chat_external_id)
    if taken is None or await chats.is_participant(tx, taken.id, person_id):
        return inbound.chat_external_id
    return f"{inbound.chat_external_id}#unproven"
