"""Tell the watchers of a chat that something happened in it."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups

Side = Literal["user", "owner"]


def chat_topic(chat_id: UUID) -> str:
    return f"chat:{chat_id}"


def typing_topic(chat_id: UUID, by: Side, *, is_typing: bool) -> str:
    return f"{'typing' if is_typing else 'still'}:{by}:{chat_id}"


def announce(tx: Tx, wakeups: Wakeups, chat_id: UUID) -> None:
    """Wake the chat's watchers once the transaction has committed."""
    tx.afterwards(lambda: wakeups.say(chat_topic(chat_id)))


def announce_typing(wakeups: Wakeups, chat_id: UUID, by: Side, *, is_typing: bool) -> None:
    """Tell who watches at this moment that somebody types, or has stopped. It is stored nowhere, and may be lost."""
    wakeups.say(typing_topic(chat_id, by, is_typing=is_typing))
    wakeups.say(chat_topic(chat_id))
