"""Every provider's wire format, against a strict fake of it on loopback: the same promises for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter
from tests.fakes.model_providers import KEY, Call, ModelProviders, Reply, default_answer

from a1zap.kit.egress import Egress
from a1zap.kit.errors import ModelUnavailable
from a1zap.llm import anthropic, google, openai
from a1zap.llm.catalog import model_from_name
from a1zap.llm.contract import (
    Finished,
    Model,
    ModelEvent,
    ModelRefused,
    ModelRequest,
    Said,
    Text,
    Tool,
    ToolCall,
)
from a1zap.llm.wire import BadAnswer, Limits, _Answer

NAMES = ["openai:gpt-4.1", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash"]
REQUEST = ModelRequest("You are kind.", [Said("user", "What is up?")], tokens_max=99)
WEATHER = Tool(
    "weather",
    "The weather at a place.",
    {
        "type": "object",
        "properties": {
            "place": {"type": "string"},
            "days": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["place"],
        "additionalProperties": False,
    },
)


@dataclass
class Stage:
    fake: ModelProviders
    egress: Egress
    name: str

    def model(self, **limits) -> Model:
        return model_from_name(self.name, keys=self.fake.keys, egress=self.egress, limits=Limits(**limits))

    async def ask(self, request: ModelRequest = REQUEST, **limits) -> list[ModelEvent]:
        return [event async for event in self.model(**limits).stream(request)]


@pytest.fixture(params=NAMES)
async def stage(request) -> AsyncIterator[Stage]:
    async with ModelProviders() as fake, Egress() as egress:
        yield Stage(fake, egress, request.param)


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


# -- what works --------------------------------------------------------------------------------------------------


async def test_an_answer_arrives_in_pieces_and_ends_with_what_it_used(stage):
    events = await stage.ask()
    assert [type(event) for event in events[:-1]] == [Text] * 3
    assert text_of(events) == default_answer("What is up?")
    assert events[-1] == Finished("stop", tokens_in=11, tokens_out=7)


async def test_pieces_are_handed_on_before_the_answer_is_whole(stage):
    stage.fake.script(Reply("one", "two", each_after_s=0.3))
    async with aclosing(stage.model().stream(REQUEST)) as events:
        started_s = asyncio.get_running_loop().time()
        assert await anext(events) == Text("one")
        assert asyncio.get_running_loop().time() - started_s < 0.25


async def test_the_request_is_what_the_provider_wants_and_keeps_our_words_apart_from_theirs(stage):
    await stage.ask(replace(REQUEST, temperature=0.5))
    asked = stage.fake.requests[0]
    body = orjson.dumps(asked.body).decode()
    assert asked.model == stage.name.partition(":")[2]
    assert KEY in " ".join(asked.headers.values()) and KEY not in asked.path and KEY not in body
    assert "0.5" in body and "99" in body
    spoken = {
        "openai": lambda b: (b["messages"][0], b["messages"][1:]),
        "anthropic": lambda b: (b["system"], b["messages"]),
        "google": lambda b: (b["systemInstruction"], b["contents"]),
    }
    system, history = spoken[asked.provider](asked.body)
    assert "You are kind." in str(system) and "What is up?" not in str(system)
    assert "What is up?" in str(history) and "You are kind." not in str(history)


async def test_a_tool_is_called_and_its_result_goes_back(stage):
    request = replace(REQUEST, tools=[WEATHER])
    stage.fake.script(Reply("Let me look.", calls=[Call("weather", {"place": "Zürich"}), Call("weather")]))
    events = await stage.ask(request)
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [
        ("weather", {"place": "Zürich"}),
        ("weather", {}),
    ]
    assert len({call.id for call in calls}) == 2 and all(call.id for call in calls)
    assert text_of(events) == "Let me look." and events[-1].reason == "tools"
    results = [Said("tool", f"{n} degrees", tool_call_id=call.id) for n, call in enumerate(calls)]
    said = [*request.history, Said("assistant", "Let me look.", tool_calls=calls), *results]
    assert (await stage.ask(replace(request, history=said)))[
        -1
    ].reason == "stop"  # the fake checks the pairing
    body = orjson.dumps(stage.fake.requests[-1].body).decode()
    assert "0 degrees" in body and "1 degrees" in body and "Zürich" in body


async def test_a_tool_without_parameters_can_be_offered(stage):
    tool = Tool("now", "The time.", {"type": "object", "properties": {}})
    stage.fake.script(Reply(calls=[Call("now")]))
    events = await stage.ask(replace(REQUEST, tools=[tool]))
    assert [event.name for event in events if isinstance(event, ToolCall)] == ["now"]


class Inner(BaseModel):
    kind: str = Field(min_length=2)
    score: float | None


class Document(BaseModel):
    name: str
    inner: list[Inner] = Field(min_length=1)
    note: str | None = None
    of_kind: Inner | None = None


async def test_a_schema_makes_the_whole_answer_one_document(stage):
    events = await stage.ask(replace(REQUEST, schema=TypeAdapter(Document).json_schema()))
    assert isinstance(events[-1], Finished) and events[-1].reason == "stop"
    assert not any(isinstance(event, ToolCall) for event in events)
    assert Document.model_validate_json(text_of(events)).inner[0].kind == "xx"


async def test_usage_that_is_not_told_is_estimated_and_said_to_be(stage):
    stage.fake.script(Reply("x" * 400, has_usage=False))
    finished = (await stage.ask())[-1]
    assert finished.is_usage_estimated and finished.tokens_out == 100 and finished.tokens_in > 10


async def test_a_history_that_the_agent_began_is_accepted(stage):
    said = [
        Said("assistant", "Hello!"),
        Said("user", "a"),
        Said("user", "b"),
        Said("assistant", ""),
        Said("user", "c"),
    ]
    if stage.name.startswith("openai"):
        said.pop(3)
    assert text_of(await stage.ask(replace(REQUEST, history=said))) == default_answer("c")


async def test_connections_are_used_again(stage):
    for _ in range(3):
        await stage.ask()
    assert len({asked.peer for asked in stage.fake.requests}) == 1


async def test_connections_are_used_again_when_the_end_of_the_stream_comes_a_little_late(stage):
    stage.fake.always(Reply("a", lingers_s=0.05))
    for _ in range(3):
        await stage.ask()
    assert len({asked.peer for asked in stage.fake.requests}) == 1


async def test_a_server_that_says_done_and_never_ends_the_stream_is_not_waited_for():
    async with ModelProviders() as fake, Egress() as egress:
        fake.script(Reply("a", lingers_s=2))
        started_s = asyncio.get_running_loop().time()
        assert text_of(await Stage(fake, egress, NAMES[0]).ask()) == "a"
        assert asyncio.get_running_loop().time() - started_s < 1


async def test_who_stops_listening_hangs_up(stage):
    stage.fake.script(Reply("more ", is_endless=True, each_after_s=0.01))
    async with aclosing(stage.model().stream(REQUEST)) as events:
        await anext(events)
    for _ in range(100):
        if stage.fake.n_left_early:
            break
        await asyncio.sleep(0.02)
    assert stage.fake.n_left_early == 1


@pytest.mark.parametrize("reason", ["length", "filtered"])
async def test_an_answer_that_did_not_end_by_itself_says_why(stage, reason):
    stage.fake.script(Reply("half an", reason=reason))
    events = await stage.ask()
    assert text_of(events) == "half an" and events[-1].reason == reason


async def test_a_filtered_answer_may_be_empty(stage):
    stage.fake.script(Reply(reason="filtered"))
    assert [event.reason for event in await stage.ask()] == ["filtered"]


# -- what fails --------------------------------------------------------------------------------------------------


def shows_nothing(error: BaseException) -> bool:
    seen = f"{error!s} {error!r}"
    return "secret" not in seen and KEY not in seen and "What is up" not in seen


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_unavailable(stage, status):
    stage.fake.script(Reply(status=status, error_code="rate_limit_exceeded", retry_after="7"))
    with pytest.raises(
        ModelUnavailable, match=f"{stage.name}: HTTP {status} (?i:rate_limit_exceeded)"
    ) as caught:
        await stage.ask()
    assert caught.value.retry_after_s == 7 and shows_nothing(caught.value)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 413, 422])
async def test_what_will_not_pass_is_refused(stage, status):
    stage.fake.script(Reply(status=status, error_code="context_length_exceeded"))
    with pytest.raises(
        ModelRefused, match=f"{stage.name}: HTTP {status} (?i:context_length_exceeded)"
    ) as caught:
        await stage.ask()
    assert shows_nothing(caught.value)


async def test_a_wrong_key_is_refused_and_not_shown(stage):
    keys = replace(stage.fake.keys, openai_api_key="sk-1", anthropic_api_key="sk-1", google_api_key="sk-1")
    model = model_from_name(stage.name, keys=keys, egress=stage.egress)
    assert "sk-1" not in repr(model) and "sk-1" not in repr(keys)
    with pytest.raises(ModelRefused, match="401") as caught:
        [event async for event in model.stream(REQUEST)]
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("wish", "seconds"), [("2.5", 2.5), ("-1", 0), ("1e99", 3600), ("nan", None), ("soon", None), ("", None)]
)
async def test_a_wish_to_wait_is_read_with_care(stage, wish, seconds):
    stage.fake.script(Reply(status=429, retry_after=wish))
    with pytest.raises(ModelUnavailable) as caught:
        await stage.ask()
    assert caught.value.retry_after_s == seconds


async def test_a_wish_to_wait_may_be_a_date(stage):
    stage.fake.script(Reply(status=429, retry_after="Fri, 31 Dec 2100 23:59:59 GMT"))
    with pytest.raises(ModelUnavailable) as caught:
        await stage.ask()
    assert caught.value.retry_after_s == 3600


@pytest.mark.parametrize(
    "reply",
    [
        Reply("half an answ", cut_after=1),
        Reply("half an answ", ends_quietly=True),
        Reply("half an answ", breaks_with_error=True),
        Reply("a", calls=[Call("weather", raw='{"place": ')]),
        Reply("a", calls=[Call("weather", raw='["secret"]')]),
        Reply(raw=b"{"),
        Reply(raw=b"<html>secret</html>"),
        Reply(raw=b"null"),
        Reply(raw=b"[]"),
        Reply(raw=b'"secret"'),
        Reply(raw=b'{"choices":[7],"candidates":[7],"type":7}'),
        Reply(raw=b'{"choices":[{"delta":{"content":["secret"]}}],"candidates":[{"content":[]}]}'),
        Reply(raw=b'{"choices":{"a":1},"candidates":{"a":1},"type":"content_block_delta"}'),
        Reply(raw=b"[DONE]"),
        Reply(),
    ],
)
async def test_nonsense_in_any_form_is_unavailable_and_never_shown(stage, reply):
    stage.fake.script(reply)
    with pytest.raises(ModelUnavailable, match=f"^{stage.name}: ") as caught:
        await stage.ask(replace(REQUEST, tools=[WEATHER]))
    assert shows_nothing(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


async def test_a_million_characters_are_enough(stage):
    stage.fake.script(Reply("x" * 500_000, "x" * 500_000), Reply("x" * 500_000, "x" * 500_001))
    assert len(text_of(await stage.ask())) == 1_000_000
    with pytest.raises(ModelUnavailable, match="more than 1000000 characters"):
        await stage.ask()


async def test_an_endless_answer_is_cut_by_its_size_or_by_the_total_time(stage):
    stage.fake.always(Reply("x" * 1000, is_endless=True))
    with pytest.raises(ModelUnavailable, match="more than 100000 characters"):
        await stage.ask(answer_max_chars=100_000)
    with pytest.raises(ModelUnavailable, match="more than 200000 bytes"):
        await stage.ask(wire_max_bytes=200_000)
    stage.fake.always(Reply("x", is_endless=True, each_after_s=0.02))
    started_s = asyncio.get_running_loop().time()
    with pytest.raises(ModelUnavailable, match="did not answer"):
        await stage.ask(total_s=0.3)
    assert asyncio.get_running_loop().time() - started_s < 1


@pytest.mark.parametrize(
    ("reply", "limits"),
    [
        (Reply("a", headers_after_s=2), {"first_byte_s": 0.15}),
        (Reply("a", first_after_s=2), {"first_byte_s": 0.15}),
        (Reply("a", "b", each_after_s=2), {"idle_s": 0.15}),
        (Reply("a", headers_after_s=2), {"total_s": 0.15}),
    ],
)
async def test_silence_is_cut_where_it_lasts_too_long(stage, reply, limits):
    stage.fake.script(reply)
    started_s = asyncio.get_running_loop().time()
    with pytest.raises(ModelUnavailable, match="did not answer"):
        await stage.ask(**limits)
    assert asyncio.get_running_loop().time() - started_s < 1


async def test_a_server_that_is_not_there_is_unavailable(stage):
    model = stage.model()
    await stage.fake._runner.cleanup()
    with pytest.raises(ModelUnavailable, match=f"{stage.name}: request to '127.0.0.1' failed: no connection"):
        [event async for event in model.stream(REQUEST)]


async def test_an_owners_address_may_not_point_into_the_house(stage):
    model = model_from_name(
        stage.name, keys=replace(stage.fake.keys, are_operators=False), egress=stage.egress
    )
    with pytest.raises(ModelRefused, match="A1ZAP_EGRESS_ALLOW"):
        [event async for event in model.stream(REQUEST)]
    assert stage.fake.requests == []


# -- what compatible servers leave out ---------------------------------------------------------------------------


def read_openai(*chunks: dict, is_done: bool = False) -> list[ModelEvent]:
    reader = openai.AnswerReader()
    return [event for chunk in chunks for event in reader.read(chunk)] + list(reader.end(is_done=is_done))


def test_a_server_may_leave_out_done_usage_and_the_role():
    events = read_openai({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})
    assert events == [Text("a"), Finished("stop")]


def test_a_server_may_leave_out_the_reason_if_it_says_done():
    assert read_openai({"choices": [{"delta": {"content": "a"}}]}, is_done=True)[-1] == Finished("stop")
    with pytest.raises(BadAnswer):
        read_openai({"choices": [{"delta": {"content": "a"}}]})


def test_a_server_may_leave_out_index_and_id_of_tool_calls_and_send_them_whole():
    call = {"function": {"name": "f", "arguments": '{"a":1}'}}
    events = read_openai({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "stop"}]})
    assert events == [ToolCall("call_0", "f", {"a": 1}), Finished("tools")]


def test_tool_calls_without_index_are_told_apart_by_their_id():
    pieces = [
        {"id": "x", "function": {"name": "f", "arguments": '{"a"'}}, {"function": {"arguments": ":1}"}},
        {"id": "y", "function": {"name": "g", "arguments": ""}},
    ]  # fmt: skip
    events = read_openai(
        *({"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces), is_done=True
    )
    assert events[:2] == [ToolCall("x", "f", {"a": 1}), ToolCall("y", "g", {})]


def test_a_tool_call_that_ran_out_of_tokens_is_dropped():
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": '{"a'}}
    events = read_openai(
        {"choices": [{"delta": {"content": "b", "tool_calls": [call]}, "finish_reason": "length"}]}
    )
    assert events == [Text("b"), Finished("length")]


def test_a_refusal_is_shown_and_counts_as_filtered():
    events = read_openai(
        {"choices": [{"delta": {"refusal": "I won't."}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    )
    assert events == [Text("I won't."), Finished("filtered")]


async def test_only_openai_itself_is_asked_with_the_new_name_of_the_token_limit():
    assert "max_completion_tokens" in openai.request_body("m", REQUEST)
    async with ModelProviders() as fake, Egress() as egress:
        await Stage(fake, egress, NAMES[0]).ask()
        assert (
            fake.requests[0].body["max_tokens"] == 99 and "max_completion_tokens" not in fake.requests[0].body
        )


def test_anthropic_thinking_and_events_to_come_are_passed_over():
    reader = anthropic.AnswerReader()
    for event in (
        {"type": "ping"},
        {"type": "a_new_kind"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": "secret"},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}},
        {"type": "content_block_stop", "index": 0},
    ):
        assert list(reader.read(event)) == []


def test_gemini_gets_only_the_schema_words_it_knows():
    schema = {
        "$defs": {
            "Inner": {"type": "object", "properties": {"me": {"$ref": "#/$defs/Inner"}, "k": {"const": "v"}}}
        },
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "const": {"$ref": "#/$defs/Inner"},
            "maybe": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}], "default": None},
            "several": {"type": ["string", "integer", "null"]},
            "level": {"enum": [1, 2], "type": "integer", "exclusiveMinimum": 0},
            "when": {"type": "string", "format": "date-time"},
        },
    }
    sent = google.openapi_schema(schema)
    assert sent["properties"]["maybe"] == {"type": "string", "nullable": True}
    assert sent["properties"]["several"] == {
        "anyOf": [{"type": "string"}, {"type": "integer"}],
        "nullable": True,
    }
    assert sent["properties"]["level"] == {"type": "integer"}
    assert sent["properties"]["when"] == {"type": "string", "format": "date-time"}
    assert sent["properties"]["const"]["properties"]["k"] == {"enum": ["v"]}
    assert "$" not in orjson.dumps(sent).decode() and "additionalProperties" not in sent


# -- anything at all ---------------------------------------------------------------------------------------------

WORDS = [
    "choices", "delta", "content", "tool_calls", "function", "arguments", "name", "index", "id", "usage", "type",
    "content_block", "content_block_delta", "content_block_start", "content_block_stop", "message_delta", "message",
    "message_start", "input_json_delta", "partial_json", "tool_use", "text", "text_delta", "candidates", "parts",
    "functionCall", "args", "finishReason", "finish_reason", "usageMetadata", "promptTokenCount", "STOP", "stop",
]  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 2**53)
    | st.floats(allow_nan=False)
    | st.sampled_from(WORDS)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=12,
)


@given(
    st.lists(VALUES, max_size=4),
    st.sampled_from([openai.AnswerReader, anthropic.AnswerReader, google.AnswerReader]),
)
def test_any_json_is_an_answer_or_a_bad_answer(values, reader):
    answer = _Answer(reader(), 1_000_000)
    try:
        for value in values:
            for event in answer.read(b"data: " + orjson.dumps(value) + b"\n\n"):
                assert isinstance(event, Text | ToolCall)
        assert isinstance(answer.end(bytes_sent=10)[-1], Finished)
    except BadAnswer:
        pass


@given(st.binary(max_size=80), st.integers(1, 80))
def test_any_bytes_are_an_answer_or_a_bad_answer(raw, size):
    answer = _Answer(openai.AnswerReader(), 1_000_000)
    try:
        for at in range(0, len(raw), size):
            answer.read(raw[at : at + size])
        answer.end(bytes_sent=10)
    except BadAnswer:
        pass


@given(st.integers(1, 40))
def test_events_are_the_same_however_the_bytes_are_cut(size):
    texts = ["é€", "😀 ", 'quote " and \\ and \n', "end"]
    events = [orjson.dumps({"choices": [{"delta": {"content": text}}]}) for text in texts]
    raw = (
        b": hello\r\n\r\n"
        + b"".join(b"event: x\r\ndata: " + event + b"\r\n\r\n" for event in events)
        + b"data: [DONE]"
    )
    answer = _Answer(openai.AnswerReader(), 1_000_000)
    found = [event for at in range(0, len(raw), size) for event in answer.read(raw[at : at + size])]
    found += answer.end(bytes_sent=10)
    assert [event.text for event in found[:-1]] == texts and isinstance(found[-1], Finished)
