"""A1Base on loopback: the send calls and the thread list of its API, with a memory, jitter and failures by seed.

    async with FakeA1Base(seed=7, weather=Weather(reset_after=0.02)) as fake:
        ... connect a channel to fake.base_url, then look at fake.calls ...

Each call is answered or failed by dice of its own (seed, text, how often it was tried), so that a failure is found
again whatever the order of calls. `python -m tests.fakes.a1base PORT` serves it alone; `GET /calls` is its record.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import orjson
from aiohttp import web
from tests.fakes.weather import FAIR, SendCall, Weather, fate_of

KEY, SECRET = "a1base-key-of-no-value", "a1base-secret-of-no-value"
NEWEST = 5  # what `get-recent` gives


@dataclass
class _Line:
    """A message of a thread, as the thread list gives it."""

    message_id: str
    text: str
    is_from_agent: bool
    at: datetime


@dataclass
class Account:
    """A tenant of A1Base, and how it behaves."""

    tells_message_id: bool = False  # the documented answer to a send has none
    has_recent: bool = True  # else get-recent is 404: it cannot be asked what was sent
    threads: dict[str, deque[_Line]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=NEWEST))
    )


class FakeA1Base:
    """Serves on a free port of this machine unless told which."""

    def __init__(
        self,
        *,
        seed: object = 0,
        weather: Weather = FAIR,
        accounts: dict[str, Account] | None = None,
        on_taken: Callable[[SendCall], None] = lambda _call: None,
        port: int = 0,
    ) -> None:
        self.calls: list[SendCall] = []
        self.asked = 0  # get-recent
        self.weather = weather
        self.accounts = accounts if accounts is not None else {"acc-1": Account()}
        self.on_taken = on_taken
        self._seed = seed
        self._port = port
        self._tries: dict[str, int] = defaultdict(int)
        self._thread_of_number: dict[str, str] = {}
        self._serial = 0
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/messages/{kind:individual|group}/{account}/send", self._send)
        app.router.add_get("/v1/messages/threads/{account}/get-recent/{thread}", self._recent)
        app.router.add_get("/v1/messages/threads/{account}/get-all/{number}", self._threads)
        app.router.add_get("/calls", self._show_calls)
        # A caller that dies while we think changes nothing: handlers run to their end.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def heard(self, account_id: str, thread_id: str, number: str, message_id: str, text: str) -> None:
        """Somebody wrote in a thread: the provider knows it, whether or not its webhook arrives."""
        self._thread_of_number[number] = thread_id
        self.accounts[account_id].threads[thread_id].append(
            _Line(message_id, text, is_from_agent=False, at=datetime.now(UTC))
        )

    @property
    def taken(self) -> list[SendCall]:
        """The calls whose message went out, in that order."""
        return sorted((c for c in self.calls if c.taken_s is not None), key=lambda c: c.taken_s or 0.0)

    # ── the API ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, request: web.Request) -> web.StreamResponse:
        refusal, account = self._known(request)
        if refusal is not None or account is None:
            return refusal or web.Response(status=404)
        body = orjson.loads(await request.read())
        missing = [n for n in ("content", "from", "service", _to(request)) if not body.get(n)]
        if missing:
            return _error(422, [{"loc": ["body", missing[0]], "msg": "field required"}])
        where = body[_to(request)]
        call = SendCall(
            account_id=request.match_info["account"],
            thread_id=self._thread_of_number.get(where, where),
            text=body["content"],
            came_s=time.monotonic(),
            caller=request.headers.get("x-caller", ""),
        )
        self.calls.append(call)
        self._tries[call.text] += 1
        dice = random.Random(f"{self._seed}:{call.text}:{self._tries[call.text]}")
        return await self._befall(request, account, call, body, dice)

    async def _befall(
        self,
        request: web.Request,
        account: Account,
        call: SendCall,
        body: dict[str, Any],
        dice: random.Random,
    ) -> web.StreamResponse:
        fate = fate_of(self.weather, dice)
        delay_s = dice.uniform(0, self.weather.delay_max_s) / 2
        await asyncio.sleep(delay_s)
        call.outcome = fate
        match fate:
            case "too_many":
                return _error(429, "slow down", {"retry-after": str(dice.choice((0, 1)))})
            case "broken":
                return _error(dice.choice((500, 503)), "broken")
            case "reset_before":
                return _reset(request)
        self._take(account, call)
        await asyncio.sleep(delay_s)
        match fate:
            case "reset_after":
                return _reset(request)
            case "gateway_lost":
                return _error(dice.choice((502, 504)), "bad gateway")
            case "hang":
                await asyncio.sleep(3600)
        call.answered_s = time.monotonic()
        return web.json_response(_answer(account, call, body))

    def _take(self, account: Account, call: SendCall) -> None:
        self._serial += 1
        call.message_id = f"out_{self._serial}"
        call.taken_s = time.monotonic()
        account.threads[call.thread_id].append(
            _Line(call.message_id, call.text, is_from_agent=True, at=datetime.now(UTC))
        )
        self.on_taken(call)

    async def _recent(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        refusal, account = self._known(request)
        if refusal is not None or account is None:
            return refusal or web.Response(status=404)
        if not account.has_recent:
            return _error(404, "no such thread")
        lines = account.threads.get(request.match_info["thread"], ())
        return web.json_response(
            {
                "messages": [
                    {
                        "message_id": line.message_id,
                        "content": line.text,
                        "message_type": "text",
                        "is_from_agent": line.is_from_agent,
                        "timestamp": line.at.isoformat(),
                    }
                    for line in reversed(lines)
                ]
            }
        )

    async def _threads(self, request: web.Request) -> web.StreamResponse:
        refusal, account = self._known(request)
        if refusal is not None or account is None:
            return refusal or web.Response(status=404)
        return web.json_response({"threads": sorted(account.threads)})

    async def _show_calls(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response([asdict(call) for call in self.calls])

    def _known(self, request: web.Request) -> tuple[web.Response | None, Account | None]:
        if (request.headers.get("x-api-key"), request.headers.get("x-api-secret")) != (KEY, SECRET):
            return _error(401, "invalid credentials"), None
        account = self.accounts.get(request.match_info["account"])
        return (_error(404, "no such account"), None) if account is None else (None, account)


# ── the other direction ─────────────────────────────────────────────────────────────────────────────────────────────


def sign(raw: bytes, *, secret: str = SECRET, at_s: float | None = None) -> dict[str, str]:
    """The headers that prove a webhook's body: hex(HMAC-SHA256(secret, timestamp + raw body))."""
    stamp = str(int(time.time() if at_s is None else at_s))
    signature = hmac.new(secret.encode(), stamp.encode() + raw, hashlib.sha256).hexdigest()
    return {"x-timestamp": stamp, "x-signature": signature}


