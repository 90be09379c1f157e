"""Lets watchers see an answer being written, without making the writer wait for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import UUID

from a1zap.db.pool import Database, DatabaseUnavailable
from a1zap.db.wakeups import Wakeups
from a1zap.kit.crypto import Sealer
from a1zap.live.announce import chat_topic
from a1zap.live.store import write_draft

FLUSH_EVERY_S = 0.05


class SilentVoice:
    """Nobody watches this channel while the answer is written."""

    async def say(self, piece: str) -> None: ...

    async def start_over(self) -> None: ...


class DraftVoice:
    """Keeps the chat's draft up to date, a few times a second. A lost draft costs a watcher nothing but the show."""

    def __init__(
        self, db: Database, wakeups: Wakeups, sealer: Sealer, *, owner_id: UUID, chat_id: UUID, turn_id: UUID
    ) -> None:
        self._db = db
        self._wakeups = wakeups
        self._sealer = sealer
        self._owner_id = owner_id
        self._chat_id = chat_id
        self._turn_id = turn_id
        self._text = ""
        self._changed = asyncio.Event()
        self._changed.set()  # the empty draft is how watchers see that somebody is typing
        self._task = asyncio.create_task(self._keep_written())

    async def say(self, piece: str) -> None:
        self._text += piece
        self._changed.set()

    async def start_over(self) -> None:
        self._text = ""
        self._changed.set()

    async def stop(self) -> None:
        """Write no more; the answer itself comes now, or nothing does."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _keep_written(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            with suppress(DatabaseUnavailable):
                async with self._db.owned(self._owner_id) as tx:
                    await write_draft(tx, self._sealer, self._chat_id, self._turn_id, self._text)
                self._wakeups.say(chat_topic(self._chat_id))
            await asyncio.sleep(FLUSH_EVERY_S)
