"""Receipts that nobody ever comes for (another program sends over the same number) cost next to nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.conftest import MakeHouse
from tests.rooms.intake.test_every_kind_of_item import Drum, band, say

from a1zap.channels.contract import Receipt, Status
from a1zap.chats import sending_store

DAY = timedelta(days=1)


async def test_old_receipts_are_looked_at_now_and_then_and_new_ones_always(make_house: MakeHouse):
    b = await band(make_house, Drum())
    now = datetime.now(UTC)
    await b.hear(say("hello", external_id="in"))
    for name in ("old", "new"):
        await b.hear(Receipt(name, Status.READ, now))
    await b.house.as_admin(
        "UPDATE early_receipts SET created_at = now() - interval '5 minutes' WHERE external_id = 'old'"
    )

    async def taken(within: timedelta) -> int:
        async with b.house.db.owned(b.owner_id) as tx:
            return len(await sending_store.take_early_receipts(tx, now - DAY, within=within))

    assert await taken(DAY) == 0
    for name in ("old", "new"):  # what they are about is known now
        await b.hear(say(name, external_id=name, is_echo=True))
    assert await taken(timedelta(minutes=1)) == 1
    (left,) = await b.house.as_admin("SELECT external_id FROM early_receipts")
    assert left["external_id"] == "old"
    assert await taken(DAY) == 1
