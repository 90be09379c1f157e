"""/api/agents/{id}/channels: the numbers, mailboxes and endpoints that an agent is reached by."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from a1zap.agents.change_settings import change_settings
from a1zap.agents.channel_store import (
    ChannelAccountSeen,
    UnreadDelivery,
    list_channel_accounts,
    list_unread_deliveries,
    read_unread_delivery,
)
from a1zap.agents.connect_channel import change_channel, connect_channel, disconnect_channel, see_channel
from a1zap.agents.open_mail_door import parse_mail_domains
from a1zap.api.auth import AgentsReader, AgentsWriter, ChatsReader, House
from a1zap.api.given_urls import check_given_url
from a1zap.api.house import ApiHouse
from a1zap.api.paging import Cursor, Limit, origin_of, page_of, read_id_cursor, spell_cursor
from a1zap.api.rates import hold_to_rate
from a1zap.api.reading import new_router
from a1zap.api.shapes import AGENT_ID, Shape, Wanted
from a1zap.api.sight import agent_in_reach, see_agent
from a1zap.chats.pulse_store import read_pulse
from a1zap.delivery.try_channel import try_channel
from a1zap.kit.errors import Invalid, NotFound
from a1zap.kit.ids import parse_id

router: APIRouter = new_router("channels")

TEST_EVERY, TEST_BURST = (
    timedelta(seconds=12),
    5,
)  # of one owner: a test message costs money, and somebody gets it

_EXAMPLE_WANTED: dict[str, Any] = {
    "kind": "a1base",
    "number": "+14151234567",
    "account_id": "your-account",
    "api_key": "your-api-key",
    "api_secret": "your-api-secret",
    "base_url": "https://api.a1base.com/v1",
}
_CHANNEL_ID = "0193b1a2-6c21-7b11-9c2d-3e4f5a6b7c8d"
_EXAMPLE: dict[str, Any] = {
    "id": _CHANNEL_ID,
    "agent_id": AGENT_ID,
    "kind": "a1base",
    "identity": "+14151234567",
    "status": "active",
    "webhook_url": f"https://a1zap.example.com/api/webhooks/{_CHANNEL_ID}",
    "health": {"state": "untested"},
    "created_at": "2026-11-23T09:00:00Z",
}
_EXAMPLE_UNREAD: dict[str, Any] = {
    "id": "0193b1a2-6c22-7c31-8d4e-5f6a7b8c9d0e",
    "reason": "a message needs message_id and thread_id",
    "created_at": "2026-11-23T09:15:00Z",
    "size": 2,
}


class ChannelWanted(BaseModel):
    """A channel to connect: its kind, and the settings of that kind by name. They are sealed, and never shown again."""

    model_config = ConfigDict(
        extra="allow", strict=True, frozen=True, json_schema_extra={"examples": [_EXAMPLE_WANTED]}
    )
    __pydantic_extra__: dict[str, str] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    kind: str = Field(
        max_length=40,
        description="a1base: WhatsApp, SMS, RCS and iMessage through A1Base. webhook: any program, signed.",
    )


class ChannelChangeWanted(Wanted):
    """Pause a channel or let it go on, or give it new settings (a secret is rotated), each by its name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "paused"}]})

    status: Literal["active", "paused"] | None = None
    settings: Mapping[str, str] | None = Field(
        None,
        max_length=40,
        description="Put over the ones it has: those not named stay, and '' takes one away. Sealed, and never shown again.",
    )


class ChannelTestWanted(Wanted):
    """Where a test message goes; without `to`, the provider is only asked whether it takes the credentials."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": "+61400123456"}]})

    to: str | None = Field(None, min_length=1, max_length=320, description="A number or an address.")
    service: str = Field(
        "", pattern="^[a-z0-9_-]{0,20}$", description="Of kinds that carry several: whatsapp, sms, …"
    )


_JUST_ASK = ChannelTestWanted(to=None, service="")


class ChannelShape(Shape):
    """A channel of an agent's; without its credentials."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    agent_id: UUID
    kind: str
    identity: str = Field(description="Our own number, mailbox or endpoint.")
    status: Literal["active", "paused"]
    webhook_url: str | None = Field(
        description="Where the provider delivers to; null where nothing is delivered."
    )
    health: Mapping[str, Any] = Field(
        description="`state`: untested, ok, failing (tried again) or broken (waits for you); `since` when; `error`: why."
    )
    created_at: datetime


class ChannelDetailShape(ChannelShape):
    """A channel, and how it does."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    **_EXAMPLE,
                    "health": {"state": "ok", "since": "2026-11-23T09:05:00Z"},
                    "last_inbound_at": "2026-11-23T09:15:00Z",
                    "last_outbound_at": "2026-11-23T09:15:01Z",
                }
            ]
        },
    )

    last_inbound_at: datetime | None = Field(description="When somebody last wrote to it.")
    last_outbound_at: datetime | None = Field(description="When a message of ours last left by it.")


class ChannelTestShape(Shape):
    """The channel works, and how we know."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ok": True, "said": "the test message to +61400123456 was taken"}]}
    )

    ok: Literal[True]
    said: str


