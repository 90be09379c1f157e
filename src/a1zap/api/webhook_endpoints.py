"""/api/webhook-endpoints: the addresses that an owner has told what happens, and the log of what they were told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, ConfigDict, Field

from a1zap.accounts.model import Principal
from a1zap.api.auth import AgentsReader, AgentsWriter, House
from a1zap.api.given_urls import check_given_url
from a1zap.api.house import ApiHouse
from a1zap.api.paging import Cursor, Limit, page_of, read_id_cursor, spell_cursor
from a1zap.api.reading import new_router
from a1zap.api.shapes import AGENT_ID, CHAT_ID, USER_MESSAGE_ID, Shape, Wanted
from a1zap.api.sight import refuse_bound_key, see_agent
from a1zap.db.pool import Tx
from a1zap.hooks import change_endpoint as verbs
from a1zap.hooks import store
from a1zap.hooks.model import (
    DeliveryStatus,
    Endpoint,
    EndpointChange,
    EndpointStatus,
    EndpointWanted,
    EventType,
)
from a1zap.hooks.tell_again import replay_delivery, replay_failed, tell_test
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import NotAllowed, NotFound
from a1zap.kit.ids import parse_id
from a1zap.kit.standard_webhooks import read_secret

router: APIRouter = new_router("webhook endpoints")

NO_DELIVERY = "there is no such webhook delivery"
_URL = "https://hooks.example.com/a1zap"
_ID, _DELIVERY_ID = "0193b1a2-aa01-7c22-8b3c-4d5e6f7a8b9c", "0193b1a4-bb02-7d33-9c4d-5e6f7a8b9c0d"
_SECRET = "whsec_bm90IGEgc2VjcmV0LCBidXQgYW4gZXhhbXBsZSE="  # noqa: S105 - an example
_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "url": _URL,
    "description": "our CRM",
    "events": ["message.created", "chat.escalated"],
    "agent_id": AGENT_ID,
    "include_content": False,
    "status": "active",
    "disabled_because": None,
    "failing_since": None,
    "old_secret_until": None,
    "created_at": "2026-11-23T09:00:00Z",
}
_EXAMPLE_DELIVERY: dict[str, Any] = {
    "id": _DELIVERY_ID,
    "endpoint_id": _ID,
    "event_type": "message.created",
    "chat_id": CHAT_ID,
    "subject_id": USER_MESSAGE_ID,
    "attempts": 2,
    "status": "failed",
    "next_attempt_at": "2026-11-23T09:20:05Z",
    "last_status": 500,
    "last_error": "answered 500",
    "last_answer": "Internal Server Error",
    "created_at": "2026-11-23T09:15:00Z",
    "delivered_at": None,
}
Events = Annotated[
    list[EventType], Field(max_length=30, description="Which events are told; empty: all of them.")
]
Description = Annotated[str, Field(max_length=200)]
Url = Annotated[str, Field(min_length=1, max_length=2000)]


class EndpointWantedShape(Wanted):
    """An address to be told."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": _URL, "description": "our CRM", "events": ["message.created", "chat.escalated"]}
            ]
        }
    )

    url: Url = Field(description="https; plain http only to ranges that the operator has opened.")
    description: Description = ""
    events: Events = Field(default=[])
    agent_id: str | None = Field(None, description="With it, only what concerns this agent is told.")
    include_content: bool = Field(
        default=False, description="Tell the texts of messages too, not only ids and states."
    )
    secret: str | None = Field(None, description="whsec_ and base64; without it we make one.")


class EndpointChangeWanted(Wanted):
    """What is to be different about an endpoint."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": [], "status": "active"}]})

    url: Url | None = None
    description: Description | None = None
    events: Events | None = None
    include_content: bool | None = None
    status: Literal["active", "paused"] | None = Field(
        None, description="What happens while it is paused waits for it, and is told when it is active again."
    )


class RotationWanted(Wanted):
    """A new secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keep_old_hours": 24}]})

    keep_old_hours: int = Field(
        24, ge=0, le=168, description="For so long messages bear a signature by the old secret as well."
    )


class ReplayWanted(Wanted):
    """From when on what failed is told again."""

    model_config = ConfigDict(
        strict=False, json_schema_extra={"examples": [{"since": "2026-11-23T00:00:00Z"}]}
    )

    since: AwareDatetime


class EndpointShape(Shape):
    """An address that is told what happens; without its secret."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    url: str
    description: str
    events: Sequence[str] = Field(description="Empty: all of them.")
    agent_id: UUID | None
    include_content: bool
    status: EndpointStatus = Field(description="disabled: by us, because it failed for days or answered 410.")
    disabled_because: str | None
    failing_since: datetime | None = Field(description="Nothing was taken since then.")
    old_secret_until: datetime | None
    created_at: datetime


class EndpointWithSecretShape(EndpointShape):
    """An endpoint with its secret, which is shown this once."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [{**_EXAMPLE, "secret": _SECRET}]}
    )

    secret: str


