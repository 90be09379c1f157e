"""The outside world by seed: people who write, and a provider that delivers twice, late, out of order, and again.

Like a real provider it repeats a delivery until it is answered 2xx, whatever happens in between.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
from tests.fakes.a1base import FakeA1Base, SendCall, message_body, sign, status_body
from tests.simulation.judge import Said, serials_of

IN_PARALLEL = 16


@dataclass
class Chat:
    """One conversation. `limit`: how many messages people write ahead of the answers; hot ones have a high one."""

    name: str
    thread_id: str
    people: Sequence[str]
    agent_id: str
    account_id: str
    our_number: str
    limit: int
    weight: float
    is_group: bool = False
    has_echo: bool = False
    spoken: int = 0
    open: set[str] = field(default_factory=set)


class Traffic:
    def __init__(self, url: str, provider: FakeA1Base, chats: Sequence[Chat], *, seed: object) -> None:
        self.said: list[Said] = []
        self.deliveries = 0
        self.repeats = 0
        self.in_flight = 0
        self.refused: list[int] = []
        self._url = f"{url}/api/webhooks/messaging"
        self._provider = provider
        self._chats = chats
        self._by_thread = {c.thread_id: c for c in chats}
        self._dice = random.Random(f"{seed}:traffic")
        self._gate = asyncio.Semaphore(IN_PARALLEL)
        self._tasks: set[asyncio.Task[None]] = set()
        self._said_by_id: dict[str, Said] = {}
        self._deliveries_of: dict[str, int] = defaultdict(int)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=IN_PARALLEL, force_close=False),
            timeout=aiohttp.ClientTimeout(total=8),
        )

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    @property
    def unacknowledged(self) -> int:
        """Deliveries that still go round."""
        return len(self._tasks)

    @property
    def unanswered(self) -> int:
        return sum(len(c.open) for c in self._chats)

    # ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def speak(self, stop: asyncio.Event) -> None:
        """People write, never further ahead of the answers than their chat's limit."""
        while not stop.is_set():
            free = [c for c in self._chats if len(c.open) < c.limit]
            if not free or len(self._tasks) > 400:
                await asyncio.sleep(0.01)
                continue
            self._say(self._dice.choices(free, weights=[c.weight for c in free])[0])
            await asyncio.sleep(self._dice.uniform(0, 0.008))

    def _say(self, chat: Chat) -> None:
        chat.spoken += 1
        serial = f"{chat.name}#{chat.spoken}"
        said = Said(f"in-{serial}", chat.name, serial)
        self.said.append(said)
        self._said_by_id[said.external_id] = said
        chat.open.add(serial)
        sender = self._dice.choice(chat.people)
        text = f"{serial} {'a word ' * self._dice.randrange(12)}"
        body = message_body(
            message_id=said.external_id,
            thread_id=chat.thread_id,
            sender=sender,
            text=text,
            number=chat.our_number,
            account_id=chat.account_id,
            thread_type="group" if chat.is_group else "individual",
        )
        self._provider.heard(chat.account_id, chat.thread_id, sender, said.external_id, text)
        # Most come once or twice and at once, some many times, some long after.
        for _ in range(self._dice.choice((1, 1, 1, 2, 2, 3, 5))):
            late = self._dice.random() < 0.1
            self._post(chat, body, said, self._dice.uniform(0.5, 6) if late else self._dice.uniform(0, 0.05))

    # ── the provider ────────────────────────────────────────────────────────────────────────────────────────────────

    def on_taken(self, call: SendCall) -> None:
        """A reply has left: its messages are answered, and news of it comes back."""
        chat = self._by_thread[call.thread_id]
        chat.open.difference_update(serials_of(call.text))
        assert call.message_id is not None
        if chat.has_echo:
            body = message_body(
                message_id=call.message_id,
                thread_id=chat.thread_id,
                sender=chat.our_number,
                text=call.text,
                number=chat.our_number,
                account_id=chat.account_id,
                thread_type="group" if chat.is_group else "individual",
                is_from_agent=True,
            )
            for _ in range(self._dice.choice((1, 1, 2))):
                self._post(chat, body, None, self._dice.uniform(0, 0.1))
            return
        for status in self._dice.choice((("sent", "delivered"), ("delivered", "sent"), ("delivered",), ())):
            body = status_body(message_id=call.message_id, status=status)
            self._post(chat, body, None, self._dice.uniform(0, 0.15))

    def _post(self, chat: Chat, body: bytes, said: Said | None, delay_s: float) -> None:
        task = asyncio.create_task(self._deliver(chat, body, said, delay_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, chat: Chat, body: bytes, said: Said | None, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            async with self._gate:
                status = await self._try(chat, body)
            if 200 <= status < 300:
                self.deliveries += 1
                if said is not None:
                    self._acknowledged(said)
                return
            if 400 <= status < 500:
                self.refused.append(status)
                return
            await asyncio.sleep(self._dice.uniform(0.05, 0.3))

    async def _try(self, chat: Chat, body: bytes) -> int:
        """The status of one attempt, 0 where none came."""
        self.in_flight += 1
        try:
            headers = {
                "content-type": "application/json",
                "x-agent-id": chat.agent_id,
                **sign(body),
            }
            async with self._session.post(self._url, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
        finally:
            self.in_flight -= 1

    def _acknowledged(self, said: Said) -> None:
        if said.acknowledged_s is None:
            said.acknowledged_s = time.monotonic()
        else:
            self.repeats += 1
