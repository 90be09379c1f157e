"""Columns of chats, messages and turns, and how their rows become nouns. What is sealed is opened here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from a1zap.chats.model import (
    Chat,
    Message,
)
from a1zap.db.pool import Row
from a1zap.kit.crypto import Sealer

CHAT = (
    "id, agent_id, channel_account_id, type, channel_kind, service, external_id_sealed, status, last_seq, answered_seq, "
    "waiting_since, last_message_at, created_at"
)
MESSAGE = (
    "id, chat_id, seq, direction, sender_kind, sender_id, agent_id, message_type, content_sealed, rich_content_sealed, "
    "external_id, status, held_reason, possible_duplicate, error, turn_id, said_at, created_at, "
    # Asked here, so that whoever reads messages need not ask for files that hardly any has.
    "EXISTS (SELECT 1 FROM attachments f WHERE f.owner_id = messages.owner_id AND f.message_id = messages.id) AS has_files"
)
TURN = (
    "id, chat_id, agent_id, agent_version, status, from_seq, to_seq, attempt, hops, model, tokens_in, tokens_out, "
    "cost_usd, started_at, finished_at"
)


def chat_of_row(sealer: Sealer, row: Row) -> Chat:
    fields = dict(row)
    sealed = fields.pop("external_id_sealed")
    fields["external_id"] = sealer.open_text(
        sealed, table="chats", column="external_id_sealed", row=row["id"]
    )
    return Chat(**fields)


def message_of_row(sealer: Sealer, row: Row) -> Message:
    fields = dict(row)
    rich = fields.pop("rich_content_sealed")
    fields["content"] = open_content(sealer, row["id"], fields.pop("content_sealed"))
    fields["rich_content"] = (
        None
        if rich is None
        else orjson.loads(sealer.open(rich, table="messages", column="rich_content_sealed", row=row["id"]))
    )
    return Message(**fields)


def sealed_part(sealer: Sealer, column: str, message_id: UUID, content: str | bytes) -> bytes:
    return sealer.seal(content, table="messages", column=column, row=message_id)


def sealed_json(
    sealer: Sealer, column: str, message_id: UUID, content: Mapping[str, Any] | None
) -> bytes | None:
    return None if content is None else sealed_part(sealer, column, message_id, orjson.dumps(dict(content)))


def open_rich(sealer: Sealer, message_id: UUID, sealed: bytes | None) -> dict[str, Any] | None:
    """The structured part of a message."""
    if sealed is None:
        return None
    return orjson.loads(sealer.open(sealed, table="messages", column="rich_content_sealed", row=message_id))


def open_content(sealer: Sealer, message_id: UUID, sealed: bytes) -> str:
    """The text of a message row read by `read_unsent`."""
    return sealer.open_text(sealed, table="messages", column="content_sealed", row=message_id)
