"""What is built into a process under test so that it can be watched and die at a chosen point. Nothing else changes.

* how many turns, deliveries and mails to read it has in hand, in shared memory: a kill counts only if it hit somebody at work
* who calls, as a header of each request and mail: an extra call of the provider can be laid at the door of a dead process
* pauses, and patience with a mail server, that end soon: a claim that was killed counts as one that failed, and in here most are killed
* its doom: kill -9 by its own hand at the n-th claim, commit (before it, in the middle, after it) or send call
"""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import signal
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg

from a1zap import app
from a1zap.channels.email.out import smtp
from a1zap.channels.email.out.compose import Letter
from a1zap.kit.egress import Egress
from a1zap.queue import store

SLOTS = 64
DOOMS = ("after_claim", "before_commit", "in_commit", "after_commit", "in_send")


def make_busy_file(path: Path) -> None:
    path.write_bytes(bytes(4 * SLOTS))


class BusyFile:
    """The watcher's view: how much each slot's process has in hand."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 4 * SLOTS)

    def of(self, slot: int) -> int:
        return struct.unpack_from("i", self._memory, 4 * slot)[0]

    def clear(self, slot: int) -> None:
        struct.pack_into("i", self._memory, 4 * slot, 0)

    def close(self) -> None:
        self._memory.close()


class _Instruments:
    def __init__(self, memory: mmap.mmap, slot: int, doom: tuple[str, int] | None) -> None:
        self._memory, self._slot = memory, slot
        self._busy = 0
        self._has_begun = False
        self._doom, self._left = doom or ("", 0)

    def counted(self, handle: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any, Any], Awaitable[None]]:
        async def handle_counted(house: Any, entry: Any) -> None:
            self._has_begun = True
            self._note(1)
            try:
                await handle(house, entry)
            finally:
                self._note(-1)

        return handle_counted

    def _note(self, more: int) -> None:
        self._busy += more
        struct.pack_into("i", self._memory, 4 * self._slot, self._busy)

    def is_due(self, *points: str) -> bool:
        """Is this the point, and the n-th time? Nothing counts before the first work is in hand."""
        if self._doom not in points or not self._has_begun:
            return False
        self._left -= 1
        return self._left == 0


PAUSE_MAX_S = 4.0
DATA_S = 15.0  # that a relay may think about a mail: as long as all other channels have patience


def install(name: str, busy_file: Path, slot: int, doom: tuple[str, int] | None) -> None:
    with busy_file.open("r+b") as file:
        instruments = _Instruments(mmap.mmap(file.fileno(), 4 * SLOTS), slot, doom)
    app.take_turn = instruments.counted(app.take_turn)  # type: ignore[assignment]
    app.deliver_message = instruments.counted(app.deliver_message)  # type: ignore[assignment]
    app.read_delivery = instruments.counted(app.read_delivery)  # type: ignore[assignment]
    policy_of = app.lane_policy
    app.lane_policy = lambda settings: replace(policy_of(settings), backoff_max_s=PAUSE_MAX_S)
    _watch_claims(instruments)
    _watch_commits(instruments)
    _sign_calls(instruments, name)
    _sign_mails(instruments, name)


def _watch_claims(instruments: _Instruments) -> None:
    claim = store.claim

    async def claim_watched(*args: Any) -> Any:
        claimed = await claim(*args)
        if claimed and instruments.is_due("after_claim"):
            _die()
        return claimed

    store.claim = claim_watched  # type: ignore[assignment]


def _watch_commits(instruments: _Instruments) -> None:
    execute = asyncpg.connection.Connection.execute

    async def execute_watched(self: Any, query: str, *args: Any, **more: Any) -> Any:
        if query != "COMMIT":
            return await execute(self, query, *args, **more)
        doomed = instruments.is_due("before_commit", "in_commit", "after_commit")
        if doomed and instruments._doom == "before_commit":
            _die()
        if doomed and instruments._doom == "in_commit":  # on its way, and nobody hears the answer
            sending = asyncio.ensure_future(execute(self, query, *args, **more))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            _die()
            await sending
        done = await execute(self, query, *args, **more)
        if doomed:
            _die()
        return done

    asyncpg.connection.Connection.execute = execute_watched  # type: ignore[method-assign]


def _sign_calls(instruments: _Instruments, name: str) -> None:
    request = Egress.request

    async def request_signed(self: Any, method: str, url: str, **more: Any) -> Any:
        more["headers"] = {**(more.get("headers") or {}), "x-caller": name}
        if method == "POST" and instruments.is_due("in_send"):
            asyncio.get_running_loop().call_later(random.uniform(0, 0.03), _die)
        return await request(self, method, url, **more)

    Egress.request = request_signed  # type: ignore[method-assign]


def _sign_mails(instruments: _Instruments, name: str) -> None:
    mail_bytes = smtp.mail_bytes
    smtp._DATA_S = DATA_S  # type: ignore[misc]

    def mail_bytes_signed(letter: Letter) -> bytes:
        if instruments.is_due("in_send"):
            asyncio.get_running_loop().call_later(random.uniform(0, 0.03), _die)
        return f"X-Caller: {name}\r\n".encode() + mail_bytes(letter)

    smtp.mail_bytes = mail_bytes_signed


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
