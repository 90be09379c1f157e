"""At the door of a whole kind stand many accounts, of many owners: none sees what is another's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import httpx
import pytest
from tests.conftest import MakeHouse
from tests.rooms.intake.test_every_kind_of_item import Drum, band, say

from a1zap.agents.connect_channel import connect_channel
from a1zap.channels.contract import ChannelAccount, Item, Unread


class Mixed(Drum):
    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        return [say("ours"), Unread("for another skin", b"{}")]


@pytest.mark.parametrize("is_shared", [True, False])
async def test_the_bytes_of_a_mixed_delivery_are_kept_with_nobodys_message(
    make_house: MakeHouse, is_shared: bool
):
    b = await band(make_house, Mixed())
    path = "/api/webhooks/drum" if is_shared else f"/api/webhooks/{b.account_id}"
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:
        body = b'{"skin": "s1", "text": "ours", "and": "what somebody said to another owner"}'
        assert (await http.post(path, content=body, headers={"x-token": "t1"})).status_code == 200
    (row,) = await b.house.as_admin("SELECT raw_sealed FROM messages")
    assert row["raw_sealed"] is None


@pytest.mark.parametrize("kind", ["api", "web", "email", "webhook"])
async def test_a_kind_without_a_door_is_asked_no_challenge(make_house: MakeHouse, kind: str):
    b = await band(make_house, Drum())
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:
        assert (await http.get(f"/api/webhooks/{kind}")).status_code == 404


async def test_the_last_of_many_numbers_in_one_delivery_gets_its_message_too(make_house: MakeHouse):
    class Crowded(Drum):
        def named_in(self, raw: bytes) -> Sequence[str]:
            return ["s1", *(f"other{number}" for number in range(200)), "s2"]

        def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
            return [say(account.identity)]

    drum = Crowded()
    b = await band(make_house, drum)
    for number in range(1, 60):
        await connect_channel(
            b.house.db,
            b.house.keyring,
            drum,
            owner_id=b.owner_id,
            agent_id=b.agent_id,
            settings={"skin": "s2" if number == 59 else f"other{number}", "token": "t1"},
            actor="test",
        )
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:
        assert (await http.post("/api/webhooks/drum", headers={"x-token": "t1"})).status_code == 200
    assert len(await b.house.as_admin("SELECT 1 FROM messages")) == 60
