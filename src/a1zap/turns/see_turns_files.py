"""The files that a turn is about: waited for a little while, then as they are. No transaction is open meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from a1zap.agents.model import Agent
from a1zap.attachments.seen import PICTURES_MAX, FilesByMessage, see_files
from a1zap.attachments.store import attachments_of, count_waiting
from a1zap.chats.model import Message
from a1zap.kit.crypto import Sealer
from a1zap.live.announce import chat_topic
from a1zap.turns.house import TurnHouse

PATIENCE_S: Final = 10.0  # for files of the messages to answer; what comes later is seen in the next turn
SHOWN_BACK_TO: Final = 10  # messages: a picture further back is said and not shown again
_LOOK_EVERY_S: Final = 1.0


class FilesScene(Protocol):
    """What of a turn's scene is asked for here."""

    @property
    def sealer(self) -> Sealer: ...

    @property
    def agent(self) -> Agent: ...

    @property
    def history(self) -> Sequence[Message]: ...

    @property
    def unanswered(self) -> Sequence[Message]: ...


async def see_turns_files(house: TurnHouse, owner_id: UUID, scene: FilesScene) -> FilesByMessage:
    """The files of the turn's messages; the newest pictures with their contents, where its models may see them."""
    newest_first = [*reversed([*scene.history, *scene.unanswered])]
    ids = [message.id for message in newest_first if message.has_files]
    if not ids:
        return {}
    awaited = [message for message in scene.unanswered if message.has_files]
    if awaited:
        await _wait(house, owner_id, awaited)
    async with house.db.owned(owner_id) as tx:
        files = await attachments_of(tx, scene.sealer, ids)
    is_seeing = scene.agent.sees_images and bool(house.models.models_of(scene.agent))
    recent = {message.id for message in newest_first[:SHOWN_BACK_TO]}
    near = [one for one in ids if one in recent]
    shown = await see_files(
        house.storage, scene.sealer, files, near, pictures_max=PICTURES_MAX if is_seeing else 0
    )
    far = [one for one in ids if one not in recent]
    return {**shown, **await see_files(house.storage, scene.sealer, files, far, pictures_max=0)}


async def _wait(house: TurnHouse, owner_id: UUID, messages: Sequence[Message]) -> None:
    """Until the files of these messages are here or refused; no longer than people are patient."""
    ids = [message.id for message in messages]
    loop = asyncio.get_running_loop()
    until_s = loop.time() + PATIENCE_S
    with house.wakeups.waiting_for(chat_topic(messages[0].chat_id)) as woken:
        while True:
            woken.clear()
            async with house.db.owned(owner_id) as tx:
                waiting = await count_waiting(tx, ids)
            left_s = until_s - loop.time()
            if not waiting or left_s <= 0:
                return
            try:
                async with asyncio.timeout(min(left_s, _LOOK_EVERY_S)):
                    await woken.wait()
            except TimeoutError:
                continue
