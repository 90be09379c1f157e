"""Our own side's message comes back over a channel: it confirms one we sent, or a person of ours wrote past us."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from a1zap.attachments.stage import Staged, add_attachments
from a1zap.audit.store import record_act
from a1zap.channels.contract import ChannelAccount, Inbound
from a1zap.chats import sending_store
from a1zap.chats import store as chats
from a1zap.chats.model import NewMessage, Stored
from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups
from a1zap.intake.find_thread import name_for
from a1zap.intake.opened import Opened
from a1zap.intake.rich_content import rich_content_of
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id
from a1zap.live.announce import announce
from a1zap.live.store import record_event
from a1zap.people import store as people


async def accept_echo(
    tx: Tx,
    wakeups: Wakeups,
    opened: Opened,
    inbound: Inbound,
    *,
    raw: bytes | None,
    now: datetime,
    staged: Sequence[Staged] = (),
) -> Stored | None:
    """What was stored; None where the echo was matched with a message of ours.

    Raises:
        AlreadyKnown: stored before; roll back and answer 2xx.
    """
    sealer, account, agent = opened.sealer, opened.account, opened.agent
    if not inbound.is_by_hand and await match_echo(tx, sealer, account, inbound, now):
        return None
    chat_name, person_id = await _partner(tx, sealer, account, inbound)
    stored = await chats.store_inbound(
        tx,
        sealer,
        agent_id=agent.id,
        channel_account_id=account.id,
        chat_type=inbound.chat_type,
        channel_kind=account.kind,
        service=inbound.service,
        chat_external_id=chat_name,
        message=NewMessage(
            id=new_id(),
            direction="outbound",
            sender_kind="owner",
            sender_id=None,
            agent_id=agent.id,
            content=inbound.text,
            status="sent",
            said_at=inbound.said_at,
            message_type=inbound.message_type,
            rich_content=rich_content_of(inbound),
            raw=raw,
            external_id=inbound.external_id,
        ),
        now=now,
    )
    if stored.chat_is_new and person_id is not None:
        await chats.add_participant(tx, stored.chat_id, person_id)
    await attach(tx, wakeups, opened, stored, staged)
    await record_event(tx, stored.chat_id, "message.created", stored.message_id)
    if inbound.is_by_hand and stored.chat_status != "human":
        await _hand_over(tx, stored.chat_id, account.kind, now)
    announce(tx, wakeups, stored.chat_id)
    return stored


async def attach(tx: Tx, wakeups: Wakeups, opened: Opened, stored: Stored, staged: Sequence[Staged]) -> None:
    """Put the files that came with a message to it."""
    await add_attachments(
        tx,
        opened.sealer,
        wakeups,
        agent_id=opened.agent.id,
        chat_id=stored.chat_id,
        message_id=stored.message_id,
        account_id=opened.account.id,
        staged=staged,
    )


async def _partner(
    tx: Tx, sealer: Sealer, account: ChannelAccount, inbound: Inbound
) -> tuple[str, UUID | None]:
    """The chat's name, and whom it is with where a person of ours wrote to them by hand."""
    if not inbound.is_by_hand or inbound.chat_type != "individual":
        return inbound.chat_external_id, None
    person = await people.find_or_add_person(
        tx,
        sealer,
        channel_kind=account.kind,
        address=inbound.chat_external_id,
        name=None,
        other_addresses=inbound.other_addresses,
    )
    theirs = await chats.find_persons_chat(tx, sealer, account.id, person.id)
    if theirs is None:
        return await name_for(tx, sealer, account, inbound), person.id
    return theirs.external_id, person.id


async def _hand_over(tx: Tx, chat_id: UUID, kind: str, now: datetime) -> None:
    """A person of the owner's answers in the phone's app: the agent keeps out of it from here on."""
    await chats.set_chat_status(tx, chat_id, "human")
    await chats.skip_unanswered(tx, chat_id)
    await chats.resolve_escalations(tx, chat_id, now)
    await record_event(tx, chat_id, "chat.changed", chat_id)
    await record_act(
        tx,
        actor="channel",
        action="chat.taken_over",
        subject_kind="chat",
        subject_id=chat_id,
        detail={"why": "written by hand", "channel": kind},
    )


async def match_echo(
    tx: Tx, sealer: Sealer, account: ChannelAccount, inbound: Inbound, now: datetime
) -> bool:
    """Is this a message of ours whose fate was open? Then it has left; remember the provider's id of it."""
    chat = await chats.find_chat(tx, sealer, account.id, inbound.chat_external_id)
    if chat is None or await chats.lock_chat(tx, chat.id) is None:
        return False
    for message in await sending_store.unconfirmed_sends(tx, sealer, chat.id):
        if message.content.strip() == inbound.text.strip():
            await sending_store.advance_status(tx, message.id, "sent", now, external_id=inbound.external_id)
            return True
    return False
