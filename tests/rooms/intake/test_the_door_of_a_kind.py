"""At the door of a whole kind stand many accounts, of many owners: none sees what is another's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import httpx
import pytest
from tests.conftest import MakeHouse
from tests.rooms.intake.test_every_kind_of_item import Drum, band, say

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
