"""The shelf: agents' passages, indexed in memory, as new as the database says."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from a1zap.db.pool import Database
from a1zap.embeddings.contract import Embedder
from a1zap.knowledge import store
from a1zap.knowledge.passages import Passage
from a1zap.knowledge.rank import PassageIndex, Ranked, build_index, rank_passages
from a1zap.knowledge.smalltalk import question_of

_KEPT_MAX = 200  # agents whose index stays in memory; the rest is built again when asked
RECALLED_MAX = 8


@dataclass(frozen=True, slots=True)
class _Shelved:
    revision: int
    index: PassageIndex


class Shelf:
    """Finds what an agent's articles say about a question. One index an agent, rebuilt when its revision moves."""

    def __init__(self, db: Database, embedder: Embedder) -> None:
        self._db = db
        self.embedder = embedder
        self._kept: OrderedDict[tuple[UUID, UUID], _Shelved] = OrderedDict()

    async def recall(
        self, owner_id: UUID, agent_id: UUID, question: str, *, revision: int
    ) -> Sequence[Ranked]:
        """The agent's passages that fit the question best, best first; none where it has no knowledge.

        `revision` is the agent's, read by the caller in the transaction that it reads anyway.
        """
        if revision == 0 or not question.strip():
            return []
        index = await self._index(owner_id, agent_id, revision)
        if not index.passages:
            return []
        # "Hi there, quick question: …" is embedded without its courtesies, which say nothing of what is asked.
        vector = (await self.embedder.embed([question_of(question) or question]))[0]
        return rank_passages(question, vector, index)[:RECALLED_MAX]

    async def titles(self, owner_id: UUID, agent_id: UUID, *, revision: int) -> Sequence[str]:
        """What the agent's articles are about, in the order they were written."""
        if revision == 0:
            return []
        index = await self._index(owner_id, agent_id, revision)
        return list(dict.fromkeys(p.title for p in index.passages))

    async def _index(self, owner_id: UUID, agent_id: UUID, revision: int) -> PassageIndex:
        key = (owner_id, agent_id)
        kept = self._kept.get(key)
        if kept is not None and kept.revision == revision:
            self._kept.move_to_end(key)
            return kept.index
        async with self._db.owned(owner_id) as tx:
            rows = await store.read_passages(tx, agent_id, self.embedder.name)
        passages = [Passage(r["article_id"], r["title"], r["position"], r["text"]) for r in rows]
        vectors = np.array([np.frombuffer(r["vector"], "<f4") for r in rows], dtype=np.float32)
        index = await asyncio.to_thread(
            build_index, passages, vectors.reshape(len(passages), self.embedder.dimensions)
        )
        self._kept[key] = _Shelved(revision, index)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return index
