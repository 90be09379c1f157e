"""A person on the owner's side writes into a chat; it leaves like any other message of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid5

from a1zap.attachments.take_upload import send_with
from a1zap.channels.contract import Channel
from a1zap.chats import store as chats
from a1zap.chats import turn_store
from a1zap.chats.model import Chat, Message, NewMessage
from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import Conflict, Invalid
from a1zap.kit.ids import new_id
from a1zap.live.announce import announce
from a1zap.live.store import record_event
from a1zap.queue import store as queue
from a1zap.queue.work_off import topic


async def write_as_owner(
    tx: Tx,
    sealer: Sealer,
    wakeups: Wakeups,
    chat: Chat,
    text: str,
    *,
    channels: Mapping[str, Channel],
    once_key: str | None,
    now: datetime,
    files: Sequence[UUID] = (),
    uploader: str | None = None,
) -> Message:
    """Put a person's message at the end of the chat and on its way. With a `once_key`, a repeat changes nothing.

    `files` are uploads of `uploader` that go with it.

    Raises:
        Conflict: the key was used for another message.
        Invalid: the channel takes no message of this length, or a file is not there to send.
    """
    await chats.lock_chat(tx, chat.id)
    # The provider's id of the message will stand in external_id: the key makes the message's own id instead.
    message_id = new_id() if once_key is None else uuid5(chat.id, once_key)
    known = None if once_key is None else await chats.read_message(tx, sealer, message_id)
    if known is not None:
        if known.content != text:
            raise Conflict("this Idempotency-Key was used for another message", field="Idempotency-Key")
        return known
    channel = channels[chat.channel_kind]
    _check_length(channel, chat.service, text)
    is_pulled = channel.is_pulled
    await turn_store.append_message(
        tx,
        sealer,
        chat.id,
        NewMessage(
            id=message_id,
            direction="outbound",
            sender_kind="owner",
            sender_id=None,
            agent_id=chat.agent_id,
            content=text,
            status="delivered" if is_pulled else "queued",
            said_at=now,
        ),
        now,
    )
    await send_with(
        tx,
        sealer,
        files,
        agent_id=chat.agent_id,
        uploader=uploader,
        chat_id=chat.id,
        message_id=message_id,
    )
    await record_event(tx, chat.id, "message.created", message_id)
    announce(tx, wakeups, chat.id)
    if not is_pulled:
        await queue.put_delivery(tx, chat.id, message_id)
        tx.afterwards(lambda: wakeups.say(topic("deliveries")))
    stored = await chats.read_message(tx, sealer, message_id)
    if stored is None:
        raise LookupError("a message was stored and is gone within one transaction")
    return stored


def _check_length(channel: Channel, service: str, text: str) -> None:
    most = channel.text_max_for(service)
    if most is not None and len(text) > most:
        raise Invalid(
            f"a message over {service} may have {most:,} characters; this one has {len(text):,}",
            field="message",
        )
