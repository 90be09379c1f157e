"""The nouns of knowledge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Article:
    """Something an agent may know, as its owner wrote it."""

    id: UUID
    agent_id: UUID
    title: str
    content: str
    source_url: str | None
    version: int
    created_at: datetime
    updated_at: datetime
