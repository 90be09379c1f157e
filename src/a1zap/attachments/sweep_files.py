"""House-keeping: uploads that nobody sent, and blobs that no file names, go after a day.

A blob without a file is what a crash leaves between writing it and the commit, or what stays when a message, an agent
or an owner is erased. Nobody can read it without the owner's key; it only takes room.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from a1zap.attachments import store
from a1zap.attachments.desk import FileDesk
from a1zap.attachments.sealed_blob import owner_of_key
from a1zap.attachments.take_upload import forget_unsent

log = structlog.get_logger()

KEPT: Final = timedelta(days=1)  # far longer than from writing a blob to the commit of its file


async def sweep_files(desk: FileDesk) -> int:
    """How many blobs went that were nobody's.

    Raises:
        StorageUnavailable: not now; the next sweep finds what is left.
    """
    before = desk.clock.now() - KEPT
    async with desk.db.standalone() as tx:
        owners = await store.owners_with_unsent_files(tx, before)
    for owner_id in owners:
        await forget_unsent(desk, owner_id, before)
    swept = 0
    async for keys in desk.storage.keys(before=before):
        lost = await _nobodys(desk, keys)
        await desk.storage.delete(lost)
        swept += len(lost)
    if swept:
        log.info("blobs_swept", count=swept)
    return swept


async def _nobodys(desk: FileDesk, keys: Sequence[str]) -> list[str]:
    by_owner: dict[UUID, list[str]] = {}
    for key in keys:
        owner_id = owner_of_key(key)
        if owner_id is not None:  # what is not ours by its name is not ours to delete
            by_owner.setdefault(owner_id, []).append(key)
    found: list[str] = []
    for owner_id, theirs in by_owner.items():
        async with desk.db.owned(owner_id) as tx:
            found += await store.unknown_keys(tx, theirs)
    return found
