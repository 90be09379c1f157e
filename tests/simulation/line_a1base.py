"""WhatsApp through A1Base: one account that tells what was sent and echoes it, and one that does neither."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Self
from uuid import UUID

from tests.fakes.a1base import KEY, SECRET, Account, FakeA1Base, message_body, sign, status_body
from tests.fakes.weather import ROUGH, SendCall, Weather
from tests.simulation.judge import Said, Told
from tests.simulation.lines import ACCOUNTS, Chat, Post, connect_agents

from a1zap.app import House

NAMES = ("acc-recalls", "acc-forgets")


class A1BaseLine:
    kind = "a1base"

    def __init__(self, *, seed: object, weather: Weather = ROUGH) -> None:
        accounts = {"acc-recalls": Account(), "acc-forgets": Account(tells_message_id=True, has_recent=False)}
        self._fake = FakeA1Base(seed=seed, weather=weather, accounts=accounts)
        self._agents: list[tuple[str, str]] = []
        self.complaints: list[str] = []

    async def __aenter__(self) -> Self:
        await self._fake.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._fake.__aexit__()

    @property
    def calls(self) -> list[SendCall]:
        return self._fake.calls

    @property
    def weather(self) -> Weather:
        return self._fake.weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._fake.weather = weather

    @property
    def on_settled(self) -> Callable[[SendCall], None]:
        return self._fake.on_taken

    @on_settled.setter
    def on_settled(self, told: Callable[[SendCall], None]) -> None:
        self._fake.on_taken = told

    async def connect(self, house: House, owner_id: UUID) -> None:
        settings = [
            {
                "number": _number(n),
                "account_id": name,
                "api_key": KEY,
                "api_secret": SECRET,
                "base_url": self._fake.base_url,
            }
            for n, name in enumerate(NAMES)
        ]
        self._agents = await connect_agents(house, owner_id, self.kind, settings)

    def open_chat(self, name: str, number: int, *, is_hot: bool) -> Chat:
        is_group = number == 1
        return Chat(
            name=name,
            line=self,
            account=number % ACCOUNTS,
            place=f"thread-{name}",
            people=[f"+4917{number:03}{i:05}" for i in range(3 if is_group else 1)],
            limit=6 if is_hot else 2,
            weight=8.0 if is_hot else 1.0,
            is_group=is_group,
        )

    def may_speak(self, chat: Chat) -> bool:
        return len(chat.open) < chat.limit

    def say(self, chat: Chat, said: Said, text: str, dice: random.Random) -> Sequence[Post]:
        sender = dice.choice(chat.people)
        self._fake.heard(NAMES[chat.account], chat.place, sender, said.external_id, text)
        body = self._message(chat, message_id=said.external_id, sender=sender, text=text)
        return [self._post(chat, body, said=[said])]

    def news_of(self, chat: Chat, call: SendCall, dice: random.Random) -> Sequence[tuple[float, Post]]:
        assert call.message_id is not None
        if NAMES[chat.account] == "acc-recalls":
            body = self._message(
                chat,
                message_id=call.message_id,
                sender=_number(chat.account),
                text=call.text,
                is_from_agent=True,
            )
            return [(dice.uniform(0, 0.1), self._post(chat, body)) for _ in range(dice.choice((1, 1, 2)))]
        statuses = dice.choice((("sent", "delivered"), ("delivered", "sent"), ("delivered",), ()))
        return [
            (
                dice.uniform(0, 0.15),
                self._post(
                    chat,
                    status_body(message_id=call.message_id, status=status),
                    told=[Told(call.message_id, None, status)],
                ),
            )
            for status in statuses
        ]

    def _message(
        self, chat: Chat, *, message_id: str, sender: str, text: str, is_from_agent: bool = False
    ) -> bytes:
        return message_body(
            message_id=message_id,
            thread_id=chat.place,
            sender=sender,
            text=text,
            number=_number(chat.account),
            account_id=NAMES[chat.account],
            thread_type="group" if chat.is_group else "individual",
            is_from_agent=is_from_agent,
        )

    def _post(self, chat: Chat, body: bytes, *, said: Sequence[Said] = (), told: Sequence[Told] = ()) -> Post:
        agent_id = self._agents[chat.account][0]
        return Post(
            "/api/webhooks/messaging",
            body,
            lambda: {"content-type": "application/json", "x-agent-id": agent_id, **sign(body)},
            said,
            told,
        )


def _number(account: int) -> str:
    return f"+1999000{account:04}"
