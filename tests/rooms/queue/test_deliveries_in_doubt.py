"""A message that may have left already: asked about where one can ask, sent again only with the flag, never forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from tests.conftest import MakeHouse, TestHouse
from tests.fakes.a1base import KEY, SECRET, Account, FakeA1Base, message_body, sign
from tests.fakes.weather import FAIR, Weather

from a1zap.agents.channel_store import read_channel_account
from a1zap.agents.connect_channel import connect_channel
from a1zap.agents.create_agent import create_agent
from a1zap.channels.a1base import send as a1base_send
from a1zap.channels.contract import Receipt, Status
from a1zap.chats import store as chats
from a1zap.delivery.deliver_message import Deliverer, deliver_message
from a1zap.delivery.write_as_owner import write_as_owner
from a1zap.intake.accept_receipt import accept_receipt
from a1zap.kit.errors import ChannelUnavailable
from a1zap.queue import store as queue
from a1zap.queue.model import Entry

NUMBER, SENDER, THREAD = "+15550001111", "+61400123456", "thread-1"


@dataclass
class Way:
    """One chat, a message on its way out of it, and whoever carries it."""

    house: TestHouse
    fake: FakeA1Base
    owner_id: UUID
    agent_id: UUID
    deliverer: Deliverer
    chat_id: UUID | None = None

    async def hear(self, text: str = "Hello", *, is_from_agent: bool = False) -> None:
        message_id = uuid4().hex
        raw = message_body(
            message_id=message_id,
            thread_id=THREAD,
            sender=NUMBER if is_from_agent else SENDER,
            text=text,
            number=NUMBER,
            is_from_agent=is_from_agent,
        )
        if not is_from_agent:
            self.fake.heard("acc-1", THREAD, SENDER, message_id, text)
        async with httpx.AsyncClient(base_url=self.house.url, trust_env=False) as provider:
            headers = {"x-agent-id": str(self.agent_id), **sign(raw)}
            answer = await provider.post("/api/webhooks/messaging", content=raw, headers=headers)
        assert answer.status_code == 200, answer.text

    async def write(self, text: str) -> UUID:
        async with self.house.db.owned(self.owner_id) as tx:
            sealer = await self.house.keyring.sealer(tx)
            (row,) = await tx.rows("SELECT id FROM chats")
            chat = await chats.read_chat(tx, sealer, row["id"])
            assert chat is not None
            message = await write_as_owner(
                tx,
                sealer,
                self.house.wakeups,
                chat,
                text,
                channels=self.house.channels,
                once_key=None,
                now=self.house.clock.now(),
            )
            return message.id

    async def claim(self) -> Entry:
        """By a worker that dies with it, unless `deliver` follows."""
        async with self.house.db.unowned() as tx:
            (entry,) = await queue.claim(tx, "deliveries", 1, timedelta(0))
        return entry

    async def deliver(self, weather: Weather = FAIR) -> Entry:
        self.fake.weather = weather
        entry = await self.claim()
        with suppress(ChannelUnavailable):
            await deliver_message(self.deliverer, entry)
        return entry

    async def found(self, message_id: UUID) -> Any:
        (row,) = await self.house.as_admin(
            "SELECT status, possible_duplicate AS flagged, error, external_id FROM messages WHERE id = $1",
            message_id,
        )
        return row

    async def entries(self) -> int:
        return (await self.house.as_admin("SELECT count(*) FROM pgmq.q_deliveries"))[0][0]

    @property
    def taken(self) -> list[str]:
        return [call.text for call in self.fake.taken]


@pytest.fixture
async def way(make_house: MakeHouse) -> AsyncIterator[Way]:
    async with FakeA1Base(accounts={"acc-1": Account()}) as fake:
        house = await make_house(serve=True, settings={"egress_allow": "127.0.0.0/8"})
        owner = await house.owner()
        named = {"owner_id": owner.owner_id, "actor": "test"}
        agent = await create_agent(house.db, house.keyring, name="Ada", **named)
        await connect_channel(
            house.db,
            house.keyring,
            house.channels["a1base"],
            agent_id=agent.id,
            settings={
                "number": NUMBER,
                "account_id": "acc-1",
                "api_key": KEY,
                "api_secret": SECRET,
                "base_url": fake.base_url,
            },
            **named,
        )
        deliverer = Deliverer(
            db=house.db,
            wakeups=house.wakeups,
            keyring=house.keyring,
            channels=house.channels,
            egress=house.egress,
            files=house.files,
            clock=house.clock,
        )
        found = Way(house, fake, owner.owner_id, agent.id, deliverer)
        await found.hear()
        yield found


def forget(way: Way) -> None:
    """The provider cannot be asked what it was given."""
    way.fake.accounts["acc-1"].has_recent = False


async def test_an_undisturbed_message_leaves_once_and_unflagged(way: Way):
    message_id = await way.write("Welcome")
    await way.deliver()
    row = await way.found(message_id)
    assert (way.taken, row["status"], row["flagged"], await way.entries()) == (["Welcome"], "sent", False, 0)
    assert way.fake.asked == 0


@pytest.mark.parametrize(
    "weather", [Weather(reset_after=1.0), Weather(gateway_lost=1.0)], ids=["reset", "gateway"]
)
async def test_a_lost_answer_is_asked_about_and_not_sent_again(way: Way, weather: Weather):
    message_id = await way.write("Welcome")
    await way.deliver(weather)
    assert (await way.found(message_id))["status"] == "unknown"
    await way.deliver()
    row = await way.found(message_id)
    assert (way.taken, row["status"], row["flagged"], way.fake.asked) == (["Welcome"], "sent", False, 1)


async def test_an_answer_that_was_waited_for_long_is_asked_about_from_when_the_attempt_began(
    way: Way, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(a1base_send, "SEND_TIMEOUT_S", 1.3)
    message_id = await way.write("Here it is")
    await way.deliver(Weather(hang=1.0))
    await way.deliver()
    assert way.taken == ["Here it is"]
    found = await way.found(message_id)
    assert (found["status"], found["flagged"]) == ("sent", False)


async def test_what_a_dead_worker_never_sent_is_sent_with_the_flag(way: Way):
    message_id = await way.write("Welcome")
    await way.claim()  # and it died
    await way.deliver()
    row = await way.found(message_id)
    assert (way.taken, row["status"], row["flagged"]) == (["Welcome"], "sent", True)


async def test_a_clean_refusal_leaves_no_doubt(way: Way):
    forget(way)
    message_id = await way.write("Welcome")
    for weather in (Weather(too_many=1.0), Weather(broken=1.0)):
        await way.deliver(weather)
        assert (await way.found(message_id))["status"] == "queued"
    await way.deliver()
    row = await way.found(message_id)
    assert (way.taken, row["status"], row["flagged"]) == (["Welcome"], "sent", False)


async def test_a_crash_and_a_refusal_after_it_lose_nothing(way: Way):
    forget(way)
    message_id = await way.write("Welcome")
    await way.claim()  # died
    await way.deliver(Weather(too_many=1.0))
    await way.claim()  # died again
    await way.deliver(Weather(broken=1.0))
    await way.deliver()
    row = await way.found(message_id)
    assert (way.taken, row["status"], row["flagged"]) == (["Welcome"], "sent", True)


async def test_a_crash_and_a_lost_answer_after_it_are_not_yet_two_lost_answers(way: Way):
    forget(way)
    message_id = await way.write("Welcome")
    await way.claim()  # died
    await way.deliver(Weather(reset_before=1.0))
    await way.deliver()
    row = await way.found(message_id)
    assert (way.taken, row["status"], row["flagged"]) == (["Welcome"], "sent", True)


async def test_two_lost_answers_of_a_provider_that_cannot_be_asked_end_in_a_persons_hands(way: Way):
    forget(way)
    message_id = await way.write("Welcome")
    await way.deliver(Weather(reset_after=1.0))
    await way.deliver(Weather(reset_after=1.0))
    row = await way.found(message_id)
    assert (way.taken, row["status"], row["flagged"]) == (["Welcome", "Welcome"], "failed", True)
    assert "nobody knows whether it was sent" in row["error"]
    assert await way.entries() == 0, "the lane goes on"


async def test_the_same_words_said_before_are_not_taken_for_these(way: Way):
    await way.write("Yes.")
    await way.deliver()
    (call,) = way.fake.taken
    for line in way.fake.accounts["acc-1"].threads[call.thread_id]:
        line.at -= timedelta(minutes=1)
    again = await way.write("Yes.")
    await way.claim()  # died before it called anybody
    await way.deliver()
    assert way.taken == ["Yes.", "Yes."]
    assert (await way.found(again))["flagged"] is True


async def test_an_echo_while_the_end_is_open_closes_it(way: Way):
    message_id = await way.write("Welcome")
    await way.deliver(Weather(reset_after=1.0))
    await way.hear("Welcome", is_from_agent=True)
    assert (await way.found(message_id))["status"] == "sent"
    await way.deliver()
    assert (way.taken, await way.entries(), way.fake.asked) == (["Welcome"], 0, 0)


async def test_news_that_comes_late_moves_nothing_back(way: Way):
    way.fake.accounts["acc-1"].tells_message_id = True
    message_id = await way.write("Welcome")
    await way.deliver()
    external_id = (await way.found(message_id))["external_id"]
    (row,) = await way.house.as_admin("SELECT channel_account_id FROM messages WHERE id = $1", message_id)
    for status in (Status.DELIVERED, Status.SENT, Status.DELIVERED):
        async with way.house.db.owned(way.owner_id) as tx:
            receipt = Receipt(external_id, status, way.house.clock.now())
            sealer = await way.house.keyring.sealer(tx)
            account = await read_channel_account(tx, sealer, row["channel_account_id"])
            await accept_receipt(tx, sealer, way.house.wakeups, account, receipt)
        assert (await way.found(message_id))["status"] == "delivered"


async def test_a_replayed_message_is_in_doubt_again_when_its_carrier_dies(way: Way):
    message_id = await way.write("Welcome")
    for _ in range(3):
        entry = await way.deliver(Weather(too_many=1.0))
    async with way.house.db.owned(way.owner_id) as tx:
        await queue.bury(tx, entry, "test")
        (letter,) = await queue.dead_letters(tx, 1)
        await queue.replay(tx, letter.id, way.house.clock.now())
    await way.claim()  # died
    await way.deliver()
    row = await way.found(message_id)
    assert (way.taken, row["status"], row["flagged"], way.fake.asked) == (["Welcome"], "sent", True, 1)
