"""Anthropic messages (https://docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from a1zap.llm.contract import Finished, ModelEvent, ModelRequest, Price, Said, Text, ToolCall, images_of
from a1zap.llm.wire import BadAnswer, Endpoint, ask

BASE_URL: Final = "https://api.anthropic.com"
VERSION: Final = "2023-06-01"
_REASONS: Final[Mapping[str, Literal["stop", "length", "tools", "filtered"]]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tools",
    "refusal": "filtered",
}
# Structured output: the model is made to call this tool, and what it would call it with is the answer.
_ANSWER_TOOL: Final = "answer"


@dataclass(frozen=True, slots=True)
class AnthropicModel:
    """One model behind one `/v1/messages`."""

    endpoint: Endpoint
    model: str
    price: Price

    @property
    def name(self) -> str:
        return self.endpoint.name

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        reader = AnswerReader(is_structured=request.schema is not None)
        return ask(self.endpoint, request_body(self.model, request), reader, images_of(request))


def request_body(model: str, request: ModelRequest) -> dict[str, Any]:
    """The JSON body that asks `model` for a streamed answer; with a schema, other tools are not offered."""
    body: dict[str, Any] = {
        "model": model,
        "messages": messages(request.history),
        "max_tokens": request.tokens_max,
        "stream": True,
    }
    if request.system:
        body["system"] = request.system
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.schema is not None:
        tool = {"name": _ANSWER_TOOL, "description": "Give the answer.", "input_schema": request.schema}
        body |= {"tools": [tool], "tool_choice": {"type": "tool", "name": _ANSWER_TOOL}}
    elif request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
    return body


def messages(history: Sequence[Said]) -> list[dict[str, Any]]:
    """The history as messages: the user begins, roles alternate, empty texts are left out; the API insists on it."""
    merged: list[dict[str, Any]] = []
    for said in history:
        role = "assistant" if said.role == "assistant" else "user"
        blocks = _blocks(said)
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += blocks
        elif blocks:
            if not merged and role == "assistant":
                merged.append({"role": "user", "content": [{"type": "text", "text": "(the chat begins)"}]})
            merged.append({"role": role, "content": blocks})
    return merged


def _blocks(said: Said) -> list[dict[str, Any]]:
    if said.role == "tool":
        return [{"type": "tool_result", "tool_use_id": said.tool_call_id, "content": said.text}]
    text = [{"type": "text", "text": said.text}] if said.text.strip() else []
    calls = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        for call in said.tool_calls
    ]
    # Pictures before the words about them, as its makers advise.
    images = [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": image.mime_type, "data": image.base64},
        }
        for image in said.images
    ]
    return [*images, *text, *calls]


class AnswerReader:
    """Reads `message_start` to `message_stop`; thinking is passed over."""

    def __init__(self, *, is_structured: bool = False) -> None:
        self._is_structured = is_structured
        self._reason: str | None = None
        self._tokens_in = 0
        self._tokens_out = 0
        self._is_stopped = False
        self._calls: dict[int, tuple[str, str, list[str]]] = {}

    def read(self, event: Mapping[str, Any]) -> Sequence[ModelEvent]:
        match event["type"]:
            case "content_block_delta":
                return self._delta(event["index"], event["delta"])
            case "content_block_start" if event["content_block"]["type"] == "tool_use":
                block = event["content_block"]
                self._calls[event["index"]] = (block["id"], block["name"], [])
            case "content_block_stop" if not self._is_structured and event["index"] in self._calls:
                return self._called(event["index"])
            case "message_start":
                self._count(event["message"].get("usage") or {})
            case "message_delta":
                self._reason = event["delta"].get("stop_reason") or self._reason
                self._count(event.get("usage") or {})
            case "message_stop":
                self._is_stopped = True
            case "error":
                raise BadAnswer("it reported an error in the middle of its answer")
            case _:  # ping, and what may come: the API asks its callers to pass over what they do not know
                pass
        return ()

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Sequence[ModelEvent]:
        if delta["type"] == "text_delta" and not self._is_structured:
            return (Text("" + delta["text"]),)
        if delta["type"] == "input_json_delta":
            if self._is_structured:
                return (Text("" + delta["partial_json"]),)
            self._calls[index][2].append(delta["partial_json"])
        return ()

    def _called(self, index: int) -> Sequence[ModelEvent]:
        call_id, name, pieces = self._calls.pop(index)
        arguments = orjson.loads("".join(pieces) or "{}")
        if not isinstance(arguments, dict):
            raise BadAnswer("it called a tool with arguments that are no JSON object")
        return (ToolCall(call_id, name, arguments),)  # pyright: ignore[reportUnknownArgumentType]

    def _count(self, usage: Mapping[str, Any]) -> None:
        """Input arrives first, output counts up; input that was cached is input all the same."""
        keys = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        self._tokens_in = max(self._tokens_in, sum(int(usage.get(key) or 0) for key in keys))
        self._tokens_out = max(self._tokens_out, int(usage.get("output_tokens") or 0))

    def end(self, *, is_done: bool) -> Sequence[ModelEvent]:
        if not (self._is_stopped or is_done):
            raise BadAnswer("its answer broke off")
        reason = _REASONS.get(self._reason or "end_turn", "stop")
        if self._is_structured and reason == "tools":
            reason = "stop"
        return (Finished(reason, self._tokens_in, self._tokens_out),)
