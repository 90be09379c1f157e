"""Who asks? One dependency for every way of saying so, so that no way can be weaker than another.

1. A header outranks a cookie: `Authorization: Bearer …` (API key, Stack Auth token, visitor token), `x-api-key`,
   `x-stack-access-token` or its newer name. A header that does not count is refused; no cookie is tried after it.
2. Cookies: the session, and the visits to public agents' pages. A browser may hold both; who is meant is whoever may
   see what is asked for, the owner before the visitor, unless the address says `as=visitor`.
   What a cookie signs in and changes something must prove that one of our own pages sent it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from a1zap.accounts.model import Principal, Scope
from a1zap.accounts.recognise import recognise_key, recognise_session, recognise_stack
from a1zap.accounts.same_origin import SAFE_METHODS, is_same_origin
from a1zap.accounts.tokens import SESSION_COOKIE, VISITOR_KEY_PURPOSE, TokenKind, verify_visitor
from a1zap.accounts.visits import VISIT_KEY_PURPOSE, VISIT_PREFIX, verify_visit
from a1zap.agents.chat_page_store import find_chat_page
from a1zap.agents.store import find_agent_owner
from a1zap.api.house import ApiHouse
from a1zap.api.sight import see_chat
from a1zap.kit.errors import NotAllowed, NotFound, NotSignedIn

VISITOR_COOKIE = "a1zap_visitor"
VISITS_MAX = 8  # public agents that one browser can be talking to
_VISITOR_SCOPES: frozenset[Scope] = frozenset(("chats:read", "chats:write"))
_NOBODY = "sign in, or send an API key: Authorization: Bearer a1z_…"


async def the_house(request: Request) -> ApiHouse:
    return request.app.state.house


House = Annotated[ApiHouse, Depends(the_house)]


def signed_in(scope: Scope | None, *, visitors: bool = False) -> Callable[[Request], Awaitable[Principal]]:
    """The dependency of an operation that needs `scope`, or None of them; with `visitors`, those of public agents may use it too.

    Raises:
        NotSignedIn: nobody asks, or somebody whose credential does not count.
        NotAllowed: the credential does not go so far.
    """

    async def principal(request: Request) -> Principal:
        who = await recognise(request.app.state.house, request)
        if who.visitor is not None and not visitors:
            raise NotAllowed("visitors may write to this agent and read their own chats, nothing else")
        if scope is not None and scope not in who.scopes:
            raise NotAllowed(f"this needs the scope '{scope}', which the key does not have")
        return who

    return principal


# One a scope, so that endpoints read `who: AgentsReader`.
Anyone = Annotated[Principal, Depends(signed_in(None))]
AgentsReader = Annotated[Principal, Depends(signed_in("agents:read"))]
AgentsWriter = Annotated[Principal, Depends(signed_in("agents:write"))]
ChatsReader = Annotated[Principal, Depends(signed_in("chats:read"))]
ChatsWriter = Annotated[Principal, Depends(signed_in("chats:write"))]
KeysWriter = Annotated[Principal, Depends(signed_in("keys:write"))]
ReadingVisitor = Annotated[Principal, Depends(signed_in("chats:read", visitors=True))]
WritingVisitor = Annotated[Principal, Depends(signed_in("chats:write", visitors=True))]


async def recognise(house: ApiHouse, request: Request) -> Principal:
    """Who asks, by header or by cookie; also asked again while a live stream is being watched."""
    token = header_credential(request)
    if token is not None:
        return await _by_header(house, token)
    candidates = await _by_cookies(house, request)
    if not candidates:
        raise NotSignedIn(_NOBODY)
    if request.method not in SAFE_METHODS and not is_same_origin(request.headers, (house.settings.base_url,)):
        raise NotAllowed("a cookie signs in only what our own pages send: use an API key from elsewhere")
    return await _who_is_meant(house, request, candidates)


def visit_tokens(request: Request) -> list[str]:
    """The visitor tokens that the browser holds, newest first."""
    return [token for token in request.cookies.get(VISITOR_COOKIE, "").split(".") if token][:VISITS_MAX]


async def recognise_visitor(house: ApiHouse, token: str) -> Principal:
    """The visitor of a public agent.

    Raises:
        NotSignedIn: no token of ours, expired, or the agent is not open to everybody any more.
    """
    visitor = verify_visitor(house.keyring.master.derive(VISITOR_KEY_PURPOSE), token, house.clock.now())
    async with house.db.standalone() as tx:
        found = await find_agent_owner(tx, visitor.agent_id)
    if found != (visitor.owner_id, True):
        raise NotSignedIn("this agent is not open to visitors")
    return Principal(
        "visitor",
        visitor.owner_id,
        _VISITOR_SCOPES,
        agent_id=visitor.agent_id,
        visitor=str(visitor.address_id),
    )


async def recognise_visit(house: ApiHouse, token: str) -> Principal:
    """The visitor of a chat page on some other site.

    Raises:
        NotSignedIn: no token of ours, expired, ended, or the agent is not open to everybody any more.
    """
    visit = verify_visit(house.keyring.master.derive(VISIT_KEY_PURPOSE), token, house.clock.now())
    async with house.db.standalone() as tx:
        page = await find_chat_page(tx, visit.agent_id, visit.visit_id)
    if page is None or (page.owner_id, page.account_id) != (visit.owner_id, visit.account_id):
        raise NotSignedIn("this chat is not open to visitors")
    if page.has_ended:
        raise NotSignedIn("this visit has ended: open the chat anew")
    if not page.is_public:
        raise NotSignedIn("this chat is not open to visitors")
    return Principal(
        "visitor",
        visit.owner_id,
        _VISITOR_SCOPES,
        credential_id=visit.visit_id,
        agent_id=visit.agent_id,
        visitor=str(visit.address_id),
    )


def header_credential(request: Request) -> str | None:
    headers = request.headers
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for name in ("x-api-key", "x-stack-access-token", "x-hexclave-access-token"):
        if name in headers:
            return headers[name].strip()
    return None


async def _by_header(house: ApiHouse, token: str) -> Principal:
    if token.startswith(TokenKind.API_KEY.value):
        return await recognise_key(house.db, token, house.clock.now())
    if token.startswith(VISIT_PREFIX):
        return await recognise_visit(house, token)
    if token.startswith("a1v_"):
        return await recognise_visitor(house, token)
    if house.stack is None:
        raise NotSignedIn(_NOBODY)
    return await recognise_stack(house.db, house.keyring, house.stack, token, plan_id=house.settings.plan)


async def _by_cookies(house: ApiHouse, request: Request) -> list[Principal]:
    """Everybody whom the browser's cookies speak for; what has expired among them counts for nothing."""
    found: list[Principal] = []
    session = request.cookies.get(SESSION_COOKIE)
    refusal: NotSignedIn | None = None
    if session and request.query_params.get("as") != "visitor":
        try:
            found.append(await recognise_session(house.db, session, house.clock.now()))
        except NotSignedIn as error:
            refusal = error
    for token in visit_tokens(request):
        try:
            found.append(await recognise_visitor(house, token))
        except NotSignedIn as error:
            refusal = refusal or error
    if not found and refusal is not None:
        raise refusal
    return found


async def _who_is_meant(house: ApiHouse, request: Request, candidates: list[Principal]) -> Principal:
    """The one of several who may see what is asked for; the first where none or all may."""
    if len(candidates) == 1:
        return candidates[0]
    agent_id, chat_id = request.path_params.get("agent_id"), request.path_params.get("chat_id")
    if chat_id is not None:
        for candidate in candidates:
            if await _sees_chat(house, candidate, chat_id):
                return candidate
    elif agent_id is not None:
        visits = [c for c in candidates if c.visitor is not None and str(c.agent_id) == agent_id.lower()]
        owns_it = (
            candidates[0].visitor is None and bool(visits) and candidates[0].owner_id == visits[0].owner_id
        )
        if visits and not owns_it:
            return visits[0]
    return candidates[0]


async def _sees_chat(house: ApiHouse, who: Principal, chat_id: str) -> bool:
    async with house.db.owned(who.owner_id) as tx:
        try:
            await see_chat(tx, await house.keyring.sealer(tx), who, chat_id)
        except NotFound:
            return False
    return True
