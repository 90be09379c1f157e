"""A1Base's deliveries, in every form that its sources show and in some that they do not, replayed as HTTP."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from tests.api.talk import SECRET, ModelOnStrings, client, connect_a1base, delivery, new_agent, signed
from tests.conftest import MakeHouse

from a1zap.channels.a1base.channel import A1Base
from a1zap.channels.catalog import shipped_channels
from a1zap.channels.contract import ChannelAccount, Inbound, Item, Receipt, Status, Unread
from a1zap.kit.errors import Malformed

PAYLOADS = {p.stem: p for p in sorted((Path(__file__).parent / "payloads/a1base").glob("*.json"))}
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OURS = "+15550001111"
ACCOUNT = ChannelAccount(uuid4(), uuid4(), uuid4(), "a1base", OURS, {"api_secret": SECRET})
JANE = "+61400123456"


def parsed(name: str) -> list[Item]:
    return list(A1Base().parse(ACCOUNT, PAYLOADS[name].read_bytes(), NOW))


def message(name: str) -> Inbound:
    (item,) = parsed(name)
    assert isinstance(item, Inbound)
    return item


# ── what each says ──────────────────────────────────────────────────────────────────────────────────────────────────

TEXTS = {  # name: (type, text)
    "text": ("text", "When are you open on Saturdays?"),
    "text_sender_without_plus": ("text", "Hello"),
    "text_sender_as_a_number": ("text", "Hello"),
    "text_sender_as_a_jid": ("text", "Hello"),
    "text_in_legacy_content": ("text", "An old program says hello"),
    "text_in_content_object": ("text", "Told in content"),
    "text_in_message": ("text", "Told in message"),
    "text_wrapped_in_data": ("text", "In an envelope"),
    "text_empty": ("text", ""),
    "text_without_type": ("text", "No type at all"),
    "rich_text_with_a_quote": ("rich_text", "This one please"),
    "image_with_caption": ("image", "[Image received: our menu]"),
    "image_as_data_url": ("image", "[Image received]"),
    "image_in_lines_without_padding": ("image", "[Image received]"),
    "image_of_no_base64": ("image", "[Image received]"),
    "image_of_nothing": ("image", "[Image received]"),
    "image_data_of_wrong_type": ("image", "[Image received]"),
    "video": ("video", "[Video received: look]"),
    "audio": ("audio", "[Audio received]"),
    "document": ("document", "[Document received: as promised]"),
    "document_without_data": ("document", "[Document received: offer.pdf]"),
    "location": ("location", "[Location shared: Opera House at -33.8568, 151.2153]"),
    "location_bare": ("location", "[Location shared: a place at -33.8568, 151.2153]"),
    "location_of_nowhere": ("location", "[Location shared: a place]"),
    "reaction": ("reaction", "[Reacted with: 👍]"),
    "reaction_taken_back": ("reaction", "[Reaction removed]"),
    "group_invite": ("group_invite", "[Group invite to: Book club]"),
    "unsupported": ("unsupported", "[Unsupported message type received]"),
    "unknown_type": ("unsupported", "[Unsupported message type received: a sticker]"),
    "wrong_types_everywhere": ("unsupported", "[Unsupported message type received]"),
    "sms": ("text", "Is it still for sale?"),
    "sms_without_type": ("text", "STOP"),
    "fields_of_tomorrow": ("text", "tomorrow"),
    "for_this_number_without_plus": ("text", "for you"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_type_and_text(name: str):
    found = message(name)
    assert (found.message_type, found.text) == TEXTS[name]


def test_senders_are_the_same_person_however_their_number_is_written():
    names = ("text", "text_sender_without_plus", "text_sender_as_a_number", "text_sender_as_a_jid", "sms")
    assert {message(name).sender_address for name in names} == {JANE}
    mail = message("imessage_from_a_mail_address")
    assert (mail.sender_address, mail.service, mail.is_echo) == ("jane@icloud.com", "imessage", False)


def test_what_our_own_side_sent_is_an_echo_and_nothing_else_is():
    echoes = {name for name in PAYLOADS for item in _tolerant(name) if getattr(item, "is_echo", False)}
    assert echoes == {
        "echo_marked",
        "echo_by_number_alone",
        "echo_marked_in_text",
        "group_echo_from_plus_alone",
        "group_echo_from_nobody",
    }


def test_groups_and_broadcasts_and_who_was_meant():
    assert {
        n: message(n).chat_type for n in ("text", "group_text", "broadcast", "wrong_types_everywhere")
    } == {
        "text": "individual",
        "group_text": "group",
        "broadcast": "broadcast",
        "wrong_types_everywhere": "individual",
    }
    mentioned = [message(n).is_mentioned for n in ("group_text", "group_text_mentioned", "text")]
    assert mentioned == [False, True, None]


def test_quotes_places_and_errors_are_kept_beside_the_text():
    rich = {n: message(n).rich_content for n in PAYLOADS if n in TEXTS}
    assert rich["rich_text_with_a_quote"] == {
        "quoted_message_content": "We have tea or coffee",
        "quoted_message_sender": OURS,
    }
    assert (rich["location"] or {})["address"] == "Bennelong Point"
    assert rich["unsupported"] == {"error": "poll messages are not supported"}
    assert rich["unknown_type"] == {"sticker": {"id": "7"}, "type": "sticker"}
    assert rich["group_invite"] == {"groupName": "Book club", "inviteCode": "AbCdEf123"}
    assert rich["image_with_caption"] == {"caption": "our menu"}
    assert rich["text"] is None


def test_files_come_with_their_bytes_or_with_the_reason_why_not():
    png = message("image_with_caption").attachments[0]
    assert png.kind == "image" and png.content is not None and png.content.startswith(b"\x89PNG\r\n")
    assert png.size == len(png.content)
    same = ("image_as_data_url", "image_in_lines_without_padding")
    assert [message(n).attachments[0].content for n in same] == [png.content] * 2
    assert message("image_as_data_url").attachments[0].mime_type == "image/png"
    offer = message("document").attachments[0]
    assert (offer.name, offer.mime_type, offer.kind) == ("offer.pdf", "application/pdf", "document")
    assert [message(n).attachments[0].kind for n in ("video", "audio")] == ["video", "audio"]
    without = ("image_of_no_base64", "image_of_nothing", "image_data_of_wrong_type", "document_without_data")
    assert [message(n).attachments for n in without] == [()] * 4
    assert (message("image_of_no_base64").rich_content or {})["file_error"] == "its data is no base64"


def test_a_file_beyond_all_bounds_is_not_unpacked():
    raw = delivery(message_type="video", message_content={"data": "A" * 23_000_000})
    (item,) = A1Base().parse(ACCOUNT, raw, NOW)
    assert isinstance(item, Inbound) and item.attachments == ()
    assert "larger than" in (item.rich_content or {})["file_error"]


def test_times_are_read_in_each_unit_and_never_lie_in_the_future():
    apr_2024 = datetime(2024, 4, 2, 14, 25, tzinfo=UTC)
    for name in ("sms", "sms_without_type", "time_in_seconds"):
        assert message(name).said_at == apr_2024, name
    for name in ("time_in_the_future", "time_at_the_edge", "time_of_nonsense", "time_enormous"):
        assert message(name).said_at == NOW, name


def test_services_are_told_apart():
    told = {n: message(n).service for n in ("sms", "rcs", "service_of_nonsense", "text")}
    assert told == {"sms": "sms", "rcs": "rcs", "service_of_nonsense": "whatsapp", "text": "whatsapp"}


RECEIPTS = {  # name: (status, error)
    "status_sent": (Status.SENT, None),
    "status_delivered": (Status.DELIVERED, None),
    "status_without_event": (Status.DELIVERED, None),
    "status_read": (Status.READ, None),
    "status_failed": (Status.FAILED, "30007: Carrier violation"),
    "status_failed_without_reason": (Status.FAILED, "no reason was given"),
    "status_undelivered": (Status.FAILED, "30003: Unreachable destination handset"),
}


@pytest.mark.parametrize("name", RECEIPTS)
def test_a_status_is_news_of_our_message(name: str):
    (item,) = parsed(name)
    assert isinstance(item, Receipt)
    assert (item.external_id, item.status, item.error) == ("msg_of_ours", *RECEIPTS[name])
    assert item.at == datetime(2024, 4, 2, 14, 25, 1, tzinfo=UTC)


def test_a_status_that_is_no_news_is_nothing_and_one_without_a_word_is_kept():
    assert parsed("status_queued") == []
    (unknown,) = parsed("status_of_no_known_word")
    assert isinstance(unknown, Unread) and "teleported" in unknown.reason


def test_a_delivery_for_another_number_is_not_taken_in_as_this_ones():
    (item,) = parsed("for_another_number")
    assert isinstance(item, Unread) and "+15550007777" in item.reason
    other = replace(ACCOUNT, identity="+15550007777")
    (taken,) = A1Base().parse(other, PAYLOADS["for_another_number"].read_bytes(), NOW)
    assert isinstance(taken, Inbound)
    assert A1Base().named_in(PAYLOADS["for_another_number"].read_bytes()) == ("+15550007777",)


MALFORMED = (
    "without_thread",
    "without_message_id",
    "status_without_id",
    "id_longer_than_an_index_holds",
    "thread_longer_than_an_index_holds",
)


@pytest.mark.parametrize("name", MALFORMED)
def test_what_has_no_place_is_malformed(name: str):
    with pytest.raises(Malformed):
        parsed(name)


def _tolerant(name: str) -> list[Item]:
    return [] if name in MALFORMED else parsed(name)


NAUGHTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**53, 1e308, "", " ", "\u0000", "\ud83d", "x" * 5000, "+", "٣٤٥", [], [[]], {}, {"": {}},
    {"text": 7}, {"data": "===="}, "data:;base64,", "Infinity", "1e999", "-0001-99-99", "9999-12-31T23:59:59-23:59",
)  # fmt: skip


def test_any_value_anywhere_is_read_or_malformed_and_nothing_else():
    """Each field of each payload replaced by each naughty value, and fields of the content as well."""
    for name, path in PAYLOADS.items():
        body = orjson.loads(path.read_bytes())
        content = body.get("message_content")
        spots: list[tuple[dict[str, Any], str]] = [(body, key) for key in body]
        spots += [(content, key) for key in content] if isinstance(content, dict) else []
        for where, key in spots:
            kept = where[key]
            for value in NAUGHTY:
                where[key] = value
                _read_or_malformed(body, f"{name}.{key} = {value!r}"[:200])
            where[key] = kept


def _read_or_malformed(body: dict[str, Any], what: str) -> None:
    import json

    try:
        items = A1Base().parse(ACCOUNT, json.dumps(body).encode(), NOW)
    except Malformed:
        return
    for item in items:
        if isinstance(item, Inbound):
            assert 0 < len(item.external_id) <= 500, what
            assert 0 < len(item.chat_external_id) <= 500 and len(item.sender_address) <= 320, what
            assert item.sender_address, what
            assert NOW - timedelta(days=20 * 366) < item.said_at <= NOW, what
            assert "\u0000" not in item.text + item.sender_address + (item.sender_name or ""), what
            orjson.dumps(item.rich_content)


# ── over HTTP ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_payload_is_taken_with_200_stored_and_shown(make_house: MakeHouse):
    house = await make_house(serve=True, **ModelOnStrings().wiring())
    owner = await house.owner()
    async with client(house, owner) as http, client(house) as provider:
        agent_id = await new_agent(http)
        channel_id = await connect_a1base(http, agent_id, number=OURS)
        unread_path = f"/api/agents/{agent_id}/channels/{channel_id}/unread?limit=100"
        for name, path in PAYLOADS.items():
            raw = path.read_bytes()
            items, was_unread = _tolerant(name), len((await http.get(unread_path)).json())
            for _ in range(2):
                answer = await provider.post(f"/api/webhooks/{channel_id}", content=raw, headers=signed(raw))
                assert (answer.status_code, answer.json()) == (200, {"success": True}), name
            now_unread = len((await http.get(unread_path)).json())
            is_unread = name in MALFORMED or any(isinstance(item, Unread) for item in items)
            assert (now_unread > was_unread) == is_unread, name
        shown: dict[str, dict[str, Any]] = {}
        page: str | None = f"/api/agents/{agent_id}/conversations?limit=100"
        while page:
            chats = await http.get(page)
            page = chats.links.get("next", {}).get("url")
            for chat in chats.json():
                for one in (await http.get(f"/api/chats/{chat['id']}/messages")).json():
                    assert one["external_id"] not in shown, "stored twice"
                    shown[one["external_id"]] = {**one, "chat": chat}
    expected = {i.external_id: i for name in PAYLOADS for i in _tolerant(name) if isinstance(i, Inbound)}
    assert set(shown) == set(expected)
    for external_id, item in expected.items():
        one = shown[external_id]
        assert one["message_type"] == item.message_type and one["chat"]["type"] == item.chat_type
        assert one["direction"] == ("outbound" if item.is_echo else "inbound"), external_id
        if not item.attachments:  # those with files may say more once the files are looked at
            assert one["content"] == item.text, external_id


async def test_two_numbers_of_one_account_share_a_secret_and_each_takes_its_own(make_house: MakeHouse):
    house = await make_house(serve=True, **ModelOnStrings().wiring())
    async with client(house, await house.owner()) as http, client(house) as provider:
        agent_id = await new_agent(http)
        numbers = (OURS, "+15550007777")
        by_number = {n: await connect_a1base(http, agent_id, number=n) for n in numbers}
        agent = {"x-agent-id": agent_id}
        for number in (*reversed(numbers), None, "+15559999999"):
            named = {} if number is None else {"a1_phone_number": number}
            raw = delivery(thread_id=f"thread of {number}", **named)
            answer = await provider.post("/api/webhooks/messaging", content=raw, headers=signed(raw, **agent))
            assert answer.status_code == 200
        chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
        unread = (await http.get(f"/api/agents/{agent_id}/channels/{by_number[OURS]}/unread")).json()
    took = [c["channel_account_id"] for c in reversed(chats)]
    assert took == [by_number["+15550007777"], by_number[OURS], by_number[OURS]]
    assert len(unread) == 1 and "+15559999999" in unread[0]["reason"]


class Watched(A1Base):
    """Counts what gets past the door."""

    entered = 0

    def parse(self, *args: Any) -> Any:
        Watched.entered += 1
        return super().parse(*args)


def _mutations(count: int) -> list[tuple[str, bytes, dict[str, str]]]:
    """What somebody without the secret can do to an authentic delivery: change its time, its signature or its bytes."""
    found: list[tuple[str, bytes, dict[str, str]]] = []
    dice = random.Random(20261123)
    names = list(PAYLOADS)
    while len(found) < count:
        raw = PAYLOADS[dice.choice(names)].read_bytes()
        right = signed(raw)
        kind, change = dice.choice(list(_CHANGES.items()))
        body, headers = change(dice, raw, dict(right))
        signature = headers.get("x-signature", "").lower()
        if (body, headers.get("x-timestamp"), signature) != (raw, right["x-timestamp"], right["x-signature"]):
            found.append((kind, body, headers))
    return found


def _flip(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    place = dice.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ (1 << dice.randrange(8))]) + raw[place + 1 :], headers


def _cut(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return raw[: dice.randrange(len(raw))], headers


def _rewrite(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return orjson.dumps(orjson.loads(raw)), headers


def _sign_anew(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    guess = dice.choice(("", "secret", SECRET.upper(), SECRET + " ", SECRET[:-1], "acc-1", OURS))
    return raw, signed(raw, secret=guess)


def _age(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Signed with the right secret, at a wrong time: a delivery that was overheard and is played again."""
    return raw, signed(raw, at=time.time() + dice.choice((-1, 1)) * dice.uniform(310, 10**8))


