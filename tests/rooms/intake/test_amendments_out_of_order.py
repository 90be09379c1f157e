"""Edits and revocations come twice, late and out of order, and sometimes before the answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.conftest import MakeHouse
from tests.rooms.intake.test_every_kind_of_item import Band, Drum, band, say

from a1zap.channels.contract import Amendment, Attached, Inbound
from a1zap.chats import store as chats

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def content(b: Band, message: Inbound) -> Any:
    chat = await b.chat_of(message)
    async with b.house.db.owned(b.owner_id) as tx:
        (found,) = await chats.list_messages(tx, await b.house.keyring.sealer(tx), chat, count=5)
        return found.content


async def test_an_older_edit_that_comes_later_changes_nothing(make_house: MakeHouse):
    b = await band(make_house, Drum())
    message = say("zero", external_id="m1")
    await b.hear(message)
    await b.hear(Amendment("m1", "second", T0 + timedelta(seconds=9)))
    await b.hear(Amendment("m1", "first", T0))
    assert await content(b, message) == "second"


async def test_what_was_taken_back_does_not_come_back_with_a_late_edit(make_house: MakeHouse):
    b = await band(make_house, Drum())
    message = say("my card is 4111", external_id="m1")
    await b.hear(message)
    edit = Amendment("m1", "my card is 4222", T0)
    await b.hear(edit)
    await b.hear(Amendment("m1", None, T0 + timedelta(seconds=5)))
    await b.hear(edit)
    await b.hear(Amendment("m1", "my card is 4333", T0 + timedelta(seconds=9)))
    assert await content(b, message) == chats.REVOKED


async def test_the_files_of_a_message_go_with_it_when_it_is_taken_back(make_house: MakeHouse):
    b = await band(make_house, Drum())
    photo = Attached("image", "image/png", "me.png", content=b"\x89PNG secret")
    message = say("look", external_id="m1", attachments=[photo])
    await b.hear(message)
    assert len(await b.house.as_admin("SELECT 1 FROM attachments")) == 1
    await b.hear(Amendment("m1", None, T0))
    assert await b.house.as_admin("SELECT 1 FROM attachments") == []


async def test_a_message_that_was_taken_back_is_not_answered(make_house: MakeHouse):
    b = await band(make_house, Drum())
    one, two = say("one", external_id="m1"), say("two", external_id="m2")
    await b.hear(one)
    await b.hear(Amendment("m1", None, T0))
    assert await b.held(one) == "taken_back"
    (chat,) = await b.house.as_admin("SELECT waiting_since FROM chats")
    assert chat["waiting_since"] is None
    await b.hear(two)
    stop = asyncio.Event()
    working = asyncio.create_task(b.house.house.work(stop))
    try:
        (turn,) = await b.until("SELECT from_seq, to_seq FROM turns")
    finally:
        stop.set()
        await working
    assert (turn["from_seq"], turn["to_seq"]) == (2, 2)


async def test_a_message_that_was_answered_and_then_taken_back_stays_answered(make_house: MakeHouse):
    b = await band(make_house, Drum(), work=True)
    one = say("one", external_id="m1")
    await b.hear(one)
    await b.until("SELECT 1 FROM turns")
    await b.hear(Amendment("m1", None, T0))
    assert await b.held(one) is None
