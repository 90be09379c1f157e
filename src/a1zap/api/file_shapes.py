"""A file as it goes over the wire: what it is, and a link to it that is good for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from a1zap.attachments.desk import FileDesk
from a1zap.attachments.model import Attachment
from a1zap.attachments.store import attachments_of
from a1zap.chats.model import Message
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer

EXAMPLE_FILE: Final[dict[str, Any]] = {
    "id": "0193b1a3-01ac-7d21-9b55-2c3d4e5f6a7b",
    "name": "receipt.jpg",
    "kind": "image",
    "mime_type": "image/jpeg",
    "size": 482113,
    "url": "/api/files/AZOxowGsfSGbVSw9Tl9qe2kil3QmJh2Jr1wQd4mXKkKb0w2l",
    "state": "stored",
    "why": None,
    "width": 1200,
    "height": 1600,
    "is_voice": False,
    "transcript": None,
    "created_at": "2026-11-23T09:15:00Z",
}


class FileShape(BaseModel):
    """One file of a message."""

    model_config = ConfigDict(
        from_attributes=True, frozen=True, json_schema_extra={"examples": [EXAMPLE_FILE]}
    )

    id: UUID
    name: str
    kind: Literal["image", "video", "audio", "document", "sticker"]
    mime_type: str | None = Field(description="What its bytes say that it is.")
    size: int | None = Field(description="Bytes.")
    url: str | None = Field(
        description="Where it can be had for a quarter of an hour, without signing in; below this API's address."
    )
    state: Literal["waiting", "stored", "refused", "gone"] = Field(
        description="waiting: on its way; refused: not kept, `why` says why."
    )
    why: str | None
    width: int | None
    height: int | None
    is_voice: bool
    transcript: str | None = Field(description="What is said in a recording, where somebody wrote it down.")
    created_at: datetime

    @staticmethod
    def of(file: Attachment, desk: FileDesk) -> FileShape:
        is_here = file.state == "stored"
        return FileShape(
            id=file.id,
            name=file.name,
            kind=file.kind,
            mime_type=file.mime_type,
            size=file.size,
            url=desk.links.path(file.id, desk.clock.now()) if is_here else None,
            state=file.state,
            why=file.why,
            width=file.width,
            height=file.height,
            is_voice=file.is_voice,
            transcript=file.transcript,
            created_at=file.created_at,
        )


async def files_of(
    tx: Tx, sealer: Sealer, desk: FileDesk, messages: Sequence[Message]
) -> Mapping[UUID, list[FileShape]]:
    """The files of these messages, asked for where one has any."""
    ids = [m.id for m in messages if m.has_files]
    if not ids:
        return {}
    found = await attachments_of(tx, sealer, ids)
    return {message_id: shapes_of(files, desk) for message_id, files in found.items()}


def shapes_of(files: Sequence[Attachment], desk: FileDesk) -> list[FileShape]:
    return [FileShape.of(file, desk) for file in files]
