"""Files as sealed blobs: nothing readable at rest, no piece moved, cut or exchanged without being noticed, memory flat."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from a1zap.attachments.sealed_blob import PIECE_BYTES, owner_of_key, read_sealed, read_whole, write_sealed
from a1zap.kit.crypto import SealBroken, Sealer, new_data_key
from a1zap.storage.folder import FolderStorage

FRAME = PIECE_BYTES + 45
KNOWN = b"These words must not be found on the disk."


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(new_data_key(uuid4()))


async def pieces(content: bytes, each: int = 70_001) -> AsyncIterator[bytes]:
    for start in range(0, len(content), each):
        yield content[start : start + each]


@pytest.mark.parametrize(
    "size", [0, 1, 4096, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 3 * PIECE_BYTES + 17]
)
async def test_every_size_comes_back(storage: FolderStorage, sealer: Sealer, size: int):
    content = os.urandom(size)
    written = await write_sealed(storage, sealer, pieces(content))
    assert written.size == size
    assert written.head == content[:4096]
    assert await read_whole(storage, sealer, written.key) == content


async def test_nothing_readable_is_on_the_disk(storage: FolderStorage, sealer: Sealer, tmp_path: Path):
    await write_sealed(storage, sealer, pieces(KNOWN * 50_000))
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert len(on_disk) > 2_000_000
    assert KNOWN[:12] not in on_disk


async def test_a_key_tells_the_owner_and_nothing_else(storage: FolderStorage, sealer: Sealer):
    written = await write_sealed(storage, sealer, pieces(b"x"))
    assert owner_of_key(written.key) == sealer.owner_id
    assert owner_of_key("something/else") is None


async def test_another_owner_cannot_open_it(storage: FolderStorage, sealer: Sealer):
    written = await write_sealed(storage, sealer, pieces(KNOWN))
    with pytest.raises(SealBroken):
        await read_whole(storage, Sealer(new_data_key(uuid4())), written.key)


def _exchange(raw: bytes) -> bytes:
    return raw[:5] + raw[5 + FRAME : 5 + 2 * FRAME] + raw[5 : 5 + FRAME] + raw[5 + 2 * FRAME :]


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: raw[: 5 + 2 * FRAME],  # the last piece cut off, at its edge
        lambda raw: raw[:-1],
        lambda raw: raw[:5],
        lambda raw: raw[:0],
        lambda raw: raw + b"x",
        lambda raw: raw[:5] + raw[5 + FRAME :],  # the first piece left out
        _exchange,
        lambda raw: raw[:100] + bytes([raw[100] ^ 1]) + raw[101:],
        lambda raw: b"a1zf\x02" + raw[5:],
    ],
)
async def test_a_blob_that_was_touched_does_not_open(
    storage: FolderStorage, sealer: Sealer, tmp_path: Path, harm
):
    written = await write_sealed(storage, sealer, pieces(os.urandom(2 * PIECE_BYTES + 500)))
    path = tmp_path / written.key
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(SealBroken):
        await read_whole(storage, sealer, written.key)


async def test_a_blob_in_anothers_place_does_not_open(storage: FolderStorage, sealer: Sealer, tmp_path: Path):
    one, other = [await write_sealed(storage, sealer, pieces(text)) for text in (b"one", b"other")]
    (tmp_path / one.key).write_bytes((tmp_path / other.key).read_bytes())
    with pytest.raises(SealBroken):
        await read_whole(storage, sealer, one.key)


async def test_two_can_be_read_at_once_and_one_can_be_left(storage: FolderStorage, sealer: Sealer):
    content = os.urandom(3 * PIECE_BYTES)
    written = await write_sealed(storage, sealer, pieces(content))
    both = await asyncio.gather(*(read_whole(storage, sealer, written.key) for _ in range(2)))
    assert both == [content, content]
    reading = read_sealed(storage, sealer, written.key)
    assert await anext(reading) == content[:PIECE_BYTES]
    await reading.aclose()


def test_memory_stays_flat_with_a_hundred_megabytes(tmp_path: Path):
    script = """
import asyncio, os, resource, sys
from pathlib import Path
from uuid import uuid4
from a1zap.attachments.sealed_blob import read_sealed, write_sealed
from a1zap.kit.crypto import Sealer, new_data_key
from a1zap.storage.folder import FolderStorage

async def content(count):
    piece = os.urandom(65_536)
    for _ in range(count):
        yield piece

async def main():
    storage, sealer = FolderStorage(Path(sys.argv[1])), Sealer(new_data_key(uuid4()))
    async def round(count):
        written = await write_sealed(storage, sealer, content(count))
        return sum([len(piece) async for piece in read_sealed(storage, sealer, written.key)])
    await round(48)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert await round(1600) == 1600 * 65_536
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    grown_kib = int(done.stdout)
    assert grown_kib < 8 * 1024, f"{grown_kib} KiB more for 100 MiB"
