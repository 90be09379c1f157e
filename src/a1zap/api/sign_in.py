"""/api/auth and /sign-in: signing up, in and out. Nobody learns here which addresses have an account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field
from starlette.responses import FileResponse

from a1zap.accounts.model import Principal
from a1zap.accounts.same_origin import is_same_origin
from a1zap.accounts.sign_in import (
    SESSION_LIFETIME,
    end_session,
    is_set_up,
    sign_in,
    sign_up,
    use_sign_in_link,
)
from a1zap.accounts.store import read_owner
from a1zap.accounts.tokens import SESSION_COOKIE, expired_session_cookie, session_cookie
from a1zap.api.auth import Anyone, House, recognise
from a1zap.api.house import ApiHouse
from a1zap.api.rates import (
    SIGN_IN_ADDRESS_BURST,
    SIGN_IN_ADDRESS_EVERY,
    SIGN_IN_CLIENT_BURST,
    SIGN_IN_CLIENT_EVERY,
    client_of,
    hold_to_rate,
)
from a1zap.api.reading import new_router
from a1zap.api.shapes import Shape, Wanted
from a1zap.api.web_pages import PAGES
from a1zap.kit.errors import NotAllowed, NotSignedIn

router: APIRouter = new_router("sign-in")

_CREDENTIALS: dict[str, Any] = {"email": "you@example.com", "password": "correct horse battery staple"}
_OWNER_ID = "0193b1a2-5a00-7a00-8a00-0a0b0c0d0e0f"


class CredentialsWanted(Wanted):
    """An address and its password."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CREDENTIALS]})

    email: str = Field(max_length=320)
    password: str = Field(max_length=1_024)


class SignedUpShape(Shape):
    """The same for every address, taken or not."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "If nobody had this address, …"}]})

    detail: str


class MeShape(Shape):
    """Who you are, and how you said so."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "owner_id": _OWNER_ID,
                    "email": "you@example.com",
                    "signed_in_by": "session",
                    "scopes": ["agents:read"],
                    "agent_id": None,
                }
            ]
        }
    )

    owner_id: UUID
    email: str | None
    signed_in_by: str
    scopes: list[str]
    agent_id: UUID | None = Field(description="The one agent that a key is bound to.")


@router.post("/api/auth/sign-up", status_code=202, openapi_extra={"security": []})
async def sign_an_owner_up(wanted: CredentialsWanted, request: Request, house: House) -> SignedUpShape:
    """Make an account: the first one always, others where the operator lets anybody. Then sign in with it."""
    await _hold(house, request, wanted.email)
    is_open = house.settings.is_sign_up_open
    if not is_open and await is_set_up(house.db):
        raise NotAllowed("sign-up is closed here: ask the operator for an account")
    await sign_up(
        house.db,
        house.keyring,
        house.passwords,
        email=wanted.email,
        password=wanted.password,
        plan_id=house.settings.plan,
        only_first=not is_open,
    )
    return SignedUpShape(
        detail="If nobody had this address, it has an account now: sign in with the password."
    )


@router.post("/api/auth/sign-in", status_code=204, openapi_extra={"security": []})
async def sign_an_owner_in(wanted: CredentialsWanted, request: Request, house: House) -> Response:
    """Sign in; the session is a cookie that no script can read."""
    await _hold(house, request, wanted.email)
    now = house.clock.now()
    token = await sign_in(
        house.db, house.keyring, house.passwords, email=wanted.email, password=wanted.password, now=now
    )
    return Response(status_code=204, headers={"set-cookie": _cookie(house, token)})


@router.post("/api/auth/sign-out", status_code=204, openapi_extra={"security": []})
async def sign_an_owner_out(request: Request, house: House) -> Response:
    """Sign out. It is no error to be signed out already."""
    headers = {"set-cookie": expired_session_cookie(secure=_is_https(house))}
    if request.cookies.get(SESSION_COOKIE):
        try:
            who = await recognise(house, request)
        except NotSignedIn:
            return Response(status_code=204, headers=headers)
        if who.kind == "session" and who.credential_id is not None:
            await end_session(house.db, who.owner_id, who.credential_id)
    return Response(status_code=204, headers=headers)


@router.get("/api/auth/me")
async def read_who_i_am(house: House, who: Anyone) -> MeShape:
    """Who is asking."""
    return await _me(house, who)


async def _me(house: ApiHouse, who: Principal) -> MeShape:
    async with house.db.owned(who.owner_id) as tx:
        owner = await read_owner(tx, await house.keyring.sealer(tx))
    return MeShape(
        owner_id=who.owner_id,
        email=None if owner is None else owner.email,
        signed_in_by=who.kind,
        scopes=sorted(who.scopes),
        agent_id=who.agent_id,
    )


# ── one-time links ──────────────────────────────────────────────────────────────────────────────────────────────────
# To look at a link must not spend it: mail scanners, chat previews and HEAD all look. The page behind it has a button
# that spends it, and a script that presses the button.


@router.get("/sign-in/{token}", include_in_schema=False)
@router.head("/sign-in/{token}", include_in_schema=False)
async def show_sign_in_link(token: str) -> Response:  # noqa: ARG001 - the page reads it from its own address
    return FileResponse(PAGES / "sign_in.html", media_type="text/html; charset=utf-8")


@router.post("/sign-in/{token}", include_in_schema=False)
async def use_a_sign_in_link(token: str, request: Request, house: House) -> Response:
    if not is_same_origin(request.headers, (house.settings.base_url,)):
        raise NotAllowed("open the link itself: another page may not use it for you")
    await hold_to_rate(
        house, "sign-in link", client_of(request), every=SIGN_IN_CLIENT_EVERY, burst=SIGN_IN_CLIENT_BURST
    )
    try:
        session = await use_sign_in_link(house.db, token, now=house.clock.now())
    except NotSignedIn:
        return FileResponse(PAGES / "sign_in_spent.html", 410, media_type="text/html; charset=utf-8")
    return Response(status_code=303, headers={"location": "/", "set-cookie": _cookie(house, session)})


async def _hold(house: ApiHouse, request: Request, email: str) -> None:
    """Bound how often passwords are tried, for one address and from one place."""
    await hold_to_rate(
        house, "sign-in from", client_of(request), every=SIGN_IN_CLIENT_EVERY, burst=SIGN_IN_CLIENT_BURST
    )
    index = house.keyring.email_index(email).hex()
    await hold_to_rate(house, "sign-in as", index, every=SIGN_IN_ADDRESS_EVERY, burst=SIGN_IN_ADDRESS_BURST)


def _cookie(house: ApiHouse, token: str) -> str:
    return session_cookie(token, lifetime_s=int(SESSION_LIFETIME.total_seconds()), secure=_is_https(house))


def _is_https(house: ApiHouse) -> bool:
    return house.settings.base_url.startswith("https://")
