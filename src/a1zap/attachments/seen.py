"""What a model gets of files: pictures to look at, and of all else a line that says what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from a1zap.attachments.examine import SEEN_BYTES_MAX
from a1zap.attachments.model import Attachment, in_mib
from a1zap.attachments.sealed_blob import read_whole
from a1zap.kit.crypto import SealBroken, Sealer
from a1zap.storage.contract import BlobMissing, Storage, StorageUnavailable

PICTURES_MAX: Final = 4
_TRANSCRIPT_CHARACTERS_MAX: Final = 4000
_SHOWN: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))


@dataclass(frozen=True, slots=True)
class SeenFile:
    """One file as a workflow sees it: `content` are the bytes of a picture that may be shown to a model."""

    file: Attachment
    mime_type: str
    content: bytes | None = field(default=None, repr=False)

    @property
    def stand_in(self) -> str:
        """What is said instead of showing it."""
        return stand_in(self.file)


FilesByMessage = Mapping[UUID, Sequence[SeenFile]]


def stand_in(file: Attachment) -> str:
    """One line that says what the file is, for those who cannot see it."""
    if file.transcript:
        return f"[voice message, transcribed: {file.transcript[:_TRANSCRIPT_CHARACTERS_MAX]}]"
    kind = "voice message" if file.is_voice else file.kind
    # The name is a stranger's words, on one line and without brackets it cannot pretend to be another line of ours.
    name = file.name.replace("[", "(").replace("]", ")")
    if file.state == "waiting":
        return f"[{kind}: {name}; it has not arrived yet]"
    if file.state != "stored":
        return f"[{kind}: {name}; it could not be received]"
    what = f"{file.width}x{file.height}" if file.width else f"{file.mime_type}, {in_mib(file.size or 0)}"
    return f"[{kind}: {name}, {what}; not shown to you]"


async def see_files(
    storage: Storage,
    sealer: Sealer,
    files: Mapping[UUID, Sequence[Attachment]],
    newest_first: Sequence[UUID],
    *,
    pictures_max: int = PICTURES_MAX,
) -> FilesByMessage:
    """The files of messages, with the contents of the newest pictures; call it with no transaction open.

    A picture that cannot be read is said instead of shown.
    """
    left = pictures_max
    seen: dict[UUID, list[SeenFile]] = {}
    for message_id in newest_first:
        theirs: list[SeenFile] = []
        for file in files.get(message_id, ()):
            one = await _see(storage, sealer, file) if left and _is_shown(file) else SeenFile(file, "")
            left -= one.content is not None
            theirs.append(one)
        if theirs:
            seen[message_id] = theirs
    return seen


def _is_shown(file: Attachment) -> bool:
    return file.state == "stored" and file.is_redrawn and (file.seen_mime or file.mime_type) in _SHOWN


async def _see(storage: Storage, sealer: Sealer, file: Attachment) -> SeenFile:
    key = file.seen_key or file.storage_key
    if key is None or (file.seen_key is None and (file.size or 0) > SEEN_BYTES_MAX):
        return SeenFile(file, "")
    try:
        content = await read_whole(storage, sealer, key)
    except (BlobMissing, StorageUnavailable, SealBroken):
        return SeenFile(file, "")
    if len(content) > SEEN_BYTES_MAX:
        return SeenFile(file, "")
    return SeenFile(file, file.seen_mime or file.mime_type or "", content)
