"""Model providers on loopback: the wire formats of OpenAI, Anthropic and Google, scripted, strict about requests.

    async with ModelProviders() as fake:
        fake.script(Reply(status=429, retry_after="1"), Reply("It ", "works."))
        ... ask through fake.keys, then look at fake.requests ...

Unscripted it gives a short answer that depends on the newest user message alone (see `default_answer`), or, where a
schema was sent, the smallest document of that schema. `python -m tests.fakes.model_providers PORT` serves it alone.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import orjson
from aiohttp import web

from a1zap.llm.catalog import ProviderKeys

Provider = Literal["openai", "anthropic", "google"]
KEY = "test-key-of-no-value"


@dataclass(frozen=True)
class Call:
    """A tool call in an answer; `raw` replaces the JSON of the arguments."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    raw: str | None = None


@dataclass(frozen=True, init=False)
class Reply:
    """One scripted answer. Seconds are waited before: headers, the first event, each further event."""

    pieces: Sequence[str]
    calls: Sequence[Call] = ()
    status: int = 200
    retry_after: str | None = None
    error_code: str = "server_error"
    headers_after_s: float = 0
    first_after_s: float = 0
    each_after_s: float = 0
    cut_after: int | None = None  # the connection is torn after so many pieces
    lingers_s: float = 0  # between the last event and the end of the stream
    ends_quietly: bool = False  # the stream ends in order, but before it said that it is complete
    raw: bytes | None = None  # sent as one event, in place of everything
    is_endless: bool = False  # the pieces again and again
    has_usage: bool = True
    tokens_in: int = 11
    tokens_out: int = 7
    reason: Literal["stop", "length", "filtered"] = "stop"
    breaks_with_error: bool = False  # an error event after the pieces

    def __init__(self, *pieces: str, **settings: Any) -> None:
        object.__setattr__(self, "pieces", pieces)
        for name, value in settings.items():
            assert name in type(self).__dataclass_fields__, name
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Asked:
    """One request that arrived."""

    provider: Provider
    model: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    peer: tuple[str, int]  # the same for two requests: they came over one connection
    images: Sequence[tuple[str, bytes]] = ()


class Refused(Exception):
    """The request breaks a rule of the real API."""


def default_answer(last_user_text: str) -> str:
    """What the fake answers when nothing is scripted."""
    return f"Answer {hashlib.sha256(last_user_text.encode()).hexdigest()[:8]}, as agreed."


