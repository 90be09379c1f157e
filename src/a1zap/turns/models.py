"""An agent's models: which are asked, in what order, and what they may cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from a1zap.agents.model import Agent
from a1zap.kit.errors import OverLimit
from a1zap.knowledge.rank import Ranked
from a1zap.knowledge.shelf import Shelf
from a1zap.llm.chain import answer
from a1zap.llm.contract import Model, ModelEvent, ModelRequest

ModelFactory = Callable[[str], Model]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where models come from: `make` builds one by name, `default` is asked where an agent names none."""

    make: ModelFactory
    default: str | None = None
    deadline_s: float = 60.0

    def models_of(self, agent: Agent) -> list[Model]:
        names = agent.models or ((self.default,) if self.default else ())
        return [self.make(name) for name in names]


class AgentMinds:
    """One agent's knowledge and models, for one turn."""

    def __init__(
        self,
        owner_id: UUID,
        agent: Agent,
        models: Sequence[Model],
        shelf: Shelf,
        *,
        spent_usd: Decimal,
        deadline_s: float,
    ) -> None:
        self._owner_id = owner_id
        self._agent = agent
        self._models = models
        self._shelf = shelf
        self._spent_usd = spent_usd
        self._deadline_s = deadline_s

    @property
    def model_names(self) -> Sequence[str]:
        return [m.name for m in self._models]

    async def recall(self, question: str) -> Sequence[Ranked]:
        return await self._shelf.recall(
            self._owner_id, self._agent.id, question, revision=self._agent.knowledge_revision
        )

    async def article_titles(self) -> Sequence[str]:
        return await self._shelf.titles(
            self._owner_id, self._agent.id, revision=self._agent.knowledge_revision
        )

    def ask(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        budget = self._agent.budget_usd_per_day
        if budget is not None and self._spent_usd >= Decimal(str(budget)):
            raise OverLimit(
                f"the agent's budget of {budget} US dollars a day is used up",
                field="model_settings.budget_usd_per_day",
            )
        return answer(self._models, request, deadline_s=self._deadline_s)

    def cost_usd(self, model: str, tokens_in: int, tokens_out: int) -> Decimal:
        for known in self._models:
            if known.name == model:
                return known.price.cost_usd(tokens_in, tokens_out)
        return Decimal(0)
