"""Any program: it writes by signed POSTs, and takes answers by them; what has a known webhook-id it takes once only."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import orjson
import standardwebhooks
from aiohttp import web
from tests.fakes.weather import SLOW_S, SendCall, Weather, fate_of
from tests.simulation.judge import Said, Told
from tests.simulation.lines import ACCOUNTS, Chat, Post, connect_agents

from a1zap.app import House

STORMY = Weather(
    too_many=0.02,
    broken=0.03,
    reset_before=0.02,
    reset_after=0.02,
    gateway_lost=0.01,
    hang=0.0005,
    slow=0.03,
    refused=0.01,
)
SECRET = "whsec_" + base64.b64encode(b"w" * 32).decode()


class WebhookLine:
    kind = "webhook"

    def __init__(self, *, seed: object, weather: Weather = STORMY) -> None:
        self.calls: list[SendCall] = []
        self.complaints: list[str] = []
        self.weather = weather
        self.on_settled: Callable[[SendCall], None] = lambda _call: None
        self._seed = seed
        self._tries: dict[str, int] = defaultdict(int)
        self._known: dict[str, bytes] = {}
        self._accounts: list[str] = []
        self._signer = standardwebhooks.Webhook(SECRET)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hook/{account}", self._take)
        # A caller that dies while we think changes nothing: handlers run to their end.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def connect(self, house: House, owner_id: UUID) -> None:
        settings = [
            {"name": f"crm {n}", "url": f"{self._url}/{n}", "secret": SECRET} for n in range(ACCOUNTS)
        ]
        self._accounts = [a for _, a in await connect_agents(house, owner_id, self.kind, settings)]

    def open_chat(self, name: str, number: int, *, is_hot: bool) -> Chat:
        is_group = number == 1
        return Chat(
            name=name,
            line=self,
            account=number % ACCOUNTS,
            place=f"ticket-{name}",
            people=[f"customer-{name}-{i}" for i in range(3 if is_group else 1)],
            limit=6 if is_hot else 2,
            weight=8.0 if is_hot else 1.0,
            is_group=is_group,
        )

    def may_speak(self, chat: Chat) -> bool:
        return len(chat.open) < chat.limit

    def say(self, chat: Chat, said: Said, text: str, dice: random.Random) -> Sequence[Post]:
        data: dict[str, Any] = {
            "chat_id": chat.place,
            "text": text,
            "sender": {"id": dice.choice(chat.people), "name": "Jane"},
            "chat_type": "group" if chat.is_group else "individual",
        }
        if dice.random() < 0.5:  # else the message is called by its webhook-id
            data["message_id"] = said.external_id
        return [
            self._post(chat.account, said.external_id.replace("#", "-"), "message.created", data, said=[said])
        ]

    def news_of(self, chat: Chat, call: SendCall, dice: random.Random) -> Sequence[tuple[float, Post]]:
        named = ["sent", "delivered", "read"][: dice.choice((0, 1, 2, 3))]
        dice.shuffle(named)
        return [
            (
                dice.choice((0.0, 0.02, 0.15)),
                self._post(
                    chat.account,
                    f"{call.key}-{status}",
                    "message.status",
                    {"message_id": call.key, "status": status},
                    told=[Told(call.key, call.key, status)],
                ),
            )
            for status in named
        ]

    def _post(
        self,
        account: int,
        webhook_id: str,
        event: str,
        data: dict[str, Any],
        *,
        said: Sequence[Said] = (),
        told: Sequence[Told] = (),
    ) -> Post:
        body = orjson.dumps({"type": event, "timestamp": datetime.now(UTC).isoformat(), "data": data})

        def headers() -> dict[str, str]:
            now = datetime.now(UTC)
            return {
                "content-type": "application/json",
                "webhook-id": webhook_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": self._signer.sign(webhook_id, now, body.decode()),
            }

        return Post(f"/api/webhooks/{self._accounts[account]}", body, headers, said, told)

    # ── the program's own endpoint ──────────────────────────────────────────────────────────────────────────────────

    async def _take(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            data = self._signer.verify(raw, dict(request.headers))["data"]
        except standardwebhooks.WebhookVerificationError as error:
            self.complaints.append(f"an answer that is not signed as it should be: {error}")
            return web.Response(status=400)
        call = SendCall(
            account_id=request.match_info["account"],
            thread_id=data["chat_id"],
            text=data["text"],
            came_s=time.monotonic(),
            caller=request.headers.get("x-caller", ""),
            key=request.headers["webhook-id"],
            is_known_again=True,
        )
        self.calls.append(call)
        self._tries[call.text] += 1
        dice = random.Random(f"{self._seed}:{call.text}:{self._tries[call.text]}")
        return await self._befall(request, call, raw, dice)

    async def _befall(
        self, request: web.Request, call: SendCall, raw: bytes, dice: random.Random
    ) -> web.StreamResponse:
        weather = self.weather
        call.outcome = fate_of(weather, dice)
        delay_s = dice.uniform(0, weather.delay_max_s) / 2
        await asyncio.sleep(delay_s)
        match call.outcome:
            case "too_many":
                return web.Response(status=429, headers={"retry-after": str(dice.choice((0, 1)))})
            case "broken":
                return web.Response(status=dice.choice((500, 503)))
            case "refused":
                self.on_settled(call)
                return web.Response(status=422)
            case "reset_before":
                return _reset(request)
            case "deaf":
                while self.weather is weather:
                    await asyncio.sleep(0.05)
                return _reset(request)
        self._settle(call, raw)
        await asyncio.sleep(SLOW_S if call.outcome == "slow" else delay_s)
        match call.outcome:
            case "reset_after":
                return _reset(request)
            case "gateway_lost":
                return web.Response(status=dice.choice((502, 504)))
            case "hang":
                await asyncio.sleep(3600)
        call.answered_s = time.monotonic()
        return web.Response(status=204)

    def _settle(self, call: SendCall, raw: bytes) -> None:
        if call.key in self._known:
            if self._known[call.key] != raw:
                self.complaints.append(f"two bodies under the webhook-id {call.key}")
            return
        self._known[call.key] = raw
        call.taken_s, call.message_id = time.monotonic(), call.key
        self.on_settled(call)


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # nobody gets it
