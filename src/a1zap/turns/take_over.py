"""A person takes a chat from its agent, and gives it back."""

from __future__ import annotations

from uuid import UUID

from a1zap.audit.store import record_act
from a1zap.chats import store as chats
from a1zap.chats.model import ChatStatus
from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups
from a1zap.kit.clock import Clock
from a1zap.live.announce import announce
from a1zap.live.store import record_event


async def take_over(tx: Tx, wakeups: Wakeups, chat_id: UUID, *, actor: str, clock: Clock) -> None:
    """From here on a person answers. A turn that is being thought is dropped unsent; what is unanswered is theirs."""
    await chats.lock_chat(tx, chat_id)
    await chats.resolve_escalations(tx, chat_id, clock.now())
    await _hand_to(tx, wakeups, chat_id, "human", actor=actor, action="chat.taken_over")


async def release(tx: Tx, wakeups: Wakeups, chat_id: UUID, *, actor: str) -> None:
    """From here on the agent answers again: what is written from now on, and nothing that was written to the person."""
    await chats.lock_chat(tx, chat_id)
    await _hand_to(tx, wakeups, chat_id, "agent", actor=actor, action="chat.released")


async def _hand_to(
    tx: Tx, wakeups: Wakeups, chat_id: UUID, status: ChatStatus, *, actor: str, action: str
) -> None:
    await chats.set_chat_status(tx, chat_id, status)
    await chats.skip_unanswered(tx, chat_id)
    await record_event(tx, chat_id, "chat.changed", chat_id)
    announce(tx, wakeups, chat_id)
    await record_act(tx, actor=actor, action=action, subject_kind="chat", subject_id=chat_id)
