"""Files of a message that comes in: their bytes are durable before the message is, and looked at after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from a1zap.attachments.model import FILES_A_MESSAGE_MAX
from a1zap.attachments.sealed_blob import one_piece, write_sealed
from a1zap.attachments.store import NewFile, insert_files
from a1zap.channels.contract import Attached
from a1zap.db.pool import Tx
from a1zap.db.wakeups import Wakeups
from a1zap.kit.crypto import Sealer
from a1zap.queue import store as queue
from a1zap.queue.work_off import topic
from a1zap.storage.contract import Storage

Staged: TypeAlias = NewFile
_TOO_MANY = f"a message may have {FILES_A_MESSAGE_MAX} files"
_NOTHING = "the channel told of a file and gave neither its contents nor where they are"


async def stage_files(storage: Storage, sealer: Sealer, attached: Sequence[Attached]) -> Sequence[Staged]:
    """Store the bytes that came along, sealed and as they came; call it with no transaction open.

    A blob whose message is not stored after all (known already, a crash) is nobody's, and swept after a day.

    Raises:
        StorageUnavailable: not now; the provider comes again.
    """
    return [await _staged(storage, sealer, number, one) for number, one in enumerate(attached)]


async def _staged(storage: Storage, sealer: Sealer, number: int, one: Attached) -> Staged:
    refused = _TOO_MANY if number >= FILES_A_MESSAGE_MAX else None
    staged_key = None
    if refused is None and one.content is not None:
        staged_key = (await write_sealed(storage, sealer, one_piece(one.content))).key
    elif refused is None and one.fetch is None:
        refused = _NOTHING
    return Staged(
        kind=one.kind,
        name=one.name,
        claimed_mime=one.mime_type,
        is_voice=one.is_voice,
        staged_key=staged_key,
        fetch=one.fetch if staged_key is None and refused is None else None,
        sha256=one.sha256,
        refused=refused,
    )


async def add_attachments(
    tx: Tx,
    sealer: Sealer,
    wakeups: Wakeups,
    *,
    agent_id: UUID,
    chat_id: UUID,
    message_id: UUID,
    account_id: UUID,
    staged: Sequence[Staged],
) -> list[UUID]:
    """Put staged files to a message just stored, in its transaction; a worker fetches and looks at them afterwards."""
    if not staged:
        return []
    ids = await insert_files(
        tx,
        sealer,
        staged,
        agent_id=agent_id,
        chat_id=chat_id,
        message_id=message_id,
        account_id=account_id,
    )
    for file_id, file in zip(ids, staged, strict=True):
        if file.refused is None:
            await queue.put_entry(tx, "fetches", file_id, file_id)
    tx.afterwards(lambda: wakeups.say(topic("fetches")))
    return ids
