"""POST /api/agents/{id}/visitor: whoever opens a public agent's page gets a token of their own, in a cookie."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from a1zap.accounts.tokens import VISITOR_KEY_PURPOSE, Visitor, sign_visitor, verify_visitor
from a1zap.agents.channel_store import find_agent_on_channel
from a1zap.agents.store import find_agent_owner
from a1zap.api.auth import VISITOR_COOKIE, VISITS_MAX, House, visit_tokens
from a1zap.api.house import ApiHouse
from a1zap.api.rates import NEW_VISITOR_BURST, NEW_VISITOR_EVERY, client_of, hold_to_rate
from a1zap.api.reading import new_router
from a1zap.api.shapes import Shape
from a1zap.api.sight import NO_AGENT
from a1zap.channels.web import takes_files
from a1zap.kit.errors import NotFound, NotSignedIn
from a1zap.kit.ids import AgentId, OwnerId, parse_id

VISIT_LIFETIME = timedelta(days=30)

router: APIRouter = new_router("visitors")


_EXAMPLE: dict[str, Any] = {
    "expires_at": "2026-12-23T09:00:00Z",
    "greeting": "Hello! Ask me about boats.",
    "accepts_files": True,
    "file_bytes_max": 16777216,
}


class VisitShape(Shape):
    """How long you are remembered, and what the page may offer; the token itself is in a cookie that no script can read."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    expires_at: datetime
    greeting: str = Field(description="To be shown before anybody has written; may be empty.")
    accepts_files: bool
    file_bytes_max: int = Field(description="What one file may have.")


@router.post("/api/agents/{agent_id}/visitor", status_code=201, openapi_extra={"security": []})
async def begin_a_visit(agent_id: str, request: Request, response: Response, house: House) -> VisitShape:
    """Become a visitor of a public agent, or stay the one you are: then you may write to it and read your own chats."""
    found = parse_id(agent_id)
    owner = None
    if found is not None:
        async with house.db.standalone() as tx:
            owner = await find_agent_owner(tx, found)
    if found is None or owner is None or not owner[1]:
        raise NotFound(NO_AGENT)
    known, others = _visits(house, request, found)
    if known is None:
        await hold_to_rate(
            house, "new visitor", client_of(request), every=NEW_VISITOR_EVERY, burst=NEW_VISITOR_BURST
        )
    expires_at = (house.clock.now() + VISIT_LIFETIME).replace(microsecond=0)
    visitor = Visitor(OwnerId(owner[0]), AgentId(found), known or uuid4(), expires_at)
    tokens = [sign_visitor(_key(house), visitor), *others][:VISITS_MAX]
    response.set_cookie(
        VISITOR_COOKIE,
        ".".join(tokens),
        max_age=int(VISIT_LIFETIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=house.settings.base_url.startswith("https://"),
    )
    async with house.db.owned(owner[0]) as tx:
        place = await find_agent_on_channel(tx, await house.keyring.sealer(tx), found, kind="web")
    limits, account = house.files.limits, place[1][0] if place and place[1] else None
    return VisitShape(
        expires_at=expires_at,
        greeting="" if account is None else account.credentials.get("greeting", ""),
        accepts_files=account is not None and takes_files(account),
        file_bytes_max=min(limits.file_max, limits.visitor_max),
    )


def _visits(house: ApiHouse, request: Request, agent_id: UUID) -> tuple[UUID | None, list[str]]:
    """Who the browser is to this agent already, and its tokens for others."""
    known: UUID | None = None
    others: list[str] = []
    for token in visit_tokens(request):
        try:
            visitor = verify_visitor(_key(house), token, house.clock.now())
        except NotSignedIn:
            continue
        if visitor.agent_id == agent_id:
            known = known or visitor.address_id
        else:
            others.append(token)
    return known, others


def _key(house: ApiHouse) -> bytes:
    return house.keyring.master.derive(VISITOR_KEY_PURPOSE)