def _shift(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    stamp = int(headers["x-timestamp"])
    said = dice.choice(
        (str(stamp + dice.randint(1, 200)), f"0{stamp}", f"{stamp}.0", f"+{stamp}", f"{stamp}000", "-1")
    )
    return raw, {**headers, "x-timestamp": said}


def _move(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """A digit moved from the time to the body, where the two are only written one behind the other."""
    stamp = headers["x-timestamp"]
    return stamp[-1:].encode() + raw, {**headers, "x-timestamp": stamp[:-1]}


def _spoil(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    signature = headers["x-signature"]
    place = dice.randrange(len(signature))
    spoilt = dice.choice(
        (
            signature[:place] + dice.choice("0123456789abcdef") + signature[place + 1 :],
            signature[:place],
            signature + "0",
            f"sha256={signature}",
            signature[::-1],
            "0" * 64,
            "null",
        )
    )
    return raw, {**headers, "x-signature": spoilt}


def _drop(dice: random.Random, raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    headers.pop(dice.choice(("x-signature", "x-timestamp")))
    return raw, headers


_Change = Callable[[random.Random, bytes, dict[str, str]], tuple[bytes, dict[str, str]]]
_CHANGES: dict[str, _Change] = {
    change.__name__: change
    for change in (_flip, _cut, _rewrite, _sign_anew, _age, _shift, _move, _spoil, _drop)
}


async def test_two_hundred_forgeries_are_401_before_anybody_reads_them(make_house: MakeHouse):
    Watched.entered = 0
    house = await make_house(
        serve=True, channels={**shipped_channels(), "a1base": Watched()}, **ModelOnStrings().wiring()
    )
    owner = await house.owner()
    async with client(house, owner) as http, client(house) as provider:
        agent_id = await new_agent(http)
        channel_id = await connect_a1base(http, agent_id, number=OURS)
        for number, (kind, raw, headers) in enumerate(_mutations(200)):
            url = (f"/api/webhooks/{channel_id}", "/api/webhooks/messaging")[number % 2]
            answer = await provider.post(url, content=raw, headers={**headers, "x-agent-id": agent_id})
            assert answer.status_code == 401, (kind, number, answer.text)
        assert Watched.entered == 0
        stored = await house.as_admin(
            "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM unread_deliveries)"
        )
        assert stored[0][0] == 0
        raw = PAYLOADS["text"].read_bytes()
        assert (
            await provider.post(f"/api/webhooks/{channel_id}", content=raw, headers=signed(raw))
        ).status_code == 200
        assert Watched.entered == 1, "the watch sees those who come in"
