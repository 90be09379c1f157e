"""All SQL of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from a1zap.attachments.model import Attachment, Kind
from a1zap.attachments.names import clean_name, name_for
from a1zap.db.pool import Row, Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id

_COLUMNS = (
    "id, agent_id, chat_id, message_id, kind, state, name_sealed, mime_type, claimed_mime, size, width, height, "
    "is_voice, is_redrawn, why, transcript_sealed, storage_key, seen_key, seen_mime, created_at"
)
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that came with a message: where its bytes were staged, or what the channel needs to get them."""

    kind: Kind
    name: str | None
    claimed_mime: str
    is_voice: bool = False
    staged_key: str | None = None
    fetch: Mapping[str, str] | None = field(default=None, repr=False)
    sha256: str | None = None  # what the sender's side says it is
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs to know of a file that waits."""

    file: Attachment
    channel_account_id: UUID | None
    staged_key: str | None
    fetch: Mapping[str, str] | None = field(repr=False)
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a file that was looked at and is kept. `seen_*` is the picture that models are shown."""

    kind: Kind
    mime_type: str
    name: str
    size: int
    sha256: str
    storage_key: str
    bytes_counted: int
    is_redrawn: bool = False
    width: int | None = None
    height: int | None = None
    seen_key: str | None = None
    seen_mime: str | None = None
    transcript: str | None = None


# ── files of messages ───────────────────────────────────────────────────────────────────────────────────────────────

_INSERT = """
    INSERT INTO attachments (owner_id, agent_id, chat_id, message_id, channel_account_id, id, position, kind, state, why,
                             name_sealed, claimed_mime, is_voice, staged_key, fetch_sealed)
    SELECT $1, $2, $3, $4, $5, f.* FROM unnest($6::uuid[], $7::smallint[], $8::text[], $9::text[], $10::text[],
        $11::bytea[], $12::text[], $13::boolean[], $14::text[], $15::bytea[]) AS f
"""


async def insert_files(
    tx: Tx,
    sealer: Sealer,
    files: Sequence[NewFile],
    *,
    agent_id: UUID,
    chat_id: UUID,
    message_id: UUID,
    account_id: UUID,
) -> list[UUID]:
    """Put files to a message, in one statement; their ids in order."""
    ids = [new_id() for _ in files]
    names = [clean_name(f.name, name_for(f.claimed_mime, f.kind)) for f in files]
    await tx.run(
        _INSERT,
        tx.owner_id,
        agent_id,
        chat_id,
        message_id,
        account_id,
        ids,
        list(range(len(files))),
        [f.kind for f in files],
        ["refused" if f.refused else "waiting" for f in files],
        [f.refused for f in files],
        [_sealed(sealer, "name_sealed", i, name) for i, name in zip(ids, names, strict=True)],
        [f.claimed_mime[:100] for f in files],
        [f.is_voice for f in files],
        [f.staged_key for f in files],
        [_sealed_fetch(sealer, i, f) for i, f in zip(ids, files, strict=True)],
    )
    return ids


async def attachments_of(tx: Tx, sealer: Sealer, message_ids: Sequence[UUID]) -> dict[UUID, list[Attachment]]:
    """The files of messages, in order; a message without any is not in it."""
    rows = await tx.rows(
        f"""SELECT {_COLUMNS} FROM attachments WHERE owner_id = $1 AND message_id = ANY($2::uuid[])
            ORDER BY message_id, position, id""",
        tx.owner_id,
        list(message_ids),
    )
    found: dict[UUID, list[Attachment]] = {}
    for row in rows:
        found.setdefault(row["message_id"], []).append(_attachment(sealer, row))
    return found


async def count_waiting(tx: Tx, message_ids: Sequence[UUID]) -> int:
    """How many files of these messages are not here yet."""
    return await tx.value(
        """SELECT count(*) FROM attachments WHERE owner_id = $1 AND message_id = ANY($2::uuid[])
           AND state = 'waiting'""",
        tx.owner_id,
        list(message_ids),
    )


