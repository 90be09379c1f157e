"""A program writes in and is answered, by Standard Webhooks both ways: through the real door, with two other programs' signatures."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
import standardwebhooks
import svix
from tests.api.talk import ModelOnStrings, client, new_agent, until
from tests.conftest import MakeHouse, TestHouse
from tests.fakes.receiver import Receiver

from a1zap.channels.contract import (
    AccountBroken,
    Amendment,
    ChannelAccount,
    Inbound,
    Outbound,
    Posted,
    Receipt,
    SendRefused,
    Unread,
)
from a1zap.channels.webhook import Webhook
from a1zap.kit.egress import Egress, EgressRefused
from a1zap.kit.errors import ChannelUnavailable, Invalid, Malformed, NotSignedIn
from a1zap.kit.standard_webhooks import new_secret, sign

FOLDER = Path(__file__).parent / "payloads" / "webhook"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOBODY = UUID(int=1)
ACCOUNT = ChannelAccount(NOBODY, NOBODY, NOBODY, "webhook", "", {"secret": SECRET})


def payload(name: str) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a delivery with ASCII escapes kept, and what is expected of it."""
    import json

    found = json.loads((FOLDER / f"{name}.json").read_text())
    return json.dumps(found["payload"]).encode(), found["expect"]


def message(text: str = "hello", **data: Any) -> bytes:
    told = {"chat_id": "c-1", "sender": {"id": "u-1"}, "text": text, **data}
    return orjson.dumps({"type": "message.created", "timestamp": datetime.now(UTC), "data": told})


# ── what it says ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_there_are_enough_payloads():
    assert len(NAMES) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_each_payload_says_what_it_should(name: str):
    raw, expected = payload(name)
    posted = Posted(
        {"webhook-id": "the-webhook-id", "webhook-timestamp": "1", "webhook-signature": "v1,x"}, raw
    )
    if "malformed" in expected:
        with pytest.raises(Malformed, match=expected["malformed"]):
            Webhook().parse_posted(ACCOUNT, posted, NOW)
        return
    [item] = Webhook().parse_posted(ACCOUNT, posted, NOW)
    match item:
        case Inbound():
            for field, wanted in expected["inbound"].items():
                found = getattr(item, field)
                assert (found.isoformat() if isinstance(found, datetime) else found) == wanted, field
            assert len(item.attachments) == expected.get("attachments", 0)
            assert item.sender_address.startswith(f"{ACCOUNT.id}:")
        case Amendment():
            assert [item.target_external_id, item.text] == expected["amendment"]
        case Receipt():
            assert [item.external_id, item.status.value] == expected["receipt"]
            assert str(item.message_id) == item.external_id
        case _:
            assert isinstance(item, Unread) and expected["unread"] in item.reason


def test_without_the_headers_the_same_bytes_are_the_same_message():
    one, again = (Webhook().parse(ACCOUNT, payload("text_without_message_id")[0], NOW)[0] for _ in range(2))
    assert isinstance(one, Inbound) and isinstance(again, Inbound)
    assert one.external_id == again.external_id and len(one.external_id) == 64


# ── through the door ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Program:
    """A program that holds the secret of an agent's webhook channel."""

    house: TestHouse
    http: httpx.AsyncClient
    agent_id: str
    channel_id: str
    path: str
    secret: str

    async def post(self, raw: bytes, *, webhook_id: str | None = None, **headers: str) -> httpx.Response:
        signed = sign([self.secret], webhook_id or f"msg_{uuid4().hex}", datetime.now(UTC), raw)
        return await self.http.post(self.path, content=raw, headers={**signed, **headers})

    async def messages(self) -> list[dict[str, Any]]:
        chats = (await self.http.get(f"/api/agents/{self.agent_id}/conversations")).json()
        found: list[dict[str, Any]] = []
        for chat in chats:
            found += (await self.http.get(f"/api/chats/{chat['id']}/messages")).json()
        return found

    async def count(self, table: str) -> int:
        return (await self.house.as_admin(f"SELECT count(*) AS n FROM {table}"))[0]["n"]


