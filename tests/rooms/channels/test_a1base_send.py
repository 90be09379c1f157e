"""What leaves for A1Base, in the form that its own framework sends; and each of its answers, as behaviour."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import web

from a1zap.channels.a1base.channel import A1Base
from a1zap.channels.a1base.parse import normal_number
from a1zap.channels.a1base.send import send_calls
from a1zap.channels.contract import (
    AccountBroken,
    ChannelAccount,
    Outbound,
    OutboundFile,
    SendAmbiguous,
    SendRefused,
)
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, NotConfigured

ACCOUNT = ChannelAccount(
    uuid4(),
    uuid4(),
    uuid4(),
    "a1base",
    "+15550001111",
    {"account_id": "acc/1", "api_key": "key", "api_secret": "secret", "base_url": "https://x.example/v1"},
)
HELLO = Outbound(
    id=uuid4(),
    chat_external_id="chat/7",
    chat_type="individual",
    service="whatsapp",
    to_address="+61400123456",
    text="Hello",
    first_tried_at=datetime.now(UTC),
)


def file(name: str, mime_type: str, size: int = 1000) -> OutboundFile:
    async def load() -> bytes:
        raise AssertionError("A1Base fetches files by their address")

    return OutboundFile(name, mime_type, size, f"https://a1zap.example/files/{name}", load)


# ── what is sent ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_individual_and_group_in_the_proven_form():
    path, calls = send_calls(ACCOUNT, HELLO)
    assert path == "/messages/individual/acc%2F1/send"
    head = {"from": "+15550001111", "service": "whatsapp"}
    assert calls == [{**head, "to": "+61400123456", "content": "Hello"}]
    path, calls = send_calls(ACCOUNT, replace(HELLO, chat_type="group", to_address=None))
    assert path == "/messages/group/acc%2F1/send"
    assert calls == [{**head, "thread_id": "chat/7", "content": "Hello"}]


def test_files_leave_one_a_call_with_the_text_on_the_first():
    files = (file("menu.png", "image/png"), file("offer.pdf", "application/pdf"))
    _, calls = send_calls(ACCOUNT, replace(HELLO, files=files))
    assert [(c["message_type"], c["media_type"], c.get("caption"), c["media_url"]) for c in calls] == [
        ("media", "image", "Hello", "https://a1zap.example/files/menu.png"),
        ("media", "document", None, "https://a1zap.example/files/offer.pdf"),
    ]
    assert all(call["content"] for call in calls), "A1Base wants it, whatever is in the caption"
    _, long = send_calls(ACCOUNT, replace(HELLO, text="x" * 1025, files=files))
    assert [("caption" in c, c.get("message_type")) for c in long] == [
        (False, None),
        (False, "media"),
        (False, "media"),
    ]
    _, bare = send_calls(ACCOUNT, replace(HELLO, text="", files=files[:1]))
    assert len(bare) == 1 and "caption" not in bare[0]


@pytest.mark.parametrize(
    ("mime_type", "size", "media_type"),
    [
        ("image/jpeg", 5_000_000, "image"),
        ("image/jpeg", 5_000_001, "document"),
        ("video/mp4", 16_000_000, "video"),
        ("video/mp4", 16_000_001, "document"),
        ("audio/ogg", 16_000_000, "audio"),
        ("application/zip", 100_000_000, "document"),
        ("nonsense", 1, "document"),
    ],
)
def test_what_is_too_large_for_its_kind_is_a_document(mime_type: str, size: int, media_type: str):
    _, (call,) = send_calls(ACCOUNT, replace(HELLO, files=(file("f", mime_type, size),)))
    assert call["media_type"] == media_type


def test_what_a1base_never_takes_is_refused_before_it_is_called():
    def refused(**changes: Any) -> str:
        with pytest.raises(SendRefused) as caught:
            send_calls(ACCOUNT, replace(HELLO, **changes))
        return str(caught.value)

    assert "'huge.iso'" in refused(files=(file("huge.iso", "application/x-iso", 100_000_001),))
    assert "nothing" in refused(text=" \n") and "nothing" in refused(text="", service="sms")
    assert "nobody" in refused(to_address=None)
    assert "1,201" in refused(service="sms", text="x" * 1201)


def test_sms_is_text_and_files_ride_as_links():
    sms = replace(HELLO, service="sms", files=(file("menu.png", "image/png"),))
    _, (call,) = send_calls(ACCOUNT, sms)
    assert call["content"] == "Hello\nhttps://a1zap.example/files/menu.png" and call["service"] == "sms"
    _, (longest,) = send_calls(ACCOUNT, replace(HELLO, service="sms", text="x" * 1200))
    assert len(longest["content"]) == 1200


def test_buttons_become_a_list_to_answer_from():
    rich = {"buttons": [{"id": "a", "title": "Yes"}, {"id": "b", "title": "No"}, "nonsense", {}]}
    _, (call,) = send_calls(ACCOUNT, replace(HELLO, rich=rich))
    assert call["content"] == "Hello\n\n1. Yes\n2. No"


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+61400123456", "+61400123456"),
        ("61400123456", "+61400123456"),
        ("0061400123456", "+61400123456"),
        (" +61 (400) 123-456 ", "+61400123456"),
        ("61400123456@s.whatsapp.net", "+61400123456"),
        ("+", ""),
        ("", ""),
        ("123", ""),
        ("jane1984@icloud.com", ""),
        ("٦١٤٠٠١٢٣٤٥٦", ""),
        ("+" + "1" * 21, ""),
    ],
)
def test_numbers_have_one_form(written: str, number: str):
    assert normal_number(written) == number


# ── what it answers ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Api:
    """Gives the next of its answers to each call; the last one for ever."""

    answers: list[Callable[[], web.StreamResponse]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    account: ChannelAccount = ACCOUNT

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.bodies.append(orjson.loads(raw) if raw else None)
        self.paths.append(f"{request.method} {request.raw_path}")
        assert (request.headers["x-api-key"], request.headers["x-api-secret"]) == ("key", "secret")
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    found = Api()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    credentials = {**ACCOUNT.credentials, "base_url": f"http://127.0.0.1:{port}/v1/"}
    found.account = replace(ACCOUNT, credentials=credentials)
    yield found
    await runner.cleanup()


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with Egress(allow=(ip_network("127.0.0.0/8"),)) as found:
        yield found


def says(status: int, body: Any = None, **headers: str) -> Callable[[], web.StreamResponse]:
    return lambda: web.json_response(body if body is not None else {}, status=status, headers=headers)


ANSWERS: list[tuple[int, Any, type[Exception] | None, str]] = [
    (200, {"to": "x", "from": "y", "body": "Hello", "status": "queued"}, None, ""),
    (201, {"data": {"status": "sent", "message_id": "m-1"}}, None, ""),
    (200, [], None, ""),
    (200, {"status": "error", "message": "Hello"}, SendRefused, "status 'error'"),
    (400, {}, SendRefused, "400"),
    (401, {}, AccountBroken, "api_key"),
    (403, {}, SendRefused, "403"),
    (404, {}, SendRefused, "404"),
    (409, {}, SendRefused, "409"),
    (
        422,
        {"detail": [{"loc": ["body", "to"], "msg": "Hello is no number", "type": "value_error"}]},
        SendRefused,
        "422: body.to value_error",
    ),
    (422, {"detail": "Hello"}, SendRefused, "422"),
    (422, {"detail": [7]}, SendRefused, "422"),
    (301, {}, SendRefused, "301"),
    (429, {}, ChannelUnavailable, "429"),
    (408, {}, ChannelUnavailable, "408"),
    (500, {}, ChannelUnavailable, "500"),
    (503, {}, ChannelUnavailable, "503"),
    (502, {}, SendAmbiguous, "may have"),
    (504, {}, SendAmbiguous, "may have"),
]


@pytest.mark.parametrize(("status", "body", "error", "said"), ANSWERS)
async def test_an_answer_says_whose_move_it_is(
    api: Api, egress: Egress, status: int, body: Any, error: type[Exception] | None, said: str
):
    api.answers = [says(status, body)]
    if error is None:
        sent = await A1Base().send(api.account, HELLO, egress)
        assert sent.external_id == ("m-1" if status == 201 else None)
        return
    with pytest.raises(error) as caught:
        await A1Base().send(api.account, HELLO, egress)
    assert type(caught.value) is error and said in str(caught.value)
    assert "Hello" not in str(caught.value), "what was said stays out of what went wrong"


async def test_a_wait_that_it_asks_for_is_kept(api: Api, egress: Egress):
    api.answers = [says(429, **{"retry-after": "7"})]
    with pytest.raises(ChannelUnavailable) as caught:
        await A1Base().send(api.account, HELLO, egress)
    assert caught.value.retry_after_s == 7


async def test_a_2xx_with_an_endless_body_was_taken_all_the_same(api: Api, egress: Egress):
    api.answers = [says(200, {"message_id": "m", "echo": "x" * (2 << 20)})]
    assert (await A1Base().send(api.account, HELLO, egress)).external_id is None


async def test_a_break_between_two_files_is_a_doubt_and_no_clean_failure(api: Api, egress: Egress):
    files = (file("a.png", "image/png"), file("b.png", "image/png"))
    for failure in (says(500), says(422), says(401)):
        api.answers, api.bodies = [says(200, {"message_id": "m"}), failure], []
        with pytest.raises(SendAmbiguous, match="1 of 2"):
            await A1Base().send(api.account, replace(HELLO, files=files), egress)
        assert len(api.bodies) == 2
    assert await A1Base().was_sent(api.account, replace(HELLO, files=files), egress) is None
    api.answers, api.bodies = [says(200, {"message_id": "m-7"}), says(200, {"message_id": "m-8"})], []
    assert (await A1Base().send(api.account, replace(HELLO, files=files), egress)).external_id == "m-7"


CHECKS: list[tuple[int, type[Exception] | None]] = [
    (200, None),
    (401, AccountBroken),
    (403, AccountBroken),
    (404, SendRefused),
    (429, ChannelUnavailable),
    (502, ChannelUnavailable),
]


@pytest.mark.parametrize(("status", "error"), CHECKS)
async def test_a_check_only_asks(api: Api, egress: Egress, status: int, error: type[Exception] | None):
    api.answers = [says(status, {"threads": []})]
    check: Awaitable[str] = A1Base().check(api.account, egress)
    if error is None:
        assert "+15550001111" in await check
    else:
        with pytest.raises(error):
            await check
    assert api.paths == ["GET /v1/messages/threads/acc%2F1/get-all/%2B15550001111"]


async def test_without_credentials_nothing_is_sent(egress: Egress):
    bare = replace(ACCOUNT, credentials={"account_id": "a", "base_url": "https://x.example"})
    for work in (A1Base().send(bare, HELLO, egress), A1Base().was_sent(bare, HELLO, egress)):
        with pytest.raises(NotConfigured):
            await work
    with pytest.raises(NotConfigured):
        await A1Base().check(bare, egress)
