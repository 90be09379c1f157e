"""POST /api/agents/{id}/visitors: a chat page on any site opens, renews or proves a visit; its token travels as Bearer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from a1zap.accounts.same_origin import is_same_origin
from a1zap.accounts.visits import (
    IDENTITY_GOOD_FOR,
    RENEWABLE_FOR,
    TOKEN_LIFETIME,
    VISIT_KEY_PURPOSE,
    Visit,
    sign_visit,
    verify_renewal,
)
from a1zap.agents.channel_store import find_agent_on_channel
from a1zap.agents.chat_page_store import ChatPage, end_visit, find_chat_page
from a1zap.agents.model import Agent
from a1zap.api.auth import House, header_credential
from a1zap.api.house import ApiHouse
from a1zap.api.rates import (
    IDENTIFIED_BURST,
    IDENTIFIED_EVERY,
    NEW_VISITOR_BURST,
    NEW_VISITOR_EVERY,
    client_of,
    hold_to_rate,
)
from a1zap.api.reading import new_router
from a1zap.api.shapes import AGENT_ID, Shape, Wanted
from a1zap.api.sight import NO_AGENT
from a1zap.channels.contract import ChannelAccount
from a1zap.channels.web import USER_ID_MAX, check_identity, is_allowed_origin, knows_print, takes_files
from a1zap.intake.log_in_visitor import Identity, address_of_identity, log_in_visitor
from a1zap.kit.errors import NotAllowed, NotFound, NotSignedIn
from a1zap.kit.ids import AgentId, parse_id

router: APIRouter = new_router("visitors")

_EXAMPLE_IDENTITY: dict[str, Any] = {
    "user_id": "customer-17",
    "name": "Jane",
    "email": "jane@example.com",
    "hash": "6f1d4b8b62b0b8a5a0f5d0a5e2f9d6a4f4f7a1d8a6c94b1f1e0b4d7c9a3e5f21",
}
_EXAMPLE: dict[str, Any] = {
    "token": "a1w_AQGTsaJsHn0/…",
    "expires_at": "2026-11-23T10:15:00Z",
    "renew_until": "2026-12-23T09:15:00Z",
    "is_identified": False,
    "agent_id": AGENT_ID,
    "agent_name": "Harbor",
    "agent_description": "Boats by the hour and by the day.",
    "greeting": "Hello! Ask me about boats.",
    "accepts_files": True,
    "file_bytes_max": 16777216,
}


class IdentityWanted(Wanted):
    """Who the visitor is on your site, and your proof that you say so. Only `user_id` is proven by it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_IDENTITY]})

    user_id: str = Field(min_length=1, max_length=USER_ID_MAX, description="Your id of them.")
    name: str | None = Field(None, min_length=1, max_length=200, description="What to call them.")
    email: str | None = Field(
        None, min_length=1, max_length=320, description="Shown to the owner; not proven."
    )
    hash: str = Field(
        max_length=200,
        description="Hex HMAC-SHA256 of `user_id` with the channel's identity_secret. Made on your server.",
    )


class VisitWanted(Wanted):
    """Who comes: nobody in particular, or somebody whom your site vouches for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"identity": _EXAMPLE_IDENTITY}]})

    identity: IdentityWanted | None = None


class OpenVisitShape(Shape):
    """A visit, and what the page needs to show the chat."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    token: str = Field(
        description="Send it as `Authorization: Bearer …`; keep it to this site and this visitor."
    )
    expires_at: datetime = Field(description="Until then it counts; after that it only buys a new one.")
    renew_until: datetime = Field(
        description="Until then it can be renewed: the same call, with it as Bearer."
    )
    is_identified: bool
    agent_id: UUID
    agent_name: str
    agent_description: str
    greeting: str = Field(description="To be shown before anybody has written; may be empty.")
    accepts_files: bool
    file_bytes_max: int = Field(description="What one file may have.")


_NOBODY = VisitWanted(identity=None)


@dataclass(frozen=True, slots=True)
class _Door:
    """The chat page that somebody stands before, and the visit they bring."""

    page: ChatPage
    agent: Agent
    account: ChannelAccount
    before: Visit | None


@router.post("/api/agents/{agent_id}/visitors", status_code=201, openapi_extra={"security": []})
async def open_a_visit(
    agent_id: str, request: Request, house: House, wanted: VisitWanted = _NOBODY
) -> OpenVisitShape:
    """Open a visit to a public agent's chat page; renew it (with its token as Bearer); or say who the visitor is.

    Whoever says so goes on with the chats that they began as nobody, and the token from before counts no more.
    """
    door = await _find_door(house, agent_id, request)
    if wanted.identity is not None:
        visit = await _prove(house, door, wanted.identity)
    elif door.before is not None:
        visit = _renewed(house, door, door.before)
    else:
        await hold_to_rate(
            house, "new visitor", client_of(request), every=NEW_VISITOR_EVERY, burst=NEW_VISITOR_BURST
        )
        visit = _begun(house, door, uuid4())
    return _shown(house, door, visit)