class DeliveryShape(Shape):
    """One event for one endpoint; its id is the `webhook-id`."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE_DELIVERY]})

    id: UUID
    endpoint_id: UUID
    event_type: str
    chat_id: UUID | None
    subject_id: UUID | None = Field(description="The message, turn, agent or channel that it tells of.")
    attempts: int = Field(description="Since it was first told, or told again at your word.")
    status: DeliveryStatus = Field(
        description="pending; delivered; failed: tried again at next_attempt_at; given_up: only at your word."
    )
    next_attempt_at: datetime | None
    last_status: int | None = Field(description="The HTTP status of the last answer.")
    last_error: str | None
    last_answer: str | None = Field(description="How the last answer began, 200 characters at most.")
    created_at: datetime
    delivered_at: datetime | None


class WholeDeliveryShape(DeliveryShape):
    """A delivery with what is sent."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [{**_EXAMPLE_DELIVERY, "payload": {"type": "message.created"}}]},
    )

    payload: Any = Field(description="What every attempt sends; null before the first.")


class ReplayedShape(Shape):
    """How many are told again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"replayed": 12}]})

    replayed: int = Field(description="At most 1000 a call.")


@router.post("/api/webhook-endpoints", status_code=201)
async def create_a_webhook_endpoint(
    wanted: EndpointWantedShape, request: Request, response: Response, house: House, who: AgentsWriter
) -> EndpointWithSecretShape:
    """Have an address told what happens. The answer shows its secret, this once."""
    _refuse_content(who, wanted.include_content)
    check_given_url(house, "url", wanted.url)
    if wanted.secret is not None:
        read_secret(wanted.secret)
    agent_id = None
    if wanted.agent_id is not None:
        async with house.db.owned(who.owner_id) as tx:
            agent_id = (await see_agent(tx, who, wanted.agent_id)).id
    endpoint, secret = await verbs.create_endpoint(
        house.db,
        house.keyring,
        owner_id=who.owner_id,
        wanted=EndpointWanted(
            url=wanted.url,
            description=wanted.description,
            events=tuple(dict.fromkeys(wanted.events)),
            agent_id=agent_id,
            include_content=wanted.include_content,
        ),
        secret=wanted.secret,
        actor=who.actor,
    )
    response.headers["location"] = f"{request.url.path}/{endpoint.id}"
    return _with_secret(endpoint, secret)


@router.get("/api/webhook-endpoints")
async def list_webhook_endpoints(house: House, who: AgentsReader) -> Sequence[EndpointShape]:
    """The owner's endpoints, oldest first; 20 at most."""
    refuse_bound_key(who)
    async with house.db.owned(who.owner_id) as tx:
        found = await store.list_endpoints(tx, await house.keyring.sealer(tx))
    return [EndpointShape.model_validate(endpoint) for endpoint in found]


@router.get("/api/webhook-endpoints/{endpoint_id}")
async def read_a_webhook_endpoint(endpoint_id: str, house: House, who: AgentsReader) -> EndpointShape:
    """One endpoint."""
    async with house.db.owned(who.owner_id) as tx:
        return EndpointShape.model_validate(await _see(tx, await house.keyring.sealer(tx), who, endpoint_id))


@router.patch("/api/webhook-endpoints/{endpoint_id}")
async def change_a_webhook_endpoint(
    endpoint_id: str, wanted: EndpointChangeWanted, house: House, who: AgentsWriter
) -> EndpointShape:
    """Change an endpoint, pause it, or make it active again: also one that was disabled."""
    endpoint = await _read(house, who, endpoint_id)
    _refuse_content(who, wanted.include_content or endpoint.include_content)
    if wanted.url is not None:
        check_given_url(house, "url", wanted.url)
    changed = await verbs.change_endpoint(
        house.db,
        house.keyring,
        house.wakeups,
        owner_id=who.owner_id,
        endpoint_id=endpoint.id,
        change=EndpointChange(
            url=wanted.url,
            description=wanted.description,
            events=None if wanted.events is None else tuple(dict.fromkeys(wanted.events)),
            include_content=wanted.include_content,
            status=wanted.status,
        ),
        actor=who.actor,
    )
    return EndpointShape.model_validate(changed)


@router.delete("/api/webhook-endpoints/{endpoint_id}", status_code=204)
async def delete_a_webhook_endpoint(endpoint_id: str, house: House, who: AgentsWriter) -> None:
    """Tell it nothing more, and forget it and its log."""
    endpoint = await _read(house, who, endpoint_id)
    await verbs.delete_endpoint(house.db, owner_id=who.owner_id, endpoint_id=endpoint.id, actor=who.actor)


@router.post("/api/webhook-endpoints/{endpoint_id}/rotate-secret")
async def rotate_a_webhook_secret(
    endpoint_id: str, wanted: RotationWanted, house: House, who: AgentsWriter
) -> EndpointWithSecretShape:
    """A new secret, shown this once. The old one signs beside it for a while, so that no message is refused."""
    endpoint = await _read(house, who, endpoint_id)
    changed, secret = await verbs.rotate_secret(
        house.db,
        house.keyring,
        owner_id=who.owner_id,
        endpoint_id=endpoint.id,
        keep_old=timedelta(hours=wanted.keep_old_hours),
        now=house.clock.now(),
        actor=who.actor,
    )
    return _with_secret(changed, secret)


