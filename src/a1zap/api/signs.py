"""Signs of life between the two sides of a chat: somebody is typing, somebody has read."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from a1zap.accounts.model import Principal
from a1zap.api.auth import House, WritingVisitor
from a1zap.api.rates import READ_BURST, READ_EVERY, TYPING_BURST, TYPING_EVERY, hold_to_rate
from a1zap.api.reading import new_router
from a1zap.api.shapes import Wanted
from a1zap.api.sight import NO_CHAT, person_of, see_chat
from a1zap.chats.reading_store import mark_read_by_owner, mark_read_by_person
from a1zap.chats.store import lock_chat
from a1zap.kit.errors import NotFound
from a1zap.live.announce import announce, announce_typing
from a1zap.live.store import record_events

SEQ_MAX = 1 << 53  # as far as JavaScript counts

router: APIRouter = new_router("chats")


class TypingWanted(Wanted):
    """Whether you are typing at this moment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_typing": True}]})

    is_typing: bool = Field(
        True, description="Say so every three seconds while you type; false: you have stopped."
    )


class ReadWanted(Wanted):
    """How far you have read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seq": 2}]})

    seq: int = Field(ge=0, le=SEQ_MAX, description="The `seq` of the newest message that you have seen.")


_I_TYPE = TypingWanted(is_typing=True)


@router.post("/api/chats/{chat_id}/typing", status_code=204)
async def say_that_you_type(
    chat_id: str, house: House, who: WritingVisitor, wanted: TypingWanted = _I_TYPE
) -> None:
    """Tell who watches on the other side that you are typing. Stored nowhere; shown for some six seconds."""
    async with house.db.owned(who.owner_id) as tx:
        chat = await see_chat(tx, await house.keyring.sealer(tx), who, chat_id)
    await hold_to_rate(house, "typing", f"{chat.id} {_asker(who)}", every=TYPING_EVERY, burst=TYPING_BURST)
    by = "owner" if who.visitor is None else "user"
    announce_typing(house.wakeups, chat.id, by, is_typing=wanted.is_typing)


@router.post("/api/chats/{chat_id}/read", status_code=204)
async def say_how_far_you_have_read(
    chat_id: str, wanted: ReadWanted, house: House, who: WritingVisitor
) -> None:
    """Messages up to there are read. A visitor's reading moves our messages' status to `read`; it only goes forward."""
    async with house.db.owned(who.owner_id) as tx:
        chat = await see_chat(tx, await house.keyring.sealer(tx), who, chat_id)
    await hold_to_rate(house, "read", f"{chat.id} {_asker(who)}", every=READ_EVERY, burst=READ_BURST)
    async with house.db.owned(who.owner_id) as tx:
        if await lock_chat(tx, chat.id) is None:
            raise NotFound(NO_CHAT)
        if who.visitor is None:
            if await mark_read_by_owner(tx, chat.id, wanted.seq):
                await record_events(tx, chat.id, [("chat.read", chat.id)])
                announce(tx, house.wakeups, chat.id)
            return
        person_id = await person_of(tx, await house.keyring.sealer(tx), who)
        if person_id is None:
            raise NotFound(NO_CHAT)
        read = await mark_read_by_person(tx, chat.id, person_id, wanted.seq, house.clock.now())
        if read:
            await record_events(tx, chat.id, [("message.status", message_id) for message_id in read])
            announce(tx, house.wakeups, chat.id)


def _asker(who: Principal) -> str:
    return who.visitor or str(who.owner_id)