async def read_attachment(tx: Tx, sealer: Sealer, attachment_id: UUID) -> Attachment | None:
    row = await tx.row(
        f"SELECT {_COLUMNS} FROM attachments WHERE owner_id = $1 AND id = $2", tx.owner_id, attachment_id
    )
    return None if row is None else _attachment(sealer, row)


async def find_attachment_owner(tx: Tx, attachment_id: UUID) -> UUID | None:
    """Whose file it is; asked before the owner is known, of an id that we signed."""
    return await tx.value("SELECT a1zap.owner_of_attachment($1)", attachment_id)


# ── a file is looked at ─────────────────────────────────────────────────────────────────────────────────────────────


async def read_work(tx: Tx, sealer: Sealer, attachment_id: UUID) -> Work | None:
    """A file that waits to be fetched and looked at; None where it does not (any more)."""
    row = await tx.row(
        f"""SELECT {_COLUMNS}, channel_account_id, staged_key, fetch_sealed FROM attachments
            WHERE owner_id = $1 AND id = $2 AND state = 'waiting'""",
        tx.owner_id,
        attachment_id,
    )
    if row is None:
        return None
    sealed = row["fetch_sealed"]
    asked: dict[str, Any] = {}
    if sealed is not None:
        asked = orjson.loads(sealer.open(sealed, table="attachments", column="fetch_sealed", row=row["id"]))
    return Work(
        _attachment(sealer, row),
        row["channel_account_id"],
        row["staged_key"],
        asked.get("fetch"),
        asked.get("sha256"),
    )


async def keep_file(tx: Tx, sealer: Sealer, attachment_id: UUID, kept: Kept, now: datetime) -> bool:
    """A file that waited is here; False where it does not wait any more."""
    done = await tx.value(
        """UPDATE attachments SET state = 'stored', kind = $3, mime_type = $4, name_sealed = $5, size = $6,
               sha256_index = $7, storage_key = $8, bytes_counted = $9, is_redrawn = $10, width = $11, height = $12,
               seen_key = $13, seen_mime = $14, transcript_sealed = $15, examined_at = $16, staged_key = NULL,
               fetch_sealed = NULL
           WHERE owner_id = $1 AND id = $2 AND state = 'waiting' RETURNING id""",
        tx.owner_id,
        attachment_id,
        kept.kind,
        kept.mime_type,
        _sealed(sealer, "name_sealed", attachment_id, kept.name),
        kept.size,
        _hash_index(sealer, kept.sha256),
        kept.storage_key,
        kept.bytes_counted,
        kept.is_redrawn,
        kept.width,
        kept.height,
        kept.seen_key,
        kept.seen_mime,
        None
        if kept.transcript is None
        else _sealed(sealer, "transcript_sealed", attachment_id, kept.transcript),
        now,
    )
    return done is not None


async def refuse_file(tx: Tx, attachment_id: UUID, why: str, now: datetime) -> bool:
    """A file that waited is not kept, and this is why; False where it does not wait any more."""
    done = await tx.value(
        """UPDATE attachments SET state = 'refused', why = $3, examined_at = $4, staged_key = NULL, fetch_sealed = NULL
           WHERE owner_id = $1 AND id = $2 AND state = 'waiting' RETURNING id""",
        tx.owner_id,
        attachment_id,
        why[:300],
        now,
    )
    return done is not None


