"""Bytes of files are stored with no transaction open: a storage that is slow takes no connection from anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Sequence
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from tests.conftest import MakeHouse, TestHouse
from tests.rooms.intake.test_every_kind_of_item import Drum, SlowDrum, band, say

from a1zap.channels.contract import Attached, ChannelAccount, Item, Kept
from a1zap.storage.folder import FolderStorage

FILES = [Attached("document", content=b"one"), Attached("document", content=b"two")]


class Asking(FolderStorage):
    """While it writes, somebody else wants the only connection there is."""

    house: TestHouse | None = None
    asked = 0

    async def put(self, key: str, pieces: AsyncIterable[bytes]) -> None:
        assert self.house is not None
        async with asyncio.timeout(3), self.house.db.standalone() as tx:
            self.asked += await tx.value("SELECT 1")
        await super().put(key, pieces)


class Filing(Drum):
    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        return [say("first", attachments=FILES), say("second", attachments=FILES)]


class FilingLater(SlowDrum):
    async def read(self, account: ChannelAccount, kept: Kept, now: datetime) -> Sequence[Item]:
        return [say("first", attachments=FILES), say("second", attachments=FILES)]


@pytest.mark.parametrize("drum", [Filing(), FilingLater()], ids=["at once", "later"])
async def test_files_are_written_while_no_connection_is_held(
    make_house: MakeHouse, tmp_path: Path, drum: Drum
):
    storage = Asking(tmp_path / "blobs")

    async def with_one_connection(**wiring: object) -> TestHouse:
        storage.house = await make_house(**wiring, storage=storage, connections_max=1)
        return storage.house

    b = await band(with_one_connection, drum, work=drum.is_read_later)
    async with httpx.AsyncClient(base_url=b.house.url, trust_env=False) as http:
        url = f"/api/webhooks/{b.account_id}"
        assert (await http.post(url, content=b"x", headers={"x-token": "t1"})).status_code == 200
    await b.until("SELECT 1 FROM messages WHERE direction = 'inbound'", count=2)
    assert storage.asked >= 4