class ModelProviders:
    """The three providers on one free port (or `port`)."""

    def __init__(self, *, port: int = 0) -> None:
        self.requests: list[Asked] = []
        self.port = port
        self.is_blind = False  # refuses pictures, as models do that cannot see
        self.recordings: list[tuple[str, str, bytes]] = []  # model, type and content of what was transcribed
        self.transcript: str | int = "I would like to book a table."  # or the HTTP status to answer
        self.n_left_early = 0  # callers that hung up in the middle of an answer
        self._scripted: dict[Provider | None, deque[Reply]] = {}
        self._always: dict[Provider | None, Reply] = {}
        self._runner: web.AppRunner | None = None

    def script(self, *replies: Reply, provider: Provider | None = None) -> None:
        """Answer the next requests like this, in order; `provider`: only those in its format."""
        self._scripted.setdefault(provider, deque()).extend(replies)

    def always(self, reply: Reply | None, provider: Provider | None = None) -> None:
        """Answer like this whenever nothing is scripted; None: the default answer again."""
        if reply is None:
            self._always.pop(provider, None)
        else:
            self._always[provider] = reply

    @property
    def base_url_openai(self) -> str:
        return f"http://127.0.0.1:{self.port}/openai/v1"

    @property
    def base_url_anthropic(self) -> str:
        return f"http://127.0.0.1:{self.port}/anthropic"

    @property
    def base_url_google(self) -> str:
        return f"http://127.0.0.1:{self.port}/google"

    @property
    def keys(self) -> ProviderKeys:
        return ProviderKeys(
            openai_api_key=KEY,
            openai_base_url=self.base_url_openai,
            anthropic_api_key=KEY,
            anthropic_base_url=self.base_url_anthropic,
            google_api_key=KEY,
            google_base_url=self.base_url_google,
        )

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/openai/v1/chat/completions", self._openai)
        app.router.add_post("/openai/v1/audio/transcriptions", self._transcribe)
        app.router.add_post("/anthropic/v1/messages", self._anthropic)
        app.router.add_post("/google/v1beta/models/{call}", self._google)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    # -- one way through for all three -------------------------------------------------------------------------------

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "openai", OpenAIFormat)

    async def _transcribe(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return web.Response(status=401)
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField) and form["response_format"] == "json"
        assert re.fullmatch(r"voice\.[a-z0-9]{3,4}", file.filename), "the service goes by the ending"
        self.recordings.append((str(form["model"]), file.content_type, file.file.read()))
        if isinstance(self.transcript, int):
            return web.Response(status=self.transcript)
        return web.json_response({"text": self.transcript})

    async def _anthropic(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "anthropic", AnthropicFormat)

    async def _google(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "google", GoogleFormat)

    async def _answer(
        self, request: web.Request, provider: Provider, form: type[Format]
    ) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        wire = form(body)
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        images = wire.images()
        asked = Asked(provider, wire.model(request), request.path_qs, {**request.headers}, body, peer, images)
        self.requests.append(asked)
        if request.headers.get(wire.key_header) != wire.key_prefix + KEY:
            return web.Response(status=401, body=wire.error(401, "invalid_api_key"))
        try:
            wire.check(request)
            require(not (self.is_blind and images), "this model takes no pictures")
        except Refused as error:
            return web.Response(status=400, body=wire.error(400, "invalid_request_error", str(error)))
        reply = self._next(provider) or self._default(wire)
        await asyncio.sleep(reply.headers_after_s)
        if reply.status != 200:
            headers = {"retry-after": reply.retry_after} if reply.retry_after else {}
            return web.Response(
                status=reply.status, headers=headers, body=wire.error(reply.status, reply.error_code)
            )
        if provider == "openai" and not body.get("stream"):
            return web.Response(body=wire.whole(reply), content_type="application/json")
        return await self._stream(request, reply, wire)

    def _next(self, provider: Provider) -> Reply | None:
        for key in (provider, None):
            if self._scripted.get(key):
                return self._scripted[key].popleft()
        return self._always.get(provider) or self._always.get(None)

    def _default(self, wire: Format) -> Reply:
        schema = wire.schema()
        text = default_answer(wire.last_user_text())
        if schema is not None:
            return Reply(orjson.dumps(smallest(schema, schema)).decode())
        return Reply(*(text[at : at + 9] for at in range(0, len(text), 9)))

    async def _stream(self, request: web.Request, reply: Reply, wire: Format) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await asyncio.sleep(reply.first_after_s)
        if reply.raw is not None:
            await response.write(b"data: " + reply.raw + b"\n\n")
            return response
        try:
            async for event in self._events(reply, wire):
                if event is None:
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                await response.write(event)
        except ConnectionError:
            self.n_left_early += 1
        return response

    async def _events(self, reply: Reply, wire: Format) -> AsyncIterator[bytes | None]:
        """What goes over the wire; None tears the connection."""
        if start := wire.start(reply):
            yield start
        n_sent = 0
        while True:
            for piece in reply.pieces:
                if reply.cut_after is not None and n_sent >= reply.cut_after:
                    yield None
                    return
                yield wire.piece(piece)
                n_sent += 1
                if reply.each_after_s:
                    await asyncio.sleep(reply.each_after_s)
            if not reply.is_endless:
                break
        if reply.cut_after is not None:
            yield None
        elif reply.breaks_with_error:
            yield wire.error_event()
        elif not reply.ends_quietly:
            yield wire.calls(reply)
            yield wire.end(reply)
            await asyncio.sleep(reply.lingers_s)


def event(data: Any, name: str | None = None) -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + orjson.dumps(data) + b"\n\n"


def require(holds: object, what: str) -> None:
    if not holds:
        raise Refused(what)


