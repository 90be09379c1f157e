"""The chain: whom it asks, how long it waits, what it says when an answer starts over, and what it never says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import pytest
from pydantic import BaseModel, TypeAdapter
from tests.fakes.model_providers import Call, ModelProviders, Reply

from a1zap.kit.egress import Egress
from a1zap.kit.errors import ModelUnavailable
from a1zap.llm.catalog import model_from_name
from a1zap.llm.chain import answer, answer_value, answer_whole, parse_value
from a1zap.llm.contract import (
    Finished,
    ModelEvent,
    ModelRefused,
    ModelRequest,
    Price,
    Restarted,
    Said,
    Text,
    ToolCall,
)

REQUEST = ModelRequest("", [Said("user", "hello")])
Act = ModelEvent | Exception | float


@dataclass
class Scripted:
    """A model that obeys the contract: each call plays the next script, the last one for ever."""

    name: str
    scripts: Sequence[Sequence[Act]]
    price: Price = field(default_factory=Price)
    n_calls: int = 0
    n_closed: int = 0

    async def stream(self, request):
        script = self.scripts[min(self.n_calls, len(self.scripts) - 1)]
        self.n_calls += 1
        try:
            for act in script:
                if isinstance(act, Exception):
                    raise act
                if isinstance(act, float):
                    await asyncio.sleep(act)
                else:
                    yield act
        finally:
            self.n_closed += 1


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def pacing(time: Time, jitter: Callable[[], float] = lambda: 1.0, **more):
    return {"clock": time, "sleep": time.sleep, "jitter": jitter, **more}


def down(reason: str = "HTTP 503", retry_after_s: float | None = None) -> ModelUnavailable:
    return ModelUnavailable(reason, retry_after_s=retry_after_s)


WELL = [Text("a"), Text("b"), Finished("stop", 3, 2)]


async def collect(*models: Scripted, **more) -> list[ModelEvent]:
    return [event async for event in answer(models, REQUEST, **more)]


async def test_the_first_model_answers_and_is_named():
    first, second = Scripted("x:1", [WELL]), Scripted("x:2", [WELL])
    assert await collect(first, second) == [
        Text("a"),
        Text("b"),
        Finished("stop", 3, 2, model="x:1", attempts=1),
    ]
    assert (first.n_calls, first.n_closed, second.n_calls) == (1, 1, 0)


async def test_an_unavailable_model_is_asked_again_after_a_pause_and_then_the_next():
    time = Time()
    first, second = Scripted("x:1", [[down()]]), Scripted("x:2", [[down()], WELL])
    events = await collect(first, second, **pacing(time, attempts=3))
    assert events[-1] == Finished("stop", 3, 2, model="x:2", attempts=5)
    assert (first.n_calls, second.n_calls) == (3, 2)
    assert time.slept == [0.5, 1.0, 0.5]  # doubled for the same model; none before the next


async def test_pauses_are_jittered_and_bounded():
    chances = iter([0.0, 0.5, 1.0, 1.0, 1.0, 1.0])
    time = Time()
    with pytest.raises(ModelUnavailable):
        await collect(Scripted("x:1", [[down()]]), **pacing(time, lambda: next(chances), attempts=7))
    assert time.slept == [0.25, 0.75, 2.0, 4.0, 8.0, 8.0]


async def test_a_providers_wish_to_wait_is_honoured():
    time = Time()
    await collect(Scripted("x:1", [[down(retry_after_s=6.5)], WELL]), **pacing(time))
    assert time.slept == [6.5]


async def test_a_wish_beyond_patience_is_left_for_the_next_model():
    time = Time()
    first, second = Scripted("x:1", [[down(retry_after_s=60)]]), Scripted("x:2", [WELL])
    assert (await collect(first, second, **pacing(time)))[-1].model == "x:2"
    assert (first.n_calls, time.slept) == (1, [])


async def test_a_refusal_goes_to_the_next_model_at_once():
    time = Time()
    first, second = Scripted("x:1", [[ModelRefused("x:1: HTTP 401")]]), Scripted("x:2", [WELL])
    assert (await collect(first, second, **pacing(time)))[-1].model == "x:2"
    assert (first.n_calls, time.slept) == (1, [])


@pytest.mark.parametrize("shown", [Text("half"), ToolCall("1", "f")])
async def test_an_answer_that_broke_off_after_something_was_shown_says_that_it_starts_over(shown):
    time = Time()
    events = await collect(Scripted("x:1", [[shown, down()], WELL]), **pacing(time))
    assert events == [
        shown,
        Restarted(),
        Text("a"),
        Text("b"),
        Finished("stop", 3, 2, model="x:1", attempts=2),
    ]


async def test_a_failure_before_anything_was_shown_is_silent():
    events = await collect(Scripted("x:1", [[down()], [down()]]), Scripted("x:2", [WELL]), **pacing(Time()))
    assert not any(isinstance(event, Restarted) for event in events)


async def test_an_answer_without_an_end_is_none():
    events = await collect(Scripted("x:1", [[Text("half")], WELL]), **pacing(Time()))
    assert events[:2] == [Text("half"), Restarted()] and events[-1].attempts == 2


async def test_when_all_fail_each_model_and_its_reason_is_named():
    models = [
        Scripted("x:1", [[Text("secret"), down("x:1: HTTP 429", retry_after_s=90)]]),
        Scripted("x:2", [[ModelRefused("x:2: HTTP 401 invalid_api_key")]]),
        Scripted("x:3", [[down("no connection", retry_after_s=40)]]),
    ]
    with pytest.raises(ModelUnavailable) as caught:
        await collect(*models, **pacing(Time()))
    assert str(caught.value) == (
        "no model answered: x:1: HTTP 429; x:2: HTTP 401 invalid_api_key; x:3: no connection"
    )
    assert caught.value.retry_after_s == 40


async def test_without_a_model_there_is_no_answer():
    with pytest.raises(ModelUnavailable, match="no model is set"):
        await collect()


async def test_the_deadline_cuts_a_model_that_never_ends_and_no_other_is_asked():
    first, second = Scripted("x:1", [[Text("a"), 5.0]]), Scripted("x:2", [WELL])
    started_s = asyncio.get_running_loop().time()
    with pytest.raises(ModelUnavailable, match=r"x:1: no whole answer within 0\.1 s"):
        await collect(first, second, deadline_s=0.1)
    assert asyncio.get_running_loop().time() - started_s < 1
    assert (first.n_closed, second.n_calls) == (1, 0)


async def test_a_model_that_hangs_leaves_time_for_the_next_and_is_not_asked_again():
    first, second = Scripted("x:1", [[5.0]]), Scripted("x:2", [WELL])
    started_s = asyncio.get_running_loop().time()
    assert (await collect(first, second, deadline_s=0.8, jitter=lambda: 0.0))[-1].model == "x:2"
    assert 0.35 < asyncio.get_running_loop().time() - started_s < 0.75
    assert (first.n_calls, first.n_closed) == (1, 1)


async def test_a_model_that_has_begun_may_take_all_the_time():
    slow = Scripted("x:1", [[Text("a"), 0.25, *WELL[1:]]])
    events = await collect(slow, Scripted("x:2", [WELL]), deadline_s=0.4)
    assert events[-1].model == "x:1" and Restarted() not in events


async def test_no_pause_outlasts_the_deadline():
    time = Time()
    first, second = Scripted("x:1", [[down(retry_after_s=15)]]), Scripted("x:2", [[down()]])
    with pytest.raises(ModelUnavailable):
        await collect(first, second, **pacing(time, attempts=9, deadline_s=10))
    assert (first.n_calls, time.now_s <= 1010) == (1, True)


async def test_who_stops_listening_stops_the_model():
    model = Scripted("x:1", [WELL])
    async with aclosing(answer([model], REQUEST)) as events:
        assert await anext(events) == Text("a")
    assert model.n_closed == 1


async def test_a_bug_is_not_taken_for_a_failing_model():
    with pytest.raises(ZeroDivisionError):
        await collect(Scripted("x:1", [[ZeroDivisionError()]]), Scripted("x:2", [WELL]))


async def test_being_cancelled_is_not_taken_for_a_failing_model():
    second = Scripted("x:2", [WELL])
    task = asyncio.create_task(collect(Scripted("x:1", [[5.0]]), second))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert second.n_calls == 0


async def test_a_whole_answer_holds_only_what_the_last_attempt_said():
    call = ToolCall("1", "f", {"a": 1})
    scripts = [[Text("half"), ToolCall("0", "g"), down()], [Text("a"), call, Finished("tools", 3, 2)]]
    whole = await answer_whole([Scripted("x:1", scripts)], REQUEST, **pacing(Time()))
    assert (whole.text, whole.tool_calls, whole.model, whole.attempts) == ("a", (call,), "x:1", 2)


class Verdict(BaseModel):
    kind: Literal["question", "complaint"]
    sure: float


VERDICTS = TypeAdapter(Verdict)


@pytest.mark.parametrize(
    "nonsense",
    [
        "secret words",
        "",
        '{"kind": "question"}',
        '{"kind": "secret", "sure": 1}',
        '{"kind": "question", "sure": "secret"}',
        '{"kind": "question", "sure": 1} secret',
        "[]",
    ],
)
async def test_a_document_that_does_not_fit_is_no_answer_and_is_not_shown(nonsense):
    first = Scripted("x:1", [[Text(nonsense), Finished("stop")]])
    second = Scripted("x:2", [[Text('{"kind": "complaint", '), Text('"sure": 0.5}'), Finished("stop")]])
    value, whole = await answer_value([first, second], REQUEST, VERDICTS, **pacing(Time()))
    assert value == Verdict(kind="complaint", sure=0.5)
    assert (whole.model, whole.attempts, first.n_calls) == ("x:2", 3, 2)
    with pytest.raises(ModelUnavailable, match="x:1: its answer does not fit the schema") as caught:
        await answer_value([first], REQUEST, VERDICTS, **pacing(Time()))
    assert "secret" not in str(caught.value)


def test_a_document_may_stand_in_a_fence():
    text = '```json\n{"kind": "question", "sure": 1}\n```\n'
    assert parse_value(text, VERDICTS) == Verdict(kind="question", sure=1)


async def test_three_providers_one_chain():
    """Through real sockets: one is down, one breaks off, one answers."""
    async with ModelProviders() as fake, Egress() as egress:
        names = ["openai:gpt-4.1", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash"]
        models = [model_from_name(name, keys=fake.keys, egress=egress) for name in names]
        fake.always(Reply(status=503), provider="openai")
        fake.always(Reply("half an ", "answ", cut_after=2), provider="anthropic")
        fake.always(Reply("Here it is.", calls=[Call("look")]), provider="google")
        time = Time()
        events = [event async for event in answer(models, REQUEST, **pacing(time))]
        kinds = [type(event) for event in events]
        half = [Text, Text, Restarted]
        assert kinds == [*half, *half, Text, ToolCall, Finished]
        assert (events[-1].model, events[-1].attempts) == (names[2], 5)
        assert [asked.provider for asked in fake.requests] == ["openai"] * 2 + ["anthropic"] * 2 + ["google"]


async def test_a_structured_answer_over_the_wire_is_asked_again_when_it_is_nonsense():
    async with ModelProviders() as fake, Egress() as egress:
        for name in ("openai:gpt-4.1", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash"):
            model = model_from_name(name, keys=fake.keys, egress=egress)
            fake.script(Reply('{"kind": "secret"}'))
            value, whole = await answer_value([model], REQUEST, VERDICTS, **pacing(Time()))
            assert (value.kind, whole.attempts) == ("question", 2)