@router.post(
    "/api/agents/{agent_id}/visitors/sign-out", status_code=204, openapi_extra={"security": [{"bearer": []}]}
)
async def end_a_visit(agent_id: str, request: Request, house: House) -> None:
    """The visit ends: its tokens count no more, here and wherever else somebody has them."""
    door = await _find_door(house, agent_id, request)
    if door.before is None:
        raise NotSignedIn("send the visitor's token that is to end: Authorization: Bearer a1w_…")
    async with house.db.owned(door.page.owner_id) as tx:
        await end_visit(tx, door.before.visit_id, house.clock.now() + RENEWABLE_FOR)


async def _find_door(house: ApiHouse, agent_id: str, request: Request) -> _Door:
    """The chat page, if it is open, and to this page's origin, and the token counts that comes along.

    Raises:
        NotFound: there is no such public agent, or the token is another one's.
        NotAllowed: pages of this origin may not show it.
        NotSignedIn: the token counts no more.
    """
    found = parse_id(agent_id)
    token = header_credential(request)
    key = house.keyring.master.derive(VISIT_KEY_PURPOSE)
    before = None if token is None else verify_renewal(key, token, house.clock.now())
    page = None
    if found is not None and (before is None or before.agent_id == found):
        async with house.db.standalone() as tx:
            page = await find_chat_page(tx, AgentId(found), *([before.visit_id] if before else []))
    if found is None or page is None or not page.is_public:
        raise NotFound(NO_AGENT)
    if before is not None and (page.has_ended or before.account_id != page.account_id):
        raise NotSignedIn("this visit has ended: open the chat anew")
    async with house.db.owned(page.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        place = await find_agent_on_channel(tx, sealer, found, account_id=page.account_id)
    if place is None or not place[1]:
        raise NotFound(NO_AGENT)
    agent, (account, *_) = place
    _check_origin(house, request, account)
    return _Door(page, agent, account, before)


def _check_origin(house: ApiHouse, request: Request, account: ChannelAccount) -> None:
    """Browsers hold other sites' pages back; this also says why to who looks.

    Raises:
        NotAllowed: the channel does not name this origin.
    """
    origin = request.headers.get("origin")
    if origin is None or is_same_origin(request.headers, (house.settings.base_url,)):
        return
    if not is_allowed_origin(account, origin):
        raise NotAllowed(
            "pages of this origin may not show this chat: its owner names them in the web channel's allowed_origins",
            field="Origin",
            value=origin,
        )


async def _prove(house: ApiHouse, door: _Door, wanted: IdentityWanted) -> Visit:
    """A visit of somebody whom their site vouches for. It is a new one, whatever came before: nobody can plant it."""
    identity_print = check_identity(door.account, wanted.user_id, wanted.hash)
    before = door.before
    async with house.db.owned(door.page.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        address = address_of_identity(sealer, door.account, wanted.user_id)
    await hold_to_rate(
        house, "identified visitor", str(address), every=IDENTIFIED_EVERY, burst=IDENTIFIED_BURST
    )
    identity = Identity(wanted.user_id, wanted.name, wanted.email)
    async with house.db.owned(door.page.owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        anonymous = before.address_id if before is not None and not before.is_identified else None
        address = await log_in_visitor(tx, sealer, door.account, identity, anonymous=anonymous)
        if before is not None and before.address_id != address:
            await end_visit(tx, before.visit_id, house.clock.now() + RENEWABLE_FOR)
    return _begun(house, door, address, identity_print)


def _begun(house: ApiHouse, door: _Door, address: UUID, identity_print: bytes | None = None) -> Visit:
    now = house.clock.now().replace(microsecond=0)
    visit = Visit(
        owner_id=door.page.owner_id,
        agent_id=door.agent.id,
        account_id=door.account.id,
        address_id=address,
        visit_id=uuid4(),
        expires_at=now + TOKEN_LIFETIME,
        renew_until=now + RENEWABLE_FOR,
    )
    if identity_print is None:
        return visit
    return replace(visit, renew_until=now + IDENTITY_GOOD_FOR, identity_print=identity_print)


def _renewed(house: ApiHouse, door: _Door, before: Visit) -> Visit:
    """The same visit for another hour. Who was vouched for is so for a day and no longer, and by a secret that still counts.

    Raises:
        NotSignedIn: the secret has been replaced since.
    """
    now = house.clock.now().replace(microsecond=0)
    if not before.is_identified:
        return replace(before, expires_at=now + TOKEN_LIFETIME, renew_until=now + RENEWABLE_FOR)
    if not knows_print(door.account, before.identity_print):
        raise NotSignedIn(
            "the chat's identity_secret was replaced: send the identity again, with its new hash"
        )
    return replace(before, expires_at=min(now + TOKEN_LIFETIME, before.renew_until))


def _shown(house: ApiHouse, door: _Door, visit: Visit) -> OpenVisitShape:
    limits = house.files.limits
    return OpenVisitShape(
        token=sign_visit(house.keyring.master.derive(VISIT_KEY_PURPOSE), visit),
        expires_at=visit.expires_at,
        renew_until=visit.renew_until,
        is_identified=visit.is_identified,
        agent_id=door.agent.id,
        agent_name=door.agent.name,
        agent_description=door.agent.description,
        greeting=door.account.credentials.get("greeting", ""),
        accepts_files=takes_files(door.account),
        file_bytes_max=min(limits.file_max, limits.visitor_max),
    )
