"""/api/agents: what an owner's agents are, and the public ones that anybody may write to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from pydantic import ConfigDict, Field

from a1zap.accounts.model import Principal
from a1zap.agents import store
from a1zap.agents.change_agent import change_agent
from a1zap.agents.create_agent import create_agent
from a1zap.agents.delete_agent import delete_agent
from a1zap.agents.model import SETTLE_MAX_S, Agent, AgentChange, AgentStatus, AgentType
from a1zap.api.auth import AgentsReader, AgentsWriter, House
from a1zap.api.paging import Cursor, Limit, page_of, read_id_cursor, spell_cursor
from a1zap.api.reading import new_router
from a1zap.api.shapes import AGENT_ID, Shape, Wanted
from a1zap.api.sight import agent_in_reach, refuse_bound_key, see_agent
from a1zap.kit.errors import Invalid

router: APIRouter = new_router("agents")

_MODEL = re.compile(r"[a-z0-9_-]{1,40}:\S{1,160}")
Name = Annotated[str, Field(min_length=1, max_length=100)]
Handle = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_]{1,50}$", description="Letters, digits and _.")]
Description = Annotated[str, Field(max_length=2_000)]
SystemPrompt = Annotated[str, Field(max_length=50_000)]
ModelName = Annotated[
    str, Field(pattern=_MODEL.pattern, description="provider:model, such as openai:gpt-4.1-mini")
]


class ModelSettings(Wanted):
    """Which models answer, in which order, and what they may cost."""

    model: ModelName | None = None
    fallbacks: list[ModelName] = Field(
        default=[], max_length=5, description="Asked in this order when it fails."
    )
    budget_usd_per_day: float | None = Field(None, ge=0, le=1_000_000, description="US dollars a day (UTC).")
    temperature: float | None = Field(None, ge=0, le=2)
    tokens_max: int | None = Field(None, ge=1, le=200_000, description="Tokens of one answer, at most.")
    sees_images: bool | None = Field(
        None, description="false: its models are told of pictures and not shown them."
    )


class MessageSettings(Wanted):
    """How the agent writes."""

    settle_s: float | None = Field(
        None,
        ge=0,
        le=SETTLE_MAX_S,
        description="Seconds of quiet before it answers, so that three quick messages get one answer.",
    )
    split_paragraphs: bool = Field(default=False, description="One message a paragraph.")


_EXAMPLE_WANTED: dict[str, Any] = {
    "name": "Front desk",
    "handle": "front_desk",
    "agent_type": "work",
    "description": "Answers questions about opening hours and prices.",
    "system_prompt": "You are the front desk of a small bicycle shop. Be brief and friendly.",
    "model_settings": {"model": "openai:gpt-4.1-mini", "fallbacks": ["anthropic:claude-haiku-4-5"]},
    "message_settings": {"settle_s": 1.0},
}
_EXAMPLE: dict[str, Any] = {
    "id": AGENT_ID,
    **_EXAMPLE_WANTED,
    "status": "active",
    "respond_only_when_mentioned": False,
    "is_public": False,
    "version": 1,
    "created_at": "2026-11-23T09:00:00Z",
    "updated_at": "2026-11-23T09:00:00Z",
}


class AgentWanted(Wanted):
    """A new agent. Only its name is needed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_WANTED]})

    name: Name
    handle: Handle | None = Field(None, description="Without it one is made of the name.")
    description: Description = ""
    agent_type: AgentType = "personal"
    status: AgentStatus = "active"
    system_prompt: SystemPrompt = ""
    model_settings: ModelSettings | None = None
    message_settings: MessageSettings | None = None
    respond_only_when_mentioned: bool = Field(
        default=False, description="In groups: silent unless spoken to."
    )
    is_public: bool = Field(
        default=False, description="Anybody who has the address of its page may write to it."
    )


class AgentChangeWanted(Wanted):
    """What is to be different; the rest stays. `version` is the one that you have read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 1, "status": "paused"}]})

    version: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Needed, here or as the header If-Match."
    )
    name: Name | None = None
    handle: Handle | None = None
    description: Description | None = None
    status: AgentStatus | None = None
    system_prompt: SystemPrompt | None = None
    model_settings: ModelSettings | None = None
    message_settings: MessageSettings | None = None
    respond_only_when_mentioned: bool | None = None
    is_public: bool | None = None


class AgentShape(Shape):
    """One agent. `version` grows with every change."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    name: str
    handle: str
    description: str
    agent_type: AgentType
    status: AgentStatus = Field(description="paused and archived: messages are stored and not answered.")
    system_prompt: str
    model_settings: Mapping[str, Any]
    message_settings: Mapping[str, Any]
    respond_only_when_mentioned: bool
    is_public: bool
    version: int
    created_at: datetime
    updated_at: datetime


