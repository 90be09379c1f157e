"""What leaves for WhatsApp, against a Graph API on loopback that holds it to the documented limits."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import pytest
from tests.fakes.meta import APP_SECRET, NUMBER_ID, TOKEN, Answer, FakeMeta, error_body, refused

from a1zap.channels.contract import (
    AccountBroken,
    ChannelAccount,
    Outbound,
    OutboundFile,
    SendAmbiguous,
    SendRefused,
    Thread,
)
from a1zap.channels.whatsapp import calls
from a1zap.channels.whatsapp.channel import WhatsApp
from a1zap.channels.whatsapp.errors import KNOWN, IdNotTaken, NotThere
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, Invalid, NotConfigured

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ID = UUID("0193b1a2-6c1e-7d3f-9a44-0b6e7c9d1f20")
OUTBOUND = Outbound(
    id=ID,
    chat_external_id="+16505551234",
    chat_type="individual",
    service="whatsapp",
    to_address="+16505551234",
    text="We open at nine.",
    first_tried_at=NOW,
    thread=Thread(last_inbound_id="wamid.IN", last_inbound_at=NOW - timedelta(hours=1)),
)
BEFORE_YESTERDAY = Thread(last_inbound_id="wamid.IN", last_inbound_at=NOW - timedelta(hours=24))
channel = WhatsApp(now=lambda: NOW)


@pytest.fixture
async def meta() -> AsyncIterator[FakeMeta]:
    async with FakeMeta() as fake:
        yield fake


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with Egress(allow=[ip_network("127.0.0.0/8")]) as opened:
        yield opened


def account(meta: FakeMeta, **more: str) -> ChannelAccount:
    settings = {k: v for k, v in meta.settings(**more).items() if k != "kind"}
    identity, credentials = channel.check_settings(settings)
    return ChannelAccount(ID, ID, ID, "whatsapp", identity, credentials)


def outbound(**more: Any) -> Outbound:
    return replace(OUTBOUND, **more)


def file(content: bytes, mime_type: str, name: str = "file", size: int | None = None) -> OutboundFile:
    async def load() -> bytes:
        return content

    return OutboundFile(name, mime_type, len(content) if size is None else size, "https://x.example/f", load)


async def test_text_goes_to_the_number_with_our_mark(meta: FakeMeta, egress: Egress):
    sent = await channel.send(account(meta), OUTBOUND, egress)
    assert sent.external_id == "wamid.OUT0001"
    assert meta.sent == [
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "16505551234",
            "biz_opaque_callback_data": str(ID),
            "type": "text",
            "text": {"body": "We open at nine.", "preview_url": False},
        }
    ]


async def test_a_bsuid_goes_as_recipient_and_a_group_by_its_id(meta: FakeMeta, egress: Egress):
    own = account(meta)
    await channel.send(own, outbound(to_address="bsuid:US.1"), egress)
    await channel.send(
        own, outbound(to_address="bsuid:US.ENT.9", other_addresses=["+1650", "bsuid:US.1"]), egress
    )
    await channel.send(own, outbound(to_address=None, chat_type="group", chat_external_id="group:G1"), egress)
    await channel.send(own, outbound(to_address="wa:odd"), egress)
    assert [(b["recipient_type"], b.get("to"), b.get("recipient")) for b in meta.sent] == [
        ("individual", None, "US.1"),
        ("individual", None, "US.1"),
        ("group", "G1", None),
        ("individual", "odd", None),
    ]
    assert [b.get("context") for b in meta.sent] == [None, None, {"message_id": "wamid.IN"}, None]


async def test_where_an_id_is_not_taken_the_number_is(meta: FakeMeta, egress: Egress):
    meta.next_answers.append(refused(131062))
    sent = await channel.send(
        account(meta), outbound(to_address="bsuid:US.1", other_addresses=["+16505551234"]), egress
    )
    assert sent.external_id and meta.sent[0]["to"] == "16505551234"
    meta.next_answers.append(refused(131062))
    with pytest.raises(SendRefused, match="131062"):
        await channel.send(account(meta), outbound(to_address="bsuid:US.1"), egress)


@pytest.mark.parametrize(
    ("rich", "kind"),
    [
        ({"buttons": [{"id": "y", "title": "Yes"}, {"id": "n", "title": "No"}]}, "button"),
        ({"buttons": [{"id": str(i), "title": f"Option {i}"} for i in range(4)]}, "list"),
        ({"buttons": [{"id": "a", "title": "A title of 22 letters."}]}, "list"),
        ({"buttons": [{"id": str(i), "title": f"Option {i}"} for i in range(11)]}, "text"),
        ({"buttons": [{"id": "a", "title": "A title that is longer than any row"}]}, "text"),
        ({"list": {"button": "Menu", "rows": [{"id": "1", "title": "A", "description": "d"}]}}, "list"),
        ({"list": {"button": "A label that is too long", "rows": [{"id": "1", "title": "A"}]}}, "list"),
        ({"list": {"button": "Menu", "rows": [{"id": "1", "title": "A", "description": "d" * 73}]}}, "text"),
        (
            {"list": {"button": "Menu", "rows": [{"id": "1", "title": "A"}, {"id": "1", "title": "B"}]}},
            "text",
        ),
        ({"list": {"button": "Menu", "rows": []}}, "text"),
        ({"buttons": "junk"}, "text"),
        ({"buttons": [{"id": 1}, None]}, "text"),
    ],
)
async def test_choices_are_buttons_a_list_or_text_as_they_fit(
    meta: FakeMeta, egress: Egress, rich: Any, kind: str
):
    await channel.send(account(meta), outbound(rich=rich), egress)
    body = meta.sent[0]
    assert (body["interactive"]["type"] if body["type"] == "interactive" else "text") == kind
    if kind == "text" and rich.get("buttons", "junk") != "junk" and "title" in rich["buttons"][0]:
        assert "1. " in body["text"]["body"] and body["text"]["body"].startswith("We open at nine.\n\n")


async def test_choices_under_a_long_text_are_spelled_out_as_far_as_there_is_room(
    meta: FakeMeta, egress: Egress
):
    rich = {"buttons": [{"id": "y", "title": "Yes"}]}
    await channel.send(account(meta), outbound(text="x" * 1025, rich=rich), egress)
    await channel.send(account(meta), outbound(text="x" * 4096, rich=rich), egress)
    assert meta.sent[0]["text"]["body"].endswith("\n\n1. Yes")
    assert meta.sent[1]["text"]["body"] == "x" * 4096


async def test_a_reaction_is_put_to_the_message_it_names_or_the_last(meta: FakeMeta, egress: Egress):
    own = account(meta)
    await channel.send(own, outbound(rich={"reaction": {"message_id": "wamid.T", "emoji": "👍"}}), egress)
    await channel.send(own, outbound(rich={"reaction": "🎉"}), egress)
    await channel.send(own, outbound(rich={"reaction": {"emoji": ""}}), egress)
    assert [b["reaction"] for b in meta.sent] == [
        {"message_id": "wamid.T", "emoji": "👍"},
        {"message_id": "wamid.IN", "emoji": "🎉"},
        {"message_id": "wamid.IN", "emoji": ""},
    ]


async def test_outside_the_24_hours_the_accounts_template_goes_or_nothing(meta: FakeMeta, egress: Egress):
    late = outbound(thread=BEFORE_YESTERDAY, text="It is\nready.\n\n\tCome by!")
    with pytest.raises(SendRefused, match=r"24 hours.*template_name"):
        await channel.send(account(meta), late, egress)
    assert meta.calls == []
    own = account(meta, template_name="news", template_language="de")
    await channel.send(own, late, egress)
    parameter = {"type": "text", "text": "It is ready. Come by!"}
    assert meta.sent[0]["template"] == {
        "name": "news",
        "language": {"code": "de"},
        "components": [{"type": "body", "parameters": [parameter]}],
    }
    with pytest.raises(SendRefused, match="too long for the template 'news'"):
        await channel.send(own, replace(late, text="x" * 1025), egress)
    for more in ({"files": [file(b"j", "image/jpeg")]}, {"rich": {"reaction": "👍"}}, {"text": " "}):
        with pytest.raises(SendRefused, match="text only"):
            await channel.send(own, replace(late, **more), egress)
    assert len(meta.calls) == 1 and not meta.uploads


async def test_meta_has_the_last_word_on_the_24_hours(meta: FakeMeta, egress: Egress):
    meta.next_answers += [refused(131047)]
    with pytest.raises(SendRefused, match="24 hours"):
        await channel.send(account(meta), outbound(thread=None), egress)
    meta.next_answers += [refused(131047)]
    await channel.send(account(meta, template_name="news"), outbound(thread=None), egress)
    assert meta.sent[0]["type"] == "template"


async def test_a_template_that_is_asked_for_goes_at_any_time(meta: FakeMeta, egress: Egress):
    own = account(meta)
    wanted = {"template": {"name": "order", "language": "en_US", "parameters": ["Bob", 7]}}
    await channel.send(own, outbound(thread=BEFORE_YESTERDAY, rich=wanted), egress)
    await channel.send(own, outbound(rich={"template": {"name": "hello_world"}}), egress)
    texts = [p["text"] for p in meta.sent[0]["template"]["components"][0]["parameters"]]
    assert texts == ["Bob", "7"] and meta.sent[1]["template"] == {
        "name": "hello_world",
        "language": {"code": "en_US"},
    }


async def test_files_are_uploaded_and_sent_as_what_they_are(meta: FakeMeta, egress: Egress):
    files = [
        file(b"\xff\xd8jpeg\r\n--x", "image/jpeg", "pier.jpg"),
        file(b"%PDF-1.7", "application/pdf", 'in"voice\r\nx: y.pdf'),
        file(b"OggS", "audio/ogg; codecs=opus", "a.ogg"),
        file(b"RIFF", "image/webp", "w.webp"),
    ]
    await channel.send(account(meta), outbound(files=files), egress)
    assert [b["type"] for b in meta.sent] == ["image", "document", "audio", "document"]
    assert meta.sent[0]["image"] == {"id": "upload-1", "caption": "We open at nine."}
    assert meta.sent[1]["document"]["filename"] == 'in"voice\r\nx: y.pdf' and "caption" not in meta.sent[1]
    assert [u["content"] for u in meta.uploads.values()] == [await f.load() for f in files]
    assert [u["content_type"] for u in meta.uploads.values()][2] == "audio/ogg"
    assert {b["biz_opaque_callback_data"] for b in meta.sent} == {str(ID)}


async def test_what_is_no_caption_goes_before_the_file(meta: FakeMeta, egress: Egress):
    own = account(meta)
    await channel.send(own, outbound(files=[file(b"OggS", "audio/ogg")]), egress)
    await channel.send(own, outbound(text="x" * 1025, files=[file(b"j", "image/jpeg")]), egress)
    await channel.send(own, outbound(text="", files=[file(b"j", "image/jpeg")]), egress)
    assert [b["type"] for b in meta.sent] == ["text", "audio", "text", "image", "image"]


async def test_a_file_that_is_too_large_goes_as_document_or_not_at_all(meta: FakeMeta, egress: Egress):
    await channel.send(account(meta), outbound(files=[file(b"j", "image/png", size=(5 << 20) + 1)]), egress)
    assert meta.sent[0]["type"] == "document"
    with pytest.raises(SendRefused, match="too large"):
        await channel.send(
            account(meta), outbound(files=[file(b"j", "video/mp4", size=(100 << 20) + 1)]), egress
        )


async def test_half_a_message_is_not_begun_again(meta: FakeMeta, egress: Egress):
    meta.next_answers += [Answer(), refused(131016)]
    with pytest.raises(SendRefused, match="only 1 of 2 parts were sent: Meta answered 131016"):
        await channel.send(account(meta), outbound(files=[file(b"OggS", "audio/ogg")]), egress)
    assert len(meta.sent) == 1


# ── what Meta says against it ───────────────────────────────────────────────────────────────────────────────────────

_RAISED = {
    "account": AccountBroken,
    "later": ChannelUnavailable,
    "window": SendRefused,
    "refused": SendRefused,
    "mistake": SendRefused,
}


@pytest.mark.parametrize("code", sorted(KNOWN))
async def test_each_known_code_is_behaviour_and_repeats_nothing(meta: FakeMeta, egress: Egress, code: int):
    meta.next_answers.append(refused(code))
    with pytest.raises(_RAISED[KNOWN[code].meaning]) as raised:
        await channel.send(account(meta), OUTBOUND, egress)
    assert type(raised.value) is not ChannelUnavailable or KNOWN[code].meaning == "later"
    if KNOWN[code].meaning != "window":
        assert str(raised.value).startswith(f"Meta answered {code}: ")
    for secret in ("secret words", OUTBOUND.text, TOKEN, APP_SECRET):
        assert secret not in str(raised.value)
    assert meta.sent == []


@pytest.mark.parametrize(
    ("answer", "expected", "wait_s"),
    [
        (refused(131056), ChannelUnavailable, 6.0),
        (Answer(429, error_body(131056), {"retry-after": "30"}), ChannelUnavailable, 30.0),
        (refused(200), AccountBroken, None),
        (refused(299), AccountBroken, None),
        (Answer(400, error_body(100, subcode=33)), NotThere, None),
        (refused(999999), SendRefused, None),
        (refused(999999, 500), ChannelUnavailable, None),
        (refused(999999, 401), AccountBroken, None),
        (Answer(200, error_body(131026)), SendRefused, None),
        (Answer(400, b"<html>"), SendRefused, None),
        (Answer(400, {"error": "text"}), SendRefused, None),
        (Answer(400, {"error": {"code": "190", "title": 7}}), AccountBroken, None),
        (refused(131062), IdNotTaken, None),
        (Answer(404, {}), SendRefused, None),
        (Answer(403, {}), AccountBroken, None),
        (Answer(429, {}, {"retry-after": "7"}), ChannelUnavailable, 7.0),
        (Answer(500, b"oops"), ChannelUnavailable, None),
        (Answer(503, {}), ChannelUnavailable, None),
        (Answer(302, {}, {"location": "https://elsewhere.example"}), SendRefused, None),
        (Answer(502, b"", is_taken=True), SendAmbiguous, None),
        (Answer(504, b"", is_taken=True), SendAmbiguous, None),
        (Answer(502, error_body(131000)), ChannelUnavailable, None),
        (Answer(is_reset=True), SendAmbiguous, None),
    ],
)
async def test_each_way_to_say_no(
    meta: FakeMeta, egress: Egress, answer: Answer, expected: type[Exception], wait_s: float | None
):
    meta.next_answers.append(answer)
    with pytest.raises(expected) as raised:
        await channel.send(account(meta), OUTBOUND, egress)
    assert type(raised.value) is expected
    assert getattr(raised.value, "retry_after_s", None) == wait_s


async def test_no_answer_in_time_is_a_doubt_and_nobody_can_be_asked(
    meta: FakeMeta, egress: Egress, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(calls, "CALL_S", 0.1)
    meta.next_answers.append(Answer(hang_s=0.3))
    with pytest.raises(SendAmbiguous):
        await channel.send(account(meta), OUTBOUND, egress)
    assert len(meta.sent) == 1
    assert await channel.was_sent(account(meta), OUTBOUND, egress) is None


async def test_where_nobody_listens_nothing_has_left(egress: Egress):
    async with FakeMeta() as gone:
        own = account(gone)
    with pytest.raises(ChannelUnavailable) as raised:
        await channel.send(own, OUTBOUND, egress)
    assert type(raised.value) is ChannelUnavailable


async def test_a_dead_token_and_a_missing_one(meta: FakeMeta, egress: Egress):
    with pytest.raises(AccountBroken, match="190"):
        await channel.send(account(meta, access_token="old"), OUTBOUND, egress)
    bare = replace(account(meta), credentials={"graph_url": meta.graph_url})
    with pytest.raises(NotConfigured, match="access_token"):
        await channel.send(bare, OUTBOUND, egress)


async def test_an_answer_without_an_id_is_sent_all_the_same(meta: FakeMeta, egress: Egress):
    for body in (b"", b"not json", {"messages": []}, {"messages": [{}]}, []):
        meta.next_answers.append(Answer(200, body, is_taken=True))
        assert (await channel.send(account(meta), OUTBOUND, egress)).external_id is None


# ── beside sending ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_read_and_typing_are_shown_in_one_call(meta: FakeMeta, egress: Egress):
    await channel.acknowledge(account(meta), "wamid.IN", egress)
    await channel.acknowledge(account(meta), "unnamed:abc", egress)
    typing = {"status": "read", "message_id": "wamid.IN", "typing_indicator": {"type": "text"}}
    assert meta.reads == [{"messaging_product": "whatsapp", **typing}]


async def test_a_check_says_whether_the_token_works(meta: FakeMeta, egress: Egress):
    said = await channel.check(account(meta), egress)
    assert said == "the token works for +1 555-078-3881 (Harbor Boats), quality GREEN"
    said = await channel.check(account(meta, app_secret=""), egress)
    assert "app_secret is missing" in said
    with pytest.raises(AccountBroken, match="190"):
        await channel.check(account(meta, access_token="old"), egress)
    with pytest.raises(AccountBroken, match="phone_number_id"):
        await channel.check(account(meta, phone_number_id="1"), egress)


async def test_a_file_is_fetched_by_its_id_and_checked(meta: FakeMeta, egress: Egress):
    meta.keep("m1", b"jpeg bytes")
    digest = hashlib.sha256(b"jpeg bytes").hexdigest()
    own = account(meta)
    found = await channel.fetch(own, {"id": "m1", "kind": "image", "sha256": digest}, egress)
    assert (found.content, found.mime_type) == (b"jpeg bytes", "image/jpeg")
    with pytest.raises(SendRefused, match="sha256"):
        await channel.fetch(own, {"id": "m1", "sha256": "0" * 64}, egress)
    meta.files["m1"].sha256 = "A" * 43 + "="
    with pytest.raises(SendRefused, match="sha256"):
        await channel.fetch(own, {"id": "m1"}, egress)


async def test_a_file_that_is_gone_is_had_by_its_link_or_not_at_all(meta: FakeMeta, egress: Egress):
    own = account(meta)
    meta.keep("m2", b"x")
    with pytest.raises(SendRefused, match="gone"):
        await channel.fetch(own, {"id": "none"}, egress)
    with pytest.raises(SendRefused):
        await channel.fetch(own, {}, egress)
    found = await channel.fetch(own, {"url": f"{meta.root}/files/m2"}, egress)
    assert found.content == b"x"


async def test_a_file_that_is_too_large_is_not_read(meta: FakeMeta, egress: Egress):
    meta.keep("big", b"x" * ((1 << 20) + 1), mime_type="image/webp")
    with pytest.raises(SendRefused, match="bytes"):
        await channel.fetch(account(meta), {"id": "big", "kind": "sticker"}, egress)
    with pytest.raises(SendRefused, match="bytes"):
        await channel.fetch(account(meta), {"url": f"{meta.root}/files/big", "kind": "sticker"}, egress)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/f",
        "https://fbsbx.com.evil.example/f",
        "https://notfbsbx.com/f",
        "http://lookaside.fbsbx.com/f",
        "https://lookaside.fbsbx.com:8443/f",
        "http://127.0.0.1:1/f",
        "http://[::1/f",
        "file:///etc/passwd",
        "https://user@evil.example/f",
        "https://169.254.169.254/latest",
    ],
)
async def test_the_token_goes_to_metas_hosts_only(meta: FakeMeta, egress: Egress, url: str):
    meta.keep("m", b"x", url=url)
    with pytest.raises(SendRefused, match="link"):
        await channel.fetch(account(meta), {"id": "m"}, egress)
    with pytest.raises(SendRefused, match="link"):
        await channel.fetch(account(meta), {"url": url}, egress)


async def test_the_token_does_not_follow_a_redirect(meta: FakeMeta, egress: Egress):
    meta.keep("from", b"x", redirect_to=f"{meta.root}/files/to?open=1")
    meta.keep("to", b"moved")
    found = await channel.fetch(account(meta), {"url": f"{meta.root}/files/from"}, egress)
    assert found.content == b"moved"
    assert ["Authorization" in headers for headers in meta.downloads] == [True, False]
    meta.keep("loop", b"x", redirect_to=f"{meta.root}/files/loop")
    with pytest.raises(SendRefused, match="redirects"):
        await channel.fetch(account(meta), {"url": f"{meta.root}/files/loop"}, egress)
    meta.keep("away", b"x", redirect_to="https://evil.example/")
    with pytest.raises(SendRefused, match="link"):
        await channel.fetch(account(meta), {"url": f"{meta.root}/files/away"}, egress)


def test_settings_are_held_to_their_names():
    good = {"phone_number_id": NUMBER_ID, "access_token": "t"}
    identity, credentials = channel.check_settings(good)
    assert identity == NUMBER_ID and credentials["graph_url"] == calls.GRAPH_URL
    assert len(credentials["verify_token"]) >= 24
    for wrong in (
        {"access_token": "t"},
        {**good, "access_token": ""},
        {**good, "phone_number_id": "+1 555 078 3881"},
        {**good, "token": "t"},
        {**good, "access_token": "tök"},
    ):
        with pytest.raises(Invalid):
            channel.check_settings(wrong)
