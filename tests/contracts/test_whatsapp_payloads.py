"""Every documented delivery of Meta's, and every trap we know of, through the real door: 200, stored and shown."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from tests.api.talk import ModelOnStrings, client, new_agent
from tests.conftest import MakeHouse, TestHouse
from tests.fakes.meta import APP_SECRET, NUMBER_ID, VERIFY_TOKEN, sign

from a1zap.channels.contract import Amendment, ChannelAccount, Inbound, Item, Receipt, Relink, Unread
from a1zap.channels.whatsapp.channel import WhatsApp
from a1zap.kit.errors import Malformed

FOLDER = Path(__file__).parent / "payloads" / "whatsapp"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTINGS = {
    "kind": "whatsapp",
    "phone_number_id": NUMBER_ID,
    "access_token": "token",
    "app_secret": APP_SECRET,
    "verify_token": VERIFY_TOKEN,
}
NOBODY = UUID(int=1)
ACCOUNT = ChannelAccount(NOBODY, NOBODY, NOBODY, "whatsapp", NUMBER_ID, {"app_secret": APP_SECRET})


def payload(name: str) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a delivery, and what is expected of it."""
    found = orjson.loads((FOLDER / f"{name}.json").read_bytes())
    return json.dumps(found["payload"]).encode(), found["expect"]


def parsed(name: str) -> list[Item]:
    return list(WhatsApp().parse(ACCOUNT, payload(name)[0], NOW))


@pytest.fixture
async def served(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True, **ModelOnStrings().wiring())


async def connected(http: httpx.AsyncClient, **more: str) -> tuple[str, str]:
    """An agent with a number, and the path that its deliveries go to."""
    agent_id = await new_agent(http, name=f"Agent {uuid4().hex[:8]}")
    answer = await http.post(f"/api/agents/{agent_id}/channels", json={**SETTINGS, **more})
    assert answer.status_code == 201, answer.text
    return agent_id, f"/api/webhooks/{answer.json()['id']}"


@pytest.mark.parametrize("name", NAMES)
def test_each_payload_says_what_it_should(name: str):
    _, expected = payload(name)
    items = parsed(name)
    inbounds = [i for i in items if isinstance(i, Inbound)]
    for wanted, found in zip(expected.get("shown", []), inbounds, strict=False):
        assert found.text == wanted.get("text", found.text)
        assert found.message_type == wanted.get("message_type", found.message_type)
        assert found.sender_address == wanted.get("sender", found.sender_address)
        assert found.chat_external_id == wanted.get("chat", found.chat_external_id)
        assert found.is_echo == found.is_by_hand == wanted.get("is_echo", False)
        assert (found.rich_content or {}).items() >= wanted.get("rich", {}).items()
        assert found.said_at <= NOW
    assert len({i.external_id for i in inbounds}) == len(expected.get("shown", []))
    assert len([i for i in items if isinstance(i, Unread)]) == expected.get("unread", 0)
    assert [i.status.value for i in items if isinstance(i, Receipt)] == expected.get("receipt", [])
    amended = [[i.target_external_id, i.text] for i in items if isinstance(i, Amendment)]
    assert amended == ([expected["amends"]] if "amends" in expected else [])
    relinked = [[list(i.before), list(i.after)] for i in items if isinstance(i, Relink)]
    assert "relink" not in expected or relinked == [expected["relink"]]
    assert items, "something came, and nothing became of it"


