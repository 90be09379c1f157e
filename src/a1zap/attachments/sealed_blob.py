"""Files as sealed blobs: cut into pieces of 1 MiB, each sealed for its place, so that memory stays flat.

    "a1zf" 1 ║ sealed piece 0 ║ sealed piece 1 ║ … ║ sealed last piece

Each piece is bound to its owner, blob and number, and the last one to being the last: pieces cannot be exchanged,
left out, or cut off without being noticed. Every piece but the last has the same length, so none is written down.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from a1zap.kit.crypto import SealBroken, Sealer
from a1zap.kit.ids import new_id
from a1zap.storage.contract import Storage

PIECE_BYTES: Final = 1 << 20
_HEAD: Final = b"a1zf\x01"
_SEAL_BYTES: Final = 45  # what sealing adds: version, key id, nonce, tag


@dataclass(frozen=True, slots=True)
class Written:
    """A blob that is durable: where, how many bytes of content it has, their SHA-256, and the first of them."""

    key: str
    size: int
    sha256: str
    head: bytes


async def write_sealed(
    storage: Storage, sealer: Sealer, content: AsyncIterable[bytes], *, head_bytes: int = 4096
) -> Written:
    """Seal and store `content` under a fresh key. What `content` raises goes through, and nothing is stored then."""
    blob = new_id()
    meter = _Meter(content, head_bytes)
    key = _key(sealer.owner_id, blob)
    await storage.put(key, _seal(sealer, blob, meter))
    return Written(key, meter.size, meter.digest.hexdigest(), bytes(meter.head))


async def read_sealed(storage: Storage, sealer: Sealer, key: str) -> AsyncGenerator[bytes]:
    """The content in pieces of 1 MiB.

    Raises:
        BlobMissing: it is deleted.
        SealBroken: it is not as it was written, or another owner's.
    """
    blob = UUID(hex=key.rpartition("/")[2])
    frame = PIECE_BYTES + _SEAL_BYTES
    buffer = bytearray()
    number = 0
    is_begun = False
    async for piece in storage.get(key):
        buffer += piece
        if not is_begun and len(buffer) >= len(_HEAD):
            _check_head(buffer, key)
            is_begun = True
        while is_begun and len(buffer) > frame:  # more comes after it: not the last
            yield _open(sealer, blob, number, bytes(buffer[:frame]), is_last=False)
            del buffer[:frame]
            number += 1
    if not is_begun:
        raise SealBroken(f"blob {key} is too short to be one")
    yield _open(sealer, blob, number, bytes(buffer), is_last=True)


async def read_whole(storage: Storage, sealer: Sealer, key: str) -> bytes:
    """The content at once; for what is known to be small."""
    return b"".join([piece async for piece in read_sealed(storage, sealer, key)])


async def one_piece(content: bytes) -> AsyncIterator[bytes]:
    """Bytes that are here already, as something to read from."""
    yield content


def owner_of_key(key: str) -> UUID | None:
    """Whose blob it is; None where the key is none of ours."""
    try:
        return UUID(key.partition("/")[0])
    except ValueError:
        return None


class _Meter:
    """Counts and hashes what passes."""

    def __init__(self, content: AsyncIterable[bytes], head_bytes: int) -> None:
        self._content = content
        self._head_bytes = head_bytes
        self.size = 0
        self.digest = hashlib.sha256()
        self.head = bytearray()

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        async for piece in self._content:
            self.size += len(piece)
            self.digest.update(piece)
            if len(self.head) < self._head_bytes:
                self.head += piece[: self._head_bytes - len(self.head)]
            yield piece


async def _seal(sealer: Sealer, blob: UUID, content: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    yield _HEAD
    buffer = bytearray()
    number = 0
    async for piece in content:
        buffer += piece
        while len(buffer) > PIECE_BYTES:
            yield _sealed(sealer, blob, number, bytes(buffer[:PIECE_BYTES]), is_last=False)
            del buffer[:PIECE_BYTES]
            number += 1
    yield _sealed(sealer, blob, number, bytes(buffer), is_last=True)


def _sealed(sealer: Sealer, blob: UUID, number: int, piece: bytes, *, is_last: bool) -> bytes:
    return sealer.seal(piece, table="blobs", column=_place(number, is_last=is_last), row=blob)


def _open(sealer: Sealer, blob: UUID, number: int, piece: bytes, *, is_last: bool) -> bytes:
    return sealer.open(piece, table="blobs", column=_place(number, is_last=is_last), row=blob)


def _place(number: int, *, is_last: bool) -> str:
    return f"{number}:last" if is_last else str(number)


def _check_head(buffer: bytearray, key: str) -> None:
    if not buffer.startswith(_HEAD):
        raise SealBroken(f"blob {key} is not in a form that this program knows")
    del buffer[: len(_HEAD)]


def _key(owner_id: UUID, blob: UUID) -> str:
    """By owner, then by the random end of the id: its beginning is the time, and would fill one folder at a time."""
    return f"{UUID(int=owner_id.int)}/{blob.hex[-2:]}/{blob.hex}"
