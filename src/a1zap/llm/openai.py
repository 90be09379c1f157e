"""OpenAI chat completions, as also spoken by vLLM, Ollama, LiteLLM, OpenRouter, Azure, Groq and many more.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from a1zap.llm.contract import Finished, ModelEvent, ModelRequest, Price, Said, Text, ToolCall, images_of
from a1zap.llm.wire import BadAnswer, Endpoint, ask

Reason = Literal["stop", "length", "tools", "filtered"]

BASE_URL: Final = "https://api.openai.com/v1"
_REASONS: Final[Mapping[str, Reason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "filtered",
}


@dataclass(frozen=True, slots=True)
class OpenAIModel:
    """One model behind one `/chat/completions`."""

    endpoint: Endpoint
    model: str
    price: Price

    @property
    def name(self) -> str:
        return self.endpoint.name

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        # OpenAI's newer models refuse `max_tokens`; most compatible servers know nothing else.
        is_openai = self.endpoint.url.startswith(BASE_URL)
        body = request_body(
            self.model, request, tokens_key="max_completion_tokens" if is_openai else "max_tokens"
        )
        return ask(self.endpoint, body, AnswerReader(), images_of(request))


def request_body(
    model: str, request: ModelRequest, *, tokens_key: str = "max_completion_tokens"
) -> dict[str, Any]:
    """The JSON body that asks `model` for a streamed answer."""
    system = [{"role": "system", "content": request.system}] if request.system else []
    body: dict[str, Any] = {
        "model": model,
        "messages": [*system, *(_message(said) for said in request.history)],
        "stream": True,
        "stream_options": {"include_usage": True},
        tokens_key: request.tokens_max,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
    if request.schema is not None:
        # Not `strict`: that refuses schemas with optional fields, and the answer is validated here in any case.
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema},
        }
    return body


def _message(said: Said) -> dict[str, Any]:
    if said.role == "tool":
        return {"role": "tool", "tool_call_id": said.tool_call_id, "content": said.text}
    if said.images:
        return {"role": said.role, "content": _parts(said)}
    if not said.tool_calls:
        return {"role": said.role, "content": said.text}
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()},
        }
        for call in said.tool_calls
    ]
    return {"role": said.role, "content": said.text or None, "tool_calls": calls}


def _parts(said: Said) -> list[dict[str, Any]]:
    """Text and pictures of one message. Only where there are pictures: many servers know no parts."""
    text = [{"type": "text", "text": said.text}] if said.text else []
    images = [
        {"type": "image_url", "image_url": {"url": f"data:{image.mime_type};base64,{image.base64}"}}
        for image in said.images
    ]
    return [*text, *images]


class AnswerReader:
    """Reads `chat.completion.chunk` events; a server may leave out usage, tool call ids, or the last event."""

    def __init__(self) -> None:
        self._reason: Reason | None = None
        self._tokens = (0, 0)
        self._calls: dict[int, dict[str, str]] = {}

    def read(self, event: Mapping[str, Any]) -> Sequence[ModelEvent]:
        if event.get("error"):
            raise BadAnswer("it reported an error in the middle of its answer")
        usage = event.get("usage")
        if usage:
            self._tokens = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        found: list[ModelEvent] = []
        for choice in event.get("choices") or ():
            # A server that cannot stream puts the whole message where the pieces would stand.
            delta: dict[str, Any] = choice.get("delta") or choice.get("message") or {}
            text: str | None = delta.get("content") or delta.get("refusal")
            if text:
                found.append(Text("" + text))
            for part in delta.get("tool_calls") or ():
                self._add_call(part)
            if delta.get("refusal"):
                self._reason = "filtered"
            elif choice.get("finish_reason") and self._reason is None:
                self._reason = _REASONS.get(choice["finish_reason"], "stop")
        return found

    def _add_call(self, part: Mapping[str, Any]) -> None:
        """Put one piece of a tool call to the others with its `index`; without one it belongs to the newest."""
        index = part.get("index")
        if index is None:
            index = len(self._calls) - (0 if part.get("id") or not self._calls else 1)
        call = self._calls.setdefault(int(index), {"id": "", "name": "", "arguments": ""})
        function: dict[str, Any] = part.get("function") or {}
        call["id"] = call["id"] or part.get("id") or ""
        call["name"] = call["name"] or function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""

    def end(self, *, is_done: bool) -> Sequence[ModelEvent]:
        if self._reason is None and not is_done:
            raise BadAnswer("its answer broke off")
        calls = (
            []
            if self._reason == "length"
            else [_tool_call(index, call) for index, call in self._calls.items()]
        )
        reason = "tools" if calls else self._reason or "stop"
        return [*calls, Finished(reason, *self._tokens)]


def _tool_call(index: int, call: Mapping[str, str]) -> ToolCall:
    arguments = orjson.loads(call["arguments"] or "{}")
    if not isinstance(arguments, dict) or not call["name"]:
        raise BadAnswer("it called a tool without a name or with arguments that are no JSON object")
    return ToolCall(call["id"] or f"call_{index}", call["name"], arguments)  # pyright: ignore[reportUnknownArgumentType]