async def test_each_payload_is_taken_in_and_shown_by_the_real_door(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http, client(served) as provider:
        for name in NAMES:
            raw, expected = payload(name)
            agent_id, path = await connected(http)
            before = await _unread(served)
            answer = await provider.post(path, content=raw, headers=sign(raw))
            assert (answer.status_code, answer.json()) == (200, {"success": True}), name
            shown = await _shown(http, agent_id)
            for wanted in expected.get("shown", []):
                assert wanted.get("text") is None or wanted["text"] in shown, (name, shown)
            kept = await _unread(served) - before
            assert kept >= expected.get("unread", 0), name
            again = await provider.post(path, content=raw, headers=sign(raw))
            assert again.status_code == 200, name
            assert sorted(await _shown(http, agent_id)) == sorted(shown), f"{name}: twice is once"


async def _shown(http: httpx.AsyncClient, agent_id: str) -> list[str]:
    chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
    found: list[str] = []
    for chat in chats:
        found += [m["content"] for m in (await http.get(f"/api/chats/{chat['id']}/messages")).json()]
    return found


async def _unread(house: TestHouse) -> int:
    return (await house.as_admin("SELECT count(*) FROM unread_deliveries"))[0][0]


async def test_200_forged_deliveries_are_refused_before_anything_is_read(served: TestHouse):
    owner, dice = await served.owner(), random.Random(20261123)
    async with client(served, owner) as http:
        _, path = await connected(http)
    statuses: list[int] = []
    async with client(served) as provider:
        with patch.object(WhatsApp, "parse", side_effect=AssertionError("the parser was entered")) as entered:
            for _ in range(200):
                raw, _ = payload(dice.choice(NAMES))
                forged, headers = _forged(dice, raw)
                statuses.append((await provider.post(path, content=forged, headers=headers)).status_code)
        assert entered.call_count == 0
        assert statuses == [401] * 200
        assert await _unread(served) == 0
        assert (await served.as_admin("SELECT count(*) FROM messages"))[0][0] == 0
        raw, _ = payload("text")
        assert (await provider.post(path, content=raw, headers=sign(raw))).status_code == 200


def _forged(dice: random.Random, raw: bytes) -> tuple[bytes, dict[str, str]]:
    """The delivery with its signature or body changed, so that they do not fit any more."""
    right = sign(raw)
    name, value = "x-hub-signature-256", right["x-hub-signature-256"]
    place = dice.randrange(len(raw))
    forgeries: list[tuple[bytes, dict[str, str]]] = [
        (raw[:place] + bytes([raw[place] ^ (1 << dice.randrange(8))]) + raw[place + 1 :], right),
        (raw[:place] + raw[place + 1 :], right),
        (raw + b" ", right),
        (raw.replace(b'"', b' "', 1), right),
        (raw, sign(raw, dice.randbytes(8).hex())),
        (raw, sign(raw, "")),
        (raw, sign(raw[:-1])),
        (raw, {k: v for k, v in right.items() if k != name}),
        (raw, {**right, name: ""}),
        (raw, {**right, name: value.removeprefix("sha256=")}),
        (raw, {**right, name: value[: dice.randrange(len(value))]}),
        (raw, {**right, name: value + "0"}),
        (raw, {**right, name: value.replace("sha256", "sha1")}),
        (raw, {**right, name: value.upper()}),
        (raw, {**right, name: _with_one_digit_changed(dice, value)}),
        (raw, {"x-hub-signature": value, "content-type": "application/json"}),
    ]
    return dice.choice(forgeries)


def _with_one_digit_changed(dice: random.Random, value: str) -> str:
    place = dice.randrange(len("sha256="), len(value))
    return (
        value[:place] + dice.choice([d for d in "0123456789abcdef" if d != value[place]]) + value[place + 1 :]
    )


async def test_without_an_app_secret_nothing_comes_in(served: TestHouse):
    owner = await served.owner()
    raw, _ = payload("text")
    async with client(served, owner) as http, client(served) as provider:
        agent_id = await new_agent(http)
        bare = {k: v for k, v in SETTINGS.items() if k != "app_secret"}
        made = (await http.post(f"/api/agents/{agent_id}/channels", json=bare)).json()
        answer = await provider.post(f"/api/webhooks/{made['id']}", content=raw, headers=sign(raw, ""))
    assert answer.status_code == 503


async def test_the_address_is_proved_to_meta_by_the_verify_token(served: TestHouse):
    owner = await served.owner()
    right = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
    async with client(served, owner) as http, client(served) as provider:
        _, path = await connected(http)
        for door in (path, "/api/webhooks/whatsapp"):
            answer = await provider.get(door, params=right)
            assert (answer.status_code, answer.text) == (200, "1158201444")
            assert answer.headers["content-type"].startswith("text/plain")
            for wrong in (
                {"hub.verify_token": "no"},
                {"hub.verify_token": ""},
                {"hub.mode": "unsubscribe"},
                {"hub.challenge": "<script>"},
                {"hub.challenge": ""},
                {"hub.challenge": "1" * 101},
            ):
                assert (await provider.get(door, params={**right, **wrong})).status_code == 403, wrong


async def test_the_address_of_all_numbers_gives_each_number_its_own(served: TestHouse):
    owner = await served.owner()
    one, two = orjson.loads(payload("text")[0]), orjson.loads(payload("image_with_caption")[0])
    two["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"] = "222"
    raw = orjson.dumps({**one, "entry": [*one["entry"], *two["entry"]]})
    async with client(served, owner) as http, client(served) as provider:
        first, _ = await connected(http)
        second, _ = await connected(http, phone_number_id="222")
        answer = await provider.post("/api/webhooks/whatsapp", content=raw, headers=sign(raw))
        assert answer.status_code == 200
        assert await _shown(http, first) == ["When are you open on Saturdays?"]
        assert await _shown(http, second) == ["[Image received: The leak]"]
        assert (
            await provider.post("/api/webhooks/whatsapp", content=raw, headers=sign(raw, "x"))
        ).status_code == 401
    assert await _unread(served) == 0


# ── anything at all ─────────────────────────────────────────────────────────────────────────────────────────────────


_JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e300, 2**63, "", "x", "\u0000", "\ufffd" * 3, "9" * 400, [], {}, [None], [[]], {"a": None},
    {"id": {}}, [{"id": 1}], "US.1234", "+1", "2026-11-23", float(2**53), {"body": []}, ["text"],
)  # fmt: skip


