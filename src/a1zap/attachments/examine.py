"""A file is looked at before it is believed: what is it, how large, may it stay; pictures are drawn anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from a1zap.attachments.desk import FileDesk
from a1zap.attachments.model import Kind, in_mib
from a1zap.attachments.names import clean_name, name_for, with_extension_of
from a1zap.attachments.redraw import NotAPicture
from a1zap.attachments.sealed_blob import Written, one_piece, read_whole, write_sealed
from a1zap.attachments.sniff import Sniffed, is_drawable, sniff
from a1zap.attachments.store import Kept
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import ModelUnavailable
from a1zap.llm.contract import ModelRefused
from a1zap.llm.transcribe import BYTES_MAX as TRANSCRIBED_MAX

log = structlog.get_logger()

SEEN_BYTES_MAX: Final = 5 << 20  # of a picture that models are shown


class FileRefused(Exception):
    """The file is not kept; the text is for its owner, and holds nothing of the file."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the sender's side says of a file."""

    kind: Kind
    name: str | None
    mime_type: str
    is_voice: bool = False
    sha256: str | None = None


async def examine(desk: FileDesk, sealer: Sealer, claim: Claim, came: Written) -> Kept:
    """Look at a blob that came; what is kept of it. A picture becomes new blobs, anything else stays where it is.

    Raises:
        FileRefused: it is not kept, and why.
    """
    if claim.sha256 is not None and claim.sha256.lower() != came.sha256:
        raise FileRefused("what came is not what was announced (its checksum differs)")
    if came.size == 0:
        raise FileRefused("the file is empty")
    found = sniff(came.head, claim.mime_type)
    limit = desk.limits.of(found.kind)
    if came.size > limit:
        raise FileRefused(f"the file has {in_mib(came.size)}; {in_mib(limit)} are taken")
    if is_drawable(found.mime_type):
        return await _redrawn(desk, sealer, claim, came)
    name = clean_name(claim.name, name_for(found.mime_type, found.kind))
    return Kept(
        kind=found.kind,
        mime_type=found.mime_type,
        name=name,
        size=came.size,
        sha256=came.sha256,
        storage_key=came.key,
        bytes_counted=came.size,
        transcript=await _transcript(desk, sealer, found, came),
    )


async def _redrawn(desk: FileDesk, sealer: Sealer, claim: Claim, came: Written) -> Kept:
    try:
        picture = await desk.redrawer.redraw(await read_whole(desk.storage, sealer, came.key))
    except NotAPicture as error:
        raise FileRefused(str(error)) from None
    main = await write_sealed(desk.storage, sealer, one_piece(picture.content))
    seen_key, seen_size, seen_mime = None, 0, None
    if picture.seen is not None:
        seen = await write_sealed(desk.storage, sealer, one_piece(picture.seen))
        seen_key, seen_size, seen_mime = seen.key, seen.size, picture.seen_mime
    return Kept(
        kind="sticker" if claim.kind == "sticker" else "image",
        mime_type=picture.mime_type,
        name=with_extension_of(clean_name(claim.name, "image"), picture.mime_type),
        size=main.size,
        sha256=main.sha256,
        storage_key=main.key,
        bytes_counted=main.size + seen_size,
        is_redrawn=True,
        width=picture.width,
        height=picture.height,
        seen_key=seen_key,
        seen_mime=seen_mime,
    )


async def _transcript(desk: FileDesk, sealer: Sealer, found: Sniffed, came: Written) -> str | None:
    """What is said in a recording; None where nobody writes it down, or could not."""
    if desk.transcriber is None or found.kind != "audio" or came.size > TRANSCRIBED_MAX:
        return None
    try:
        content = await read_whole(desk.storage, sealer, came.key)
        return await desk.transcriber.transcribe(content, found.mime_type)
    except (ModelUnavailable, ModelRefused) as error:
        log.warning("not_transcribed", owner_id=str(sealer.owner_id), error=str(error))
        return None