# ── uploads ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def insert_upload(
    tx: Tx,
    sealer: Sealer,
    kept: Kept,
    *,
    agent_id: UUID,
    uploader: str,
    claimed_mime: str,
    is_voice: bool,
    now: datetime,
) -> Attachment:
    """A file that was uploaded, to be sent with a message later by whoever uploaded it."""
    file_id = new_id()
    await tx.run(
        """INSERT INTO attachments (owner_id, id, agent_id, kind, state, name_sealed, claimed_mime, uploader_index,
                                    is_voice, created_at)
           VALUES ($1, $2, $3, $4, 'waiting', $5, $6, $7, $8, $9)""",
        tx.owner_id,
        file_id,
        agent_id,
        kept.kind,
        _sealed(sealer, "name_sealed", file_id, kept.name),
        claimed_mime[:100],
        _uploader_index(sealer, uploader),
        is_voice,
        now,
    )
    await keep_file(tx, sealer, file_id, kept, now)
    found = await read_attachment(tx, sealer, file_id)
    if found is None:
        raise LookupError("a file was stored and is gone within one transaction")
    return found


async def count_unsent(tx: Tx, sealer: Sealer, uploader: str) -> int:
    """How many files somebody has uploaded and not sent yet."""
    return await tx.value(
        "SELECT count(*) FROM attachments WHERE owner_id = $1 AND uploader_index = $2 AND message_id IS NULL",
        tx.owner_id,
        _uploader_index(sealer, uploader),
    )


async def kind_of_upload(
    tx: Tx, attachment_id: UUID
) -> Literal["image", "video", "audio", "document"] | None:
    """What kind of message an upload makes; None where there is no such file."""
    return await tx.value(
        """SELECT CASE kind WHEN 'sticker' THEN 'image' ELSE kind END FROM attachments
           WHERE owner_id = $1 AND id = $2 AND message_id IS NULL""",
        tx.owner_id,
        attachment_id,
    )


async def send_uploads(
    tx: Tx,
    sealer: Sealer,
    ids: Sequence[UUID],
    *,
    agent_id: UUID,
    uploader: str | None,
    chat_id: UUID,
    message_id: UUID,
) -> int:
    """Put uploads to a message, in the order given; how many there were. `uploader` None: the owner's side, any of theirs."""
    done = await tx.rows(
        """UPDATE attachments a SET message_id = $5, chat_id = $6, position = w.position - 1
           FROM unnest($2::uuid[]) WITH ORDINALITY AS w(id, position)
           WHERE a.owner_id = $1 AND a.id = w.id AND a.agent_id = $3 AND a.message_id IS NULL AND a.state = 'stored'
             AND ($4::bytea IS NULL OR a.uploader_index = $4) RETURNING a.id""",
        tx.owner_id,
        list(ids),
        agent_id,
        None if uploader is None else _uploader_index(sealer, uploader),
        message_id,
        chat_id,
    )
    return len(done)


async def owners_with_unsent_files(tx: Tx, before: datetime) -> list[UUID]:
    """Whose uploads were never sent; asked with nobody's transaction, through the directory."""
    return [
        r["owner_id"]
        for r in await tx.rows("SELECT owner_id FROM a1zap.owners_with_unsent_files($1)", before)
    ]


async def drop_unsent(tx: Tx, before: datetime) -> list[str]:
    """Forget the owner's uploads that were never sent; the blobs that are nobody's now."""
    rows = await tx.rows(
        """DELETE FROM attachments WHERE owner_id = $1 AND message_id IS NULL AND created_at < $2
           RETURNING storage_key, seen_key, staged_key""",
        tx.owner_id,
        before,
    )
    return [key for row in rows for key in row.values() if key is not None]


async def drop_files_of(tx: Tx, message_id: UUID) -> None:
    """Forget the files of a message; nobody reads their blobs any more, and they are swept."""
    await tx.run("DELETE FROM attachments WHERE owner_id = $1 AND message_id = $2", tx.owner_id, message_id)


async def unknown_keys(tx: Tx, keys: Sequence[str]) -> list[str]:
    """Those of the owner's blobs that no file names."""
    rows = await tx.rows(
        """SELECT k.key FROM unnest($2::text[]) AS k(key) EXCEPT
           SELECT b.key FROM attachments a, unnest(ARRAY[a.storage_key, a.seen_key, a.staged_key]) AS b(key)
           WHERE a.owner_id = $1 AND b.key = ANY($2::text[])""",
        tx.owner_id,
        list(keys),
    )
    return [r["key"] for r in rows]