def _mutated(dice: random.Random, value: Any, rate: float) -> Any:
    if dice.random() < rate:
        return dice.choice(_JUNK)
    if isinstance(value, dict):
        kept = {k: _mutated(dice, v, rate) for k, v in value.items() if dice.random() > rate / 3}
        if kept and dice.random() < rate:
            kept[dice.choice(list(kept))] = dice.choice(list(kept.values()))
        return kept
    if isinstance(value, list):
        changed = [_mutated(dice, v, rate) for v in value]
        return changed * dice.choice((1, 1, 1, 2)) if len(changed) < 4 else changed
    return value


def _mutants(seed: int, count: int) -> Iterator[bytes]:
    dice = random.Random(seed)
    for _ in range(count):
        value = orjson.loads(payload(dice.choice(NAMES))[0])
        yield orjson.dumps(
            _mutated(dice, value, dice.choice((0.02, 0.06, 0.2))), option=orjson.OPT_NON_STR_KEYS
        )


def test_whatever_comes_only_a_body_that_is_no_object_is_malformed():
    channel = WhatsApp()
    texts: set[type[Item]] = set()
    for raw in _mutants(7, 6000):
        is_object = isinstance(orjson.loads(raw), dict)
        try:
            items = channel.parse(ACCOUNT, raw, NOW)
        except Malformed:
            assert not is_object
            continue
        assert is_object
        assert items
        for item in items:
            texts.add(type(item))
            _check(item)
        with contextlib.suppress(Malformed):
            assert all(0 < len(name) <= 410 for name in channel.named_in(raw))
    assert texts == {Inbound, Receipt, Amendment, Relink, Unread}


def _check(item: Item) -> None:
    """What intake relies on."""
    if isinstance(item, Inbound):
        assert item.text and item.external_id and len(item.external_id) <= 410
        assert item.sender_address and len(item.sender_address) <= 410
        assert item.chat_external_id and len(item.chat_external_id) <= 420
        assert item.said_at.tzinfo is not None and item.said_at <= NOW
        orjson.dumps(item.rich_content)
        assert all(a.fetch for a in item.attachments)
    elif isinstance(item, Relink):
        assert item.before and item.after and not set(item.before) & set(item.after)
    elif isinstance(item, Amendment):
        assert item.target_external_id
    elif isinstance(item, Unread):
        assert item.reason and orjson.loads(item.raw) is not None


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff", b"[" * 5000, b'{"a":' * 2000]
)
def test_what_is_no_json_object_is_malformed_and_nothing_worse(raw: bytes):
    for read in (lambda: WhatsApp().parse(ACCOUNT, raw, NOW), lambda: WhatsApp().named_in(raw)):
        with pytest.raises(Malformed):
            read()


def test_a_delivery_of_countless_nothings_is_read_in_a_moment_and_kept_whole():
    head = b'{"entry":[{"changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"106540352242922"},'
    for part in (b'"contacts":[{"wa_id":"1"}],"messages":[', b'"statuses":[', b'"message_echoes":['):
        raw = head + part + b"{}," * 300_000 + b"{}]}}]}]}"
        began_s = time.perf_counter()
        items = WhatsApp().parse(ACCOUNT, raw, NOW)
        assert time.perf_counter() - began_s < 5
        assert len(items) == 3001 and isinstance(items[-1], Unread) and items[-1].raw == raw
    many = head + b'"messages":[],"history":[' + b"1," * 1000 + b"1]}}]}]}"
    (kept,) = WhatsApp().parse(ACCOUNT, many, NOW)
    assert isinstance(kept, Unread) and kept.raw.count(b"1,") >= 1000


