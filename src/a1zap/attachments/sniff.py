"""What a file is, by its first bytes. Names and announced types are not asked, but to tell alike forms apart.

Our own table and not a library's: of the two small ones `filetype` has been still since 2022 and `puremagic` guesses
among thousands of forms; what decides what a browser may show must know few, and be sure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from a1zap.attachments.model import Kind

HEAD_BYTES: Final = 4096
UNKNOWN: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Sniffed:
    mime_type: str
    kind: Kind


_BEGINNINGS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"#!AMR", "audio/amr"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-executable"),
    (b"\xca\xfe\xba\xbe", "application/x-executable"),
    (b"\xcf\xfa\xed\xfe", "application/x-executable"),
)
_IN_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS: Final[Mapping[bytes, str]] = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
    b"msf1": "image/heic",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"3gp4": "video/3gpp",
    b"3gp5": "video/3gpp",
    b"3gp6": "video/3gpp",
}
_IN_ZIP: Final[tuple[tuple[bytes, str], ...]] = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OF_OLE: Final = frozenset(
    (
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.ms-outlook",
    )
)
_OF_TEXT: Final = frozenset(("text/csv", "text/markdown", "text/calendar", "application/json"))
_MARKUP: Final = re.compile(
    rb"<(svg|!doctype\s+svg|!doctype\s+html|html|script|body|iframe|\?xml)\b", re.IGNORECASE
)
# An image that a browser would draw from markup is a program to us: never shown, only handed out as a file.
_DRAWN: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "image/avif"))


def sniff(head: bytes, claimed_mime: str = UNKNOWN) -> Sniffed:
    """What the first bytes (4,096, or all there are) say; `claimed_mime` only decides between forms that look alike."""
    mime_type = _mime_type(head[:HEAD_BYTES], claimed_mime.partition(";")[0].strip().lower())
    return Sniffed(mime_type, _kind(mime_type))


def is_drawable(mime_type: str) -> bool:
    """Can we draw this picture anew, and so show it?"""
    return mime_type in _DRAWN


def _kind(mime_type: str) -> Kind:
    if mime_type in _DRAWN:
        return "image"
    if mime_type.startswith("audio/"):
        return "audio"
    return "video" if mime_type.startswith("video/") else "document"


def _mime_type(head: bytes, claimed: str) -> str:
    found = next((mime for beginning, mime in _BEGINNINGS if head.startswith(beginning)), None)
    return found or _in_container(head, claimed) or _of_text(head, claimed)


def _in_container(head: bytes, claimed: str) -> str | None:
    """Forms whose beginning only tells the container; None where it is none of these."""
    start = head[:4]
    if start == b"RIFF":
        return _IN_RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _of_brand(head[8:12], claimed)
    if start == b"OggS":
        return "video/ogg" if b"\x80theora" in head[:512] else "audio/ogg"
    if start == b"\x1a\x45\xdf\xa3":
        return "audio/webm" if claimed.startswith("audio/") else "video/webm"
    if start in (b"PK\x03\x04", b"PK\x05\x06"):
        return _of_zip(head)
    if head[:8] == _OLE:
        return claimed if claimed in _OF_OLE else "application/x-ole-storage"
    if _is_mpeg_audio(head):
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    return "image/bmp" if head[:2] == b"BM" and head[6:10] == bytes(4) else None


def _of_brand(brand: bytes, claimed: str) -> str:
    known = _BRANDS.get(brand)
    return known or ("audio/mp4" if claimed.startswith("audio/") else "video/mp4")


def _of_zip(head: bytes) -> str:
    """Office files are zips, told by the names inside; the names are looked at where they stand, nothing is unpacked."""
    if head[30:38] == b"mimetype":
        found = re.match(rb"application/(?:vnd\.oasis\.opendocument\.[a-z]+|epub\+zip)", head[38:])
        return found[0].decode() if found else "application/zip"
    if b"[Content_Types].xml" in head or b"_rels/.rels" in head:
        return next((mime for name, mime in _IN_ZIP if name in head), "application/zip")
    return "application/zip"


def _is_mpeg_audio(head: bytes) -> bool:
    """A frame header: eleven bits set, then layer II or III and a rate that exists (ISO 11172-3); or AAC's ADTS."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    if head[1] & 0xF6 == 0xF0:
        return True  # ADTS
    return (
        head[1] & 0x06 in (0x02, 0x04)
        and head[1] & 0x18 != 0x08
        and head[2] & 0xF0 != 0xF0
        and head[2] & 0x0C != 0x0C
    )


def _of_text(head: bytes, claimed: str) -> str:
    if not head or not _is_text(head):
        return UNKNOWN
    markup = _MARKUP.search(head)
    if markup is not None:
        names = {m[1].lower().split()[-1] for m in _MARKUP.finditer(head)}
        if b"svg" in names:
            return "image/svg+xml"
        return "text/html" if names - {b"?xml"} else "text/xml"
    start = head.lstrip()[:16].upper()
    if start.startswith(b"BEGIN:VCARD"):
        return "text/vcard"
    if start.startswith(b"BEGIN:VCALENDAR"):
        return "text/calendar"
    return claimed if claimed in _OF_TEXT else "text/plain"


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True  # UTF-16, as Notepad writes it
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character may be cut in two by where we stopped reading.
        return error.start >= len(head) - 3 and error.reason == "unexpected end of data"
    return True
