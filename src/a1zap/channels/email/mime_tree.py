"""The parts of a raw mail, by the standard library's parser, within bounds.

Its structure is taken (feedparser copes with missing ends and broken boundaries); header values stay raw and are read
by `header_text.py`. The parser is told to stop at `PARTS_MAX` parts, which also bounds how deep it recurses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.feedparser import BytesFeedParser
from email.generator import BytesGenerator
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import Compat32
from io import BytesIO
from typing import Any, Final, TypeAlias, cast

from a1zap.channels.email.charsets import decode_text
from a1zap.channels.email.header_text import decode_base64, decode_header, raw_bytes, unfold
from a1zap.channels.email.storable import attempt, note

RAW_MAX: Final = 35 * 1024 * 1024
PARTS_MAX: Final = 200
DEPTH_MAX: Final = 20
_HEADER_BYTES_MAX: Final = 256 * 1024
_VALUE_MAX: Final = 64_000
_PARAMETERS_MAX: Final = 4_000  # the library's reader of parameters takes quadratic time
_PARAMETERED: Final = frozenset({"content-type", "content-disposition", "content-transfer-encoding"})

_BODY = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")
_LONE_CR = re.compile(rb"\r(?!\n|\Z)")
_ENCODING = re.compile(r"base64|quoted-printable|x-uuencode|uuencode|x-uue|uue")

Part: TypeAlias = "Message[str, str]"


class _RawValues(Compat32):
    """Values as they came, cut: nothing is decoded before it is asked for."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, _, first = sourcelines[0].partition(":")
        name = name.rstrip(" \t")
        most = _PARAMETERS_MAX if name.lower() in _PARAMETERED else _VALUE_MAX
        value = first if len(sourcelines) == 1 else "".join((first, *sourcelines[1:]))
        return name, value[:most].strip(" \t\r\n")

    def header_fetch_parse(self, name: str, value: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return value

    def fold_binary(self, name: str, value: str) -> bytes:
        return raw_bytes(f"{name}: {value}\r\n")  # an attached mail is written as it came


_POLICY: Final = _RawValues()


class _TooManyParts(Exception):
    pass


@dataclass(slots=True)
class _Parts:
    """Makes the parts for the parser, and keeps the first, so that what was read survives a parser that stopped."""

    made: list[Part] = field(default_factory=list[Part])

    def __call__(self, policy: Any = _POLICY) -> Part:
        if len(self.made) > PARTS_MAX:
            raise _TooManyParts
        part: Part = Message(policy)
        self.made.append(part)
        return part


def read_tree(raw: bytes, problems: list[str]) -> Part:
    """The mail's parts. Never fails; a mail that is too much is read as far as it goes."""
    if len(raw) > RAW_MAX:
        note(problems, f"cut at {RAW_MAX} bytes of {len(raw)}")
        raw = raw[:RAW_MAX]
    raw = _with_bounded_headers(raw.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"), problems)
    parts = _Parts()
    parser: BytesFeedParser[Part] = BytesFeedParser(cast("Any", parts), policy=_POLICY)
    parts.made.clear()  # the parser tries its factory once
    try:
        parser.feed(raw)
        parser.close()
        return parts.made[0]
    except _TooManyParts:
        note(problems, f"more than {PARTS_MAX} parts")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the library does not say how it may fail
        note(problems, f"structure: {type(error).__name__}")
    if parts.made and parts.made[0].is_multipart():
        return parts.made[0]
    parser_of_head = BytesHeaderParser(policy=_POLICY)  # all below the header fields is then the text
    return attempt(problems, "headers", lambda: parser_of_head.parsebytes(raw), Message())


def is_head_ambiguous(raw: bytes) -> bool:
    """Do two readers see two different heads? A lone CR ends a line here, and is a character to most mail servers."""
    end = min(found for found in (raw.find(b"\r\n\r\n"), raw.find(b"\n\n"), len(raw)) if found >= 0)
    head = raw[:end]
    return end > _HEADER_BYTES_MAX or (b"\n" in head and _LONE_CR.search(head) is not None)


def _with_bounded_headers(raw: bytes, problems: list[str]) -> bytes:
    body = _BODY.search(raw)
    end = body.start() if body else len(raw)
    if end <= _HEADER_BYTES_MAX:
        return raw
    note(problems, f"headers cut at {_HEADER_BYTES_MAX} bytes of {end}")
    kept = raw[:_HEADER_BYTES_MAX]
    return kept[: max(kept.rfind(b"\n"), kept.rfind(b"\r")) + 1 or None] + b"\r\n" + raw[end:].lstrip(b"\r\n")


def children(part: Part) -> list[Part]:
    """The parts within a part; none within a leaf."""
    payload: object = part.get_payload() if part.is_multipart() else None
    return cast("list[Part]", payload) if isinstance(payload, list) else []


def every_part(root: Part) -> Iterator[Part]:
    """The part and all below it in their order, but nothing inside a mail that is attached."""
    waiting: list[tuple[Part, int]] = [(root, 0)]
    while waiting:
        part, depth = waiting.pop()
        yield part
        if part.get_content_maintype() == "multipart" and depth < DEPTH_MAX:
            waiting.extend((child, depth + 1) for child in reversed(children(part)))


def parameter(part: Part, name: str, header: str = "content-type") -> str:
    """A parameter's decoded value; '' where there is none. RFC 2231, encoded words and 8-bit bytes all occur."""
    try:
        found: object = part.get_param(name, "", header)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - any value at all may stand there
        return ""
    if isinstance(found, tuple):  # RFC 2231: charset, language, text whose characters are bytes
        charset, _, text = found
        return decode_text(_bytes_of(text), charset)
    return decode_header(str(found))


def _bytes_of(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return raw_bytes(text)


def content_of(part: Part, problems: list[str]) -> bytes:
    """A leaf's bytes, its transfer encoding undone; as they stand where that fails."""
    said = unfold(part.get("content-transfer-encoding", "")).lower().replace(" ", "")
    found = _ENCODING.match(said.strip("\"'"))
    encoding = found[0] if found else "8bit"
    del part["content-transfer-encoding"]
    # The library looks for the bare word, and gives broken base64 back as it stands: ours reads what can be read.
    part["Content-Transfer-Encoding"] = "8bit" if encoding == "base64" else encoding
    raw = attempt(problems, f"content ({encoding})", lambda: _decoded(part), b"")
    part.replace_header("Content-Transfer-Encoding", encoding)  # who asks again gets the same
    return decode_base64(raw) if encoding == "base64" else raw


def _decoded(part: Part) -> bytes:
    found: object = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def attached_mail(part: Part, problems: list[str]) -> bytes:
    """The bytes of a mail that is attached (message/rfc822 and its kin)."""
    inner = children(part)
    if not inner:
        return content_of(part, problems)
    written = b"\r\n".join(
        attempt(problems, "attached mail", lambda one=one: _written(one), _head_of(one)) for one in inner
    )
    if "base64" not in part.get("content-transfer-encoding", "").lower():
        return written
    packed: Part = Message(_POLICY)  # forbidden there, and done: the parser took the base64 for the mail
    packed["Content-Transfer-Encoding"] = "base64"
    packed.set_payload(written.decode("ascii", "surrogateescape").strip())
    return content_of(packed, problems)


def _written(part: Part) -> bytes:
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, maxheaderlen=0).flatten(part)
    return out.getvalue()


def _head_of(part: Part) -> bytes:
    return b"".join(_POLICY.fold_binary(name, value) for name, value in part.items())
