"""File names from outside, made harmless."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

NAME_CHARACTERS_MAX: Final = 120
_EXTENSIONS: Final = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "audio/amr": "amr",
    "audio/aac": "aac",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/3gpp": "3gp",
    "application/pdf": "pdf",
    "text/plain": "txt",
}


def clean_name(name: str | None, fallback: str) -> str:
    """The last part of a path, on one line, without characters that mislead or that file systems forbid.

    Invisible characters and those that turn the writing round go: `gpj.exe` must not look like `exe.jpg`.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    seen = "".join(
        " " if c.isspace() or c in ':*?"<>|' else c
        for c in unicodedata.normalize("NFC", last)
        if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn") or c.isspace()
    )
    bare = re.sub(r" +", " ", seen).strip(" .")
    if not bare:
        return fallback
    if len(bare) <= NAME_CHARACTERS_MAX:
        return bare
    stem, dot, extension = bare.rpartition(".")
    if not dot or len(extension) > 10:
        return bare[:NAME_CHARACTERS_MAX].strip()
    return f"{stem[: NAME_CHARACTERS_MAX - 1 - len(extension)].strip()}.{extension}"


def name_for(mime_type: str, kind: str) -> str:
    """A name for a file that came without."""
    extension = _EXTENSIONS.get(mime_type)
    return f"{kind}.{extension}" if extension else kind


def with_extension_of(name: str, mime_type: str) -> str:
    """A picture that was written anew in another form is called after that form."""
    extension = _EXTENSIONS.get(mime_type)
    if extension is None or name.lower().endswith((f".{extension}", ".jpeg" if extension == "jpg" else "\0")):
        return name
    stem, dot, old = name.rpartition(".")
    return f"{stem if dot and 1 <= len(old) <= 5 else name}.{extension}"
