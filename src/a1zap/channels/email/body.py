"""Which parts of a mail are its text, and which are files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from a1zap.channels.email.charsets import codec_of, decode_text
from a1zap.channels.email.header_text import decode_header
from a1zap.channels.email.mail import MailFile
from a1zap.channels.email.mime_tree import (
    DEPTH_MAX,
    Part,
    attached_mail,
    children,
    content_of,
    parameter,
    read_tree,
)
from a1zap.channels.email.storable import file_name, message_id, note, one_line, storable

TEXT_MAX: Final = 1_000_000
_FILES_BYTES_MAX: Final = 35 * 1024 * 1024

_MIME_TYPE = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,100}")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,5}=\s{0,5}[\"']?([\w:.-]{1,40})", re.IGNORECASE)
_WRITTEN_BOUNDARY = re.compile(rb"\s{0,20}--([^\s\"\\][^\r\n\"\\]{0,200})\r?\n(?=content-)", re.IGNORECASE)
_FALLBACK_NAMES: Final = {
    "text/calendar": "invite.ics",
    "text/plain": "text.txt",
    "text/html": "text.html",
    "text/csv": "table.csv",
    "application/pdf": "document.pdf",
    "application/ms-tnef": "winmail.dat",
    "application/pgp-signature": "signature.asc",
    "application/pkcs7-signature": "smime.p7s",
    "application/x-pkcs7-signature": "smime.p7s",
    "image/png": "image.png",
    "image/jpeg": "image.jpg",
    "image/gif": "image.gif",
    "image/webp": "image.webp",
    "audio/mpeg": "audio.mp3",
    "audio/ogg": "audio.ogg",
}
_BODY_TYPES: Final = frozenset({"text/plain", "text/html", "text/markdown", "text/enriched", "text/richtext"})
# Machines read these: the bounce says what they say, and the rest are copies of the text for odd screens.
_NEITHER: Final = frozenset(
    {
        "message/delivery-status",
        "message/global-delivery-status",
        "message/feedback-report",
        "message/disposition-notification",
        "text/x-amp-html",
        "text/watch-html",
    }
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of the text, in one or both of its forms."""

    plain: str | None = None
    html: str | None = None


@dataclass(slots=True)
class Body:
    passages: list[Passage] = field(default_factory=list[Passage])
    files: list[MailFile] = field(default_factory=list[MailFile])
    named_texts: list[tuple[int, Passage]] = field(default_factory=list[tuple[int, Passage]])
    files_bytes: int = 0


def read_body(root: Part, problems: list[str]) -> Body:
    """Texts in their order and files. A text with a file name is a file, where there is another text."""
    body = Body()
    _gather(root, body, problems, 0)
    if not any((p.plain or p.html or "").strip() for p in body.passages) and body.named_texts:
        place, passage = body.named_texts[0]
        body.passages.append(passage)
        del body.files[place]
    return body


def _gather(part: Part, body: Body, problems: list[str], depth: int) -> None:
    kind = part.get_content_type()
    inner = children(part)
    if depth > DEPTH_MAX:
        note(problems, f"parts deeper than {DEPTH_MAX} left out")
    elif kind == "multipart/alternative" and inner:
        _gather_alternative(inner, body, problems, depth)
    elif kind.startswith("multipart/") and inner:
        for child in inner:
            _gather(child, body, problems, depth + 1)
    elif kind in _NEITHER:
        pass
    elif kind in _BODY_TYPES and not _is_attached(part):
        _take_text(part, kind, body, problems)
    elif kind.startswith("multipart/"):  # a multipart without parts: its boundary never came
        _take_unparted(part, body, problems, depth)
    else:
        _take_file(part, kind, body, problems)


def _gather_alternative(inner: list[Part], body: Body, problems: list[str], depth: int) -> None:
    """The same text in several forms: the first plain one and the last HTML one; files of all of them."""
    plain: str | None = None
    html: str | None = None
    for child in inner:
        one = Body(files=body.files, named_texts=body.named_texts, files_bytes=body.files_bytes)
        _gather(child, one, problems, depth + 1)
        body.files_bytes = one.files_bytes
        plains = [p.plain for p in one.passages if p.plain is not None]
        htmls = [p.html for p in one.passages if p.html is not None]
        if plains and not (plain or "").strip():
            plain = "\n\n".join(plains)
        if htmls:
            html = "\n".join(htmls)
    if plain is not None or html is not None:
        body.passages.append(Passage(plain, html))


