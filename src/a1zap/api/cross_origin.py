"""Pages of other sites may show an agent's chat, and nothing else of ours: CORS for the few addresses a chat needs.

Only for origins that the agent's web channel names, equal to the letter: `null`, other ports, other schemes and names
that only look alike are none of them. A page proves who its visitor is by a token in a header, so no cookie is ever let
through (no Access-Control-Allow-Credentials), and everything else stays what browsers make of it: same-origin.

A browser asks before it sends (a preflight). That answer reads the database and writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from a1zap.accounts.same_origin import is_same_origin
from a1zap.agents.channel_store import find_agent_on_channel
from a1zap.agents.chat_page_store import find_agent_of_web_chat, find_chat_page
from a1zap.api.house import ApiHouse
from a1zap.api.problems import error_response, problem, problem_response
from a1zap.channels.web import is_allowed_origin
from a1zap.kit.errors import Unavailable
from a1zap.kit.ids import parse_id

PREFLIGHT_KEPT_S: Final = 600

_OF_AGENT = re.compile(r"/api/agents/([^/]+)/(visitors|visitors/sign-out|chat|files|conversations)")
_OF_CHAT = re.compile(r"/api/chats/([^/]+)(?:/(messages|events|typing|read))?")
_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "conversations": ("GET",),
    "": ("GET",),
    "messages": ("GET",),
    "events": ("GET",),
}
_HEADERS_TAKEN = b"authorization, content-type, idempotency-key, last-event-id, prefer"
_HEADERS_SHOWN = b"link, location, retry-after, x-request-id"
_REPLACED = (b"cross-origin-resource-policy", b"access-control-allow-origin")
_VARY = (b"vary", b"Origin")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What of a chat page is asked for, and by which page."""

    methods: tuple[str, ...]
    agent_id: UUID | None
    chat_id: UUID | None
    origin: str | None
    is_own: bool


class CrossOrigin:
    """Stands outside of everything, so that refusals can be read by those who may read answers."""

    def __init__(self, app: ASGIApp, *, house: ApiHouse) -> None:
        self.app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _read(scope, self._house.settings.base_url) if scope["type"] == "http" else None
        if asked is None:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await (await self._preflight(asked))(scope, receive, send)
            return

        async def send_across(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [_VARY]
                own = message.get("headers", ())
                if scope["method"] in asked.methods and await self._allows(asked):
                    own = [pair for pair in own if pair[0].lower() not in _REPLACED]
                    added += _shown_to(asked)
                message = {**message, "headers": [*own, *added]}
            await send(message)

        await self.app(scope, receive, send_across)

    async def _preflight(self, asked: _Asked) -> Response:
        try:
            is_allowed = await self._may_ask(asked)
        except Unavailable as error:
            return error_response(error)
        if not is_allowed:
            detail = "no chat of this address is shown by pages of this origin: its owner names them in allowed_origins"
            response = problem_response(problem(403, "Not allowed", detail))
        else:
            response = Response(status_code=204)
            response.raw_headers += [
                *_shown_to(asked),
                (b"access-control-allow-methods", ", ".join(asked.methods).encode()),
                (b"access-control-allow-headers", _HEADERS_TAKEN),
                (b"access-control-max-age", str(PREFLIGHT_KEPT_S).encode()),
            ]
        response.raw_headers += [
            _VARY,
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        return response

    async def _allows(self, asked: _Asked) -> bool:
        """As `_may_ask`; where that cannot be known now, the answer is nobody's but our own pages'."""
        try:
            return await self._may_ask(asked)
        except Unavailable:
            return False

    async def _may_ask(self, asked: _Asked) -> bool:
        if asked.origin is None or asked.is_own:
            return False
        async with self._house.db.standalone() as tx:
            agent_id = asked.agent_id
            if asked.chat_id is not None:
                agent_id = await find_agent_of_web_chat(tx, asked.chat_id)
            page = None if agent_id is None else await find_chat_page(tx, agent_id)
        if agent_id is None or page is None or not page.is_public:
            return False
        async with self._house.db.owned(page.owner_id) as tx:
            sealer = await self._house.keyring.sealer(tx)
            found = await find_agent_on_channel(tx, sealer, agent_id, account_id=page.account_id)
        return found is not None and any(is_allowed_origin(one, asked.origin) for one in found[1])


def _read(scope: Scope, base_url: str) -> _Asked | None:
    """What is asked for, where it is something that a chat page needs."""
    path: str = scope["path"]
    of_agent, of_chat = _OF_AGENT.fullmatch(path), _OF_CHAT.fullmatch(path)
    found = of_agent or of_chat
    if found is None:
        return None
    headers = Headers(scope=scope)
    origins = headers.getlist("origin")
    return _Asked(
        methods=_METHODS.get(found[2] or "", ("POST",)),
        agent_id=parse_id(found[1]) if of_agent else None,
        chat_id=parse_id(found[1]) if of_chat else None,
        origin=origins[0] if len(origins) == 1 else None,
        is_own=is_same_origin(headers, (base_url,)),
    )


def _shown_to(asked: _Asked) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", (asked.origin or "").encode("latin-1")),
        (b"access-control-expose-headers", _HEADERS_SHOWN),
        (b"cross-origin-resource-policy", b"cross-origin"),
    ]
