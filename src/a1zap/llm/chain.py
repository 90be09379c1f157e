"""Ask one model after another until one has answered: retries, back-off, fallbacks, one deadline over all of it."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypedDict, TypeVar, Unpack

from pydantic import TypeAdapter, ValidationError

from a1zap.kit.clock import Clock, SystemClock
from a1zap.kit.errors import ModelUnavailable
from a1zap.llm.contract import (
    Finished,
    Model,
    ModelEvent,
    ModelRefused,
    ModelRequest,
    Restarted,
    Text,
    ToolCall,
    images_of,
    without_images,
)

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[object]]
Accept = Callable[[str], None]
"""Looks at the whole text of an answer; raises ModelUnavailable if it is of no use."""


class Pacing(TypedDict, total=False):
    """How `answer` paces itself: its keyword arguments, for those who pass them on."""

    clock: Clock
    sleep: Sleep
    jitter: Callable[[], float]
    attempts: int
    deadline_s: float


ATTEMPTS: Final = 2
DEADLINE_S: Final = 120.0
_BACKOFF_S: Final = 0.5
_BACKOFF_MAX_S: Final = 8.0
# A provider that asks for more patience than this is left for the next model; the caller learns its wish.
_RETRY_AFTER_MAX_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """One answer, collected. `attempts` counts the calls over all models; `model` is the one that answered."""

    text: str
    tool_calls: Sequence[ToolCall]
    finished: Finished

    @property
    def model(self) -> str | None:
        return self.finished.model

    @property
    def attempts(self) -> int:
        return self.finished.attempts


async def answer(
    models: Sequence[Model],
    request: ModelRequest,
    *,
    clock: Clock | None = None,
    sleep: Sleep = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
    attempts: int = ATTEMPTS,
    deadline_s: float = DEADLINE_S,
    accept: Accept | None = None,
) -> AsyncGenerator[ModelEvent]:
    """Yield one answer of the first of `models` that gives one, `Finished` last.

    A model that is unavailable is asked `attempts` times, one that refuses or hangs once; then comes the next. One that
    refuses pictures is asked once more without: it is told what they are instead. Where
    events of a failed attempt were yielded already, `Restarted` says so before the next begins. Close the generator
    (`contextlib.aclosing`) when you stop early: that drops the connection, and the provider stops writing.

    Raises:
        ModelUnavailable: none of them answered within `deadline_s`; names each model and its reason, and the
            shortest wait a provider asked for.
    """
    tries = _Tries(
        models,
        clock=clock or SystemClock(),
        sleep=sleep,
        jitter=jitter,
        attempts=attempts,
        deadline_s=deadline_s,
    )
    has_shown = False
    blind_request = without_images(request)
    while (model := await tries.next_model()) is not None:
        if has_shown:
            yield Restarted()
            has_shown = False
        texts: list[str] = []
        is_shown_images = bool(images_of(request)) and not tries.is_blind
        events = model.stream(request if is_shown_images else blind_request)
        try:
            while (event := await tries.in_time(events, has_begun=has_shown)) is not None:
                if isinstance(event, Finished):
                    if accept is not None:
                        accept("".join(texts))
                    yield replace(event, model=model.name, attempts=tries.n_calls)
                    return
                if accept is not None and isinstance(event, Text):
                    texts.append(event.text)
                has_shown = True
                yield event
            tries.failed(model, ModelUnavailable(f"{model.name}: its answer broke off"))
        except ModelRefused as error:
            tries.refused(model, error, is_shown_images=is_shown_images)
        except ModelUnavailable as error:
            tries.failed(model, error)
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()
    raise tries.gave_up()


async def answer_whole(
    models: Sequence[Model],
    request: ModelRequest,
    *,
    accept: Accept | None = None,
    **pacing: Unpack[Pacing],
) -> WholeAnswer:
    """`answer`, collected: what the attempt that succeeded said. Raises what `answer` raises."""
    texts: list[str] = []
    calls: list[ToolCall] = []
    finished = Finished("stop")
    async for event in answer(models, request, accept=accept, **pacing):
        match event:
            case Text():
                texts.append(event.text)
            case ToolCall():
                calls.append(event)
            case Restarted():
                texts.clear()
                calls.clear()
            case Finished():
                finished = event
    return WholeAnswer("".join(texts), tuple(calls), finished)


async def answer_value(
    models: Sequence[Model], request: ModelRequest, adapter: TypeAdapter[T], **pacing: Unpack[Pacing]
) -> tuple[T, WholeAnswer]:
    """Ask for one JSON document and return it validated by `adapter`; what does not fit counts as no answer.

    The schema sent is `request.schema`, or the adapter's own where that is None. Raises what `answer` raises.
    """
    if request.schema is None:
        request = replace(request, schema=adapter.json_schema())
    values: list[T] = []
    whole = await answer_whole(
        models, request, accept=lambda text: values.append(parse_value(text, adapter)), **pacing
    )
    return values[-1], whole


def parse_value(text: str, adapter: TypeAdapter[T]) -> T:
    """The JSON document in `text`, with or without a Markdown fence around it, validated.

    Raises:
        ModelUnavailable: no JSON, or not of that shape. Names the fields and never what stood in them.
    """
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```"):
        bare = bare.partition("\n")[2].removesuffix("```")
    try:
        return adapter.validate_json(bare)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        # Keys of a mapping are text of the model's too, so only how many faults of which kinds.
        kinds = ", ".join(sorted({str(fault["type"]) for fault in faults}))
        raise ModelUnavailable(
            f"its answer does not fit the schema ({len(faults)} faults: {kinds})"
        ) from None


class _Tries:
    """Which model is asked next, after what pause, and why none was left."""

    def __init__(
        self,
        models: Sequence[Model],
        *,
        clock: Clock,
        sleep: Sleep,
        jitter: Callable[[], float],
        attempts: int,
        deadline_s: float,
    ) -> None:
        self.n_calls = 0
        self._left = list(models)
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._attempts = attempts
        self._deadline_s = deadline_s
        self._began_s = clock.monotonic_s()
        self._begins_by_s = self._ends_s = self._began_s + deadline_s
        self._n_of_this = 0
        self.is_blind = False  # the model at hand refused to look at pictures
        self._pause_s = 0.0
        self._reasons: dict[str, str] = {}
        self._wishes_s: list[float] = []

    async def next_model(self) -> Model | None:
        """The model to ask now, after the pause that is due; None when nothing or no time is left."""
        if self._left and self._pause_s:
            await self._sleep(self._pause_s)
            self._pause_s = 0.0
        if not self._left or self._remaining_s() <= 0:
            return None
        self.n_calls += 1
        self._n_of_this += 1
        self._began_s = self._clock.monotonic_s()
        self._begins_by_s = self._began_s + self._remaining_s() / len(self._left)
        return self._left[0]

    async def in_time(self, events: Any, *, has_begun: bool) -> ModelEvent | None:
        """The next event, None at the end.

        A model that has not begun gets its share of the time only: one that hangs must leave some to those after it.
        """
        ends_s = self._ends_s if has_begun else self._begins_by_s
        try:
            async with asyncio.timeout(max(0.0, ends_s - self._clock.monotonic_s())):
                return await anext(events, None)
        except TimeoutError:
            self._n_of_this = self._attempts  # what hung once is not asked again
            what = "no whole answer" if has_begun else "no answer begun"
            limit_s = ends_s - self._began_s
            raise ModelUnavailable(f"{self._left[0].name}: {what} within {limit_s:.1f} s") from None

    def refused(self, model: Model, error: ModelRefused, *, is_shown_images: bool) -> None:
        """A refusal of pictures may be no refusal of the words: it is asked again without them."""
        if is_shown_images:
            self.is_blind = True
        else:
            self.failed(model, error)

    def failed(self, model: Model, error: ModelUnavailable | ModelRefused) -> None:
        """Note the reason and decide: the same model again after a pause, or the next one at once."""
        reason = str(error)
        self._reasons[model.name] = reason if model.name in reason else f"{model.name}: {reason}"
        wish_s = error.retry_after_s if isinstance(error, ModelUnavailable) else None
        if wish_s is not None:
            self._wishes_s.append(wish_s)
        if isinstance(error, ModelUnavailable) and self._n_of_this < self._attempts:
            pause_s = self._backoff_s(wish_s or 0.0)
            if pause_s < self._remaining_s():
                self._pause_s = pause_s
                return
        self._left.pop(0)
        self._n_of_this = 0
        self.is_blind = False

    def _backoff_s(self, wish_s: float) -> float:
        """The pause before this model is asked again; for ever, where it wants more patience than we have."""
        if wish_s > _RETRY_AFTER_MAX_S:
            return math.inf
        # Half fixed, half chance: many turns that failed together must not come back together.
        longest_s = min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** (self._n_of_this - 1))
        return max(longest_s * (0.5 + self._jitter() / 2), wish_s)

    def gave_up(self) -> ModelUnavailable:
        reasons = [*self._reasons.values()]
        if reasons and self._remaining_s() <= 0:
            reasons.append(f"{self._deadline_s:g} s are over")
        detail = f"no model answered: {'; '.join(reasons)}" if reasons else "no model is set for this agent"
        return ModelUnavailable(detail, retry_after_s=min(self._wishes_s, default=None))

    def _remaining_s(self) -> float:
        return self._ends_s - self._clock.monotonic_s()
