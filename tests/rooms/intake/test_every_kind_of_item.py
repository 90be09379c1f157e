"""Whatever a channel may say of a delivery becomes durable: a small channel of its own says all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
from tests.conftest import MakeHouse, TestHouse

from a1zap.agents.channel_store import read_channel_account
from a1zap.agents.connect_channel import connect_channel
from a1zap.agents.create_agent import create_agent
from a1zap.channels.catalog import shipped_channels
from a1zap.channels.contract import (
    AccountBroken,
    Amendment,
    ChannelAccount,
    ChannelBase,
    Inbound,
    Item,
    Kept,
    Outbound,
    Posted,
    Receipt,
    Relink,
    Sent,
    Status,
    Unread,
)
from a1zap.chats import store as chats
from a1zap.intake.accept_item import accept_item
from a1zap.intake.accept_receipt import SETTLE_EVERY_S
from a1zap.intake.opened import Opened
from a1zap.kit.egress import Egress
from a1zap.kit.errors import Malformed, NotAllowed, NotSignedIn


class Drum(ChannelBase):
    """A channel that says what its deliveries tell it to."""

    kind = "drum"
    stale_after_s = 3600.0
    wants_thread = True
    text_max = 60
    answers_per_hour_max = 3

    def __init__(self) -> None:
        self.sent: list[Outbound] = []
        self.is_broken = False

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        return settings["skin"], settings

    def named_in(self, raw: bytes) -> Sequence[str]:
        try:
            return [orjson.loads(raw)["skin"]]
        except (ValueError, KeyError, TypeError):
            raise Malformed("no skin") from None

    def challenge(self, account: ChannelAccount, query: Mapping[str, str]) -> str:
        if query.get("token") != account.credentials["token"]:
            raise NotAllowed("wrong token")
        return query.get("challenge", "")

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        if posted.headers.get("x-token") != account.credentials["token"]:
            raise NotSignedIn("wrong token")

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        body = orjson.loads(raw)
        if body["skin"] != account.identity:
            return [Unread("for another skin", raw)]
        return [say(str(body["text"]), chat="shared")]

    async def read(self, account: ChannelAccount, kept: Kept, now: datetime) -> Sequence[Item]:
        if kept.raw == b"noise":
            raise Malformed("noise")
        return [say(kept.raw.decode(), chat="kept", address=str(kept.meta.get("envelope_from", "+1")))]

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        if self.is_broken:
            raise AccountBroken("the drum is torn")
        self.sent.append(outbound)
        return Sent(external_id=f"out-{outbound.id}", thread_ref=f"relay-{len(self.sent)}")


class SlowDrum(Drum):
    kind = "slowdrum"
    is_read_later = True


def say(text: str, *, chat: str = "c1", address: str = "+1", **more: Any) -> Inbound:
    return Inbound(
        external_id=more.pop("external_id", uuid4().hex),
        chat_external_id=chat,
        chat_type=more.pop("chat_type", "individual"),
        service="drum",
        sender_address=address,
        sender_name=None,
        message_type=more.pop("message_type", "text"),
        text=text,
        said_at=datetime.now(UTC),
        **more,
    )


class Band:
    """A served house with one agent on a drum."""

    def __init__(
        self, house: TestHouse, drum: Drum, owner_id: UUID, agent_id: UUID, account_id: UUID
    ) -> None:
        self.house, self.drum, self.owner_id = house, drum, owner_id
        self.agent_id, self.account_id = agent_id, account_id

    async def hear(self, item: Item) -> None:
        async with self.house.db.owned(self.owner_id) as tx:
            sealer = await self.house.keyring.sealer(tx)
            account = await read_channel_account(tx, sealer, self.account_id)
            agent = await self.agent(tx)
            assert account is not None
            opened = Opened(sealer, self.house.channels[account.kind], account, agent, (), 0.0)
            await accept_item(tx, self.house, opened, item, b"raw")

    async def agent(self, tx: Any) -> Any:
        from a1zap.agents.store import read_agent

        return await read_agent(tx, self.agent_id)

    async def chat_of(self, item: Inbound) -> UUID:
        (row,) = await self.house.as_admin(
            "SELECT chat_id FROM messages WHERE external_id = $1", item.external_id
        )
        return row["chat_id"]

    async def held(self, item: Inbound) -> str | None:
        (row,) = await self.house.as_admin(
            "SELECT held_reason FROM messages WHERE external_id = $1", item.external_id
        )
        return row["held_reason"]

    async def until(self, sql: str, *args: object, count: int = 1) -> list[Any]:
        for _ in range(400):
            rows = await self.house.as_admin(sql, *args)
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.02)
        raise AssertionError(f"not within eight seconds: {sql}")


async def band(make_house: MakeHouse, drum: Drum, *, work: bool = False, mentioned: bool = False) -> Band:
    house = await make_house(serve=True, work=work, channels={**shipped_channels(), drum.kind: drum})
    owner = await house.owner()
    agent = await create_agent(
        house.db,
        house.keyring,
        owner_id=owner.owner_id,
        name="Nova",
        handle="nova",
        agent_type="work",
        respond_only_when_mentioned=mentioned,
        actor="test",
    )
    seen = await connect_channel(
        house.db,
        house.keyring,
        drum,
        owner_id=owner.owner_id,
        agent_id=agent.id,
        settings={"skin": "s1", "token": "t1"},
        actor="test",
    )
    return Band(house, drum, owner.owner_id, agent.id, seen.seen.id)


async def test_a_message_that_continues_a_chat_of_its_sender_lands_there(make_house: MakeHouse):
    b = await band(make_house, Drum())
    first = say("one", chat="m1", external_id="m1", thread_ref="<m1@x>")
    answer = say("two", chat="m2", continues=["<m1@x>"])
    strangers = say("three", chat="m3", address="+2", continues=["<m1@x>"])
    claimed = say("four", chat="m4", continues=["<m1@x>"], sender_is_verified=False)
    for item in (first, answer, strangers, claimed):
        await b.hear(item)
    chat = await b.chat_of(first)
    assert await b.chat_of(answer) == chat
    assert chat not in (await b.chat_of(strangers), await b.chat_of(claimed))


async def test_who_claims_an_address_without_proof_is_somebody_else(make_house: MakeHouse):
    b = await band(make_house, Drum())
    await b.hear(say("I am she", chat="m1"))
    await b.hear(say("I say I am she", chat="m2", sender_is_verified=False))
    rows = await b.house.as_admin("SELECT DISTINCT sender_id FROM messages")
    assert len(rows) == 2


async def test_who_only_says_to_be_somebody_does_not_get_into_the_chat_that_it_names(make_house: MakeHouse):
    b = await band(make_house, Drum())
    hers = say("my order is 7", chat="c1")
    claims = [say("what is my order?", chat="c1", sender_is_verified=False) for _ in range(2)]
    for item in (hers, *claims):
        await b.hear(item)
    theirs = [await b.chat_of(item) for item in claims]
    assert theirs[0] == theirs[1] != await b.chat_of(hers)


async def test_the_token_of_a_reply_address_finds_the_chat_for_those_in_it(make_house: MakeHouse):
    from a1zap.chats.chat_key import make_chat_key, open_chat_key

    b = await band(make_house, Drum())
    first = say("one", chat="m1")
    await b.hear(first)
    chat = await b.chat_of(first)
    async with b.house.db.owned(b.owner_id) as tx:
        sealer = await b.house.keyring.sealer(tx)
    key = make_chat_key(sealer, chat)
    assert open_chat_key(sealer, key.upper()) == chat
    assert [
        open_chat_key(sealer, k)
        for k in ("", "x" * 36, key[:-4] + ("a" if key[-4] != "a" else "b") + key[-3:])
    ] == [None] * 3
    back, other = say("two", chat="m2", chat_key=key), say("three", chat="m3", chat_key=key, address="+2")
    await b.hear(back)
    await b.hear(other)
    assert (await b.chat_of(back) == chat, await b.chat_of(other) == chat) == (True, False)


async def test_a_person_keeps_their_chat_and_name_through_a_new_number(make_house: MakeHouse):
    class Following(Drum):
        chats_follow_people = True

    b = await band(make_house, Following())
    first = say("one", chat="+1", address="+1")
    await b.hear(first)
    await b.hear(Relink(before=["+1"], after=["id:9", "+3"], at=datetime.now(UTC)))
    later, recycled = say("two", chat="id:9", address="id:9"), say("hi", chat="+1", address="+1")
    both = say("three", chat="+3", address="id:9", other_addresses=["+3"])
    for item in (later, both, recycled):
        await b.hear(item)
    chat = await b.chat_of(first)
    assert (await b.chat_of(later), await b.chat_of(both)) == (chat, chat)
    assert await b.chat_of(recycled) != chat


async def test_a_changed_message_says_what_it_says_now_and_one_taken_back_nothing(make_house: MakeHouse):
    b = await band(make_house, Drum())
    message = say("my card is 4111", external_id="m1", rich_content={"x": "4111"})
    await b.hear(message)
    now = datetime.now(UTC)
    await b.hear(Amendment("m1", "never mind", now))
    await b.hear(Amendment("unknown", "?", now))
    chat = await b.chat_of(message)

    async def content() -> Any:
        async with b.house.db.owned(b.owner_id) as tx:
            (found,) = await chats.list_messages(tx, await b.house.keyring.sealer(tx), chat, count=5)
            return found.content, found.rich_content

    assert (await content())[0] == "never mind"
    await b.hear(Amendment("m1", None, now))
    assert await content() == (chats.REVOKED, None)
    assert len(await b.house.as_admin("SELECT 1 FROM unread_deliveries")) == 1


async def test_what_nobody_must_answer_is_stored_and_held(make_house: MakeHouse):
    b = await band(make_house, Drum(), mentioned=True)
    items = {
        "automatic_bounce": say("bounced", automatic="bounce"),
        "reaction": say("[Reacted with: +]", message_type="reaction"),
        "not_mentioned": say("is anybody innovative?", chat="g", chat_type="group"),
    }
    for reason, item in items.items():
        await b.hear(item)
        assert await b.held(item) == reason
    for item in (
        say("hello @nova!", chat="g", chat_type="group"),
        say("you there", chat="g", chat_type="group", is_mentioned=True),
        say("hello", chat="i"),
    ):
        await b.hear(item)
        assert await b.held(item) is None


async def test_a_receipt_that_comes_before_the_answer_to_its_send_is_not_lost(make_house: MakeHouse):
    b = await band(make_house, Drum(), work=True)
    now = datetime.now(UTC)
    await b.hear(Receipt("out-later", Status.READ, now))
    await b.hear(say("hello", chat="m1"))
    (row,) = await b.until("SELECT id FROM messages WHERE direction = 'outbound' AND status = 'sent' LIMIT 1")
    await b.hear(Receipt("", Status.DELIVERED, now, message_id=row["id"]))
    (seen,) = await b.house.as_admin("SELECT status FROM messages WHERE id = $1", row["id"])
    assert seen["status"] == "delivered"
    await b.house.as_admin("UPDATE messages SET external_id = 'out-later' WHERE id = $1", row["id"])
    await b.until("SELECT 1 FROM messages WHERE id = $1 AND status = 'read'", row["id"])
    assert await b.house.as_admin("SELECT 1 FROM early_receipts") == []
    assert SETTLE_EVERY_S <= 2


async def test_answers_to_an_address_that_talks_back_end(make_house: MakeHouse):
    drum = Drum()
    b = await band(make_house, drum, work=True)
    for number in range(8):
        item = say("hello", chat=f"m{number}")
        await b.hear(item)
        if await b.held(item) == "loop_suspected":
            break
        await b.until(
            "SELECT 1 FROM messages WHERE direction = 'outbound' AND status = 'sent'", count=number + 1
        )
    assert number == 3


async def test_an_account_that_its_provider_closed_is_paused_and_its_messages_wait(make_house: MakeHouse):
    drum = Drum()
    drum.is_broken = True
    b = await band(make_house, drum, work=True)
    await b.hear(say("hello"))
    await b.until("SELECT 1 FROM channel_accounts WHERE status = 'paused' AND health ->> 'state' = 'broken'")
    assert await b.until("SELECT 1 FROM audit_events WHERE action = 'channel.broken'")
    assert (
        len(await b.until("SELECT 1 FROM messages WHERE direction = 'outbound' AND status = 'queued'")) >= 1
    )


async def test_a_dead_address_is_not_written_to_until_somebody_writes_from_it(make_house: MakeHouse):
    drum = Drum()
    b = await band(make_house, drum, work=True)
    await b.hear(say("hello", chat="m1"))
    row, *_ = await b.until(
        "SELECT external_id FROM messages WHERE direction = 'outbound' AND status = 'sent'"
    )
    await b.hear(say("somebody else", chat="m2", address="+2"))
    now = datetime.now(UTC)

    async def dead() -> str | None:
        found = await b.house.as_admin("SELECT dead_because FROM user_addresses ORDER BY id")
        assert found[1]["dead_because"] is None  # nobody else's
        return found[0]["dead_because"]

    await b.hear(Receipt("never-sent", Status.FAILED, now, error="550 gone", dead_address="+1"))
    await b.hear(Receipt(row["external_id"], Status.READ, now, dead_address="+2"))
    assert await dead() is None
    await b.hear(Receipt(row["external_id"], Status.FAILED, now, error="550 gone", dead_address="+1"))
    assert await dead() == "550 gone"
    await b.hear(say("I only say that I am", chat="m3", sender_is_verified=False))
    assert await dead() == "550 gone", "anybody can put an address into a From"
    await b.hear(say("I am still here", chat="m1"))
    assert await dead() is None


async def test_a_person_who_writes_by_hand_takes_the_chat(make_house: MakeHouse):
    b = await band(make_house, Drum())
    await b.hear(say("hello", chat="+1"))
    hand = say("I do this one myself", chat="+1", address="s1", is_echo=True, is_by_hand=True)
    await b.hear(hand)
    (row,) = await b.house.as_admin("SELECT status FROM chats")
    assert row["status"] == "human"
    again = say("thanks", chat="+1")
    await b.hear(again)
    assert await b.chat_of(again) == await b.chat_of(hand)


async def test_deliveries_are_kept_before_they_are_read_and_what_nobody_reads_is_shown(make_house: MakeHouse):
    b = await band(make_house, SlowDrum(), work=True)
    url = f"/api/webhooks/{b.account_id}"
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:
        for raw in (b"hello", b"hello", b"noise"):
            assert (await http.post(url, content=raw, headers={"x-token": "t1"})).status_code == 200
        assert (await http.post(url, content=b"x", headers={"x-token": "no"})).status_code == 401
        too_large = await http.post(url, content=b"x" * (SlowDrum.body_max + 1), headers={"x-token": "t1"})
    assert too_large.status_code == 413
    await b.until("SELECT 1 FROM messages WHERE direction = 'inbound'")
    await b.until("SELECT 1 FROM unread_deliveries")
    await b.until("SELECT 1 FROM raw_deliveries WHERE read_at IS NOT NULL", count=2)
    assert len(await b.house.as_admin("SELECT 1 FROM messages WHERE direction = 'inbound'")) == 1


async def test_the_door_of_a_kind_gives_every_account_what_is_its_own(make_house: MakeHouse):
    b = await band(make_house, Drum())
    url = "/api/webhooks/drum"
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:

        async def post(body: object, token: str = "t1") -> int:
            return (await http.post(url, content=orjson.dumps(body), headers={"x-token": token})).status_code

        assert await post({"skin": "s1", "text": "hello"}) == 200
        assert [
            await post({"skin": "s1", "text": "no"}, "t2"),
            await post({"skin": "s2", "text": "no"}),
            await post([]),
        ] == [401] * 3
        asked = await http.get(url, params={"token": "t1", "challenge": "42"})
        assert (asked.status_code, asked.text) == (200, "42")
        assert (await http.get(f"/api/webhooks/{b.account_id}", params={"token": "t2"})).status_code == 403
    rows = await b.house.as_admin("SELECT 1 FROM messages")
    assert len(rows) == 1


async def test_a_long_answer_leaves_in_pieces_that_the_channel_takes(make_house: MakeHouse):
    from a1zap.kit.split_text import split_text

    text = "One sentence stands here. " * 10 + "\n\n" + "wort" * 40 + " e\u0301nd"
    pieces = split_text(text, 60)
    assert all(0 < len(p) <= 60 for p in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert split_text(text, None) == [text]
    drum = Drum()
    b = await band(make_house, drum, work=True)
    await b.hear(say("what can you do?"))
    await b.until("SELECT 1 FROM messages WHERE direction = 'outbound' AND status = 'sent'")
    await asyncio.sleep(0.3)
    assert all(len(o.text) <= 60 for o in drum.sent)
    assert drum.sent[0].thread is not None and drum.sent[0].chat_key
    assert drum.sent[0].thread.last_inbound_at is not None
    assert datetime.now(UTC) - drum.sent[0].thread.last_inbound_at < timedelta(minutes=1)
    assert drum.sent[0].agent_name == "Nova"
