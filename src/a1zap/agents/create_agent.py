"""An agent comes to be: counted against the plan, with its two built-in channels, in one transaction."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from a1zap.accounts import store as accounts
from a1zap.accounts.keys import Keyring
from a1zap.agents import channel_store, store
from a1zap.agents.model import Agent, AgentStatus, AgentType
from a1zap.audit.store import record_act
from a1zap.channels.catalog import BUILT_IN
from a1zap.db.pool import Database, Tx
from a1zap.kit.clock import Clock, SystemClock
from a1zap.kit.errors import Conflict, OverLimit
from a1zap.kit.ids import new_id

HANDLE_CHARACTERS_MAX = 50
_HANDLES_TRIED_MAX = 50


async def create_agent(
    db: Database,
    keyring: Keyring,
    *,
    owner_id: UUID,
    actor: str,
    name: str,
    handle: str | None = None,
    description: str = "",
    agent_type: AgentType = "personal",
    status: AgentStatus = "active",
    system_prompt: str = "",
    model_settings: Mapping[str, Any] | None = None,
    message_settings: Mapping[str, Any] | None = None,
    respond_only_when_mentioned: bool = False,
    is_public: bool = False,
    clock: Clock | None = None,
) -> Agent:
    """Make an agent, its chat page and its chat API. Without a handle, one is made of the name.

    Raises:
        OverLimit: the owner's plan has no place left for an agent of this type.
        Conflict: the owner has an agent of that handle.
    """
    now = (clock or SystemClock()).now()
    agent = Agent(
        owner_id=owner_id,
        id=new_id(),
        name=name,
        handle=handle or "",
        description=description,
        agent_type=agent_type,
        status=status,
        system_prompt=system_prompt,
        model_settings=model_settings or {},
        message_settings=message_settings or {},
        respond_only_when_mentioned=respond_only_when_mentioned,
        is_public=is_public,
        version=1,
        created_at=now,
        updated_at=now,
    )
    async with db.owned(owner_id) as tx:
        await _take_place(tx, agent_type)
        agent = await _insert(tx, agent)
        sealer = await keyring.sealer(tx)
        for kind in BUILT_IN:
            await channel_store.insert_channel_account(
                tx, sealer, agent_id=agent.id, kind=kind, identity="", credentials={}
            )
        await record_act(
            tx,
            actor=actor,
            action="agent.created",
            subject_kind="agent",
            subject_id=agent.id,
            detail={"type": agent_type},
        )
    return agent


def handle_of(name: str) -> str:
    """A handle that reads like the name: its letters and digits in ASCII, `_` for what stands between them."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    return words[:HANDLE_CHARACTERS_MAX].strip("_") or "agent"


async def _take_place(tx: Tx, agent_type: AgentType) -> None:
    if await accounts.take_agent_place(tx, agent_type):
        return
    plan = await accounts.read_plan(tx)
    limit = plan.max_personal_agents if agent_type == "personal" else plan.max_work_agents
    raise OverLimit(
        f"the plan '{plan.name}' has {limit} {agent_type} agent{'' if limit == 1 else 's'}, and all are taken: "
        "delete one or change the plan",
        field=f"max_{agent_type}_agents",
    )


async def _insert(tx: Tx, agent: Agent) -> Agent:
    """Under its handle, or, where that was left to us, under the first free one."""
    if agent.handle:
        if await store.insert_agent(tx, agent):
            return agent
        raise Conflict(
            f"there is an agent with the handle '{agent.handle}' already", field="handle", value=agent.handle
        )
    base = handle_of(agent.name)
    for number in range(1, _HANDLES_TRIED_MAX + 1):
        suffix = "" if number == 1 else f"_{number}"
        named = replace(agent, handle=base[: HANDLE_CHARACTERS_MAX - len(suffix)] + suffix)
        if await store.insert_agent(tx, named):
            return named
    raise Conflict(f"{_HANDLES_TRIED_MAX} agents are called like this: choose a handle", field="handle")
