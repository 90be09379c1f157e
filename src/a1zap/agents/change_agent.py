"""An agent is changed by its owner: to a version that they have seen, or not at all."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

import asyncpg

from a1zap.agents import store
from a1zap.agents.model import Agent, AgentChange
from a1zap.audit.store import record_act
from a1zap.db.pool import Database
from a1zap.kit.errors import Conflict, NotFound


async def change_agent(
    db: Database, *, owner_id: UUID, agent_id: UUID, change: AgentChange, version: int, actor: str
) -> Agent:
    """Apply the change to that very version of the agent.

    Raises:
        NotFound: there is no such agent.
        Conflict: somebody has changed it since; or the handle is taken.
    """
    changed = sorted(name for name, value in asdict(change).items() if value is not None)
    try:
        async with db.owned(owner_id) as tx:
            before = await store.read_agent(tx, agent_id)
            if before is None:
                raise NotFound("there is no such agent")
            agent = await store.change_agent(tx, agent_id, change, version=version)
            if agent is None:
                raise Conflict(
                    f"the agent is at version {before.version}: read it again and repeat the change",
                    field="version",
                    value=version,
                )
            await record_act(
                tx,
                actor=actor,
                action="agent.changed",
                subject_kind="agent",
                subject_id=agent_id,
                detail={"version": agent.version, "fields": changed},
            )
    except asyncpg.UniqueViolationError:
        raise Conflict(
            f"there is an agent with the handle '{change.handle}' already",
            field="handle",
            value=change.handle,
        ) from None
    return agent
