"""Blobs in a folder: `<folder>/<key>`, written aside, flushed, and then moved into place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from a1zap.storage.contract import PIECE_BYTES, BlobMissing, Source, StorageUnavailable, checked_key

_ASIDE: Final = ".unfinished"
_ASIDE_KEPT_S: Final = 86_400


class FolderStorage:
    """Blobs below one folder, readable by us alone (0700, 0600)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, pieces: AsyncIterable[bytes]) -> None:
        place = self._folder / checked_key(key)
        aside = self._folder / _ASIDE / uuid4().hex
        source = Source(pieces)
        try:
            handle = await asyncio.to_thread(_create, aside)
            try:
                async for piece in source:
                    await asyncio.to_thread(_write_all, handle, piece)
                await asyncio.to_thread(os.fsync, handle)
            finally:
                os.close(handle)
            await asyncio.to_thread(_move, aside, place, self._folder)
        except OSError as error:
            if error is source.error:
                raise
            raise _unavailable(error) from error
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()  # gone already where all went well

    async def get(self, key: str) -> AsyncGenerator[bytes]:
        place = self._folder / checked_key(key)
        try:
            file = await asyncio.to_thread(place.open, "rb")
        except FileNotFoundError:
            raise BlobMissing("there is no such file (any more)") from None
        except OSError as error:
            raise _unavailable(error) from error
        with file:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece

    async def delete(self, keys: Sequence[str]) -> None:
        places = [self._folder / checked_key(key) for key in keys]
        try:
            await asyncio.to_thread(_unlink_all, places)
        except OSError as error:
            raise _unavailable(error) from error

    async def keys(self, *, before: datetime) -> AsyncIterator[Sequence[str]]:
        folders = await asyncio.to_thread(self._folders)
        for folder in folders:
            if found := await asyncio.to_thread(self._older_in, folder, before.timestamp()):
                yield found

    async def check(self) -> None:
        aside = self._folder / _ASIDE / uuid4().hex
        try:
            os.close(await asyncio.to_thread(_create, aside))
            aside.unlink()
        except OSError as error:
            raise StorageUnavailable(
                f"files cannot be written to {self._folder}: {error.strerror}; make it writable, "
                "or set A1ZAP_STORAGE_URL"
            ) from error

    def _folders(self) -> list[Path]:
        """Every folder that holds blobs; on the way, what a crash left half-written goes: nobody knows its name."""
        aside = self._folder / _ASIDE
        for path in aside.glob("*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _ASIDE_KEPT_S:
                    path.unlink()
        return [Path(name) for name, _, files in os.walk(self._folder) if files and Path(name) != aside]

    def _older_in(self, folder: Path, before_s: float) -> list[str]:
        found: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < before_s:
                        found.append(str(Path(entry.path).relative_to(self._folder)))
        return found


def _create(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _write_all(handle: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(handle, left) :]


def _move(aside: Path, place: Path, root: Path) -> None:
    """Into place; the folders on the way are flushed too, or a crash could forget a file that was flushed itself."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside.rename(place)
    for folder in (place.parent, *place.parent.parents):
        _flush_folder(folder)
        if folder == root:
            return


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unlink_all(places: Sequence[Path]) -> None:
    for place in places:
        place.unlink(missing_ok=True)


def _unavailable(error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"the folder for files: {error.strerror or type(error).__name__}")
