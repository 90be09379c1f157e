"""WhatsApp through Meta: batches with old news in them, statuses that overtake the answer, Meta's own error codes.

One number's statuses bring our mark back (`biz_opaque_callback_data`), the other's name only Meta's id.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self
from uuid import UUID

from aiohttp import web
from tests.fakes.meta import FakeMeta, error_body, post_of, sign, text_message, what_is_wrong
from tests.fakes.weather import SLOW_S, SendCall, Weather, fate_of
from tests.simulation.judge import Said, Told
from tests.simulation.lines import ACCOUNTS, Chat, Post, connect_agents

from a1zap.app import House

STORMY = Weather(
    too_many=0.02,
    broken=0.02,
    reset_before=0.01,
    reset_after=0.015,
    gateway_lost=0.01,
    hang=0.0005,
    slow=0.05,
    refused=0.01,
)
TOLD_FAILED = 0.01
TOO_MANY = ((429, 80007), (400, 130429), (400, 130429), (400, 131056))
BROKEN = ((500, 131000), (500, 2), (503, 131016), (400, 131000))


class StormyMeta(FakeMeta):
    """One number, whose send calls are befallen by the weather."""

    def __init__(self, line: WhatsAppLine, number_id: str, *, seed: object) -> None:
        super().__init__(number_id=number_id)
        self._line, self._seed = line, seed
        self._tries: dict[str, int] = defaultdict(int)
        self._taken = 0

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if (refusal := self._refusal(request)) is not None:
            self._line.complaints.append(f"a call with the wrong token or number: {request.path}")
            return refusal
        if body.get("status") == "read":
            self.reads.append(body)
            return web.json_response({"success": True})
        if wrong := what_is_wrong(body):
            self._line.complaints.append(f"Meta would not understand this message: {wrong}")
            return web.json_response(error_body(100, wrong), status=400)
        call = SendCall(
            account_id=self.number_id,
            thread_id=body["to"],
            text=body["text"]["body"],
            came_s=time.monotonic(),
            caller=request.headers.get("x-caller", ""),
            key=body["biz_opaque_callback_data"],
        )
        self._line.calls.append(call)
        self._tries[call.text] += 1
        dice = random.Random(f"{self._seed}:{call.text}:{self._tries[call.text]}")
        return await self._befall(request, call, dice)

    async def _befall(self, request: web.Request, call: SendCall, dice: random.Random) -> web.StreamResponse:
        weather = self._line.weather
        call.outcome = fate_of(weather, dice)
        delay_s = dice.uniform(0, weather.delay_max_s) / 2
        await asyncio.sleep(delay_s)
        match call.outcome:
            case "too_many":
                return _error(*dice.choice(TOO_MANY))
            case "broken":
                return _error(*dice.choice(BROKEN))
            case "refused":
                self._line.on_settled(call)
                return _error(400, 131026)
            case "reset_before":
                return _reset(request)
            case "deaf":
                while self._line.weather is weather:
                    await asyncio.sleep(0.05)
                return _reset(request)
        self._taken += 1
        call.message_id, call.taken_s = f"wamid.{self.number_id}.{self._taken}", time.monotonic()
        call.is_told_failed = dice.random() < TOLD_FAILED
        self._line.on_settled(call)
        await asyncio.sleep(SLOW_S if call.outcome == "slow" else delay_s)
        match call.outcome:
            case "reset_after":
                return _reset(request)
            case "gateway_lost":
                return web.Response(status=dice.choice((502, 504)), text="<html>bad gateway</html>")
            case "hang":
                await asyncio.sleep(3600)
        call.answered_s = time.monotonic()
        contacts = [{"input": call.thread_id, "wa_id": call.thread_id}]
        return web.json_response(
            {"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": call.message_id}]}
        )


class WhatsAppLine:
    kind = "whatsapp"

    def __init__(self, *, seed: object, weather: Weather = STORMY) -> None:
        self.calls: list[SendCall] = []
        self.complaints: list[str] = []
        self.weather = weather
        self.on_settled: Callable[[SendCall], None] = lambda _call: None
        self._metas = [StormyMeta(self, f"10635{n}", seed=seed) for n in range(ACCOUNTS)]
        self._accounts: list[str] = []
        self._recent: list[deque[tuple[Said, dict[str, Any]]]] = [deque(maxlen=4) for _ in self._metas]
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for meta in self._metas:
            await self._stack.enter_async_context(meta)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def connect(self, house: House, owner_id: UUID) -> None:
        settings = [{k: v for k, v in meta.settings().items() if k != "kind"} for meta in self._metas]
        self._accounts = [a for _, a in await connect_agents(house, owner_id, self.kind, settings)]

    def open_chat(self, name: str, number: int, *, is_hot: bool) -> Chat:
        is_group = number == 1
        people = [f"4917{number:03}{i:05}" for i in range(3 if is_group else 1)]
        return Chat(
            name=name,
            line=self,
            account=number % ACCOUNTS,
            place=f"group-of-{name}" if is_group else people[0],
            people=people,
            limit=6 if is_hot else 2,
            weight=8.0 if is_hot else 1.0,
            is_group=is_group,
        )

    def may_speak(self, chat: Chat) -> bool:
        return len(chat.open) < chat.limit

    def say(self, chat: Chat, said: Said, text: str, dice: random.Random) -> Sequence[Post]:
        """Alone, or in a batch behind messages that have been delivered before."""
        message = text_message(
            text, wamid=f"wamid.{said.external_id}", sender=dice.choice(chat.people), at=time.time()
        )
        if chat.is_group:
            message["group_id"] = chat.place
        recent = self._recent[chat.account]
        batch = dice.sample(list(recent), min(len(recent), 2)) if dice.random() < 0.25 else []
        recent.append((said, message))
        alone = self._post(chat.account, dice, said=[said], messages=[message])
        whole = self._post(
            chat.account,
            dice,
            said=[*(one for one, _ in batch), said],
            messages=[*(one for _, one in batch), message],
        )
        return [whole, alone] if batch else [alone]

    def news_of(self, chat: Chat, call: SendCall, dice: random.Random) -> Sequence[tuple[float, Post]]:
        named = ["sent", "delivered", "read"][: dice.choice((1, 2, 3, 3))]
        if call.is_told_failed:
            named = ["sent", "failed"]
        if dice.random() < 0.4:
            dice.shuffle(named)
        if not call.is_told_failed and dice.random() < 0.05:
            named = []
        statuses = [self._status(chat, call, status) for status in named]
        tolds = [Told(call.message_id or "", self._mark(chat, call), status) for status in named]
        if statuses and dice.random() < 0.2:  # all in one batch
            return [
                (dice.uniform(0, 0.1), self._post(chat.account, dice, told=tolds, statuses=statuses)),
            ]
        return [
            (dice.choice((0.0, 0.02, 0.15)), self._post(chat.account, dice, told=[told], statuses=[status]))
            for told, status in zip(tolds, statuses, strict=True)
            for _ in range(dice.choice((1, 1, 2)))
        ]

    def _mark(self, chat: Chat, call: SendCall) -> str | None:
        return call.key if chat.account == 0 else None

    def _status(self, chat: Chat, call: SendCall, status: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": call.message_id,
            "status": status,
            "timestamp": str(int(time.time())),
            "recipient_id": call.thread_id,
        }
        if mark := self._mark(chat, call):
            found["biz_opaque_callback_data"] = mark
        if status == "failed":
            found["errors"] = [{"code": 131026, "title": "Message undeliverable"}]
        return found

    def _post(
        self,
        account: int,
        dice: random.Random,
        *,
        said: Sequence[Said] = (),
        told: Sequence[Told] = (),
        **value: Any,
    ) -> Post:
        body = post_of(number_id=self._metas[account].number_id, **value)
        door = dice.choice(("whatsapp", self._accounts[account]))
        return Post(f"/api/webhooks/{door}", body, lambda: sign(body), said, told)


def _error(status: int, code: int) -> web.Response:
    return web.json_response(error_body(code), status=status)


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # nobody gets it
