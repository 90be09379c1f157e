"""The nouns of conversation users: the people outside."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody outside who writes to an owner's agents, behind one or more addresses."""

    id: UUID
    name: str | None
