"""The nouns of files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

Kind = Literal["image", "video", "audio", "document", "sticker"]
State = Literal["waiting", "stored", "refused", "gone"]

FILES_A_MESSAGE_MAX: Final = 32
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of a message, or one that was uploaded and not sent yet.

    `waiting`: not here yet, or not looked at. `refused`: looked at and not kept, `why` says why. `gone`: it was here.
    `size`, `mime_type`, `width` and `height` are ours, out of its bytes; before that they are None.
    """

    id: UUID
    agent_id: UUID
    chat_id: UUID | None
    message_id: UUID | None
    kind: Kind
    state: State
    name: str
    mime_type: str | None
    claimed_mime: str
    size: int | None
    width: int | None
    height: int | None
    is_voice: bool
    is_redrawn: bool
    why: str | None
    transcript: str | None
    storage_key: str | None = field(repr=False)
    seen_key: str | None = field(repr=False)
    seen_mime: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What one file may have, in bytes."""

    file_max: int = 100 * MIB
    image_max: int = 25 * MIB  # held in memory while it is drawn anew
    audio_max: int = 50 * MIB
    visitor_max: int = 16 * MIB

    def of(self, kind: Kind) -> int:
        by_kind = {"image": self.image_max, "sticker": self.image_max, "audio": self.audio_max}
        return min(self.file_max, by_kind.get(kind, self.file_max))


def in_mib(size: int) -> str:
    """A size as people read it."""
    return f"{size / MIB:.1f} MiB" if size >= MIB else f"{max(1, round(size / 1024))} KiB"