class PublicAgentShape(Shape):
    """An agent that anybody may write to, as far as anybody may know it."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": AGENT_ID,
                    "name": "Front desk",
                    "handle": "front_desk",
                    "description": "Answers questions.",
                }
            ]
        },
    )

    id: UUID
    name: str
    handle: str
    description: str


@router.post("/api/agents", status_code=201)
async def create_an_agent(
    wanted: AgentWanted, request: Request, response: Response, house: House, who: AgentsWriter
) -> AgentShape:
    """Make an agent, with a chat page and a chat API of its own."""
    refuse_bound_key(who)
    agent = await create_agent(
        house.db,
        house.keyring,
        owner_id=who.owner_id,
        actor=who.actor,
        clock=house.clock,
        **(wanted.model_dump() | _settings(wanted)),
    )
    response.headers["location"] = f"{request.url.path}/{agent.id}"
    return _shown(response, agent)


@router.get("/api/agents")
async def list_agents(
    request: Request,
    response: Response,
    house: House,
    who: AgentsReader,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Sequence[AgentShape]:
    """The owner's agents, newest first."""
    before = read_id_cursor(cursor)
    async with house.db.owned(who.owner_id) as tx:
        found = await _agents_in_sight(tx, who, before, limit)
    last = spell_cursor(found[limit - 1].id) if len(found) > limit else None
    return [AgentShape.model_validate(a) for a in page_of(request, response, found, limit, last)]


@router.get("/api/agents/{agent_id}")
async def read_agent(agent_id: str, response: Response, house: House, who: AgentsReader) -> AgentShape:
    """One agent."""
    async with house.db.owned(who.owner_id) as tx:
        return _shown(response, await see_agent(tx, who, agent_id))


@router.patch("/api/agents/{agent_id}")
async def change_an_agent(
    agent_id: str,
    wanted: AgentChangeWanted,
    response: Response,
    house: House,
    who: AgentsWriter,
    if_match: Annotated[str | None, Header(description='The version that you have read, as `"3"`.')] = None,
) -> AgentShape:
    """Change an agent, if nobody else has since you read it: 409 says at which version it is."""
    found = agent_in_reach(who, agent_id)
    version = wanted.version if wanted.version is not None else _version_of(if_match)
    fields = wanted.model_dump(exclude={"version"}, exclude_none=True) | _settings(wanted)
    agent = await change_agent(
        house.db,
        owner_id=who.owner_id,
        agent_id=found,
        change=AgentChange(**fields),
        version=version,
        actor=who.actor,
    )
    return _shown(response, agent)


@router.delete("/api/agents/{agent_id}", status_code=204)
async def delete_an_agent(agent_id: str, house: House, who: AgentsWriter) -> None:
    """Delete an agent. Its chats stay readable, its channels are disconnected."""
    await delete_agent(
        house.db, owner_id=who.owner_id, agent_id=agent_in_reach(who, agent_id), actor=who.actor
    )


@router.get("/api/public-agents", openapi_extra={"security": []})
async def list_public_agents(house: House) -> Sequence[PublicAgentShape]:
    """The agents that anybody may write to, on their pages."""
    shown: list[PublicAgentShape] = []
    async with house.db.standalone() as tx:
        found = await store.public_agents(tx)
    for owner_id, agent_id in found:
        async with house.db.owned(owner_id) as tx:
            agent = await store.read_agent(tx, agent_id)
        if agent is not None:
            shown.append(PublicAgentShape.model_validate(agent))
    return shown


async def _agents_in_sight(tx: Any, who: Principal, before: UUID | None, limit: int) -> list[Agent]:
    if who.agent_id is None:
        return await store.list_agents(tx, before=before, count=limit + 1)
    agent = await store.read_agent(tx, who.agent_id)
    return [] if agent is None or before is not None else [agent]


def _shown(response: Response, agent: Agent) -> AgentShape:
    response.headers["etag"] = f'"{agent.version}"'
    return AgentShape.model_validate(agent)


def _settings(wanted: AgentWanted | AgentChangeWanted) -> dict[str, Any]:
    """The two groups of settings, as far as they were given: what is absent is the house's own choice."""
    given = {"model_settings": wanted.model_settings, "message_settings": wanted.message_settings}
    return {
        name: group.model_dump(exclude_unset=True, exclude_none=True)
        for name, group in given.items()
        if group is not None
    }


def _version_of(if_match: str | None) -> int:
    spelled = (if_match or "").strip().removeprefix("W/").strip('"')
    if not (spelled.isascii() and spelled.isdigit() and len(spelled) < 10):
        raise Invalid(
            "say which version of the agent you have read: as `version`, or in If-Match", field="version"
        )
    return int(spelled)
