"""What the `a1zap channel` commands do, on the running instance's data. The command line above only reads options."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from a1zap.accounts.sign_in import find_owner
from a1zap.agents import channel_store
from a1zap.agents import store as agents
from a1zap.agents.channel_store import ChannelAccountSeen
from a1zap.agents.connect_channel import change_channel, connect_channel, disconnect_channel, see_channel
from a1zap.agents.model import Agent
from a1zap.agents.open_mail_door import parse_mail_domains
from a1zap.app import House
from a1zap.channels.catalog import shipped_channels
from a1zap.db.pool import Tx
from a1zap.delivery.try_channel import try_channel
from a1zap.kit.errors import Invalid, NotFound
from a1zap.kit.ids import parse_id
from a1zap.kit.settings import Settings
from a1zap.serving import opened_house

ACTOR = "cli"


@dataclass(frozen=True, slots=True)
class _Opened:
    """The house, and who is meant: the owner of that address."""

    house: House
    owner_id: UUID


def channel_kinds() -> Sequence[tuple[str, str]]:
    """(kind, what it asks for) of every kind that can be connected; needs no database."""
    return [(c.kind, c.asks_for) for c in shipped_channels().values() if not c.is_pulled]


async def list_channels(settings: Settings, email: str, handle: str | None) -> Sequence[Sequence[str]]:
    """A row a channel: id, agent, kind, identity, status, how it does and since when, and why."""
    async with _opened(settings, email) as opened, opened.house.db.owned(opened.owner_id) as tx:
        if handle is not None:
            chosen = [await _agent(tx, handle)]
        else:
            chosen = await _all_agents(tx)
        return [
            _row(agent, seen)
            for agent in chosen
            for seen in await channel_store.list_channel_accounts(tx, agent.id)
        ]


async def connect(
    settings: Settings, email: str, handle: str, kind: str, typed: Mapping[str, str]
) -> Sequence[str]:
    """Lines to show: the channel's id alone on the first, what to do with it below."""
    async with _opened(settings, email) as opened:
        house = opened.house
        channel = house.channels.get(kind)
        if channel is None or channel.is_pulled:
            kinds = ", ".join(k for k, _ in channel_kinds())
            raise Invalid(f"there is no kind '{kind}' to connect; there are: {kinds}")
        async with house.db.owned(opened.owner_id) as tx:
            agent = await _agent(tx, handle)
        connected = await connect_channel(
            house.db,
            house.keyring,
            channel,
            owner_id=opened.owner_id,
            agent_id=agent.id,
            settings=typed,
            actor=ACTOR,
            mail_domains=parse_mail_domains(settings.mail_domains, is_sign_up_open=settings.is_sign_up_open),
        )
    channel_id = connected.seen.id
    return [
        str(channel_id),
        f"{kind} {connected.seen.identity} is connected to {agent.handle}",
        f"its provider delivers to: {settings.base_url}/api/webhooks/{channel_id}",
        *(f"{name}, shown this once: {value}" for name, value in connected.shown_once.items()),
        f"try it: a1zap channel test {channel_id} --email {email}",
    ]


async def test(settings: Settings, email: str, channel_id: str, to: str | None, service: str) -> str:
    """What the test came to, as a sentence."""
    async with _opened(settings, email) as opened:
        house = opened.house
        agent_id, seen = await _channel(opened, channel_id)
        return await try_channel(
            house.db,
            house.keyring,
            house.channels[seen.kind],
            house.egress,
            house.clock,
            owner_id=opened.owner_id,
            agent_id=agent_id,
            account_id=seen.id,
            to=to,
            service=service,
            actor=ACTOR,
        )


async def set_status(settings: Settings, email: str, channel_id: str, status: str) -> str:
    async with _opened(settings, email) as opened:
        agent_id, seen = await _channel(opened, channel_id)
        changed = await change_channel(
            opened.house.db,
            owner_id=opened.owner_id,
            agent_id=agent_id,
            account_id=seen.id,
            status=status,
            actor=ACTOR,
        )
        return f"{changed.kind} {changed.identity} is {changed.status}"


async def remove(settings: Settings, email: str, channel_id: str) -> str:
    async with _opened(settings, email) as opened:
        agent_id, seen = await _channel(opened, channel_id)
        await disconnect_channel(
            opened.house.db, owner_id=opened.owner_id, agent_id=agent_id, account_id=seen.id, actor=ACTOR
        )
        return f"{seen.kind} {seen.identity} is disconnected; its chats stay readable"


# ── who and what is meant ───────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _opened(settings: Settings, email: str) -> AsyncGenerator[_Opened]:
    async with opened_house(settings) as house:
        owner_id = await find_owner(house.db, house.keyring, email)
        if owner_id is None:
            raise NotFound(f"no owner with the address '{email}'; make one with: a1zap owner create")
        yield _Opened(house, owner_id)


async def _agent(tx: Tx, handle: str) -> Agent:
    found = await agents.find_agent_by_handle(tx, handle.lstrip("@"))
    if found is None:
        known = ", ".join(agent.handle for agent in await _all_agents(tx))
        raise NotFound(f"there is no agent '{handle}'; there are: {known or 'none yet'}")
    return found


async def _all_agents(tx: Tx) -> list[Agent]:
    return list(reversed(await agents.list_agents(tx, before=None, count=1000)))


async def _channel(opened: _Opened, channel_id: str) -> tuple[UUID, ChannelAccountSeen]:
    """The owner's channel of that id, with its agent's."""
    parsed = parse_id(channel_id)
    found = None
    if parsed is not None:
        async with opened.house.db.standalone() as tx:
            found = await channel_store.find_channel_owner(tx, parsed)
    if parsed is None or found is None or found[0] != opened.owner_id:
        raise NotFound(f"there is no channel '{channel_id}'; look with: a1zap channel list")
    async with opened.house.db.owned(opened.owner_id) as tx:
        return found[1], await see_channel(tx, found[1], parsed)


def _row(agent: Agent, seen: ChannelAccountSeen) -> Sequence[str]:
    health = seen.health
    since = str(health.get("at") or "")[:16]
    state = f"{health.get('state')} since {since}" if since else str(health.get("state"))
    return (
        str(seen.id),
        agent.handle,
        seen.kind,
        seen.identity or "-",
        seen.status,
        state,
        str(health.get("error") or ""),
    )
