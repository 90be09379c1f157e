"""Pictures reach the models that can see, in every wire format; those that cannot are told what there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.fakes.model_providers import KEY, ModelProviders, Reply, default_answer
from tests.rooms.attachments.pictures import picture

from a1zap.kit.egress import Egress
from a1zap.kit.errors import ModelUnavailable
from a1zap.llm.catalog import model_from_name
from a1zap.llm.chain import answer_whole
from a1zap.llm.contract import Finished, Image, ModelRefused, ModelRequest, Said, Text, without_images
from a1zap.llm.transcribe import BYTES_MAX, OpenAITranscriber

NAMES = ["openai:gpt-4.1", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash"]
CAT, DOG = picture("JPEG"), picture("PNG")
REQUEST = ModelRequest(
    "You see.",
    [
        Said("user", "First.", images=[Image("image/jpeg", CAT, "[image: cat.jpg; not shown to you]")]),
        Said("assistant", "A cat."),
        Said("user", "And this?", images=[Image("image/png", DOG, "[image: dog.png; not shown to you]")]),
    ],
)


@pytest.fixture
async def fake() -> AsyncIterator[ModelProviders]:
    async with ModelProviders() as found:
        yield found


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with Egress() as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
async def test_pictures_arrive_byte_for_byte_with_their_words(
    fake: ModelProviders, egress: Egress, name: str
):
    model = model_from_name(name, keys=fake.keys, egress=egress)
    events = [event async for event in model.stream(REQUEST)]
    assert "".join(e.text for e in events if isinstance(e, Text)) == default_answer("And this?")
    assert fake.requests[0].images == [("image/jpeg", CAT), ("image/png", DOG)]


@pytest.mark.parametrize("name", NAMES)
async def test_a_picture_without_a_word_is_a_message_too(fake: ModelProviders, egress: Egress, name: str):
    model = model_from_name(name, keys=fake.keys, egress=egress)
    request = ModelRequest("", [Said("user", "", images=[Image("image/jpeg", CAT)])])
    assert [e async for e in model.stream(request)]
    assert len(fake.requests[0].images) == 1


async def test_without_pictures_nothing_of_the_request_changes(fake: ModelProviders, egress: Egress):
    """Servers that know no parts still get plain text."""
    model = model_from_name(NAMES[0], keys=fake.keys, egress=egress)
    assert [e async for e in model.stream(ModelRequest("", [Said("user", "hello")]))]
    assert fake.requests[0].body["messages"] == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize("name", NAMES)
async def test_a_model_that_refuses_pictures_is_told_of_them(fake: ModelProviders, egress: Egress, name: str):
    fake.is_blind = True
    model = model_from_name(name, keys=fake.keys, egress=egress)
    whole = await answer_whole([model], REQUEST)
    expected = "And this?\n[image: dog.png; not shown to you]"
    assert whole.text == default_answer(expected)
    assert [len(asked.images) for asked in fake.requests] == [2, 0]


async def test_the_next_model_is_shown_them_again(fake: ModelProviders, egress: Egress):
    first, second = [model_from_name(name, keys=fake.keys, egress=egress) for name in NAMES[:2]]
    fake.script(Reply(status=400), Reply(status=400), provider="openai")
    whole = await answer_whole([first, second], REQUEST)
    assert whole.model == NAMES[1]
    assert [(asked.provider, len(asked.images)) for asked in fake.requests] == [
        ("openai", 2),
        ("openai", 0),
        ("anthropic", 2),
    ]


async def test_a_refusal_without_pictures_is_not_asked_twice(fake: ModelProviders, egress: Egress):
    fake.always(Reply(status=400))
    model = model_from_name(NAMES[0], keys=fake.keys, egress=egress)
    with pytest.raises(ModelUnavailable):
        await answer_whole([model], ModelRequest("", [Said("user", "hello")]))
    assert len(fake.requests) == 1


async def test_where_nobody_counts_a_picture_is_not_counted_as_text(fake: ModelProviders, egress: Egress):
    fake.always(Reply("ok", has_usage=False))
    model = model_from_name(NAMES[0], keys=fake.keys, egress=egress)
    large = ModelRequest("", [Said("user", "hm", images=[Image("image/jpeg", picture(size=(1500, 1500)))])])
    [finished] = [e async for e in model.stream(large) if isinstance(e, Finished)]
    assert finished.is_usage_estimated
    assert 1_500 < finished.tokens_in < 2_500


def test_what_stands_for_a_picture_stands_below_the_words():
    blind = without_images(REQUEST)
    assert blind.history[0] == Said("user", "First.\n[image: cat.jpg; not shown to you]")
    assert blind.history[1] is REQUEST.history[1]
    alone = without_images(ModelRequest("", [Said("user", "", images=[Image("image/png", DOG, "[x]")])]))
    assert alone.history[0].text == "[x]"


# ── speech ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_recording_is_written_down(fake: ModelProviders, egress: Egress):
    transcriber = OpenAITranscriber(fake.base_url_openai, KEY, "whisper-1", egress)
    content = b"OggS" + bytes(range(256)) * 50 + b"\r\n--" + bytes(100)
    assert await transcriber.transcribe(content, "audio/ogg") == "I would like to book a table."
    assert fake.recordings == [("whisper-1", "audio/ogg", content)]


@pytest.mark.parametrize(
    ("status", "error"), [(500, ModelUnavailable), (429, ModelUnavailable), (400, ModelRefused)]
)
async def test_what_is_not_written_down_says_why(
    fake: ModelProviders, egress: Egress, status: int, error: type[Exception]
):
    fake.transcript = status
    with pytest.raises(error, match=str(status)):
        await OpenAITranscriber(fake.base_url_openai, KEY, "whisper-1", egress).transcribe(b"x", "audio/ogg")


async def test_a_recording_that_is_too_long_is_not_sent(fake: ModelProviders, egress: Egress):
    with pytest.raises(ModelRefused):
        await OpenAITranscriber(fake.base_url_openai, KEY, "m", egress).transcribe(
            bytes(BYTES_MAX + 1), "audio/ogg"
        )
    assert fake.recordings == []
