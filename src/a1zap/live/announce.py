"""Tell the watchers of a chat that something happened in it."""

from __future__ import annotations

from uuid import UUID

from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups


def chat_topic(chat_id: UUID) -> str:
    return f"chat:{chat_id}"


def announce(tx: Tx, wakeups: Wakeups, chat_id: UUID) -> None:
    """Wake the chat's watchers once the transaction has committed."""
    tx.afterwards(lambda: wakeups.say(chat_topic(chat_id)))