@router.post("/api/webhook-endpoints/{endpoint_id}/test", status_code=202)
async def test_a_webhook_endpoint(endpoint_id: str, house: House, who: AgentsWriter) -> DeliveryShape:
    """Tell it a `webhook.test`, whatever its filter says. What came of it stands in its deliveries."""
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        endpoint = await _see(tx, sealer, who, endpoint_id)
        return DeliveryShape.model_validate(await tell_test(tx, sealer, house.wakeups, endpoint))


@router.get("/api/webhook-endpoints/{endpoint_id}/deliveries")
async def list_webhook_deliveries(
    endpoint_id: str,
    request: Request,
    response: Response,
    house: House,
    who: AgentsReader,
    status: Annotated[DeliveryStatus | None, Query(description="Only those.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Sequence[DeliveryShape]:
    """What the endpoint was told, newest first. What is delivered or given up is kept for 30 days."""
    before = read_id_cursor(cursor)
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        endpoint = await _see(tx, sealer, who, endpoint_id)
        found = await store.list_deliveries(
            tx, sealer, endpoint.id, status=status, before=before, count=limit + 1
        )
    last = spell_cursor(found[limit - 1].id) if len(found) > limit else None
    return [DeliveryShape.model_validate(d) for d in page_of(request, response, found, limit, last)]


@router.get("/api/webhook-endpoints/{endpoint_id}/deliveries/{webhook_id}")
async def read_a_webhook_delivery(
    endpoint_id: str, webhook_id: str, house: House, who: AgentsReader
) -> WholeDeliveryShape:
    """One delivery, with what is sent."""
    parsed = parse_id(webhook_id)
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        endpoint = await _see(tx, sealer, who, endpoint_id)
        found = None if parsed is None else await store.read_delivery(tx, sealer, endpoint.id, parsed)
    if found is None:
        raise NotFound(NO_DELIVERY)
    delivery, payload = found
    _refuse_content(who, endpoint.include_content)
    shown = DeliveryShape.model_validate(delivery).model_dump()
    return WholeDeliveryShape(**shown, payload=None if payload is None else orjson.loads(payload))


@router.post("/api/webhook-endpoints/{endpoint_id}/deliveries/{webhook_id}/replay", status_code=202)
async def replay_a_webhook_delivery(
    endpoint_id: str, webhook_id: str, house: House, who: AgentsWriter
) -> DeliveryShape:
    """Tell it again now, under the same webhook-id, and by the schedule if that fails."""
    parsed = parse_id(webhook_id)
    async with house.db.owned(who.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        endpoint = await _see(tx, sealer, who, endpoint_id)
        found = None
        if parsed is not None and await replay_delivery(tx, house.wakeups, endpoint, parsed, who.actor):
            found = await store.read_delivery(tx, sealer, endpoint.id, parsed)
        if found is None:
            raise NotFound(NO_DELIVERY)
    return DeliveryShape.model_validate(found[0])


@router.post("/api/webhook-endpoints/{endpoint_id}/replay-failed", status_code=202)
async def replay_failed_webhook_deliveries(
    endpoint_id: str, wanted: ReplayWanted, house: House, who: AgentsWriter
) -> ReplayedShape:
    """Tell it again what failed or was given up since then, oldest first."""
    async with house.db.owned(who.owner_id) as tx:
        endpoint = await _see(tx, await house.keyring.sealer(tx), who, endpoint_id)
        count = await replay_failed(tx, house.wakeups, endpoint, wanted.since, who.actor)
    return ReplayedShape(replayed=count)


async def _read(house: ApiHouse, who: Principal, endpoint_id: str) -> Endpoint:
    async with house.db.owned(who.owner_id) as tx:
        return await _see(tx, await house.keyring.sealer(tx), who, endpoint_id)


async def _see(tx: Tx, sealer: Sealer, who: Principal, endpoint_id: str) -> Endpoint:
    """The owner's endpoint of that id.

    Raises:
        NotFound: there is none, or it is not theirs.
        NotAllowed: the key is bound to one agent.
    """
    refuse_bound_key(who)
    found = parse_id(endpoint_id)
    endpoint = None if found is None else await store.read_endpoint(tx, sealer, found)
    if endpoint is None:
        raise NotFound(verbs.NO_ENDPOINT)
    return endpoint


def _refuse_content(who: Principal, include_content: bool) -> None:
    """Whoever may not read chats may not have them sent to an address of theirs either.

    Raises:
        NotAllowed: the key is bound to one agent, or may not read chats.
    """
    refuse_bound_key(who)
    if include_content and "chats:read" not in who.scopes:
        raise NotAllowed(
            "messages' texts need the scope 'chats:read', which the key does not have",
            field="include_content",
        )


def _with_secret(endpoint: Endpoint, secret: str) -> EndpointWithSecretShape:
    return EndpointWithSecretShape(**EndpointShape.model_validate(endpoint).model_dump(), secret=secret)
