"""Somebody uploads a file, to send it with a message afterwards."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from a1zap.attachments import store
from a1zap.attachments.desk import FileDesk
from a1zap.attachments.examine import Claim, FileRefused, examine
from a1zap.attachments.fetch_attachment import NO_ROOM
from a1zap.attachments.model import FILES_A_MESSAGE_MAX, Attachment, in_mib
from a1zap.attachments.sealed_blob import write_sealed
from a1zap.attachments.store import Kept
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import Invalid, OverLimit, TooLarge
from a1zap.storage.contract import StorageUnavailable

UNSENT_MAX: Final = 20  # files that one visitor may have uploaded and not sent


@dataclass(frozen=True, slots=True)
class Upload:
    """What somebody uploads. `uploader` is who they are; only they may send it. `bytes_max` may be less than the house's."""

    owner_id: UUID
    agent_id: UUID
    uploader: str
    claim: Claim
    content: AsyncIterable[bytes]
    bytes_max: int
    unsent_max: int | None = None


async def take_upload(desk: FileDesk, upload: Upload) -> Attachment:
    """Store one file, looked at and sealed; memory stays flat but for pictures.

    Raises:
        Invalid: it is not one that we keep, and why.
        TooLarge: it is too large.
        OverLimit: the plan's storage is used up, or too many files wait to be sent.
        StorageUnavailable: not now.
    """
    sealer = await _check_room(desk, upload)
    came = await write_sealed(desk.storage, sealer, _bounded(upload.content, upload.bytes_max))
    blobs = {came.key}
    used: set[str] = set()
    try:
        kept = await examine(desk, sealer, upload.claim, came)
        made = {key for key in (kept.storage_key, kept.seen_key) if key is not None}
        blobs |= made
        stored = await _store(desk, sealer, upload, kept)
        used = made
    except FileRefused as error:
        raise Invalid(str(error), field="file") from None
    finally:
        with suppress(StorageUnavailable):
            await desk.storage.delete(sorted(blobs - used))
    return stored


async def send_with(
    tx: Tx,
    sealer: Sealer,
    files: Sequence[UUID],
    *,
    agent_id: UUID,
    uploader: str | None,
    chat_id: UUID,
    message_id: UUID,
) -> None:
    """Put uploads to a message just stored, in its transaction.

    Raises:
        Invalid: one of them is not there, was sent already, or is somebody else's.
    """
    if not files:
        return
    sent = await store.send_uploads(
        tx,
        sealer,
        files,
        agent_id=agent_id,
        uploader=uploader,
        chat_id=chat_id,
        message_id=message_id,
    )
    if sent != len(files):
        raise Invalid(
            "there is no such file to send: it is not yours, was sent already, or a day has passed since its upload",
            field="attachments",
        )


def check_files(ids: Sequence[UUID]) -> Sequence[UUID]:
    """The files that somebody wants to send, if they may be as many.

    Raises:
        Invalid: too many, or one twice.
    """
    if len(ids) > FILES_A_MESSAGE_MAX or len(set(ids)) < len(ids):
        raise Invalid(f"a message may have {FILES_A_MESSAGE_MAX} files, each once", field="attachments")
    return ids


async def forget_unsent(desk: FileDesk, owner_id: UUID, before: datetime) -> None:
    """Uploads that nobody sent go, and give their room back."""
    async with desk.db.owned(owner_id) as tx:
        keys = await store.drop_unsent(tx, before)
    await desk.storage.delete(keys)


async def _check_room(desk: FileDesk, upload: Upload) -> Sealer:
    async with desk.db.owned(upload.owner_id) as tx:
        sealer = await desk.keyring.sealer(tx)
        if not await store.has_storage(tx, 0):
            raise _no_room()
        if upload.unsent_max is not None:
            unsent = await store.count_unsent(tx, sealer, upload.uploader)
            if unsent >= upload.unsent_max:
                raise OverLimit(f"{unsent} files wait to be sent: send them first", field="file")
    return sealer


async def _store(desk: FileDesk, sealer: Sealer, upload: Upload, kept: Kept) -> Attachment:
    async with desk.db.owned(upload.owner_id) as tx:
        if not await store.take_storage(tx, kept.bytes_counted):
            raise _no_room()
        return await store.insert_upload(
            tx,
            sealer,
            kept,
            agent_id=upload.agent_id,
            uploader=upload.uploader,
            claimed_mime=upload.claim.mime_type,
            is_voice=upload.claim.is_voice,
            now=desk.clock.now(),
        )


async def _bounded(content: AsyncIterable[bytes], bytes_max: int) -> AsyncGenerator[bytes]:
    seen = 0
    async for piece in content:
        seen += len(piece)
        if seen > bytes_max:
            raise TooLarge(f"a file may have {in_mib(bytes_max)} here", field="file")
        yield piece


def _no_room() -> OverLimit:
    return OverLimit(NO_ROOM, field="max_storage_gb")
