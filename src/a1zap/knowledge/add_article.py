"""Teach an agent something: cut it into passages, embed them, store both."""

from __future__ import annotations

from uuid import UUID

from a1zap.db.pool import Database
from a1zap.embeddings.contract import Embedder
from a1zap.knowledge import store
from a1zap.knowledge.model import Article
from a1zap.knowledge.passages import split_passages


async def add_article(
    db: Database,
    embedder: Embedder,
    *,
    owner_id: UUID,
    agent_id: UUID,
    title: str,
    content: str,
    source_url: str | None = None,
) -> Article:
    """Store an article of the agent's; the next question finds it. No connection is held while it is embedded."""
    passages = split_passages(title, content)
    vectors = await embedder.embed(passages)
    async with db.owned(owner_id) as tx:
        return await store.insert_article(
            tx,
            agent_id=agent_id,
            title=title,
            content=content,
            source_url=source_url,
            passages=passages,
            embedder=embedder.name,
            vectors=vectors,
        )
