"""An echo of our own send tells us the provider's id of a message, and that it left."""

from __future__ import annotations

from datetime import datetime

from a1zap.channels.contract import ChannelAccount, Inbound
from a1zap.chats import store as chats
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer


async def match_echo(
    tx: Tx, sealer: Sealer, account: ChannelAccount, inbound: Inbound, now: datetime
) -> bool:
    """Is this a message of ours whose fate was open? Then it has left; remember the provider's id of it."""
    chat = await chats.find_chat(tx, sealer, account.id, inbound.chat_external_id)
    if chat is None or await chats.lock_chat(tx, chat.id) is None:
        return False
    for message in await chats.unconfirmed_sends(tx, sealer, chat.id):
        if message.content.strip() == inbound.text.strip():
            await chats.advance_status(tx, message.id, "sent", now, external_id=inbound.external_id)
            return True
    return False