def test_a_full_batch_is_read_quickly():
    one = orjson.loads(payload("text_with_bsuid")[0])
    value = one["entry"][0]["changes"][0]["value"]
    value["messages"] = [
        {**value["messages"][0], "id": f"wamid.{i}", "from": str(10**9 + i)} for i in range(1000)
    ]
    value["contacts"] = [{**value["contacts"][0], "wa_id": str(10**9 + i)} for i in range(1000)]
    raw = orjson.dumps(one)
    began_s = time.perf_counter()
    assert len(WhatsApp().parse(ACCOUNT, raw, NOW)) == 1000
    assert time.perf_counter() - began_s < 1


async def test_a_batch_of_three_megabytes_is_taken_and_one_of_five_is_not(served: TestHouse):
    owner = await served.owner()
    one = orjson.loads(payload("text")[0])
    value = one["entry"][0]["changes"][0]["value"]
    (message,) = value["messages"]
    value["messages"] = [
        {**message, "id": f"wamid.{i}", "text": {"body": f"{i} " + "ü" * 15000}} for i in range(100)
    ]
    raw = orjson.dumps(one)
    assert len(raw) > 3_000_000
    async with client(served, owner) as http, client(served) as provider:
        agent_id, path = await connected(http)
        assert (await provider.post(path, content=raw, headers=sign(raw))).status_code == 200
        large = raw + b" " * (5 << 20)
        assert (await provider.post(path, content=large, headers=sign(large))).status_code == 413
        assert len(await _shown(http, agent_id)) >= 50
    assert (await served.as_admin("SELECT count(*) FROM messages"))[0][0] == 100


async def test_mutated_deliveries_never_make_the_door_fail(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http, client(served) as provider:
        _, path = await connected(http)
        for raw in _mutants(11, 150):
            answer = await provider.post(path, content=raw, headers=sign(raw))
            assert answer.status_code == 200, raw


def test_what_is_another_numbers_shows_no_word_where_its_own_account_reads_it():
    mine = orjson.loads(payload("text")[0])
    theirs = orjson.loads(payload("another_number")[0])
    mixed = orjson.dumps({**mine, "entry": [*mine["entry"], *theirs["entry"]]})
    shown = [i for i in WhatsApp().parse(ACCOUNT, mixed, NOW) if isinstance(i, Unread)]
    assert [i.reason for i in shown] == ["for another number: 999"] and b"Not for you" not in shown[0].raw
    alone = WhatsApp().parse(ACCOUNT, payload("another_number")[0], NOW)
    assert isinstance(alone[0], Unread) and b"Not for you" in alone[0].raw
    assert WhatsApp().named_in(mixed) == [NUMBER_ID, "999"]


def test_the_mark_we_sent_comes_back_as_our_id():
    (receipt,) = parsed("status_delivered_with_mark")
    assert isinstance(receipt, Receipt)
    assert receipt.message_id == UUID("0193b1a2-6c1e-7d3f-9a44-0b6e7c9d1f20")
    (failed,) = parsed("status_failed")
    assert isinstance(failed, Receipt) and failed.error == "131047: Re-engagement message"


def test_media_say_where_they_are_and_what_they_are():
    (image,) = parsed("image_with_url")
    assert isinstance(image, Inbound)
    (file,) = image.attachments
    assert file.kind == "image" and file.fetch is not None
    assert file.fetch["id"] == "1037543291543636" and file.fetch["url"].startswith(
        "https://lookaside.fbsbx.com/"
    )
    assert file.sha256 is not None and len(file.sha256) == 64 and file.fetch["sha256"] == file.sha256
    assert "url" not in (image.rich_content or {})["image"]
    (voice,) = parsed("audio_voice_note")
    assert isinstance(voice, Inbound) and voice.attachments[0].is_voice
    assert voice.attachments[0].mime_type == "audio/ogg"
    (lost,) = parsed("image_that_failed")
    assert isinstance(lost, Inbound) and not lost.attachments


def test_one_person_keeps_their_identities_together():
    (both,) = parsed("text_with_bsuid")
    assert isinstance(both, Inbound)
    assert both.chat_external_id == "+16505551234"
    assert list(both.other_addresses) == ["bsuid:US.ENT.11815799212886844830", "+16505551234"]
    (hidden,) = parsed("text_bsuid_without_number")
    assert isinstance(hidden, Inbound) and hidden.chat_external_id == both.sender_address
    (spelled,) = parsed("text_contact_is_another_spelling")
    assert isinstance(spelled, Inbound)
    assert {spelled.sender_address, *spelled.other_addresses} == {"+5511987654321", "+551187654321"}
    other = replace(ACCOUNT, identity="1")
    assert isinstance(WhatsApp().parse(other, payload("text")[0], NOW)[0], Unread)
