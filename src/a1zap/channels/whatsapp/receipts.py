"""Statuses: what became of what we sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from a1zap.channels.contract import Item, Receipt, Status, Unread
from a1zap.channels.whatsapp.errors import told_error
from a1zap.channels.whatsapp.loose import harmless, id_at, objects_at, time_at, word_at, written
from a1zap.kit.json import text_at

_STATUSES: Final = {
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.READ,
    "played": Status.PLAYED,
    "failed": Status.FAILED,
}


def receipt_of(status: dict[str, Any], now: datetime) -> Item:
    """The receipt that a status is, or the status kept as unread where it is none."""
    named = text_at(status, "status").strip().lower()
    external_id, message_id = id_at(status, "id"), our_id(word_at(status, "biz_opaque_callback_data"))
    found = _STATUSES.get(named)
    if found is None:
        return Unread(f"a status that says nothing about delivery: '{harmless(named, 40)}'", written(status))
    if not external_id and message_id is None:
        return Unread("a status without the id of its message", written(status))
    error = None
    if found is Status.FAILED:
        error = next(
            (told_error(e) for e in objects_at(status, "errors")), "Meta says that it failed, and not why"
        )
    return Receipt(external_id, found, time_at(status, "timestamp", now), error, message_id)


def our_id(word: str) -> UUID | None:
    """The id of a message of ours that Meta gives back; None where somebody else's mark stands there."""
    try:
        return UUID(word) if len(word) == 36 else None
    except ValueError:
        return None