def _only_text(content: Any) -> Any:
    """The words of a message that may have parts."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _image(mime_type: str, data: str) -> tuple[str, bytes]:
    """A picture as the real APIs take it: of four types, in strict base64, of at most 5 MB."""
    require(mime_type in ("image/jpeg", "image/png", "image/gif", "image/webp"), "media type")
    content = base64.b64decode(data, validate=True)
    require(0 < len(content) <= 5 << 20, "a picture has at most 5 MB")
    return mime_type, content


class Format:
    """One wire format: what it insists on in a request, and how an answer looks."""

    key_header = "authorization"
    key_prefix = ""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body

    def model(self, request: web.Request) -> str:
        return self.body.get("model", "")

    def check(self, request: web.Request) -> None: ...
    def last_user_text(self) -> str: ...
    def images(self) -> list[tuple[str, bytes]]: ...
    def schema(self) -> Mapping[str, Any] | None: ...
    def start(self, reply: Reply) -> bytes: ...
    def piece(self, text: str) -> bytes: ...
    def calls(self, reply: Reply) -> bytes: ...
    def end(self, reply: Reply) -> bytes: ...
    def error_event(self) -> bytes: ...

    def error(self, status: int, code: str, message: str = "what you sent, repeated: secret words") -> bytes:
        return orjson.dumps({"error": {"message": message, "type": code, "code": code}})

    def whole(self, reply: Reply) -> bytes:
        raise NotImplementedError


class OpenAIFormat(Format):
    key_prefix = "Bearer "

    def check(self, request):
        body = self.body
        require(body.get("model"), "model")
        require(body.get("messages"), "messages")
        require("max_tokens" not in body or "max_completion_tokens" not in body, "one of the two")
        open_calls: set[str] = set()
        for message in body["messages"]:
            if message["role"] == "tool":
                require(message["tool_call_id"] in open_calls, "a tool message answers a call before it")
            elif message["role"] == "assistant":
                require(message.get("content") or message.get("tool_calls"), "content or tool_calls")
                open_calls = {call["id"] for call in message.get("tool_calls", ())}
                for call in message.get("tool_calls", ()):
                    require(len(call["id"]) <= 40, "tool call id too long")
                    require(isinstance(orjson.loads(call["function"]["arguments"]), dict), "arguments")
            else:
                require(message["role"] in ("system", "developer", "user"), "role")
                require(isinstance(message["content"], (str, list)), "content")
                for part in message["content"] if isinstance(message["content"], list) else ():
                    require(part["type"] in ("text", "image_url"), "content[].type")
                    require(part["type"] == "text" or message["role"] == "user", "only users send pictures")
        if "response_format" in body:
            wanted = body["response_format"]
            require(wanted["type"] == "json_schema", "response_format.type")
            require(wanted["json_schema"]["name"], "response_format.json_schema.name")

    def last_user_text(self):
        texts = [_only_text(m["content"]) for m in self.body["messages"] if m["role"] == "user"]
        return texts[-1] if texts and isinstance(texts[-1], str) else orjson.dumps(texts[-1:]).decode()

    def images(self):
        urls = [
            part["image_url"]["url"]
            for message in self.body["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image_url"
        ]
        return [_image(*re.fullmatch(r"data:([a-z/]+);base64,(.+)", url).groups()) for url in urls]

    def schema(self):
        return self.body.get("response_format", {}).get("json_schema", {}).get("schema")

    def _chunk(self, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": self.body["model"],
                "choices": [choice],
            }
        )

    def start(self, reply):
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def piece(self, text):
        return self._chunk({"content": text})

    def calls(self, reply):
        out = b""
        for index, call in enumerate(reply.calls):
            arguments = call.raw if call.raw is not None else orjson.dumps(call.arguments).decode()
            half = len(arguments) // 2
            function = {"name": call.name, "arguments": ""}
            first = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
            out += self._chunk({"tool_calls": [first]})
            for part in (arguments[:half], arguments[half:]):
                out += self._chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        return out

    def _reason(self, reply):
        return {"stop": "stop", "length": "length", "filtered": "content_filter"}[reply.reason]

    def end(self, reply):
        out = self._chunk({}, "tool_calls" if reply.calls else self._reason(reply))
        if reply.has_usage and self.body.get("stream_options", {}).get("include_usage"):
            usage = {
                "prompt_tokens": reply.tokens_in,
                "completion_tokens": reply.tokens_out,
                "total_tokens": reply.tokens_in + reply.tokens_out,
            }
            out += event(
                {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": usage}
            )
        return out + b"data: [DONE]\n\n"

    def error_event(self):
        return event({"error": {"message": "secret words", "type": "server_error"}})

    def whole(self, reply):
        message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.pieces)}
        usage = {"prompt_tokens": reply.tokens_in, "completion_tokens": reply.tokens_out, "total_tokens": 18}
        choice = {"index": 0, "message": message, "finish_reason": self._reason(reply)}
        return orjson.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": self.body["model"],
                "choices": [choice],
                "usage": usage,
            }
        )


class AnthropicFormat(Format):
    key_header = "x-api-key"

    def check(self, request):
        body = self.body
        require(request.headers.get("anthropic-version") == "2023-06-01", "anthropic-version")
        require(isinstance(body.get("max_tokens"), int), "max_tokens")
        require(
            body.get("messages") and body["messages"][0]["role"] == "user", "the first message is a user's"
        )
        seen: set[str] = set()
        open_uses: set[str] = set()
        for message in body["messages"]:
            require(message["role"] in ("user", "assistant"), "role")
            blocks = message["content"]
            blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
            require(blocks, "content")
            results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            require(
                results == open_uses, "tool_result blocks answer all tool_use blocks of the message before"
            )
            open_uses = set()
            for block in blocks:
                if block["type"] == "image":
                    require(message["role"] == "user", "only users send pictures")
                    require(block["source"]["type"] == "base64", "source.type")
                if block["type"] == "text":
                    require(block["text"].strip(), "text content blocks must be non-empty")
                if block["type"] == "tool_use":
                    require(block["id"] not in seen, "tool_use ids must be unique")
                    seen.add(block["id"])
                    open_uses.add(block["id"])
        for tool in body.get("tools", ()):
            require(tool["input_schema"].get("type") == "object", "input_schema.type")
        self._forced = body.get("tool_choice", {}).get("name")

    def last_user_text(self):
        texts = [
            block["text"]
            for message in self.body["messages"]
            if message["role"] == "user"
            for block in message["content"]
            if block["type"] == "text"
        ]
        return texts[-1] if texts else ""

    def images(self):
        return [
            _image(block["source"]["media_type"], block["source"]["data"])
            for message in self.body["messages"]
            for block in message["content"]
            if block["type"] == "image"
        ]

    def schema(self):
        return next(
            (t["input_schema"] for t in self.body.get("tools", ()) if t["name"] == self._forced), None
        )

    def start(self, reply):
        usage = {"input_tokens": reply.tokens_in - 1, "cache_read_input_tokens": 1, "output_tokens": 1}
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self.body["model"],
            "stop_reason": None,
            "usage": usage if reply.has_usage else None,
        }
        block: dict[str, Any] = {"type": "text", "text": ""}
        if self._forced:
            block = {"type": "tool_use", "id": "toolu_f", "name": self._forced, "input": {}}
        out = event({"type": "message_start", "message": message}, "message_start")
        out += event({"type": "ping"}, "ping")
        if not reply.pieces and not self._forced:
            return out
        return out + event(
            {"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start"
        )

    def piece(self, text):
        delta = (
            {"type": "input_json_delta", "partial_json": text}
            if self._forced
            else {"type": "text_delta", "text": text}
        )
        return event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")

    def calls(self, reply):
        out = event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        for index, call in enumerate(reply.calls, start=1):
            arguments = call.raw if call.raw is not None else orjson.dumps(call.arguments).decode()
            half = len(arguments) // 2
            block = {"type": "tool_use", "id": f"toolu_{index}", "name": call.name, "input": {}}
            out += event({"type": "content_block_start", "index": index, "content_block": block})
            for part in ("", arguments[:half], arguments[half:]):
                delta = {"type": "input_json_delta", "partial_json": part}
                out += event({"type": "content_block_delta", "index": index, "delta": delta})
            out += event({"type": "content_block_stop", "index": index})
        return out

    def end(self, reply):
        reason = {"stop": "end_turn", "length": "max_tokens", "filtered": "refusal"}[reply.reason]
        if (reply.calls or self._forced) and reply.reason == "stop":
            reason = "tool_use"
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": reply.tokens_out} if reply.has_usage else None,
        }
        return event(delta, "message_delta") + event({"type": "message_stop"}, "message_stop")

    def error_event(self):
        return event(
            {"type": "error", "error": {"type": "overloaded_error", "message": "secret words"}}, "error"
        )


class GoogleFormat(Format):
    key_header = "x-goog-api-key"
    schema_keys = frozenset(
        (
            "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties",
            "required", "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf",
            "propertyOrdering", "default", "items", "minimum", "maximum",
        )
    )  # fmt: skip

    def model(self, request):
        return request.match_info["call"].partition(":")[0]

    def check(self, request):
        require(request.match_info["call"].endswith(":streamGenerateContent"), "method")
        require(request.query.get("alt") == "sse", "alt=sse")
        known = {"contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings"}
        require(not self.body.keys() - known, f"Unknown name {self.body.keys() - known}")
        require(self.body.get("contents"), "contents")
        for content in self.body["contents"]:
            require(content["role"] in ("user", "model") and content["parts"], "contents")
            for part in content["parts"]:
                require(
                    len(part.keys() & {"text", "inlineData", "functionCall", "functionResponse"}) == 1,
                    "parts",
                )
                require("inlineData" not in part or content["role"] == "user", "only users send pictures")
        for tool in self.body.get("tools", ()):
            for declared in tool["functionDeclarations"]:
                require(not declared.keys() - {"name", "description", "parameters"}, "functionDeclarations")
                if "parameters" in declared:
                    self._check_schema(declared["parameters"])
        if schema := self.schema():
            self._check_schema(schema)

    def _check_schema(self, schema: Mapping[str, Any]) -> None:
        unknown = schema.keys() - self.schema_keys
        require(not unknown, f"Unknown name {unknown}")
        require(isinstance(schema.get("type", "string"), str), "type")
        require(all(isinstance(value, str) for value in schema.get("enum", ())), "enum")
        if schema.get("type") == "object" and "properties" in schema:
            require(schema["properties"], "should be non-empty for OBJECT type")
        for one in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
            self._check_schema(one)
        if "items" in schema:
            self._check_schema(schema["items"])

    def last_user_text(self):
        texts = [
            part["text"]
            for content in self.body["contents"]
            if content["role"] == "user"
            for part in content["parts"]
            if "text" in part
        ]
        return texts[-1] if texts else ""

    def images(self):
        return [
            _image(part["inlineData"]["mimeType"], part["inlineData"]["data"])
            for content in self.body["contents"]
            for part in content["parts"]
            if "inlineData" in part
        ]

    def schema(self):
        return self.body.get("generationConfig", {}).get("responseSchema")

    def _chunk(self, parts: Sequence[Any], **more: Any) -> bytes:
        return event({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0, **more}]})

    def start(self, reply):
        return self._chunk([{"text": "let me think: secret words", "thought": True}])

    def piece(self, text):
        return self._chunk([{"text": text}])

    def calls(self, reply):
        if not reply.calls:
            return b""
        calls = [
            {
                "functionCall": {
                    "name": call.name,
                    "args": call.raw if call.raw is not None else call.arguments,
                }
            }
            for call in reply.calls
        ]
        return self._chunk(calls)

    def end(self, reply):
        reason = {"stop": "STOP", "length": "MAX_TOKENS", "filtered": "SAFETY"}[reply.reason]
        usage = {
            "promptTokenCount": reply.tokens_in,
            "candidatesTokenCount": reply.tokens_out - 2,
            "thoughtsTokenCount": 2,
        }
        last = {
            "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": reason}]
        }
        return event({**last, **({"usageMetadata": usage} if reply.has_usage else {})})

    def error_event(self):
        return event({"error": {"code": 503, "message": "secret words", "status": "UNAVAILABLE"}})

    def error(self, status, code, message="what you sent, repeated: secret words"):
        return orjson.dumps([{"error": {"code": status, "message": message, "status": code.upper()}}])


def smallest(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """The smallest document that fits a schema of the kind pydantic writes."""
    if "$ref" in schema:
        return smallest(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("nullable"):
        return None
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return smallest(schema[several][0], root)
    kind = schema.get("type")
    if kind == "object":
        required = schema.get("required", ())
        return {name: smallest(schema["properties"][name], root) for name in required}
    if kind == "array":
        return [smallest(schema["items"], root)] * schema.get("minItems", 0)
    if kind == "string":
        return "x" * schema.get("minLength", 0)
    return {"integer": schema.get("minimum", 0), "number": schema.get("minimum", 0), "boolean": False}.get(
        kind or ""
    )


async def main(port: int) -> None:
    async with ModelProviders(port=port) as fake:
        print(fake.base_url_openai, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))
