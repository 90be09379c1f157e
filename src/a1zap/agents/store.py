"""All SQL of agents: configuration, versions and what they used."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from a1zap.agents.model import Agent, AgentChange
from a1zap.db.parts import Part
from a1zap.db.pool import Tx

AGENT_COLUMNS = (
    "owner_id, id, name, handle, description, agent_type, status, system_prompt, model_settings, message_settings, "
    "respond_only_when_mentioned, is_public, version, created_at, updated_at, knowledge_revision"
)


async def insert_agent(tx: Tx, agent: Agent) -> bool:
    """Make an agent exist; False where the owner has one of that handle already."""
    made = await tx.value(
        """INSERT INTO a1_agents (owner_id, id, name, handle, description, agent_type, status, system_prompt,
               model_settings, message_settings, respond_only_when_mentioned, is_public, version, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)
           ON CONFLICT (owner_id, lower(handle)) WHERE deleted_at IS NULL DO NOTHING RETURNING id""",
        tx.owner_id,
        agent.id,
        agent.name,
        agent.handle,
        agent.description,
        agent.agent_type,
        agent.status,
        agent.system_prompt,
        dict(agent.model_settings),
        dict(agent.message_settings),
        agent.respond_only_when_mentioned,
        agent.is_public,
        agent.version,
        agent.created_at,
    )
    if made is None:
        return False
    await _keep_version(tx, agent)
    return True


async def read_agent(tx: Tx, agent_id: UUID) -> Agent | None:
    row = await tx.row(
        f"SELECT {AGENT_COLUMNS} FROM a1_agents WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL",
        tx.owner_id,
        agent_id,
    )
    return None if row is None else Agent(**dict(row))


async def find_agent_by_handle(tx: Tx, handle: str) -> Agent | None:
    row = await tx.row(
        f"""SELECT {AGENT_COLUMNS} FROM a1_agents
            WHERE owner_id = $1 AND lower(handle) = lower($2) AND deleted_at IS NULL""",
        tx.owner_id,
        handle,
    )
    return None if row is None else Agent(**dict(row))


async def list_agents(tx: Tx, *, before: UUID | None, count: int) -> list[Agent]:
    """The owner's agents, newest first, those older than `before`."""
    rows = await tx.rows(
        f"""SELECT {AGENT_COLUMNS} FROM a1_agents WHERE owner_id = $1 AND deleted_at IS NULL
            AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3""",
        tx.owner_id,
        before,
        count,
    )
    return [Agent(**dict(r)) for r in rows]


async def change_agent(tx: Tx, agent_id: UUID, change: AgentChange, *, version: int) -> Agent | None:
    """Apply a change to that very version; None where the agent is not at it (any more)."""
    fields = {k: v for k, v in asdict(change).items() if v is not None}
    sets = "".join(f", {name} = ${i}" for i, name in enumerate(fields, start=4))
    row = await tx.row(
        f"""UPDATE a1_agents SET version = version + 1, updated_at = now(){sets}
            WHERE owner_id = $1 AND id = $2 AND version = $3 AND deleted_at IS NULL
            RETURNING {AGENT_COLUMNS}""",
        tx.owner_id,
        agent_id,
        version,
        *fields.values(),
    )
    if row is None:
        return None
    agent = Agent(**dict(row))
    await _keep_version(tx, agent)
    return agent


async def delete_agent(tx: Tx, agent_id: UUID) -> Agent | None:
    """Out of every list; its chats stay readable. None where there is no such agent."""
    row = await tx.row(
        f"""UPDATE a1_agents SET deleted_at = now(), status = 'archived', is_public = false, version = version + 1
            WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING {AGENT_COLUMNS}""",
        tx.owner_id,
        agent_id,
    )
    return None if row is None else Agent(**dict(row))


async def find_agent_owner(tx: Tx, agent_id: UUID) -> tuple[UUID, bool] | None:
    """Owner and openness of an agent; asked before the owner is known, through the directory."""
    row = await tx.row("SELECT owner_id, is_public FROM a1zap.owner_of_agent($1)", agent_id)
    return None if row is None else (row["owner_id"], row["is_public"])


async def public_agents(tx: Tx) -> list[tuple[UUID, UUID]]:
    """(owner, agent) of the agents that anybody may write to."""
    return [(r["owner_id"], r["id"]) for r in await tx.rows("SELECT owner_id, id FROM a1zap.public_agents()")]


_ADD_USAGE = """used AS (
        INSERT INTO agent_usage AS u
            (owner_id, agent_id, date, slot, message_count, turn_count, tokens_in, tokens_out, cost_usd)
        VALUES ($1, $2, $3, $8, $4, 1, $5, $6, $7)
        ON CONFLICT (owner_id, agent_id, date, slot) DO UPDATE SET
            message_count = u.message_count + $4, turn_count = u.turn_count + 1, tokens_in = u.tokens_in + $5,
            tokens_out = u.tokens_out + $6, cost_usd = u.cost_usd + $7)"""


def adding_usage(
    tx: Tx,
    agent_id: UUID,
    day: date,
    *,
    slot: int,
    messages: int,
    tokens_in: int,
    tokens_out: int,
    cost_usd: Decimal,
) -> Part:
    """Add one turn to the agent's day, in the row of `slot` (0 to 15), so that turns of many chats do not queue.

    A part of a larger statement; without a result.
    """
    args = (tx.owner_id, agent_id, day, messages, tokens_in, tokens_out, cost_usd, slot)
    return Part(_ADD_USAGE, "true", args)


async def spent_usd(tx: Tx, agent_id: UUID, day: date) -> Decimal:
    """What the agent's models have cost that day (UTC)."""
    spent = await tx.value(
        "SELECT sum(cost_usd) FROM agent_usage WHERE owner_id = $1 AND agent_id = $2 AND date = $3",
        tx.owner_id,
        agent_id,
        day,
    )
    return spent or Decimal(0)


async def revise_knowledge(tx: Tx, agent_id: UUID) -> None:
    """The agent's articles have changed: whoever keeps an index of them sees it at the next turn."""
    await tx.run(
        "UPDATE a1_agents SET knowledge_revision = knowledge_revision + 1 WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        agent_id,
    )


async def _keep_version(tx: Tx, agent: Agent) -> None:
    await tx.run(
        "INSERT INTO agent_versions (owner_id, agent_id, version, snapshot) VALUES ($1, $2, $3, $4)",
        tx.owner_id,
        agent.id,
        agent.version,
        _snapshot(agent),
    )


def _snapshot(agent: Agent) -> dict[str, Any]:
    kept = asdict(agent)
    for key in ("owner_id", "id", "created_at", "updated_at", "knowledge_revision"):
        del kept[key]
    return kept
