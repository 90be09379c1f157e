"""Email: mails come in as signed raw bytes, answers leave by SMTP to a real server on loopback that has bad days.

One mailbox's people are proven (its mail server checked them), the other's are not. People wait for the first answer and
then write on its thread, each in the way of some mail program.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from email.utils import format_datetime
from typing import Any, Self
from uuid import UUID

import standardwebhooks
from aiosmtpd.smtp import SMTP as SmtpServer  # noqa: N811 - a class is called like a constant there
from tests.fakes.weather import AMBIGUOUS, SLOW_S, SendCall, Weather, fate_of
from tests.simulation.judge import Said
from tests.simulation.lines import ACCOUNTS, Chat, Post, connect_agents

from a1zap.app import House

STORMY = Weather(
    too_many=0.02,
    broken=0.02,
    reset_before=0.01,
    reset_after=0.015,
    gateway_lost=0.01,
    hang=0.0005,
    slow=0.03,
    refused=0.02,
)
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
AUTHSERV_ID = "mx.sim.test"
SPOKEN_MAX = 18  # who gets 20 answers in an hour is taken for a loop, and rightly so
ANSWERS = {
    "too_many": "451 4.7.1 Greylisted, come again",
    "broken": "452 4.3.1 Insufficient system storage",
    "refused": "550 5.7.1 Not wanted here",
}


class StormyRelay:
    """aiosmtpd's handler: each mail is befallen by the weather once its last byte is here."""

    def __init__(self, line: EmailLine, *, seed: object) -> None:
        self._line, self._seed = line, seed
        self._tries: dict[str, int] = defaultdict(int)
        self._sessions = random.Random(f"{seed}:sessions")

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self._sessions.random() < self._line.weather.too_many / 2:
            return "421 4.3.2 Too many connections"
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail: Any = message_from_bytes(bytes(envelope.content), policy=default)
        call = SendCall(
            account_id=envelope.mail_from,
            thread_id=envelope.rcpt_tos[0],
            text=mail.get_body(("plain",)).get_content().strip(),
            came_s=time.monotonic(),
            caller=mail["X-Caller"] or "",
            key=mail["Message-ID"],
        )
        if mail["Auto-Submitted"] != "auto-replied" or mail["To"] != call.thread_id:
            self._line.complaints.append(f"an answer that does not say that it is one: {call.key}")
        self._line.calls.append(call)
        self._tries[call.text] += 1
        dice = random.Random(f"{self._seed}:{call.text}:{self._tries[call.text]}")
        weather = self._line.weather
        call.outcome = fate_of(weather, dice)
        delay_s = dice.uniform(0, weather.delay_max_s) / 2
        await asyncio.sleep(delay_s)
        if call.outcome in ANSWERS:
            if call.outcome == "refused":
                self._line.settle(call, mail)
            return ANSWERS[call.outcome]
        if call.outcome == "reset_before":
            server.transport.abort()
            return "250 nobody hears it"
        call.taken_s, call.message_id = time.monotonic(), call.key
        self._line.settle(call, mail)
        await asyncio.sleep(SLOW_S if call.outcome == "slow" else delay_s)
        if call.outcome == "hang":
            await asyncio.sleep(3600)
        if call.outcome in AMBIGUOUS:
            server.transport.abort()
        else:
            call.answered_s = time.monotonic()
        return "250 2.0.0 Ok: queued"


