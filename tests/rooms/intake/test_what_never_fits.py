"""A part of a delivery that can never be stored is kept as unread, and takes none of the others with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import httpx
import pytest
from tests.conftest import MakeHouse
from tests.rooms.intake.test_every_kind_of_item import Drum, band, say

from a1zap.channels.contract import Amendment, ChannelAccount, Item, Relink


class Batch(Drum):
    """What it says of any delivery is laid out beforehand."""

    def __init__(self, *items: Item) -> None:
        super().__init__()
        self.items = items

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        return self.items


NOW = datetime(2026, 11, 1, tzinfo=UTC)
NEVER: dict[str, Item] = {
    "a NUL in a name": say("secret words", external_id="a\x00b"),
    "a name too long for an index": say("secret words", external_id="".join(map(chr, range(40, 9000)))),
    "half a character": say("half \ud83d a smile"),
    "a relink with a NUL": Relink(["\ud800"], ["+2"], NOW),
    "an amendment with a NUL": Amendment("a\x00b", "text", NOW),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", NEVER)
async def test_a_part_that_never_fits_is_kept_and_the_others_are_stored(
    make_house: MakeHouse, name: str, place: int
):
    items: list[Item] = [say("one", external_id="m1"), say("two", external_id="m2")]
    items.insert(place, NEVER[name])
    b = await band(make_house, Batch(*items))
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:
        answer = await http.post(f"/api/webhooks/{b.account_id}", content=b"x", headers={"x-token": "t1"})
    assert answer.status_code == 200
    rows = await b.house.as_admin("SELECT external_id FROM messages ORDER BY seq")
    assert [r["external_id"] for r in rows] == ["m1", "m2"]
    (kept,) = await b.house.as_admin("SELECT reason FROM unread_deliveries")
    assert "could not be stored" in kept["reason"] and "secret" not in kept["reason"]


async def test_a_delivery_that_our_own_reading_breaks_on_is_kept(make_house: MakeHouse):
    class Broken(Drum):
        def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
            raise KeyError("secret words")

    b = await band(make_house, Broken())
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:
        answer = await http.post(f"/api/webhooks/{b.account_id}", content=b"x", headers={"x-token": "t1"})
    assert answer.status_code == 200
    (kept,) = await b.house.as_admin("SELECT reason FROM unread_deliveries")
    assert kept["reason"] == "it could not be read: KeyError"


class Colliding(Batch):
    """Somebody is in the way of the first that is stored, so often."""

    times = 0

    @property
    def answers_per_hour_max(self) -> int | None:  # type: ignore[override]
        if self.times:
            self.times -= 1
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        return None


@pytest.mark.parametrize(("times", "status"), [(1, 200), (2, 200), (9, 500)])
async def test_a_collision_is_tried_again_at_once_and_at_last_left_to_the_provider(
    make_house: MakeHouse, times: int, status: int
):
    drum = Colliding(say("one", external_id="m1"), say("two", external_id="m2"))
    drum.times = times
    b = await band(make_house, drum)
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:
        answer = await http.post(f"/api/webhooks/{b.account_id}", content=b"x", headers={"x-token": "t1"})
    assert answer.status_code == status
    assert len(await b.house.as_admin("SELECT 1 FROM messages")) == (2 if status == 200 else 0)
    assert await b.house.as_admin("SELECT 1 FROM unread_deliveries") == []
