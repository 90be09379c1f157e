"""Files that leave with a message: what a channel needs of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from a1zap.attachments.link import FileLinks
from a1zap.attachments.model import Attachment
from a1zap.attachments.sealed_blob import read_whole
from a1zap.attachments.sniff import UNKNOWN
from a1zap.attachments.store import attachments_of
from a1zap.channels.contract import OutboundFile
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.storage.contract import Storage


async def outbound_files(
    tx: Tx, sealer: Sealer, storage: Storage, links: FileLinks, message_id: UUID, now: datetime
) -> Sequence[OutboundFile]:
    """The message's files, in order. Nothing is read but their rows: `load` reads when the channel wants it."""
    found = await attachments_of(tx, sealer, [message_id])
    return [
        _outbound(storage, sealer, links, file, now)
        for file in found.get(message_id, ())
        if file.state == "stored"
    ]


def _outbound(
    storage: Storage, sealer: Sealer, links: FileLinks, file: Attachment, now: datetime
) -> OutboundFile:
    key = file.storage_key or ""

    async def load() -> bytes:
        return await read_whole(storage, sealer, key)

    return OutboundFile(
        name=file.name,
        mime_type=file.mime_type or UNKNOWN,
        size=file.size or 0,
        url=links.url(file.id, now),
        load=load,
    )