async def connect(house: TestHouse, http: httpx.AsyncClient, **settings: str) -> Program:
    agent_id = await new_agent(http, name=f"Agent {uuid4().hex[:8]}")
    answer = await http.post(f"/api/agents/{agent_id}/channels", json={"kind": "webhook", **settings})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    secret = made["shown_once"].get("secret") or settings["secret"]
    return Program(house, http, agent_id, made["id"], f"/api/webhooks/{made['id']}", secret)


@pytest.fixture
async def program(make_house: MakeHouse) -> AsyncIterator[Program]:
    house = await make_house(serve=True, **ModelOnStrings().wiring())
    async with client(house, await house.owner()) as http:
        yield await connect(house, http)


async def test_every_payload_is_taken_and_stored_and_none_breaks_the_door(program: Program):
    for name in NAMES:
        raw, _ = payload(name)
        assert (await program.post(raw)).status_code == 200, name
    # One text came under one id often; what is malformed or unknown is kept whole.
    assert await program.count("messages") >= 3
    kept = sum("malformed" in payload(n)[1] or "unread" in payload(n)[1] for n in NAMES)
    assert await program.count("unread_deliveries") >= kept


async def test_the_same_webhook_id_twice_is_one_message_and_another_id_another(program: Program):
    raw = message("again?")
    for webhook_id in ("msg_1", "msg_1", "msg_2"):
        assert (await program.post(raw, webhook_id=webhook_id)).status_code == 200
    assert [m["content"] for m in await program.messages()] == ["again?"] * 2


async def test_an_id_of_the_programs_own_counts_more_than_that_of_the_delivery(program: Program):
    for webhook_id in ("msg_1", "msg_2"):
        assert (
            await program.post(message("one", message_id="m-1"), webhook_id=webhook_id)
        ).status_code == 200
    assert [m["content"] for m in await program.messages()] == ["one"]


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
@pytest.mark.parametrize("prefix", ["webhook", "svix"])
async def test_what_other_programs_sign_is_taken(program: Program, library: type[svix.Webhook], prefix: str):
    raw, at = message(), datetime.now(UTC).replace(microsecond=0)
    headers = {
        f"{prefix}-id": "msg_9",
        f"{prefix}-timestamp": str(int(at.timestamp())),
        f"{prefix}-signature": library(program.secret).sign("msg_9", at, raw.decode()),
    }
    assert (await program.http.post(program.path, content=raw, headers=headers)).status_code == 200
    assert len(await program.messages()) == 1


def mutated(dice: random.Random, secret: str) -> tuple[dict[str, str], bytes]:
    """A good delivery with one thing wrong about its signature, its time or its body."""
    raw, at = message(f"never {dice.random()}"), datetime.now(UTC)
    what = dice.randrange(8)
    if what == 0:
        at += timedelta(seconds=dice.choice([-1, 1]) * dice.randrange(302, 10**6))
    headers = sign([new_secret() if what == 1 else secret], "msg_1", at, raw)
    name = dice.choice(list(headers))
    match what:
        case 2:
            place = dice.randrange(len(raw))
            raw = raw[:place] + bytes([raw[place] ^ (1 << dice.randrange(8))]) + raw[place + 1 :]
        case 3:
            del headers[name]
        case 4:
            value, place = headers[name], dice.randrange(len(headers[name]))
            other = dice.choice([c for c in "Az09+/,=" if c != value[place]])
            headers[name] = value[:place] + other + value[place + 1 :]
        case 5:
            headers[name] = dice.choice(
                ["", "garbage", "v1", "v1,", "9" * 20, "v1,AAAA v1a,BBBB", "a.b", "-1"]
            )
        case 6:
            raw += dice.choice([b" ", b"\n", b"{}", b"\x00"])
        case 7:
            headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + dice.choice([-60, 60]))
    return headers, raw


