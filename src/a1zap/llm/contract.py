"""What every model provider looks like from inside the house.

A request goes in, events come out while the model writes: `Text` as it arrives, `ToolCall` when one is whole, and
exactly one `Finished` at the end. Failures are `ModelUnavailable` (trying again or another model may help) or
`ModelRefused` (it will not): the chain in `chain.py` knows what to do with each, and says `Restarted` where an answer
that has begun starts over.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, Protocol

from a1zap.kit.errors import A1ZapError


class ModelRefused(A1ZapError):
    """The provider will not answer this request as it stands (4xx other than 408/409/429): another model may."""

    title = "Model refused"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that a user sent: JPEG, PNG, GIF or WebP. `stand_in` is said to a model that cannot see it."""

    mime_type: str
    content: bytes = field(repr=False)
    stand_in: str = "[image; not shown to you]"

    @property
    def base64(self) -> str:
        return base64.b64encode(self.content).decode()


@dataclass(frozen=True, slots=True)
class Said:
    """One entry of the history: what a user, the agent itself or a tool said. `images` are a user's alone."""

    role: Literal["user", "assistant", "tool"]
    text: str
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None
    images: Sequence[Image] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may ask for; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to one model.

    `system` is ours alone: text from outside only ever stands in `history`.
    With `schema` (a JSON Schema object) the whole answer is one JSON document of that shape, checked by the caller.
    """

    system: str
    history: Sequence[Said]
    tools: Sequence[Tool] = ()
    schema: Mapping[str, Any] | None = None
    tokens_max: int = 1024
    temperature: float | None = None


def without_images(request: ModelRequest) -> ModelRequest:
    """The same question for a model that cannot see: each picture is said instead."""
    return replace(request, history=[_blind(said) for said in request.history])


def images_of(request: ModelRequest) -> list[Image]:
    """All pictures of a question, in order."""
    return [image for said in request.history for image in said.images]


def _blind(said: Said) -> Said:
    if not said.images:
        return said
    lines = [line for line in (said.text, *(image.stand_in for image in said.images)) if line]
    return replace(said, text="\n".join(lines), images=())


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool; `arguments` is parsed JSON."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer, with what it used. `reason` in our words, whatever the provider calls it.

    Where a provider counts no tokens they are taken as four characters each, and `is_usage_estimated` says so.
    """

    reason: Literal["stop", "length", "tools", "filtered"]
    tokens_in: int = 0
    tokens_out: int = 0
    model: str | None = None  # who answered, as `provider:model`; the chain says it
    attempts: int = 1  # calls it took, over all models; the chain says it
    is_usage_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Restarted:
    """What was said so far does not count: another attempt begins anew. Only the chain says this."""


ModelEvent = Text | ToolCall | Finished | Restarted


class Model(Protocol):
    """One model of one provider, ready to be asked."""

    @property
    def name(self) -> str:
        """`provider:model`, as settings and turns write it."""
        ...

    @property
    def price(self) -> Price:
        """What a million tokens cost."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Ask, and yield events until `Finished`.

        Raises:
            ModelUnavailable: time-out, connection lost, 408/409/429/5xx, or an answer cut off in the middle.
            ModelRefused: any other 4xx.
        """
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """Money for a million tokens in and out, in US dollars; zero where unknown, and then `is_known` is False."""

    usd_per_mtok_in: Decimal = Decimal(0)
    usd_per_mtok_out: Decimal = Decimal(0)
    is_known: bool = False

    def cost_usd(self, tokens_in: int, tokens_out: int) -> Decimal:
        """What an answer of that size costs."""
        return (self.usd_per_mtok_in * tokens_in + self.usd_per_mtok_out * tokens_out) / Decimal(1_000_000)
