"""The nouns of conversation users: the people outside."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody outside who writes to an owner's agents, behind one or more addresses."""

    id: UUID
    name: str | None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a person is reached; `dead_because` says why nobody is to be reached there any more."""

    address: str
    dead_because: str | None = None
