"""What every place for blobs looks like from inside the house.

A blob is opaque: whoever puts it has sealed it. It is there whole or not at all, it never changes, and what `put` has
returned from survives a crash.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from datetime import datetime
from typing import Final, Protocol

from a1zap.kit.errors import NotFound, Unavailable

PIECE_BYTES: Final = 1 << 20
# Keys are ours alone, never a name that somebody typed: no dot, so none can lead out of the folder.
_KEY: Final = re.compile(r"[0-9A-Za-z-]{1,64}(?:/[0-9A-Za-z-]{1,64}){0,3}")


class StorageUnavailable(Unavailable):
    """The place cannot be reached, is full, or does not let us in."""

    title = "Storage unavailable"


class BlobMissing(NotFound):
    """There is no blob of that key: it was never put, or it is deleted."""

    title = "Not found"


class Storage(Protocol):
    """One place for blobs."""

    async def put(self, key: str, pieces: AsyncIterable[bytes]) -> None:
        """Keep what `pieces` yields, under a key that was never used before. Memory stays at a few pieces.

        What `pieces` raises goes through; nothing is there under that key then.

        Raises:
            StorageUnavailable: not now; nothing is there under that key.
        """
        ...

    def get(self, key: str) -> AsyncGenerator[bytes]:
        """The blob in pieces of any size.

        Raises:
            BlobMissing: there is none.
            StorageUnavailable: not now.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget blobs; those that are not there are no error.

        Raises:
            StorageUnavailable: not now; some may be gone already.
        """
        ...

    def keys(self, *, before: datetime) -> AsyncIterator[Sequence[str]]:
        """Keys of blobs that were put before that time, some at once, in no order.

        Raises:
            StorageUnavailable: not now.
        """
        ...

    async def check(self) -> None:
        """Can blobs be put here? Asked once at the start.

        Raises:
            StorageUnavailable: no, and why.
        """
        ...


class Source:
    """Pieces that remember how they failed, so that their failure is not taken for the storage's."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except Exception as error:
            self.error = error
            raise


def checked_key(key: str) -> str:
    """The key, if it is one of ours; anything else is a bug."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of a blob: {key!r}")
    return key