async def test_of_200_changes_of_signature_time_and_body_none_is_accepted_or_even_read(program: Program):
    dice = random.Random(20261123)
    with patch.object(Webhook, "parse_posted", side_effect=AssertionError("read before it was proved")):
        for _ in range(200):
            headers, raw = mutated(dice, program.secret)
            answer = await program.http.post(program.path, content=raw, headers=headers)
            assert answer.status_code == 401, headers
            assert answer.headers["content-type"] == "application/problem+json"
    assert await program.count("messages") == await program.count("unread_deliveries") == 0
    assert (await program.post(message())).status_code == 200  # the door is open to who has the key


async def test_two_programs_customers_of_the_same_number_are_two_people(program: Program):
    other = await connect(program.house, program.http)
    for one in (program, other):
        assert (await one.post(message("hi", sender={"id": "7"}))).status_code == 200
    assert await program.count("conversation_users") == 2


# ── the secret ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_secret_is_made_by_us_shown_once_and_never_again(program: Program):
    assert program.secret.startswith("whsec_")
    base = f"/api/agents/{program.agent_id}/channels"
    for answer in (
        await program.http.get(base),
        await program.http.get(f"{base}/{program.channel_id}"),
        await program.http.patch(f"{base}/{program.channel_id}", json={"status": "active"}),
    ):
        assert answer.status_code == 200 and "whsec_" not in answer.text


async def test_an_owners_own_secret_is_not_shown_at_all(program: Program):
    brought = await connect(program.house, program.http, secret=SECRET)
    answer = await program.http.get(f"/api/agents/{brought.agent_id}/channels")
    assert brought.secret == SECRET and SECRET not in answer.text
    assert (await brought.post(message())).status_code == 200


async def test_while_the_secret_is_replaced_both_are_taken_and_then_only_the_new_one(program: Program):
    old, new = program.secret, new_secret()
    path = f"/api/agents/{program.agent_id}/channels/{program.channel_id}"

    async def taken() -> list[int]:
        return [(await replace(program, secret=s).post(message())).status_code for s in (old, new)]

    assert await taken() == [200, 401]
    both = {"secret": new, "old_secret": old}
    assert (await program.http.patch(path, json={"settings": both})).status_code == 200
    assert await taken() == [200, 200]
    assert (await program.http.patch(path, json={"settings": {"old_secret": ""}})).status_code == 200
    assert await taken() == [401, 200]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"secret": "hunter2"}, "secret"),
        ({"old_secret": "whsec_AAAA"}, "old_secret"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, str], field: str):
    with pytest.raises(Invalid) as refused:
        Webhook().check_settings(settings)
    assert refused.value.field == field


def test_a_secret_that_is_no_secret_opens_nothing():
    with pytest.raises(NotSignedIn):
        Webhook().authenticate(ACCOUNT, Posted({}, b"{}"), NOW)


# ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def outbound(**more: Any) -> Outbound:
    told = {
        "chat_external_id": "c-1",
        "chat_type": "individual",
        "service": "webhook",
        "to_address": None,
        "text": "At nine.",
    }
    return Outbound(uuid4(), first_tried_at=NOW, **{**told, **more})


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with Egress(allow=[ip_network("127.0.0.0/8")]) as one:
        yield one


def account(url: str, **more: str) -> ChannelAccount:
    return replace(ACCOUNT, credentials={"secret": SECRET, "url": url, **more})


