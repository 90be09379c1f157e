"""/api/turns/{id}: what each hop of a message's way did, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter

from a1zap.api.auth import ChatsReader, House
from a1zap.api.reading import new_router
from a1zap.api.shapes import TurnShape
from a1zap.api.sight import see_turn
from a1zap.chats import store, turn_store
from a1zap.chats.model import Message, TurnRecord
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer

# The way of a message, by the names that it has in the code.
HOPS = (
    "receive_webhook",
    "parse",
    "accept_inbound",
    "work_off",
    "take_turn",
    "choose_agent",
    "choose_workflow",
    "run",
    "deliver_message",
)
_MESSAGES_MAX = 100

router: APIRouter = new_router("chats")


@router.get("/api/turns/{turn_id}")
async def read_turn(turn_id: str, house: House, who: ChatsReader) -> TurnShape:
    """One turn: which messages it answered, by which hops, for how many tokens."""
    async with house.db.owned(who.owner_id) as tx:
        turn = await see_turn(tx, who, turn_id)
        sealer = await house.keyring.sealer(tx)
        hops = await _whole_way(tx, sealer, turn)
    return TurnShape.of(turn, hops)


async def _whole_way(tx: Tx, sealer: Sealer, turn: TurnRecord) -> list[Mapping[str, Any]]:
    """The turn's own hops between those by which its messages came in and those by which its answers left."""
    covered = await store.list_messages(
        tx, sealer, turn.chat_id, after_seq=turn.from_seq - 1, before_seq=turn.to_seq + 1, count=_MESSAGES_MAX
    )
    came = [m for m in reversed(covered) if m.direction == "inbound"]
    left = await turn_store.messages_of_turn(tx, sealer, turn.id, turn.chat_id, turn.to_seq)
    hops_of = await store.read_hops(tx, [m.id for m in (*came, *left)])
    hops = [*_hops(came, hops_of), *turn.hops, *_hops(left, hops_of), *_pulled(left, hops_of)]
    return sorted(hops, key=lambda hop: HOPS.index(hop["hop"]) if hop["hop"] in HOPS else len(HOPS))


def _hops(
    messages: Sequence[Message], hops_of: Mapping[UUID, Sequence[Mapping[str, Any]]]
) -> list[Mapping[str, Any]]:
    return [{**hop, "message_id": m.id} for m in messages for hop in hops_of.get(m.id, ())]


def _pulled(
    messages: Sequence[Message], hops_of: Mapping[UUID, Sequence[Mapping[str, Any]]]
) -> list[Mapping[str, Any]]:
    """Where the other side reads from us, to store a message is to deliver it: a hop that takes no time."""
    return [
        {
            "hop": "deliver_message",
            "took_ms": 0.0,
            "did": {"status": m.status, "pulled": True},
            "message_id": m.id,
        }
        for m in messages
        if m.status == "delivered" and not hops_of.get(m.id)
    ]
