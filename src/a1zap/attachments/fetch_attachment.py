"""A worker gets one file of a message, looks at it, and keeps it or says why not.

    waiting ─ staged already, or channel.fetch (no transaction) ─► examine ─► stored | refused   (one transaction)

A crash in between leaves the row waiting and the entry in its lane: it begins anew. Blobs of the first try are nobody's
and are swept.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

import structlog

from a1zap.agents import channel_store
from a1zap.attachments import store
from a1zap.attachments.desk import FileDesk
from a1zap.attachments.examine import Claim, FileRefused, examine
from a1zap.attachments.sealed_blob import Written, one_piece, read_sealed, write_sealed
from a1zap.attachments.sniff import HEAD_BYTES
from a1zap.attachments.store import Kept, Work
from a1zap.channels.contract import ChannelAccount
from a1zap.chats.store import lock_chat
from a1zap.kit.crypto import Sealer
from a1zap.kit.egress import EgressTooLarge
from a1zap.kit.errors import ChannelUnavailable, NotConfigured, Rejected, Unavailable
from a1zap.live.announce import announce
from a1zap.live.store import record_event
from a1zap.queue.model import Entry
from a1zap.queue.work_off import finish_entry
from a1zap.storage.contract import BlobMissing, StorageUnavailable

log = structlog.get_logger()

NO_ROOM = "the plan's storage is used up"


async def fetch_attachment(desk: FileDesk, entry: Entry) -> None:
    """Get and look at one file that waits.

    Raises:
        Unavailable: the provider or the storage is not there now; the entry is put back.
        LeaseLost: another worker has it.
    """
    opened = await _open(desk, entry)
    if opened is None:
        return
    sealer, work, account = opened
    keys: list[str] = [] if work.staged_key is None else [work.staged_key]
    try:
        came = await _bytes(desk, sealer, work, account)
        keys = [came.key]
        claim = Claim(work.file.kind, work.file.name, work.file.claimed_mime, work.file.is_voice, work.sha256)
        kept = await examine(desk, sealer, claim, came)
    except FileRefused as error:
        kept = str(error)
    except BlobMissing:
        kept = "its contents are lost"
    except StorageUnavailable:
        raise
    except Unavailable as error:
        if entry.tries < desk.attempts_max:
            raise
        kept = f"the provider did not give it: {error}"
    is_kept = await _write(desk, sealer, entry, work, kept)
    made = {*keys, *_blobs(kept)}
    with suppress(StorageUnavailable):
        await desk.storage.delete(sorted(made - _blobs(kept) if is_kept else made))


async def _open(desk: FileDesk, entry: Entry) -> tuple[Sealer, Work, ChannelAccount | None] | None:
    if entry.subject_id is None:
        raise ValueError(f"a fetch entry without a file: {entry.id}")
    async with desk.db.owned(entry.owner_id) as tx:
        sealer = await desk.keyring.sealer(tx)
        work = await store.read_work(tx, sealer, entry.subject_id)
        if work is None:  # done already, or erased
            await finish_entry(tx, desk.wakeups, entry)
            return None
        account = None
        if work.channel_account_id is not None:
            account = await channel_store.read_channel_account(tx, sealer, work.channel_account_id)
    return sealer, work, account


async def _bytes(desk: FileDesk, sealer: Sealer, work: Work, account: ChannelAccount | None) -> Written:
    """The file's bytes, durable; those that had come along are read through once, for their length and checksum."""
    if work.staged_key is not None:
        return await _measure(desk, sealer, work.staged_key)
    if account is None or work.fetch is None:
        raise FileRefused("the channel it came over is disconnected")
    try:
        fetched = await desk.channels[account.kind].fetch(account, work.fetch, desk.egress)
    except EgressTooLarge as error:
        raise FileRefused(str(error)) from None
    except NotConfigured as error:
        raise ChannelUnavailable(str(error), retry_after_s=60) from error
    except Rejected as error:
        raise FileRefused(f"the provider does not give it: {error}") from None
    return await write_sealed(desk.storage, sealer, one_piece(fetched.content), head_bytes=HEAD_BYTES)


async def _measure(desk: FileDesk, sealer: Sealer, key: str) -> Written:
    digest, size, head = hashlib.sha256(), 0, b""
    async for piece in read_sealed(desk.storage, sealer, key):
        head = head or piece[:HEAD_BYTES]
        digest.update(piece)
        size += len(piece)
    return Written(key, size, digest.hexdigest(), head)


async def _write(desk: FileDesk, sealer: Sealer, entry: Entry, work: Work, kept: Kept | str) -> bool:
    """Write down what became of the file, and end its entry; False where it is not kept after all."""
    now = desk.clock.now()
    file = work.file
    async with desk.db.owned(entry.owner_id) as tx:
        if file.chat_id is not None:
            await lock_chat(tx, file.chat_id)
        if isinstance(kept, Kept) and not await store.take_storage(tx, kept.bytes_counted):
            kept = NO_ROOM
        if isinstance(kept, Kept):
            done = await store.keep_file(tx, sealer, file.id, kept, now)
        else:
            done = await store.refuse_file(tx, file.id, kept, now)
        await finish_entry(tx, desk.wakeups, entry)
        if not done:
            raise LookupError(f"file {file.id} was done by somebody else while its entry was ours")
        if file.chat_id is not None and file.message_id is not None:
            await record_event(tx, file.chat_id, "message.status", file.message_id)
            announce(tx, desk.wakeups, file.chat_id)
    is_kept = isinstance(kept, Kept)
    log.info("file_examined", attachment_id=str(file.id), is_kept=is_kept, attempt=entry.attempt)
    return is_kept


def _blobs(kept: Kept | str) -> set[str]:
    """Where the parts of a kept file lie."""
    if isinstance(kept, str):
        return set()
    return {key for key in (kept.storage_key, kept.seen_key) if key is not None}