def _take_unparted(part: Part, body: Body, problems: list[str], depth: int) -> None:
    """A multipart whose declared boundary is not the one that was written: the written one is tried, once each."""
    raw = content_of(part, problems)
    written = _WRITTEN_BOUNDARY.match(raw)
    if not written:
        body.passages.append(Passage(plain=_text_of(part, problems)))
        return
    note(problems, "another boundary than the declared one")
    head = b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n' % written[1].rstrip()
    for child in children(read_tree(head + raw, problems)):
        _gather(child, body, problems, depth + 1)


def _is_attached(part: Part) -> bool:
    return part.get("content-disposition", "").strip().lower().startswith("attachment")


def _take_text(part: Part, kind: str, body: Body, problems: list[str]) -> None:
    text = _text_of(part, problems)
    passage = Passage(html=text) if kind == "text/html" else Passage(plain=text)
    if not _said_name(part):
        body.passages.append(passage)
        return
    body.named_texts.append((len(body.files), passage))
    _take_file(part, kind, body, problems)


def _text_of(part: Part, problems: list[str]) -> str:
    raw = content_of(part, problems)
    if len(raw) > 4 * TEXT_MAX:
        note(problems, f"text cut, it has {len(raw)} bytes")
        raw = raw[: 4 * TEXT_MAX]
    label = parameter(part, "charset")
    if not label and part.get_content_type() == "text/html" and (said := _META_CHARSET.search(raw[:2000])):
        label = said[1].decode("ascii", "replace")
    if label and codec_of(label) is None:
        note(problems, f"unknown charset {one_line(label, 40)!r}")
    text = storable(decode_text(raw, label)).replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > TEXT_MAX:
        note(problems, f"text cut at {TEXT_MAX} characters of {len(text)}")
        text = text[:TEXT_MAX]
    if parameter(part, "format").lower() == "flowed" and part.get_content_type() == "text/plain":
        text = unflow(text, deletes_space=parameter(part, "delsp").lower() == "yes")
    return text


def unflow(text: str, *, deletes_space: bool) -> str:
    """RFC 3676: lines that end in a space go on in the next one of the same quote depth."""
    lines: list[list[str]] = []
    flowing_depth = -1
    for line in text.split("\n"):
        bare = line.lstrip(">")
        depth = len(line) - len(bare)
        bare = bare.removeprefix(" ")  # stuffed, so that it does not look like a quote
        is_signature = bare == "-- "
        is_flowing = bare.endswith(" ") and not is_signature
        kept = bare[:-1] if is_flowing and deletes_space else bare
        if depth == flowing_depth and bare and not is_signature:
            lines[-1].append(kept)
        else:
            lines.append([f"{'>' * depth} {kept}" if depth else kept])
        flowing_depth = depth if is_flowing else -1
    return "\n".join("".join(pieces) for pieces in lines)


def _said_name(part: Part) -> str:
    return parameter(part, "filename", "content-disposition") or parameter(part, "name")


def _take_file(part: Part, kind: str, body: Body, problems: list[str]) -> None:
    is_mail = kind.startswith("message/")
    content = attached_mail(part, problems) if is_mail else content_of(part, problems)
    body.files_bytes += len(content)
    if body.files_bytes > _FILES_BYTES_MAX:
        note(problems, f"files beyond {_FILES_BYTES_MAX} bytes left out")
        return
    if not content and not _said_name(part):
        return
    name = file_name(_said_name(part), _fallback_name(part, kind, len(body.files) + 1))
    said_id = message_id(part.get("content-id", "")[:1000])
    is_inline = not _is_attached(part) and bool(said_id)
    mime_type = kind if _MIME_TYPE.fullmatch(kind) else "application/octet-stream"
    body.files.append(MailFile(name, storable(mime_type), content, said_id or None, is_inline))


def _fallback_name(part: Part, kind: str, number: int) -> str:
    if kind in _FALLBACK_NAMES:
        return _FALLBACK_NAMES[kind]
    if kind in {"message/rfc822", "message/global", "message/news"}:
        subject = next((decode_header(child.get("subject", "")) for child in children(part)), "")
        return file_name(f"{subject.replace('/', '_')[:100]}.eml" if subject else "", "message.eml")
    if kind in {"text/rfc822-headers", "message/global-headers"}:
        return "headers.txt"
    return f"attachment-{number}.bin"
