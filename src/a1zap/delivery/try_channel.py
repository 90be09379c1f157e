"""Does a channel work? Its provider is asked, or a test message really sent; what came of it is the channel's health."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from a1zap.accounts.keys import Keyring
from a1zap.agents import channel_store
from a1zap.agents.model import Agent
from a1zap.audit.store import record_act
from a1zap.channels.contract import AccountBroken, Channel, ChannelAccount, Outbound, SendRefused
from a1zap.db.pool import Database
from a1zap.kit.clock import Clock
from a1zap.kit.egress import Egress
from a1zap.kit.errors import A1ZapError, Invalid, NotFound
from a1zap.kit.ids import new_id


async def try_channel(
    db: Database,
    keyring: Keyring,
    channel: Channel,
    egress: Egress,
    clock: Clock,
    *,
    owner_id: UUID,
    agent_id: UUID,
    account_id: UUID,
    to: str | None,
    service: str,
    actor: str,
) -> str:
    """Send a test message to `to`, past all chats; or, without it, ask whether the credentials work. A sentence that says so.

    A paused channel may be tried: that is how its owner sees that it is mended.

    Raises:
        NotFound: the agent has no such channel.
        Invalid: nothing is sent over channels of this kind.
        SendRefused, ChannelUnavailable, AccountBroken, NotConfigured: it does not work, and why.
    """
    async with db.owned(owner_id) as tx:
        found = await channel_store.find_agent_on_channel(
            tx, await keyring.sealer(tx), agent_id, account_id=account_id
        )
    if found is None or not found[1]:
        raise NotFound("there is no such channel")
    agent, (account, *_) = found
    if channel.is_pulled:
        raise Invalid(
            f"there is nothing to test: the other side of the {channel.kind} channel reads its messages from us"
        )
    now = clock.now()
    try:
        said = await _tried(channel, agent, account, egress, to, service, now)
    except A1ZapError as error:
        state = _state_after(error, is_sending=to is not None)
        if state is not None:
            await _note(db, account, state, str(error), now, actor)
        raise
    await _note(db, account, "ok", "", now, actor)
    return said


async def _tried(
    channel: Channel,
    agent: Agent,
    account: ChannelAccount,
    egress: Egress,
    to: str | None,
    service: str,
    now: datetime,
) -> str:
    if to is None:
        return await channel.check(account, egress)
    await channel.send(
        account,
        Outbound(
            id=new_id(),
            chat_external_id=to,
            chat_type="individual",
            service=service,
            to_address=to,
            text=f"This is a test message from {agent.name} on a1zap.",
            first_tried_at=now,
            agent_name=agent.name,
        ),
        egress,
    )
    return f"the test message to {to} was taken"


def _state_after(error: A1ZapError, *, is_sending: bool) -> str | None:
    """What a failure says of the channel; a message refused says it of that message alone."""
    if isinstance(error, AccountBroken):
        return "broken"
    return None if is_sending and isinstance(error, SendRefused) else "failing"


async def _note(
    db: Database, account: ChannelAccount, state: str, error: str, now: datetime, actor: str
) -> None:
    async with db.owned(account.owner_id) as tx:
        await channel_store.note_trial(
            tx, account.id, {"state": state, "error": error, "at": now.isoformat()}
        )
        await record_act(
            tx,
            actor=actor,
            action="channel.tested",
            subject_kind="channel",
            subject_id=account.id,
            detail={"kind": account.kind, "state": state},
        )
