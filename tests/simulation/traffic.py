"""The outside world by seed: people who write, and providers that deliver twice, late, out of order, and again.

Like a real provider it repeats a delivery until it is answered 2xx, whatever happens in between.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from itertools import count

import aiohttp
from tests.fakes.weather import SendCall
from tests.simulation.judge import Said, Told, serials_of
from tests.simulation.lines import Chat, Line, Post

IN_PARALLEL = 16


class Traffic:
    """`hot` and `cold`: chats of each line; the first have more to say."""

    def __init__(self, url: str, lines: Sequence[Line], *, hot: int, cold: int, seed: object) -> None:
        self.said: list[Said] = []
        self.told: list[Told] = []
        self.deliveries = 0
        self.repeats = 0
        self.in_flight = 0
        self.refused: list[int] = []
        self.chats: list[Chat] = []
        self._url = url
        self._dice = random.Random(f"{seed}:traffic")
        self._gate = asyncio.Semaphore(IN_PARALLEL)
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = count()
        self._by_place: dict[tuple[str, str], Chat] = {}
        for line in lines:
            line.on_settled = self._settler(line)
            self.chats += [self._open(line, is_hot=n < hot) for n in range(hot + cold)]
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

    def unanswered(self, kind: str) -> int:
        """Messages of that channel that were answered 2xx, and whose answer nobody has."""
        waiting = {s for c in self._by_place.values() if c.line.kind == kind for s in c.open}
        return sum(said.serial in waiting and said.acknowledged_s is not None for said in self.said)

    # ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def speak(self, stop: asyncio.Event) -> None:
        """People write, as their channel lets them, and never further ahead of the answers than their chat's limit."""
        while not stop.is_set():
            free = [c for c in self.chats if c.line.may_speak(c)]
            if not free or len(self._tasks) > 400:
                await asyncio.sleep(0.01)
                continue
            self._say(self._dice.choices(free, weights=[c.weight for c in free])[0])
            await asyncio.sleep(self._dice.uniform(0, 0.008))

    def _open(self, line: Line, *, is_hot: bool) -> Chat:
        number = next(self._numbers)
        chat = line.open_chat(f"c{number}", number, is_hot=is_hot)
        self._by_place[line.kind, chat.place] = chat
        return chat

    def _say(self, chat: Chat) -> None:
        chat.spoken += 1
        serial = f"{chat.name}#{chat.spoken}"
        said = Said(f"in-{serial}", chat.name, serial, is_read_later=chat.line.kind == "email")
        self.said.append(said)
        chat.open.add(serial)
        posts = chat.line.say(chat, said, f"{serial} {'a word ' * self._dice.randrange(12)}", self._dice)
        # Most come once or twice and at once, some many times, some long after.
        for n in range(max(len(posts), self._dice.choice((1, 1, 1, 2, 2, 3, 5)))):
            late = self._dice.random() < 0.1
            self._post(
                posts[n % len(posts)], self._dice.uniform(0.5, 6) if late else self._dice.uniform(0, 0.05)
            )
        if chat.spoken == chat.spoken_max:  # they have said it all; somebody else comes
            self.chats[self.chats.index(chat)] = self._open(chat.line, is_hot=chat.weight > 1)

    # ── the providers ───────────────────────────────────────────────────────────────────────────────────────────────

    def _settler(self, line: Line) -> Callable[[SendCall], None]:
        """A reply has left, or never will: its messages are answered, and news of it comes back."""

        def settle(call: SendCall) -> None:
            chat = self._by_place[line.kind, call.thread_id]
            chat.open.difference_update(serials_of(call.text))
            if call.taken_s is None:
                return
            for delay_s, post in line.news_of(chat, call, self._dice):
                self.told += post.told
                self._post(post, delay_s)

        return settle

    def _post(self, post: Post, delay_s: float) -> None:
        task = asyncio.create_task(self._deliver(post, delay_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, post: Post, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            async with self._gate:
                status = await self._try(post)
            if 200 <= status < 300:
                self.deliveries += 1
                self._acknowledged(post)
                return
            if 400 <= status < 500:
                self.refused.append(status)
                return
            await asyncio.sleep(self._dice.uniform(0.05, 0.3))

    async def _try(self, post: Post) -> int:
        """The status of one attempt, 0 where none came."""
        self.in_flight += 1
        try:
            async with self._session.post(
                self._url + post.path, data=post.body, headers=post.headers()
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
        finally:
            self.in_flight -= 1

    def _acknowledged(self, post: Post) -> None:
        for one in (*post.said, *post.told):
            if one.acknowledged_s is not None:
                self.repeats += 1
            else:
                one.acknowledged_s = time.monotonic()
