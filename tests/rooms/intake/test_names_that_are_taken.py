"""A provider's name for a message, or a person's name for a chat, may be taken by something else already."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from tests.conftest import MakeHouse
from tests.rooms.intake.test_every_kind_of_item import Drum, band, say

from a1zap.channels.contract import ChannelAccount, Outbound, Receipt, Relink, Sent, Status
from a1zap.kit.egress import Egress

NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Echoing(Drum):
    """Its provider tells of what we send, in its own words and before it answers us."""

    def __init__(self) -> None:
        super().__init__()
        self.band = None

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        self.sent.append(outbound)
        echo = say("[formatted]", chat="m1", external_id=f"out-{outbound.id}", is_echo=True)
        await self.band.hear(echo)
        return Sent(external_id=f"out-{outbound.id}")


async def test_an_echo_in_other_words_does_not_make_us_send_again(make_house: MakeHouse):
    drum = Echoing()
    drum.band = b = await band(make_house, drum, work=True)
    await b.hear(say("hello", chat="m1"))
    await b.until("SELECT 1 FROM messages WHERE sender_kind = 'agent' AND status = 'sent'")
    await asyncio.sleep(1.5)
    ids = [o.id for o in drum.sent]
    assert len(ids) == len(set(ids))


async def test_a_receipt_whose_name_an_echo_has_still_moves_our_message(make_house: MakeHouse):
    b = await band(make_house, Drum(), work=True)
    await b.hear(say("hello", chat="m1"))
    (ours, *_) = await b.until("SELECT id FROM messages WHERE sender_kind = 'agent' AND status = 'sent'")
    await b.house.as_admin("UPDATE messages SET external_id = NULL WHERE id = $1", ours["id"])
    await b.hear(say("[in other words]", chat="m1", external_id="wamid.1", is_echo=True, is_by_hand=True))
    await b.hear(Receipt("wamid.1", Status.READ, NOW, message_id=ours["id"]))
    assert await b.house.as_admin("SELECT 1 FROM messages WHERE id = $1 AND status = 'read'", ours["id"])


async def test_a_receipt_that_overtakes_the_answer_to_a_send_does_not_lose_the_threads_name(
    make_house: MakeHouse,
):
    class Overtaken(Drum):
        async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
            await b.hear(Receipt("", Status.DELIVERED, NOW, message_id=outbound.id))
            return Sent(external_id=f"out-{outbound.id}", thread_ref="<relay@x>")

    b = await band(make_house, Overtaken(), work=True)
    await b.hear(say("hello", chat="m1"))
    rows = await b.until("SELECT thread_ref FROM messages WHERE external_id LIKE 'out-%'")
    assert rows[0]["thread_ref"] == "<relay@x>"


async def test_whoever_gets_a_number_next_does_not_get_the_chat_that_is_called_by_it(make_house: MakeHouse):
    class Following(Drum):
        chats_follow_people = True

    b = await band(make_house, Following())
    old, early = say("my secret", chat="+1", address="+1"), say("me again", chat="+3", address="+3")
    await b.hear(old)
    await b.hear(early)  # overtook the news of the new number
    await b.hear(Relink(before=["+1"], after=["+3"], at=NOW))
    stranger, again = say("who is this?", chat="+1", address="+1"), say("well?", chat="+1", address="+1")
    await b.hear(stranger)
    await b.hear(again)
    chats: list[UUID] = [await b.chat_of(m) for m in (old, stranger, again)]
    assert chats[0] != chats[1] == chats[2]


async def test_what_is_written_by_hand_to_whoever_has_a_number_next_is_not_shown_in_the_old_chat(
    make_house: MakeHouse,
):
    b = await band(make_house, Drum())
    old = say("my secret", chat="+1", address="+1")
    await b.hear(old)
    await b.hear(say("me again", chat="+3", address="+3"))
    await b.hear(Relink(before=["+1"], after=["+3"], at=NOW))
    hand = say("hello, new customer", chat="+1", address="us", is_echo=True, is_by_hand=True)
    await b.hear(hand)
    assert await b.chat_of(hand) != await b.chat_of(old)
