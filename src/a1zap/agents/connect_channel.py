"""An agent gets a number, a mailbox or an endpoint of its own, or loses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from a1zap.accounts.keys import Keyring
from a1zap.agents import channel_store, store
from a1zap.agents.channel_store import ChannelAccountSeen
from a1zap.agents.open_mail_door import ANY_DOMAIN, MailDomains, open_mail_door
from a1zap.audit.store import record_act
from a1zap.channels.catalog import BUILT_IN
from a1zap.channels.contract import Channel
from a1zap.db.pool import Database, Tx
from a1zap.kit.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class Connected:
    """A channel just connected. `shown_once` are credentials that we made: nobody sees them again."""

    seen: ChannelAccountSeen
    shown_once: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


async def connect_channel(
    db: Database,
    keyring: Keyring,
    channel: Channel,
    *,
    owner_id: UUID,
    agent_id: UUID,
    settings: Mapping[str, str],
    actor: str,
    mail_domains: MailDomains = ANY_DOMAIN,
) -> Connected:
    """Connect a channel to an agent; its credentials are sealed and never shown again.

    Raises:
        Invalid: a setting is missing, unknown or wrong, by name.
        NotFound: there is no such agent.
        NotAllowed: the operator has not opened this mail domain to the owner.
        Conflict: the agent has this one already, or somebody has this mail address.
    """
    identity, credentials = channel.check_settings(settings)
    async with db.owned(owner_id) as tx:
        if await store.read_agent(tx, agent_id) is None:
            raise NotFound("there is no such agent")
        account_id = await channel_store.insert_channel_account(
            tx,
            await keyring.sealer(tx),
            agent_id=agent_id,
            kind=channel.kind,
            identity=identity,
            credentials=credentials,
            settings=settings,
        )
        if account_id is None:
            raise Conflict(
                f"the agent has this {channel.kind} channel already", field="kind", value=channel.kind
            )
        await open_mail_door(tx, keyring, account_id, identity, credentials, mail_domains)
        await _record(tx, actor, "channel.connected", account_id, channel.kind)
        made = {
            name: credentials[name]
            for name in channel.shown_once
            if name in credentials and not settings.get(name)
        }
        return Connected(await see_channel(tx, agent_id, account_id), made)


async def change_channel(
    db: Database, *, owner_id: UUID, agent_id: UUID, account_id: UUID, status: str, actor: str
) -> ChannelAccountSeen:
    """Pause a channel, or let it go on. What comes in meanwhile is stored and not answered.

    Raises:
        NotFound: the agent has no such channel.
    """
    async with db.owned(owner_id) as tx:
        seen = await see_channel(tx, agent_id, account_id)
        await channel_store.set_channel_status(tx, account_id, status)
        await _record(tx, actor, f"channel.{status}", account_id, seen.kind)
        return await see_channel(tx, agent_id, account_id)


async def disconnect_channel(
    db: Database, *, owner_id: UUID, agent_id: UUID, account_id: UUID, actor: str
) -> None:
    """Disconnect a channel and forget its credentials; chats that came through it stay readable.

    Raises:
        NotFound: the agent has no such channel.
        Conflict: it is built in.
    """
    async with db.owned(owner_id) as tx:
        seen = await see_channel(tx, agent_id, account_id)
        if seen.kind in BUILT_IN:
            raise Conflict(
                f"the {seen.kind} channel is built in: pause it instead", field="kind", value=seen.kind
            )
        await channel_store.delete_channel_account(tx, account_id)
        await _record(tx, actor, "channel.disconnected", account_id, seen.kind)


async def see_channel(tx: Tx, agent_id: UUID, account_id: UUID) -> ChannelAccountSeen:
    """The agent's channel of that id.

    Raises:
        NotFound: there is none.
    """
    if await store.read_agent(tx, agent_id) is None:
        raise NotFound("there is no such agent")
    for seen in await channel_store.list_channel_accounts(tx, agent_id):
        if seen.id == account_id:
            return seen
    raise NotFound("there is no such channel")


async def _record(tx: Tx, actor: str, action: str, account_id: UUID, kind: str) -> None:
    await record_act(
        tx, actor=actor, action=action, subject_kind="channel", subject_id=account_id, detail={"kind": kind}
    )
