"""Google Gemini, generateContent (https://ai.google.dev/api/generate-content)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from a1zap.llm.contract import (
    Finished,
    ModelEvent,
    ModelRequest,
    Price,
    Said,
    Text,
    Tool,
    ToolCall,
    images_of,
)
from a1zap.llm.wire import BadAnswer, Endpoint, ask

BASE_URL: Final = "https://generativelanguage.googleapis.com"
_REASONS: Final[Mapping[str, Literal["stop", "length", "filtered"]]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "filtered",
    "RECITATION": "filtered",
    "BLOCKLIST": "filtered",
    "PROHIBITED_CONTENT": "filtered",
    "SPII": "filtered",
    "LANGUAGE": "filtered",
}
# `responseSchema` and `parameters` take a part of OpenAPI 3.0; another key in them is refused with 400.
_SCHEMA_KEYS: Final = frozenset(
    (
        "type", "format", "title", "description", "enum", "items", "minItems", "maxItems", "minLength", "maxLength",
        "pattern", "minimum", "maximum", "properties", "required", "nullable",
    )
)  # fmt: skip
_FORMATS: Final = frozenset(("date-time", "int32", "int64", "float", "double"))


@dataclass(frozen=True, slots=True)
class GoogleModel:
    """One model behind one `:streamGenerateContent`."""

    endpoint: Endpoint
    model: str
    price: Price

    @property
    def name(self) -> str:
        return self.endpoint.name

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        return ask(self.endpoint, request_body(self.model, request), AnswerReader(), images_of(request))


def request_body(model: str, request: ModelRequest) -> dict[str, Any]:
    """The JSON body that asks `model` for a streamed answer; the model itself is named in the URL."""
    settings: dict[str, Any] = {"maxOutputTokens": request.tokens_max}
    if "2.5-flash" in model:
        # Its thinking counts against maxOutputTokens and can use them up before the first word; off unless asked for.
        settings["thinkingConfig"] = {"thinkingBudget": 0}
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    if request.schema is not None:
        settings |= {"responseMimeType": "application/json", "responseSchema": openapi_schema(request.schema)}
    body: dict[str, Any] = {"contents": contents(request.history), "generationConfig": settings}
    if request.system:
        body["systemInstruction"] = {"parts": [{"text": request.system}]}
    if request.tools and request.schema is None:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
    return body


def _declaration(tool: Tool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters.get("properties"):  # an object without properties is refused
        declared["parameters"] = openapi_schema(tool.parameters)
    return declared


def contents(history: Sequence[Said]) -> list[dict[str, Any]]:
    """The history as contents; a tool's result goes by its name here, so it is looked up by the call's id."""
    names = {call.id: call.name for said in history for call in said.tool_calls}
    merged: list[dict[str, Any]] = []
    for said in history:
        role = "model" if said.role == "assistant" else "user"
        parts = _parts(said, names)
        if merged and merged[-1]["role"] == role:
            merged[-1]["parts"] += parts
        elif parts:
            merged.append({"role": role, "parts": parts})
    return merged


def _parts(said: Said, names: Mapping[str, str]) -> list[dict[str, Any]]:
    if said.role == "tool":
        name = names.get(said.tool_call_id or "", "tool")
        return [{"functionResponse": {"name": name, "response": {"result": said.text}}}]
    text = [{"text": said.text}] if said.text else []
    images = [{"inlineData": {"mimeType": image.mime_type, "data": image.base64}} for image in said.images]
    return [
        *text,
        *images,
        *({"functionCall": {"name": call.name, "args": call.arguments}} for call in said.tool_calls),
    ]


def openapi_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema, as pydantic writes it, in the part of OpenAPI that Gemini takes: `$ref` put in, null as `nullable`.

    What it cannot say is left out: the answer is validated against the whole schema in any case.
    """
    return _openapi(schema, schema.get("$defs") or {}, depth=0)


def _openapi(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if "$ref" in schema:
        schema = {**defs[schema["$ref"].rpartition("/")[2]], **schema}
    if depth > 6:  # a schema that holds itself
        return {"type": "object"}
    kept = {key: value for key, value in schema.items() if key in _SCHEMA_KEYS}
    if isinstance(kept.get("type"), list):
        del kept["type"]
    if kept.get("format") not in _FORMATS:
        kept.pop("format", None)
    values: Sequence[Any] = [schema["const"]] if "const" in schema else kept.pop("enum", ())
    if values and all(isinstance(value, str) for value in values):
        kept["enum"] = list(values)
    if "properties" in kept:
        kept["properties"] = {
            name: _openapi(one, defs, depth + 1) for name, one in kept["properties"].items()
        }
    if "items" in kept:
        kept["items"] = _openapi(kept["items"], defs, depth + 1)
    return kept | _openapi_options(schema, defs, depth)


def _openapi_options(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """`anyOf`, `oneOf` and a list of types, with null among them as `nullable`."""
    types = schema.get("type")
    choices: Sequence[Mapping[str, Any]] = schema.get("anyOf") or schema.get("oneOf") or ()
    if isinstance(types, list):
        choices = [{"type": one} for one in cast("list[str]", types)]
    options = [_openapi(one, defs, depth + 1) for one in choices if one.get("type") != "null"]
    if not options:
        return {}
    said: dict[str, Any] = options[0] if len(options) == 1 else {"anyOf": options}
    return said | ({"nullable": True} if len(options) < len(choices) else {})


class AnswerReader:
    """Reads GenerateContentResponse after GenerateContentResponse; thoughts are passed over."""

    def __init__(self) -> None:
        self._reason: Literal["stop", "length", "tools", "filtered"] | None = None
        self._tokens = (0, 0)

    def read(self, event: Mapping[str, Any]) -> Sequence[ModelEvent]:
        if "error" in event:
            raise BadAnswer("it reported an error in the middle of its answer")
        usage = event.get("usageMetadata")
        if usage:
            written = int(usage.get("candidatesTokenCount") or 0) + int(usage.get("thoughtsTokenCount") or 0)
            self._tokens = (int(usage.get("promptTokenCount") or 0), written)
        feedback: dict[str, Any] = event.get("promptFeedback") or {}
        if feedback.get("blockReason"):
            self._reason = "filtered"
        found: list[ModelEvent] = []
        for candidate in event.get("candidates") or ():
            content: dict[str, Any] = candidate.get("content") or {}
            for part in content.get("parts") or ():
                found += self._part(part)
            self._end_of(candidate.get("finishReason"))
        return found

    def _part(self, part: Mapping[str, Any]) -> Sequence[ModelEvent]:
        if part.get("text") and not part.get("thought"):
            return (Text("" + part["text"]),)
        call = part.get("functionCall")
        if not call:
            return ()
        arguments: Any = call.get("args") or {}
        if not isinstance(arguments, dict):
            raise BadAnswer("it called a tool with arguments that are no JSON object")
        self._reason = "tools"
        # Gemini need not name its calls; other providers in the chain insist on names that are unique.
        return (
            ToolCall(
                call.get("id") or f"call_{secrets.token_hex(8)}",
                call["name"],
                cast("dict[str, Any]", arguments),
            ),
        )

    def _end_of(self, reason: str | None) -> None:
        if reason is None or self._reason == "tools":
            return
        if reason not in _REASONS:  # MALFORMED_FUNCTION_CALL, OTHER
            raise BadAnswer("it gave up on its answer")
        self._reason = _REASONS[reason]

    def end(self, *, is_done: bool) -> Sequence[ModelEvent]:
        if self._reason is None and not is_done:
            raise BadAnswer("its answer broke off")
        return (Finished(self._reason or "stop", *self._tokens),)
