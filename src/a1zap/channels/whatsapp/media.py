"""Files that come with a message: what is said of them, and where they are to be had."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, Literal

from a1zap.channels.contract import Attached, MessageType
from a1zap.channels.whatsapp.loose import id_at
from a1zap.kit.json import text_at

Kind = Literal["image", "video", "audio", "document", "sticker"]

KINDS: Final[dict[str, tuple[Kind, MessageType, str]]] = {
    "image": ("image", "image", "Image"),
    "video": ("video", "video", "Video"),
    "audio": ("audio", "audio", "Audio"),
    "voice": ("audio", "audio", "Voice message"),
    "document": ("document", "document", "Document"),
    "sticker": ("sticker", "image", "Sticker"),
}
_URL_MAX = 4096


def media_text(type_name: str, part: dict[str, Any]) -> str:
    """The stand-in for a file: what it is, and its caption or name."""
    _, _, name = KINDS[type_name]
    if type_name == "audio" and part.get("voice") is True:
        name = "Voice message"
    said = text_at(part, "caption").strip()
    file_name = text_at(part, "filename").strip() if type_name == "document" else ""
    told = ": ".join(word for word in (file_name, said) if word)
    return f"[{name} received: {told}]" if told else f"[{name} received]"


def attached_of(type_name: str, part: dict[str, Any]) -> list[Attached]:
    """The file, if it can be had at all: Meta may have failed to take it in, and then there is no id."""
    kind, _, _ = KINDS[type_name]
    media_id, url = id_at(part, "id"), text_at(part, "url")
    if not media_id and not url:
        return []
    sha256 = hex_digest(text_at(part, "sha256"))
    fetch = {"id": media_id, "url": url if len(url) <= _URL_MAX else "", "kind": kind, "sha256": sha256 or ""}
    size = part.get("file_size")
    return [
        Attached(
            kind=kind,
            mime_type=bare_type(text_at(part, "mime_type")),
            name=text_at(part, "filename").strip()[:255] or None,
            fetch={k: v for k, v in fetch.items() if v},
            size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
            sha256=sha256,
            is_voice=type_name == "voice" or part.get("voice") is True,
        )
    ]


def bare_type(mime_type: str) -> str:
    """`audio/ogg; codecs=opus` is `audio/ogg`."""
    bare = mime_type.partition(";")[0].strip().lower()
    return bare if "/" in bare and len(bare) <= 100 and bare.isascii() else "application/octet-stream"


def hex_digest(sha256: str) -> str | None:
    """Meta's base64 of a SHA-256 as hex; None where it is none."""
    word = sha256.strip()
    if len(word) == 64 and all(c in "0123456789abcdef" for c in word.lower()):
        return word.lower()
    try:
        raw = base64.b64decode(
            word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) == 32 else None


def without_link(part: dict[str, Any]) -> dict[str, Any]:
    """What of a file's description is worth showing: its link lives for minutes, and only with our token."""
    return {k: v for k, v in part.items() if k != "url"}
