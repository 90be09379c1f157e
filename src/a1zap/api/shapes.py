"""What goes over the wire, in JSON: chats, messages, turns. Each shape brings the example that the API's description shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from a1zap.accounts.model import Principal
from a1zap.api.file_shapes import FileShape
from a1zap.chats.model import Chat, ChatStatus, Message, TurnRecord, TurnStatus

AGENT_ID = "0193b1a2-6c1e-7d3f-9a44-0b6e7c9d1f20"
CHAT_ID = "0193b1a3-01aa-7c55-8e0e-5a1d2c3b4f60"
USER_MESSAGE_ID = "0193b1a3-01ab-7f10-b2c4-9d8e7f6a5b40"
AGENT_MESSAGE_ID = "0193b1a3-0f9c-7a31-a6d0-1c2b3a495867"
TURN_ID = "0193b1a3-0f10-7b20-8c77-6e5d4c3b2a19"
PERSON_ID = "0193b1a3-01a9-7e42-9f31-2a3b4c5d6e7f"

EXAMPLE_USER_MESSAGE: dict[str, Any] = {
    "id": USER_MESSAGE_ID,
    "chat_id": CHAT_ID,
    "seq": 1,
    "direction": "inbound",
    "sender_kind": "user",
    "sender_id": PERSON_ID,
    "agent_id": None,
    "message_type": "text",
    "content": "When are you open on Saturdays?",
    "rich_content": None,
    "external_id": "once:5d41402abc4b2a76b9719d911017c592ae2c1b3f",
    "status": "received",
    "held_reason": None,
    "possible_duplicate": False,
    "error": None,
    "turn_id": None,
    "said_at": "2026-11-23T09:15:00Z",
    "created_at": "2026-11-23T09:15:00Z",
    "attachments": [],
}
EXAMPLE_AGENT_MESSAGE: dict[str, Any] = {
    **EXAMPLE_USER_MESSAGE,
    "id": AGENT_MESSAGE_ID,
    "seq": 2,
    "direction": "outbound",
    "sender_kind": "agent",
    "sender_id": None,
    "agent_id": AGENT_ID,
    "content": "On Saturdays we are open from 9 to 13.",
    "rich_content": {
        "sources": [{"article_id": "0193b1a2-7d00-7c11-8a2b-3c4d5e6f7a8b", "title": "Opening hours"}]
    },
    "external_id": None,
    "status": "delivered",
    "turn_id": TURN_ID,
    "said_at": "2026-11-23T09:15:01Z",
    "created_at": "2026-11-23T09:15:01Z",
}
EXAMPLE_CHAT: dict[str, Any] = {
    "id": CHAT_ID,
    "agent_id": AGENT_ID,
    "channel_account_id": "0193b1a2-6c20-7a00-8b1c-2d3e4f5a6b7c",
    "type": "individual",
    "service": "api",
    "status": "agent",
    "message_count": 2,
    "unread_count": 1,
    "waiting_since": None,
    "last_message_at": "2026-11-23T09:15:01Z",
    "created_at": "2026-11-23T09:15:00Z",
}
EXAMPLE_TURN: dict[str, Any] = {
    "id": TURN_ID,
    "chat_id": CHAT_ID,
    "agent_id": AGENT_ID,
    "agent_version": 3,
    "status": "answered",
    "from_seq": 1,
    "to_seq": 1,
    "attempt": 1,
    "model": "openai:gpt-4.1-mini",
    "tokens_in": 412,
    "tokens_out": 18,
    "cost_usd": 0.000194,
    "took_ms": 870.4,
    "started_at": "2026-11-23T09:15:00.130Z",
    "finished_at": "2026-11-23T09:15:01Z",
    "hops": [
        {"hop": "work_off", "took_ms": 3.1, "did": {}},
        {"hop": "take_turn", "took_ms": 2.2, "did": {"unanswered": 1, "history": 0}},
        {
            "hop": "run",
            "took_ms": 851.0,
            "did": {"workflow": "simpleResponse", "why": "", "model": "openai:gpt-4.1-mini"},
        },
    ],
}


class Shape(BaseModel):
    """Something that we answer."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Wanted(BaseModel):
    """Something that we are asked for: exactly these fields, in exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ProblemShape(Shape):
    """Why a request was refused (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:problem-type:a1zap:not-found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "there is no such agent",
                }
            ]
        },
    )

    type: str = Field(description="A name of the kind of problem, for programs.")
    title: str
    status: int
    detail: str = Field(description="What happened and what to do about it, for people.")
    field: str | None = Field(None, description="Which field of the request it is about.")
    value: Any = Field(
        None, description="The value in question, shortened; never a secret or a message's text."
    )


