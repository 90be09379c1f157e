"""/api/agents/{id}/channels: the numbers, mailboxes and endpoints that an agent is reached by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from a1zap.agents.channel_store import ChannelAccountSeen, list_channel_accounts
from a1zap.agents.connect_channel import change_channel, connect_channel, disconnect_channel
from a1zap.agents.open_mail_door import parse_mail_domains
from a1zap.api.auth import AgentsReader, AgentsWriter, House
from a1zap.api.given_urls import check_given_url
from a1zap.api.house import ApiHouse
from a1zap.api.paging import origin_of
from a1zap.api.reading import new_router
from a1zap.api.shapes import AGENT_ID, Shape, Wanted
from a1zap.api.sight import agent_in_reach, see_agent
from a1zap.kit.errors import Invalid, NotFound
from a1zap.kit.ids import parse_id

router: APIRouter = new_router("channels")

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
    """Pause a channel, or let it go on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "paused"}]})

    status: Literal["active", "paused"]


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
    health: Mapping[str, Any] = Field(description="untested, ok or failing, since when, and why.")
    created_at: datetime


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


@router.patch("/api/agents/{agent_id}/channels/{channel_id}")
async def change_a_channel(
    agent_id: str,
    channel_id: str,
    wanted: ChannelChangeWanted,
    request: Request,
    house: House,
    who: AgentsWriter,
) -> ChannelShape:
    """Pause a channel, or let it go on. What comes in meanwhile is stored and not answered."""
    seen = await change_channel(
        house.db,
        owner_id=who.owner_id,
        agent_id=agent_in_reach(who, agent_id),
        account_id=_parse_channel_id(channel_id),
        status=wanted.status,
        actor=who.actor,
    )
    return _shown(house, request, seen)


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


def _shown(house: ApiHouse, request: Request, seen: ChannelAccountSeen) -> ChannelShape:
    is_pulled = house.channels[seen.kind].is_pulled
    return ChannelShape(
        id=seen.id,
        agent_id=seen.agent_id,
        kind=seen.kind,
        identity=seen.identity,
        status=seen.status,  # pyright: ignore[reportArgumentType]
        webhook_url=None if is_pulled else f"{origin_of(request)}/api/webhooks/{seen.id}",
        health=seen.health,
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
