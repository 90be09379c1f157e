"""What the wire formats have in common: one POST, server-sent events back, and what may go wrong on the way."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol, cast

import orjson

from a1zap.kit.egress import Egress, EgressFailed, EgressRefused, EgressStream, EgressTimedOut, LineCutter
from a1zap.kit.errors import ModelUnavailable
from a1zap.llm.contract import Finished, Image, ModelEvent, ModelRefused, Text, ToolCall

# Errors show a provider's own error code only if it is plain words: anything else may be message text or a key.
_ERROR_CODE: Final = re.compile(r"[A-Za-z_]{3,60}")
_RETRY_AFTER_MAX_S: Final = 3600.0
_IMAGE_TOKENS: Final = 1600  # about what the large models take for one of 1568 x 1568


class BadAnswer(Exception):
    """A reader says, in our words and without message text, why it cannot use what the provider sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take. Before the first byte a model may think; after it, silence means trouble."""

    first_byte_s: float = 60
    idle_s: float = 30
    total_s: float = 300
    answer_max_chars: int = 1_000_000
    wire_max_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and as whom one model is asked. `is_trusted`: the operator set the address, not an owner."""

    name: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    egress: Egress = field(repr=False)
    is_trusted: bool = False
    limits: Limits = field(default_factory=Limits)


class Reader(Protocol):
    """Understands the events of one answer in one wire format; made anew for each call."""

    def read(self, event: Mapping[str, Any]) -> Sequence[ModelEvent]:
        """What one event of the wire says in ours. Raises BadAnswer, or stumbles (KeyError, TypeError …) on nonsense."""
        ...

    def end(self, *, is_done: bool) -> Sequence[ModelEvent]:
        """What was still open, and `Finished`; `is_done`: the stream said that it is complete.

        Raises:
            BadAnswer: the answer broke off.
        """
        ...


async def ask(
    endpoint: Endpoint, body: Mapping[str, Any], reader: Reader, images: Sequence[Image] = ()
) -> AsyncGenerator[ModelEvent]:
    """Ask one model once and yield what `reader` makes of its answer; the promise of `contract.Model.stream`.

    `images` are those in `body`: their bytes are no text, where tokens must be guessed.
    """
    name, limits = endpoint.name, endpoint.limits
    payload = orjson.dumps(body)
    try:
        async with endpoint.egress.stream(
            "POST",
            endpoint.url,
            headers={**endpoint.headers, "content-type": "application/json", "accept": "text/event-stream"},
            body=payload,
            first_byte_s=limits.first_byte_s,
            idle_s=limits.idle_s,
            total_s=limits.total_s,
            read_max_bytes=limits.wire_max_bytes,
            trusted=endpoint.is_trusted,
        ) as stream:
            if stream.status != 200:
                raise await _failure(name, stream)
            answer = _Answer(reader, limits.answer_max_chars)
            if stream.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
                # Some compatible servers cannot stream, and answer whole whatever they were asked for.
                for event in answer.read_whole(await stream.read(limits.wire_max_bytes)):
                    yield event
            while not answer.is_done and (chunk := await stream.next_chunk()):
                for event in answer.read(chunk):
                    yield event
            await stream.drain()
            for event in answer.end(bytes_sent=_text_bytes(payload, images)):
                yield event
    except EgressRefused as error:
        raise ModelRefused(f"{name}: {error}") from None
    except (EgressFailed, EgressTimedOut) as error:
        raise ModelUnavailable(f"{name}: {error}") from None
    except BadAnswer as error:
        raise ModelUnavailable(f"{name}: {error}") from None


def _text_bytes(payload: bytes, images: Sequence[Image]) -> int:
    """Bytes of a request, each picture counted as so much text as it costs."""
    return len(payload) + sum(4 * _IMAGE_TOKENS - len(image.base64) for image in images)


_NONSENSE: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError)