async def test_an_answer_leaves_signed_and_the_same_message_has_the_same_id(egress: Egress):
    async with Receiver() as receiver:
        answer = outbound()
        for _ in range(2):
            sent = await Webhook().send(account(receiver.url), answer, egress)
            assert sent.external_id == str(answer.id)
    for got in receiver.got:
        assert got.id == str(answer.id)
        for library in (standardwebhooks.Webhook, svix.Webhook):
            library(SECRET).verify(got.body, dict(got.headers))
    told = receiver.got[0].payload
    assert told["type"] == "message.created" and receiver.got[0].body == receiver.got[1].body
    assert told["data"]["chat_id"] == "c-1" and told["data"]["text"] == "At nine."
    assert told["data"]["message_id"] == str(answer.id)
    assert await Webhook().was_sent(account(receiver.url), answer, egress) is None


async def test_while_its_secret_is_replaced_an_answer_bears_both_signatures(egress: Egress):
    old = new_secret()
    async with Receiver() as receiver:
        await Webhook().send(account(receiver.url, old_secret=old), outbound(), egress)
    for secret in (SECRET, old):
        standardwebhooks.Webhook(secret).verify(receiver.got[0].body, dict(receiver.got[0].headers))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, SendRefused),
        (400, SendRefused),
        (404, SendRefused),
        (422, SendRefused),
        (401, AccountBroken),
        (410, AccountBroken),
        (408, ChannelUnavailable),
        (429, ChannelUnavailable),
        (500, ChannelUnavailable),
        (504, ChannelUnavailable),
    ],
)
async def test_what_an_answer_of_the_program_means(egress: Egress, status: int, error: type[Exception]):
    async with Receiver(answers=[status], headers={"retry-after": "7", "location": "/elsewhere"}) as receiver:
        with pytest.raises(error) as raised:
            await Webhook().send(account(receiver.url), outbound(), egress)
        assert type(raised.value) is error and str(status) in str(raised.value)
        assert len(receiver.got) == 1  # redirects are not followed
        if status in (429, 500):
            assert getattr(raised.value, "retry_after_s", None) == 7


async def test_a_program_that_is_away_is_tried_later_and_never_in_doubt(egress: Egress):
    with pytest.raises(ChannelUnavailable) as raised:
        await Webhook().send(account("http://127.0.0.1:9/"), outbound(), egress)
    assert type(raised.value) is ChannelUnavailable  # not ambiguous: a second time is the same message


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1/", "http://192.0.2.1/", "https://0x7f.1/"],
)
async def test_an_address_inside_is_refused(url: str):
    async with Egress() as closed:
        with pytest.raises(EgressRefused):
            await Webhook().send(account(url), outbound(), closed)
        with pytest.raises(SendRefused):
            await Webhook().fetch(ACCOUNT, {"url": url}, closed)


async def test_without_a_url_to_store_an_answer_is_to_deliver_it(egress: Egress):
    assert (await Webhook().send(ACCOUNT, outbound(), egress)).external_id is not None


async def test_a_channel_can_be_checked(egress: Egress):
    async with Receiver() as receiver:
        assert "2xx" in await Webhook().check(account(receiver.url), egress)
        assert receiver.types == ["webhook.test"]
    assert "no url" in await Webhook().check(ACCOUNT, egress)


async def test_a_question_comes_in_and_its_answer_goes_out_and_its_receipt_comes_back(make_house: MakeHouse):
    wiring = ModelOnStrings().wiring(egress_allow="127.0.0.0/8")
    house = await make_house(serve=True, work=True, **wiring)
    async with Receiver() as receiver, client(house, await house.owner()) as http:
        program = await connect(house, http, url=receiver.url)
        assert (await program.post(message("How are things?", chat_id="their-chat"))).status_code == 200

        async def answered() -> bool:
            return bool(receiver.got)

        await until(answered)
        data = receiver.got[0].payload["data"]
        assert (data["chat_id"], data["text"]) == ("their-chat", "All is well.")
        receipt = {"type": "message.status", "data": {"message_id": data["message_id"], "status": "read"}}

        async def is_read() -> bool:
            await program.post(orjson.dumps(receipt))
            return [m["status"] for m in await program.messages() if m["direction"] == "outbound"] == ["read"]

        await until(is_read)