class UnreadShape(Shape):
    """An authentic delivery that nobody could read: kept, and never answered."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE_UNREAD]})

    id: UUID
    reason: str
    created_at: datetime
    size: int = Field(description="Bytes.")


class UnreadDetailShape(UnreadShape):
    """The delivery with its bytes, as they came."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE_UNREAD, "encoding": "utf-8", "raw": "{}"}]}
    )

    encoding: Literal["utf-8", "base64"] = Field(description="How `raw` spells the bytes.")
    raw: str


class ConnectedChannelShape(ChannelShape):
    """A channel just connected, with the credentials that were made for it; nobody sees them again."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [{**_EXAMPLE, "shown_once": {}}]}
    )

    shown_once: Mapping[str, str] = Field(
        description="Credentials that we made because none were given, such as a webhook's secret. Keep them now."
    )


@router.post("/api/agents/{agent_id}/channels", status_code=201)
async def connect_a_channel(
    agent_id: str,
    wanted: ChannelWanted,
    request: Request,
    response: Response,
    house: House,
    who: AgentsWriter,
) -> ConnectedChannelShape:
    """Connect a channel to an agent."""
    found = agent_in_reach(who, agent_id)
    async with house.db.owned(who.owner_id) as tx:
        await see_agent(tx, who, agent_id)
    channel = house.channels.get(wanted.kind)
    if channel is None or channel.is_pulled:
        kinds = ", ".join(sorted(k for k, c in house.channels.items() if not c.is_pulled))
        raise Invalid(
            f"there is no such kind of channel to connect; there are: {kinds}",
            field="kind",
            value=wanted.kind,
        )
    settings = wanted.__pydantic_extra__
    _check_addresses(house, settings)
    connected = await connect_channel(
        house.db,
        house.keyring,
        channel,
        owner_id=who.owner_id,
        agent_id=found,
        settings=settings,
        actor=who.actor,
        mail_domains=parse_mail_domains(
            house.settings.mail_domains, is_sign_up_open=house.settings.is_sign_up_open
        ),
    )
    response.headers["location"] = f"{request.url.path}/{connected.seen.id}"
    shown = _shown(house, request, connected.seen)
    return ConnectedChannelShape(**shown.model_dump(), shown_once=connected.shown_once)


@router.get("/api/agents/{agent_id}/channels")
async def list_channels(
    agent_id: str, request: Request, house: House, who: AgentsReader
) -> Sequence[ChannelShape]:
    """The channels of an agent, oldest first; its chat page and chat API are among them."""
    async with house.db.owned(who.owner_id) as tx:
        agent = await see_agent(tx, who, agent_id)
        found = await list_channel_accounts(tx, agent.id)
    return [_shown(house, request, seen) for seen in found]


@router.get("/api/agents/{agent_id}/channels/{channel_id}")
async def read_channel(
    agent_id: str, channel_id: str, request: Request, house: House, who: AgentsReader
) -> ChannelDetailShape:
    """A channel of an agent's, and how it does."""
    async with house.db.owned(who.owner_id) as tx:
        agent = await see_agent(tx, who, agent_id)
        seen = await see_channel(tx, agent.id, _parse_channel_id(channel_id))
        pulse = await read_pulse(tx, agent.id, seen.id)
    return ChannelDetailShape(
        **_shown(house, request, seen).model_dump(),
        last_inbound_at=pulse.last_inbound_at,
        last_outbound_at=pulse.last_outbound_at,
    )


@router.patch("/api/agents/{agent_id}/channels/{channel_id}")
async def change_a_channel(
    agent_id: str,
    channel_id: str,
    wanted: ChannelChangeWanted,
    request: Request,
    house: House,
    who: AgentsWriter,
) -> ConnectedChannelShape:
    """Pause a channel (what comes in meanwhile is stored and not answered), let it go on, or give it new settings."""
    agent, channel = agent_in_reach(who, agent_id), _parse_channel_id(channel_id)
    async with house.db.owned(who.owner_id) as tx:
        seen = await see_channel(tx, agent, channel)
    made: Mapping[str, str] = {}
    if wanted.settings:
        _check_addresses(house, wanted.settings)
        changed = await change_settings(
            house.db,
            house.keyring,
            house.channels[seen.kind],
            owner_id=who.owner_id,
            agent_id=agent,
            account_id=channel,
            settings=wanted.settings,
            actor=who.actor,
        )
        seen, made = changed.seen, changed.shown_once
    if wanted.status is not None:
        seen = await change_channel(
            house.db,
            owner_id=who.owner_id,
            agent_id=agent,
            account_id=channel,
            status=wanted.status,
            actor=who.actor,
        )
    return ConnectedChannelShape(**_shown(house, request, seen).model_dump(), shown_once=made)


