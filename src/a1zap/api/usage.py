"""/api/usage, /api/audit and /api/dead-letters: what belongs to the whole account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from a1zap.accounts.store import read_plan, read_usage
from a1zap.api.auth import AgentsReader, ChatsReader, ChatsWriter, House, KeysWriter
from a1zap.api.paging import Cursor, Limit, page_of, read_id_cursor, spell_cursor
from a1zap.api.reading import new_router
from a1zap.api.shapes import CHAT_ID, Shape
from a1zap.api.sight import refuse_bound_key
from a1zap.audit.store import list_acts, record_act
from a1zap.kit.errors import NotFound
from a1zap.kit.ids import parse_id
from a1zap.queue.model import QueueName
from a1zap.queue.store import dead_letters, replay
from a1zap.queue.work_off import topic

router: APIRouter = new_router("account")

_LETTER: dict[str, Any] = {
    "id": "0193b1a4-2b3c-7d4e-8f50-617283940a1b",
    "queue": "deliveries",
    "chat_id": CHAT_ID,
    "attempts": 8,
    "reason": "ChannelUnavailable",
    "created_at": "2026-11-23T10:00:00Z",
    "replayed_at": None,
}
_ACT: dict[str, Any] = {
    "id": "0193b1a2-9e02-7d33-9c4d-5e6f7a8b9c0d",
    "actor": "session:0193b1a2-9e00-7b11-8a2b-3c4d5e6f7a8b",
    "action": "key.created",
    "subject_kind": "api_key",
    "subject_id": "0193b1a2-9e01-7c22-8b3c-4d5e6f7a8b9c",
    "detail": {"scopes": ["chats:write"], "agent_id": None},
    "created_at": "2026-11-23T09:00:00Z",
}
_USAGE: dict[str, Any] = {
    "plan": {"id": "pro", "name": "Pro"},
    "month": "2026-11",
    "limits": {"personal_agents": 5, "work_agents": 5, "messages_per_month": 10000},
    "used": {"personal_agents": 1, "work_agents": 2, "messages": 1204, "messages_held": 0},
}


class PlanShape(Shape):
    id: str
    name: str


class LimitsShape(Shape):
    """-1 is unlimited."""

    personal_agents: int
    work_agents: int
    messages_per_month: int


class UsedShape(Shape):
    personal_agents: int
    work_agents: int
    messages: int = Field(description="Inbound messages of this month (UTC) that counted.")
    messages_held: int = Field(description="Stored over the limit, and not answered.")


class UsageShape(Shape):
    """The owner's plan, and how much of it is used."""

    model_config = ConfigDict(json_schema_extra={"examples": [_USAGE]})

    plan: PlanShape
    month: str
    limits: LimitsShape
    used: UsedShape


class ActShape(Shape):
    """Who did what to which thing."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_ACT]})

    id: UUID
    actor: str
    action: str
    subject_kind: str
    subject_id: UUID | None
    detail: Mapping[str, Any]
    created_at: datetime


class DeadLetterShape(Shape):
    """Something that failed too often, and waits for somebody to look."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_LETTER]})

    id: UUID
    queue: QueueName
    chat_id: UUID
    attempts: int
    reason: str
    created_at: datetime
    replayed_at: datetime | None


@router.get("/api/usage")
async def read_the_usage(house: House, who: AgentsReader) -> UsageShape:
    """The plan, its limits, and what of them is used."""
    refuse_bound_key(who)
    today = house.clock.now().date()
    async with house.db.owned(who.owner_id) as tx:
        plan, usage = await read_plan(tx), await read_usage(tx, today)
    return UsageShape(
        plan=PlanShape(id=plan.id, name=plan.name),
        month=f"{today:%Y-%m}",
        limits=LimitsShape(
            personal_agents=plan.max_personal_agents,
            work_agents=plan.max_work_agents,
            messages_per_month=plan.max_messages_per_month,
        ),
        used=UsedShape(
            personal_agents=usage.personal_agents,
            work_agents=usage.work_agents,
            messages=usage.messages,
            messages_held=usage.messages_held,
        ),
    )


@router.get("/api/audit")
async def list_the_audit_trail(
    request: Request,
    response: Response,
    house: House,
    who: KeysWriter,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Sequence[ActShape]:
    """Who did what, newest first. Nobody can change it."""
    refuse_bound_key(who)
    before = read_id_cursor(cursor)
    async with house.db.owned(who.owner_id) as tx:
        found = await list_acts(tx, before=before, count=limit + 1)
    last = spell_cursor(found[limit - 1].id) if len(found) > limit else None
    return [ActShape.model_validate(act) for act in page_of(request, response, found, limit, last)]


@router.get("/api/dead-letters")
async def list_dead_letters(house: House, who: ChatsReader, limit: Limit = 50) -> Sequence[DeadLetterShape]:
    """What failed too often, newest first."""
    refuse_bound_key(who)
    async with house.db.owned(who.owner_id) as tx:
        return [DeadLetterShape.model_validate(letter) for letter in await dead_letters(tx, limit)]


@router.post("/api/dead-letters/{letter_id}/replay")
async def replay_a_dead_letter(letter_id: str, house: House, who: ChatsWriter) -> DeadLetterShape:
    """Put a dead letter back into its lane, once."""
    refuse_bound_key(who)
    found = parse_id(letter_id)
    async with house.db.owned(who.owner_id) as tx:
        letter = None if found is None else await replay(tx, found, house.clock.now())
        if letter is None:
            raise NotFound("there is no such dead letter, or it was replayed already")
        await record_act(
            tx,
            actor=who.actor,
            action="dead_letter.replayed",
            subject_kind="dead_letter",
            subject_id=letter.id,
        )
        tx.afterwards(lambda: house.wakeups.say(topic(letter.queue)))
    return DeadLetterShape.model_validate(letter)