class EmailLine:
    kind = "email"

    def __init__(self, *, seed: object, weather: Weather = STORMY) -> None:
        self.calls: list[SendCall] = []
        self.complaints: list[str] = []
        self.weather = weather
        self.on_settled: Callable[[SendCall], None] = lambda _call: None
        self._relay = StormyRelay(self, seed=seed)
        self._sessions: list[SmtpServer] = []
        self._accounts: list[str] = []
        self._chats: dict[str, Chat] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = [one._handler_coroutine for one in self._sessions if one._handler_coroutine]
        for one in self._sessions:
            if one.transport is not None:
                one.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _serve(self) -> SmtpServer:
        loop = asyncio.get_running_loop()
        session = SmtpServer(self._relay, hostname="mx.sim.test", enable_SMTPUTF8=True, loop=loop)
        self._sessions.append(session)
        return session

    async def connect(self, house: House, owner_id: UUID) -> None:
        out = {"outbound": "smtp", "smtp_host": "127.0.0.1", "smtp_port": str(self._port), "smtp_tls": "none"}
        common = {**out, "inbound": "raw", "inbound_secret": SECRET}
        settings = [
            {**common, "address": _address(0), "authserv_id": AUTHSERV_ID},
            {**common, "address": _address(1), "reply_format": "text"},
        ]
        self._accounts = [a for _, a in await connect_agents(house, owner_id, self.kind, settings)]

    def open_chat(self, name: str, number: int, *, is_hot: bool) -> Chat:
        person = f"jane-{name}@people.test"
        self._chats[person] = Chat(
            name=name,
            line=self,
            account=number % ACCOUNTS,
            place=person,
            people=[person],
            limit=4 if is_hot else 2,
            weight=8.0 if is_hot else 1.0,
            spoken_max=SPOKEN_MAX,
            memory={"has_answer": False, "ids": [], "reply_to": None, "last": ""},
        )
        return self._chats[person]

    def may_speak(self, chat: Chat) -> bool:
        return chat.spoken == 0 or (chat.memory["has_answer"] and len(chat.open) < chat.limit)

    def settle(self, call: SendCall, mail: Any) -> None:
        """An answer is in somebody's inbox, or never will be."""
        chat = self._chats[call.thread_id]
        chat.memory["has_answer"] = True
        if call.taken_s is not None:
            chat.memory.update(reply_to=mail["Reply-To"].addresses[0].addr_spec, last=call.text)
            if call.key not in chat.memory["ids"]:
                chat.memory["ids"].append(call.key)
        self.on_settled(call)

    def say(self, chat: Chat, said: Said, text: str, dice: random.Random) -> Sequence[Post]:
        """The same mail by two ways has other bytes: a hop more in its head."""
        memory = chat.memory
        own_id, to, head = f"<{said.external_id}@people.test>", _address(chat.account), []
        if memory["ids"]:
            # Whose first mail had no answer knows no address but the mailbox's.
            way = dice.choice(("all", "all", "references", "token")) if memory["reply_to"] else "references"
            if way != "references":
                to = memory["reply_to"] or to
            if way != "token":
                head.append("References: " + "\r\n ".join(memory["ids"][-8:]))
            if way == "all":
                head.append(f"In-Reply-To: {memory['ids'][-1]}")
        memory["ids"].append(own_id)
        quoted = f"\r\n\r\nOn Mon, 23 Nov 2026 at 10:00, Agent <{to}> wrote:\r\n> {memory['last']}\r\n"
        body = text + (quoted if memory["last"] and dice.random() < 0.5 else "")
        raw = "\r\n".join(
            [
                f"Authentication-Results: {AUTHSERV_ID}; dmarc=pass header.from=people.test",
                f"From: Jane <{chat.place}>",
                f"To: {to}",
                f"Subject: {'Re: ' if head else ''}An order",
                f"Message-ID: {own_id}",
                f"Date: {format_datetime(datetime.now(UTC))}",
                *head,
                "MIME-Version: 1.0",
                "Content-Type: text/plain; charset=utf-8",
                "",
                body,
                "",
            ]
        ).encode()
        hop = b"Received: from a.test by b.test with ESMTP id 7; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        return [self._post(chat, said, raw), self._post(chat, said, hop + raw)]

    def _post(self, chat: Chat, said: Said, raw: bytes) -> Post:
        def headers() -> dict[str, str]:
            now = datetime.now(UTC)
            return {
                "content-type": "message/rfc822",
                "webhook-id": said.external_id.replace("#", "-"),
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": _signature(now, said, raw),
                "x-envelope-from": chat.place,
            }

        return Post(f"/api/webhooks/{self._accounts[chat.account]}", raw, headers, said=[said])

    def news_of(self, chat: Chat, call: SendCall, dice: random.Random) -> Sequence[tuple[float, Post]]:
        return []  # who takes a mail tells no more of it, unless it bounces


def _address(account: int) -> str:
    return f"support@sim{account}.test"


def _signature(now: datetime, said: Said, raw: bytes) -> str:
    # The library only signs text; these mails are.
    return standardwebhooks.Webhook(SECRET).sign(said.external_id.replace("#", "-"), now, raw.decode())