class _Answer:
    """Takes the bytes of one answer apart into server-sent events (WHATWG HTML §9.2) and counts what the reader finds."""

    def __init__(self, reader: Reader, chars_max: int) -> None:
        self.is_done = False
        self._reader = reader
        self._chars_max = chars_max
        self._n_chars = 0
        self._cutter = LineCutter()
        self._data: list[bytes] = []

    def read(self, chunk: bytes) -> list[ModelEvent]:
        """What `chunk` completes. Raises BadAnswer: nonsense, or more of it than anybody asked for."""
        found: list[ModelEvent] = []
        for line in self._cutter.cut(chunk):
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
            elif not line and self._data:
                found += self._event()
        return found

    def read_whole(self, document: bytes) -> list[ModelEvent]:
        """What an answer says that came as one JSON document. Raises BadAnswer: nonsense, or too much of it."""
        self._data = [document] if document else []
        return list(self._event()) if self._data else []

    def end(self, *, bytes_sent: int) -> list[ModelEvent]:
        """The last events, `Finished` at their end. Raises BadAnswer: it broke off, or there is nothing in it."""
        found = self.read(self._cutter.rest and b"\n")  # a last line, and a last event, without their end
        if self._data:
            found += self._event()
        try:
            ending = self._reader.end(is_done=self.is_done)
        except _NONSENSE:
            raise BadAnswer("its answer is not in the expected form") from None
        self._n_chars += sum(isinstance(event, ToolCall) for event in ending)
        return [*found, *(self._counted(event, bytes_sent) for event in ending)]

    def _event(self) -> Sequence[ModelEvent]:
        data = b"\n".join(self._data)
        self._data.clear()
        if data == b"[DONE]":
            self.is_done = True
        if self.is_done:
            return ()
        try:
            found = self._reader.read(orjson.loads(data))
        except _NONSENSE:
            # `from None`: what these errors carry is the answer itself.
            raise BadAnswer("its answer is not in the expected form") from None
        self._n_chars += sum(len(event.text) if isinstance(event, Text) else 1 for event in found)
        if self._n_chars > self._chars_max:
            raise BadAnswer(f"its answer has more than {self._chars_max} characters")
        return found

    def _counted(self, event: ModelEvent, bytes_sent: int) -> ModelEvent:
        """An answer with nothing in it is none; usage that nobody counted is estimated, so that budgets hold."""
        if not isinstance(event, Finished):
            return event
        if self._n_chars == 0 and event.reason != "filtered":
            raise BadAnswer("its answer is empty")
        if event.tokens_in or event.tokens_out:
            return event
        tokens_out = max(1, self._n_chars // 4)
        return replace(event, tokens_in=bytes_sent // 4, tokens_out=tokens_out, is_usage_estimated=True)


async def _failure(name: str, stream: EgressStream) -> ModelUnavailable | ModelRefused:
    """An answer that is none, as the error it means: 408, 409, 429 and 5xx may pass, all else will not."""
    code = _error_code(await stream.read(65_536))
    detail = f"{name}: HTTP {stream.status}{f' {code}' if code else ''}"
    if stream.status in (408, 409, 429) or stream.status >= 500:
        return ModelUnavailable(detail, retry_after_s=_retry_after_s(stream.headers))
    return ModelRefused(detail)


def _error_code(body: bytes) -> str | None:
    """The provider's own word for an error, as `rate_limit_exceeded`; never its message."""
    try:
        parsed: Any = orjson.loads(body)
        first = cast("dict[str, dict[str, Any]]", parsed[0] if isinstance(parsed, list) else parsed)
        words = [first["error"].get(key) for key in ("code", "status", "type")]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
    return next((word for word in words if isinstance(word, str) and _ERROR_CODE.fullmatch(word)), None)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The provider's wish in seconds, from a number or from a date beside its own clock; None without one."""
    wish = headers.get("retry-after")
    if wish is None:
        return None
    try:
        seconds = float(wish)
    except ValueError:
        try:
            # Its own clock, not ours: only the difference counts.
            seconds = (parsedate_to_datetime(wish) - parsedate_to_datetime(headers["date"])).total_seconds()
        except (ValueError, TypeError, KeyError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), _RETRY_AFTER_MAX_S)
