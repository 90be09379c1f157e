"""An agent goes: out of every list, its channels disconnected, its place in the plan free again."""

from __future__ import annotations

from uuid import UUID

from a1zap.accounts import store as accounts
from a1zap.agents import channel_store, store
from a1zap.audit.store import record_act
from a1zap.db.pool import Database
from a1zap.kit.errors import NotFound


async def delete_agent(db: Database, *, owner_id: UUID, agent_id: UUID, actor: str) -> None:
    """Delete an agent. Its chats stay readable; the credentials of its channels are forgotten.

    Raises:
        NotFound: there is no such agent.
    """
    async with db.owned(owner_id) as tx:
        agent = await store.delete_agent(tx, agent_id)
        if agent is None:
            raise NotFound("there is no such agent")
        for account in await channel_store.list_channel_accounts(tx, agent_id):
            await channel_store.delete_channel_account(tx, account.id)
        await accounts.give_agent_place(tx, agent.agent_type)
        await record_act(tx, actor=actor, action="agent.deleted", subject_kind="agent", subject_id=agent_id)