@router.post("/api/agents/{agent_id}/channels/{channel_id}/test")
async def try_a_channel(
    agent_id: str,
    channel_id: str,
    house: House,
    who: AgentsWriter,
    wanted: ChannelTestWanted = _JUST_ASK,
) -> ChannelTestShape:
    """Ask the provider whether the channel works, or really send a test message; its health says what came of it."""
    agent, channel = agent_in_reach(who, agent_id), _parse_channel_id(channel_id)
    async with house.db.owned(who.owner_id) as tx:
        seen = await see_channel(tx, agent, channel)
    await hold_to_rate(house, "channel test", str(who.owner_id), every=TEST_EVERY, burst=TEST_BURST)
    said = await try_channel(
        house.db,
        house.keyring,
        house.channels[seen.kind],
        house.egress,
        house.clock,
        owner_id=who.owner_id,
        agent_id=agent,
        account_id=channel,
        to=wanted.to,
        service=wanted.service,
        actor=who.actor,
    )
    return ChannelTestShape(ok=True, said=said)


@router.get("/api/agents/{agent_id}/channels/{channel_id}/unread")
async def list_unread(
    agent_id: str,
    channel_id: str,
    request: Request,
    response: Response,
    house: House,
    who: AgentsReader,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Sequence[UnreadShape]:
    """Deliveries that were authentic and that nobody could read, newest first."""
    async with house.db.owned(who.owner_id) as tx:
        seen = await see_channel(tx, agent_in_reach(who, agent_id), _parse_channel_id(channel_id))
        found = await list_unread_deliveries(tx, seen.id, before=read_id_cursor(cursor), count=limit + 1)
    last = spell_cursor(found[limit - 1].id) if len(found) > limit else None
    shown = [UnreadShape.model_validate(unread) for unread in found]
    return page_of(request, response, shown, limit, last)


@router.get("/api/agents/{agent_id}/channels/{channel_id}/unread/{delivery_id}")
async def read_unread(
    agent_id: str, channel_id: str, delivery_id: str, house: House, who: ChatsReader
) -> UnreadDetailShape:
    """One of them, as it came. It may hold what somebody wrote, so it needs the scope that chats need."""
    asked = parse_id(delivery_id)
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        seen = await see_channel(tx, agent_in_reach(who, agent_id), _parse_channel_id(channel_id))
        found = None if asked is None else await read_unread_delivery(tx, sealer, seen.id, asked)
    if found is None:
        raise NotFound("there is no such delivery")
    return _shown_raw(*found)


@router.delete("/api/agents/{agent_id}/channels/{channel_id}", status_code=204)
async def disconnect_a_channel(agent_id: str, channel_id: str, house: House, who: AgentsWriter) -> None:
    """Disconnect a channel and forget its credentials."""
    await disconnect_channel(
        house.db,
        owner_id=who.owner_id,
        agent_id=agent_in_reach(who, agent_id),
        account_id=_parse_channel_id(channel_id),
        actor=who.actor,
    )


def _parse_channel_id(channel_id: str) -> UUID:
    found = parse_id(channel_id)
    if found is None:
        raise NotFound("there is no such channel")
    return found


def _shown_raw(unread: UnreadDelivery, raw: bytes) -> UnreadDetailShape:
    basics = UnreadShape.model_validate(unread).model_dump()
    try:
        return UnreadDetailShape(**basics, encoding="utf-8", raw=raw.decode())
    except UnicodeDecodeError:
        return UnreadDetailShape(**basics, encoding="base64", raw=base64.b64encode(raw).decode())


def _health(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """`at` is when the state began, so that is what it is called outside."""
    told = {"state": kept.get("state"), "since": kept.get("at"), "error": kept.get("error")}
    return {name: value for name, value in told.items() if value}


def _shown(house: ApiHouse, request: Request, seen: ChannelAccountSeen) -> ChannelShape:
    is_pulled = house.channels[seen.kind].is_pulled
    return ChannelShape(
        id=seen.id,
        agent_id=seen.agent_id,
        kind=seen.kind,
        identity=seen.identity,
        status=seen.status,  # pyright: ignore[reportArgumentType]
        webhook_url=None if is_pulled else f"{origin_of(request)}/api/webhooks/{seen.id}",
        health=_health(seen.health),
        created_at=seen.created_at,
    )


def _check_addresses(house: ApiHouse, settings: Mapping[str, str]) -> None:
    """Addresses that an owner gives us are not to be trusted.

    Raises:
        Invalid: one of them we may not call.
    """
    for name, value in settings.items():
        if name.endswith("url") and value:
            check_given_url(house, name, value)
