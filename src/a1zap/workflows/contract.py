"""What every workflow looks like: a turn goes in, steps come out as data.

A workflow decides what to answer. It never writes a table and never sends: `turns` alone does both, in one
transaction, so a workflow that dies half-way has done nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from a1zap.agents.model import Agent
from a1zap.attachments.seen import FilesByMessage, SeenFile
from a1zap.chats.model import Chat, Message
from a1zap.knowledge.rank import Ranked
from a1zap.llm.contract import ModelEvent, ModelRequest
from a1zap.people.model import Person


@dataclass(frozen=True, slots=True)
class Turn:
    """All that a workflow may know: who writes, what is unanswered, what was said before (oldest first)."""

    id: UUID
    agent: Agent
    chat: Chat
    channel_kind: str
    person: Person | None
    unanswered: Sequence[Message]
    history: Sequence[Message]
    now: datetime
    files: FilesByMessage = field(default_factory=dict[UUID, Sequence[SeenFile]])

    @property
    def question(self) -> str:
        """The unanswered messages as one text: what was written, and what was said in recordings."""
        return "\n".join(text for m in self.unanswered for text in (m.content, *self._spoken(m)) if text)

    def _spoken(self, message: Message) -> list[str]:
        return [seen.file.transcript or "" for seen in self.files.get(message.id, ())]


# ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Reply:
    """Say this to the chat. `sources` are the articles it rests on; `offers_person`: a yes to it means a person."""

    text: str
    sources: Sequence[Source] = ()
    offers_person: bool = False


@dataclass(frozen=True, slots=True)
class Escalate:
    """A person of the owner's should look at this chat."""

    reason: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing is to be said, and this is why."""

    reason: str


Step = Reply | Escalate | Silence


@dataclass(frozen=True, slots=True)
class Source:
    article_id: UUID
    title: str


@dataclass(frozen=True, slots=True)
class Spent:
    """What thinking cost: the model that answered, its tokens, its price."""

    model: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Thought:
    """What a workflow came to."""

    steps: Sequence[Step]
    spent: Spent = field(default_factory=Spent)
    why: str = ""


# ── what a workflow may use ─────────────────────────────────────────────────────────────────────────────────────────


class Minds(Protocol):
    """The agent's knowledge and models, as far as this turn may use them."""

    @property
    def model_names(self) -> Sequence[str]:
        """The agent's models in the order they are asked; empty without any key."""
        ...

    async def recall(self, question: str) -> Sequence[Ranked]:
        """The passages of the agent's articles that fit best, best first."""
        ...

    async def article_titles(self) -> Sequence[str]:
        """What the agent's articles are about."""
        ...

    def ask(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Ask the agent's models, falling from one to the next.

        Raises:
            ModelUnavailable: none of them answers.
            OverLimit: the agent's budget of the day is used up.
        """
        ...

    def cost_usd(self, model: str, tokens_in: int, tokens_out: int) -> Decimal: ...


class Voice(Protocol):
    """Lets those who watch the chat see the answer being written. What is said here is not yet sent."""

    async def say(self, piece: str) -> None: ...

    async def start_over(self) -> None:
        """What was said so far does not count: another model begins anew."""
        ...


class Workflow(Protocol):
    @property
    def response_type(self) -> str: ...

    @property
    def purpose(self) -> str:
        """One line, for triage and for people."""
        ...

    async def run(self, turn: Turn, minds: Minds, voice: Voice) -> Thought: ...
