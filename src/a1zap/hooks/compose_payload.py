"""What an endpoint is told: thin by default, ids and states; the text of a message only where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from a1zap.chats import store as chats
from a1zap.chats import turn_store
from a1zap.db.pool import Tx
from a1zap.hooks.model import Owed
from a1zap.kit.crypto import Sealer

PAYLOAD_MAX_BYTES = 20_000


async def compose_payload(tx: Tx, sealer: Sealer, owed: Owed) -> bytes | None:
    """`{type, timestamp, data}` as JSON, at most 20,000 bytes; None where what it tells of is gone."""
    data: dict[str, Any] = {}
    if owed.chat_id is not None:
        chat = await chats.read_chat(tx, sealer, owed.chat_id)
        if chat is None:
            return None
        data = {
            "chat_id": chat.id,
            "agent_id": chat.agent_id,
            "channel_id": chat.channel_account_id,
            "channel": chat.channel_kind,
            "chat_type": chat.type,
        }
    subject = await _subject(tx, sealer, owed)
    if subject is None:
        return None
    data |= subject
    return _fitting(owed.event_type, owed.created_at, {**data, **owed.facts})


async def _subject(tx: Tx, sealer: Sealer, owed: Owed) -> dict[str, Any] | None:
    """What there is to say of the very thing; {} where the facts say it all, None where it is gone."""
    subject_id = owed.subject_id
    match owed.event_type.partition(".")[0], subject_id:
        case _, None:
            return {}
        case "message", _:
            message = await chats.read_message(tx, sealer, subject_id)
            if message is None:
                return None
            told = {
                "message_id": message.id,
                "seq": message.seq,
                "direction": message.direction,
                "sender_kind": message.sender_kind,
                "message_type": message.message_type,
                "turn_id": message.turn_id,
                "held_reason": message.held_reason,
                "error": message.error,
            }
            return {**told, "text": message.content} if owed.include_content else told
        case "turn", _:
            turn = await turn_store.read_turn(tx, subject_id)
            if turn is None:
                return None
            told = {
                "turn_id": turn.id,
                "status": turn.status,
                "from_seq": turn.from_seq,
                "to_seq": turn.to_seq,
            }
            return {**told, "finished_at": turn.finished_at}
        case "agent", _:
            return {"agent_id": subject_id}
        case "channel", _:
            return {"channel_id": subject_id}
        case _:
            return {"endpoint_id": subject_id}


def _fitting(event_type: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """The payload, with as much of the text as fits."""
    told = dict(data)
    text: str = told.get("text") or ""
    while True:
        # asyncpg's ids are a kind of UUID that orjson does not know by itself.
        payload = orjson.dumps(
            {"type": event_type, "timestamp": at.astimezone(UTC), "data": told}, default=str
        )
        if len(payload) <= PAYLOAD_MAX_BYTES or not text:
            return payload
        # JSON may spell a character in up to six bytes: cut in proportion, and look again.
        text = text[: min(len(text) - 1, len(text) * PAYLOAD_MAX_BYTES // len(payload))]
        told |= {"text": text, "is_text_cut": True}