# ── what the plan allows ────────────────────────────────────────────────────────────────────────────────────────────


async def take_storage(tx: Tx, size: int) -> bool:
    """Count so many bytes against the plan, exactly: one conditional statement decides, however many ask at once."""
    taken = await tx.value(
        """WITH plan AS (SELECT p.max_storage_gb::bigint * $3 AS top FROM user_subscriptions s
                         JOIN subscription_plans p ON p.id = s.plan_id WHERE s.owner_id = $1)
           INSERT INTO storage_meters AS m (owner_id, bytes_used)
           SELECT $1, $2 FROM plan WHERE plan.top < 0 OR $2 <= plan.top
           ON CONFLICT (owner_id) DO UPDATE SET bytes_used = m.bytes_used + $2
           WHERE (SELECT plan.top < 0 OR m.bytes_used + $2 <= plan.top FROM plan)
           RETURNING true""",
        tx.owner_id,
        size,
        _GIB,
    )
    return taken or False


async def has_storage(tx: Tx, size: int) -> bool:
    """Would so many bytes more fit, as things stand? Asked before an upload is read; `take_storage` decides."""
    return await tx.value(
        """SELECT p.max_storage_gb < 0 OR COALESCE(m.bytes_used, 0) + $2 <= p.max_storage_gb::bigint * $3
           FROM user_subscriptions s JOIN subscription_plans p ON p.id = s.plan_id
           LEFT JOIN storage_meters m ON m.owner_id = s.owner_id WHERE s.owner_id = $1""",
        tx.owner_id,
        size,
        _GIB,
    )


async def read_bytes_used(tx: Tx) -> int:
    return await tx.value("SELECT bytes_used FROM storage_meters WHERE owner_id = $1", tx.owner_id) or 0


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _attachment(sealer: Sealer, row: Row) -> Attachment:
    transcript = row["transcript_sealed"]
    return Attachment(
        id=row["id"],
        agent_id=row["agent_id"],
        chat_id=row["chat_id"],
        message_id=row["message_id"],
        kind=row["kind"],
        state=row["state"],
        name=_opened(sealer, "name_sealed", row["id"], row["name_sealed"]),
        mime_type=row["mime_type"],
        claimed_mime=row["claimed_mime"],
        size=row["size"],
        width=row["width"],
        height=row["height"],
        is_voice=row["is_voice"],
        is_redrawn=row["is_redrawn"],
        why=row["why"],
        transcript=None
        if transcript is None
        else _opened(sealer, "transcript_sealed", row["id"], transcript),
        storage_key=row["storage_key"],
        seen_key=row["seen_key"],
        seen_mime=row["seen_mime"],
        created_at=row["created_at"],
    )


def _sealed_fetch(sealer: Sealer, file_id: UUID, file: NewFile) -> bytes | None:
    if file.fetch is None:
        return None
    asked = orjson.dumps({"fetch": dict(file.fetch), "sha256": file.sha256})
    return sealer.seal(asked, table="attachments", column="fetch_sealed", row=file_id)


def _sealed(sealer: Sealer, column: str, row: UUID, text: str) -> bytes:
    return sealer.seal(text, table="attachments", column=column, row=row)


def _opened(sealer: Sealer, column: str, row: UUID, sealed: bytes) -> str:
    return sealer.open_text(sealed, table="attachments", column=column, row=row)


def _hash_index(sealer: Sealer, sha256: str) -> bytes:
    return sealer.blind_index(sha256, table="attachments", column="sha256_index")


def _uploader_index(sealer: Sealer, uploader: str) -> bytes:
    return sealer.blind_index(uploader, table="attachments", column="uploader_index")