class MessageShape(Shape):
    """One message of a chat."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [EXAMPLE_AGENT_MESSAGE]})

    id: UUID
    chat_id: UUID
    seq: int = Field(description="Counts the messages of the chat, from 1.")
    direction: Literal["inbound", "outbound", "internal"]
    sender_kind: Literal["user", "agent", "owner", "system"]
    sender_id: UUID | None = Field(description="The conversation user who wrote it.")
    agent_id: UUID | None
    message_type: str
    content: str
    rich_content: Mapping[str, Any] | None
    external_id: str | None = Field(description="The channel's own id of the message.")
    status: str = Field(
        description="received; or queued, sending, unknown, sent, delivered, read, played, failed, in this order."
    )
    held_reason: str | None = Field(
        description="Why it is stored and not answered: over_limit, agent_paused, agent_archived, channel_paused."
    )
    possible_duplicate: bool = Field(
        description="A crash left open whether it had been sent, and it was sent again."
    )
    error: str | None
    turn_id: UUID | None
    said_at: datetime
    created_at: datetime
    attachments: list[FileShape] = Field(description="The files that came with it, or go with it.")

    @staticmethod
    def of(message: Message, files: Sequence[FileShape] = ()) -> MessageShape:
        return MessageShape.model_construct(
            **{name: getattr(message, name) for name in _MESSAGE_FIELDS}, attachments=[*files]
        )


_MESSAGE_FIELDS = tuple(name for name in MessageShape.model_fields if name != "attachments")


class ChatShape(Shape):
    """One chat of an agent's."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [EXAMPLE_CHAT]})

    id: UUID
    agent_id: UUID
    channel_account_id: UUID
    type: Literal["individual", "group", "broadcast"]
    service: str = Field(description="How its messages travel: web, api, whatsapp, sms, …")
    status: ChatStatus = Field(
        description="Who has it: the agent; a person (human); or it waits for one (escalated)."
    )
    message_count: int
    unread_count: int | None = Field(
        None,
        description="Messages of the other side that yours has not read, 100 at most; null where it was not counted.",
    )
    waiting_since: datetime | None = Field(description="When the oldest unanswered message came.")
    last_message_at: datetime
    created_at: datetime

    @staticmethod
    def of(chat: Chat, unread_count: int | None = None) -> ChatShape:
        return ChatShape(
            unread_count=unread_count,
            id=chat.id,
            agent_id=chat.agent_id,
            channel_account_id=chat.channel_account_id,
            type=chat.type,
            service=chat.service,
            status=chat.status,
            message_count=chat.last_seq,
            waiting_since=chat.waiting_since,
            last_message_at=chat.last_message_at,
            created_at=chat.created_at,
        )


class HopShape(Shape):
    """One step on a message's way."""

    hop: str
    took_ms: float
    did: Mapping[str, Any]
    message_id: UUID | None = Field(
        None, description="The message it happened to, where it is one message's."
    )


class TurnShape(Shape):
    """What happened when unanswered messages of a chat were answered, and what it cost."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [EXAMPLE_TURN]})

    id: UUID
    chat_id: UUID
    agent_id: UUID
    agent_version: int
    status: TurnStatus
    from_seq: int = Field(description="The first message it answered.")
    to_seq: int = Field(description="The last message it answered.")
    attempt: int
    model: str | None
    tokens_in: int
    tokens_out: int
    cost_usd: float
    took_ms: float
    started_at: datetime
    finished_at: datetime
    hops: list[HopShape] = Field(description="The hops of the message's way that the turn took, in order.")

    @staticmethod
    def of(turn: TurnRecord, hops: Sequence[Mapping[str, Any]] | None = None) -> TurnShape:
        return TurnShape(
            **_turn_basics(turn),
            agent_id=turn.agent_id,
            agent_version=turn.agent_version,
            attempt=turn.attempt,
            model=turn.model,
            tokens_in=turn.tokens_in,
            tokens_out=turn.tokens_out,
            cost_usd=float(turn.cost_usd),
            hops=[HopShape(**hop) for hop in (turn.hops if hops is None else hops)],
        )


class VisitorsTurnShape(Shape):
    """A turn as a visitor sees it: that it happened, and not what it cost the owner."""

    id: UUID
    chat_id: UUID
    status: TurnStatus
    from_seq: int
    to_seq: int
    took_ms: float
    started_at: datetime
    finished_at: datetime


def turn_for(who: Principal, turn: TurnRecord) -> TurnShape | VisitorsTurnShape:
    """As much of a turn as the asker may see."""
    return TurnShape.of(turn) if who.visitor is None else VisitorsTurnShape(**_turn_basics(turn))


def _turn_basics(turn: TurnRecord) -> dict[str, Any]:
    return {
        "id": turn.id,
        "chat_id": turn.chat_id,
        "status": turn.status,
        "from_seq": turn.from_seq,
        "to_seq": turn.to_seq,
        "took_ms": round((turn.finished_at - turn.started_at).total_seconds() * 1000, 1),
        "started_at": turn.started_at,
        "finished_at": turn.finished_at,
    }