def message_body(
    *,
    message_id: str,
    thread_id: str,
    sender: str,
    text: str,
    number: str,
    account_id: str = "acc-1",
    thread_type: str = "individual",
    is_from_agent: bool = False,
    **more: Any,
) -> bytes:
    """The body of an incoming message, as A1Base documents it."""
    return orjson.dumps(
        {
            "thread_id": thread_id,
            "message_id": message_id,
            "thread_type": thread_type,
            "sender_number": sender,
            "sender_name": "Jane",
            "a1_account_id": account_id,
            "a1_account_number": number,
            "a1_phone_number": number,
            "timestamp": datetime.now(UTC).isoformat(),
            "service": "whatsapp",
            "message_type": "text",
            "is_from_agent": is_from_agent,
            "message_content": {"text": text},
            **more,
        }
    )


def status_body(*, message_id: str, status: str) -> bytes:
    """The body of a delivery status."""
    return orjson.dumps(
        {
            "event": "message_status",
            "message_id": message_id,
            "service": "sms",
            "status": status,
            "direction": "outbound",
            "timestamp": int(time.time() * 1000),
        }
    )


# ── details ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _to(request: web.Request) -> str:
    return "to" if request.match_info["kind"] == "individual" else "thread_id"


def _answer(account: Account, call: SendCall, body: dict[str, Any]) -> dict[str, Any]:
    answer = {
        "to": body.get("to"),
        "from": body["from"],
        "body": call.text,
        "status": "queued",
        "date_created": datetime.now(UTC).isoformat(),
    }
    return {"data": {**answer, "message_id": call.message_id}} if account.tells_message_id else answer


def _error(status: int, detail: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"detail": detail}, status=status, headers=headers)


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:  # else the caller is gone already
        request.transport.abort()
    return web.Response(status=500)  # nobody gets it


async def _serve_alone(port: int) -> None:
    async with FakeA1Base(port=port) as fake:
        print(fake.base_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_alone(int(sys.argv[1])))
