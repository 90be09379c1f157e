"""All SQL of knowledge: articles, their passages with vectors, and the revision that tells an index it is old."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from a1zap.agents import store as agents
from a1zap.db.pool import Row, Tx
from a1zap.kit.ids import new_id
from a1zap.knowledge.model import Article

_ARTICLE = "id, agent_id, title, content, source_url, version, created_at, updated_at"


async def insert_article(
    tx: Tx,
    *,
    agent_id: UUID,
    title: str,
    content: str,
    source_url: str | None,
    passages: Sequence[str],
    embedder: str,
    vectors: NDArray[np.float32],
) -> Article:
    """Store an article with its passages; `vectors` is [n_passages, n_dimensions], rows of length 1."""
    article_id = new_id()
    row = await tx.row(
        f"""INSERT INTO knowledge_articles (owner_id, id, agent_id, title, content, source_url)
            VALUES ($1, $2, $3, $4, $5, $6) RETURNING {_ARTICLE}""",
        tx.owner_id,
        article_id,
        agent_id,
        title,
        content,
        source_url,
    )
    await tx.run(
        """INSERT INTO knowledge_chunks (owner_id, id, article_id, agent_id, position, text, embedder, vector)
           SELECT $1, c.id, $2, $3, c.position, c.text, $4, c.vector
           FROM unnest($5::uuid[], $6::int[], $7::text[], $8::bytea[]) AS c(id, position, text, vector)""",
        tx.owner_id,
        article_id,
        agent_id,
        embedder,
        [new_id() for _ in passages],
        list(range(len(passages))),
        list(passages),
        [v.astype("<f4").tobytes() for v in vectors],
    )
    await agents.revise_knowledge(tx, agent_id)
    if row is None:
        raise LookupError("an INSERT … RETURNING returned nothing")
    return _article(row)


async def read_article(tx: Tx, agent_id: UUID, article_id: UUID) -> Article | None:
    row = await tx.row(
        f"SELECT {_ARTICLE} FROM knowledge_articles WHERE owner_id = $1 AND agent_id = $2 AND id = $3",
        tx.owner_id,
        agent_id,
        article_id,
    )
    return None if row is None else _article(row)


async def list_articles(tx: Tx, agent_id: UUID, *, before: UUID | None, count: int) -> list[Article]:
    """The agent's articles, newest first, those older than `before`."""
    rows = await tx.rows(
        f"""SELECT {_ARTICLE} FROM knowledge_articles WHERE owner_id = $1 AND agent_id = $2
            AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4""",
        tx.owner_id,
        agent_id,
        before,
        count,
    )
    return [_article(r) for r in rows]


async def delete_article(tx: Tx, agent_id: UUID, article_id: UUID) -> bool:
    gone = await tx.value(
        "DELETE FROM knowledge_articles WHERE owner_id = $1 AND agent_id = $2 AND id = $3 RETURNING id",
        tx.owner_id,
        agent_id,
        article_id,
    )
    if gone is None:
        return False
    await agents.revise_knowledge(tx, agent_id)
    return True


async def read_passages(tx: Tx, agent_id: UUID, embedder: str) -> Sequence[Row]:
    """article_id, title, position, text, vector of all passages that this embedder made, in reading order."""
    return await tx.rows(
        """SELECT c.article_id, a.title, c.position, c.text, c.vector FROM knowledge_chunks c
           JOIN knowledge_articles a ON a.owner_id = c.owner_id AND a.id = c.article_id
           WHERE c.owner_id = $1 AND c.agent_id = $2 AND c.embedder = $3 ORDER BY c.article_id, c.position""",
        tx.owner_id,
        agent_id,
        embedder,
    )


def _article(row: Row) -> Article:
    return Article(**dict(row))
