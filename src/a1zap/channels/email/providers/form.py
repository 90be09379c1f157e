"""Forms as providers post them: `application/x-www-form-urlencoded` and `multipart/form-data`, in linear time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from a1zap.channels.email.charsets import decode_text
from a1zap.kit.errors import Malformed

_PARTS_MAX: Final = 1000
_HEAD_MAX: Final = 16_384
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
_FIRST_LINE = re.compile(rb"\s{0,8}--([^\r\n]{1,200})\r?\n")
_PARAMETER = re.compile(r';\s{0,8}(name|filename)="((?:[^"\\]|\\.){0,1000})"', re.IGNORECASE)
_BARE_PARAMETER = re.compile(r";\s{0,8}(name|filename)=([^\s;\"]{1,1000})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FormFile:
    name: str
    mime_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Form:
    """Fields and files by name; of a field that comes twice, the first."""

    fields: Mapping[str, bytes]
    files: Mapping[str, FormFile]

    def text(self, name: str, charset: str | None = None) -> str:
        """The field's text; '' where there is none."""
        return decode_text(self.fields.get(name, b""), charset or "utf-8")

    def has(self, name: str) -> bool:
        return bool(self.fields.get(name))


def parse_form(raw: bytes, content_type: str) -> Form:
    """The form that `raw` spells; where the content type is unknown, it is told by its first bytes.

    Raises:
        Malformed: it is no form, or one of more than a thousand parts.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data" or (not kind and _FIRST_LINE.match(raw)):
        return _multipart(raw, content_type)
    if kind in {"", "application/x-www-form-urlencoded"}:
        return _urlencoded(raw)
    raise Malformed("the body is no form: multipart/form-data or application/x-www-form-urlencoded is needed")


def _urlencoded(raw: bytes) -> Form:
    try:
        pairs: Sequence[tuple[bytes, bytes]] = parse_qsl(
            raw, keep_blank_values=True, max_num_fields=_PARTS_MAX
        )
    except ValueError:
        raise Malformed(f"the form has more than {_PARTS_MAX} fields") from None
    fields: dict[str, bytes] = {}
    for name, value in pairs:
        fields.setdefault(name.decode("utf-8", "replace"), value)
    return Form(fields, {})


def _multipart(raw: bytes, content_type: str) -> Form:
    boundary = _boundary(raw, content_type)
    if raw.count(boundary) > _PARTS_MAX + 1:
        raise Malformed(f"the form has more than {_PARTS_MAX} parts")
    fields: dict[str, bytes] = {}
    files: dict[str, FormFile] = {}
    pieces = (b"\r\n" + raw).split(b"\r\n" + boundary)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break  # the last boundary; what follows is not ours
        head, blank, content = piece.partition(b"\r\n\r\n")
        if not blank or len(head) > _HEAD_MAX:
            continue
        name, filename, mime_type = _head(head)
        if filename is None:
            fields.setdefault(name, content)
        else:
            files.setdefault(name, FormFile(filename, mime_type, content))
    if not fields and not files:
        raise Malformed("the form has no fields")
    return Form(fields, files)


def _boundary(raw: bytes, content_type: str) -> bytes:
    said = _BOUNDARY.search(content_type)
    if said:
        return b"--" + said[1].encode("utf-8", "replace")
    first = _FIRST_LINE.match(raw)
    if first is None:
        raise Malformed("a multipart form needs a boundary")
    return b"--" + first[1].rstrip()


def _head(head: bytes) -> tuple[str, str | None, str]:
    """Name, file name (None: a field) and MIME type of a part."""
    name, filename, mime_type = "", None, "application/octet-stream"
    for line in head.decode("utf-8", "replace").split("\r\n"):
        header, _, value = line.partition(":")
        if header.strip().lower() == "content-disposition":
            found = {key.lower(): said for key, said in _BARE_PARAMETER.findall(value)}
            found |= {key.lower(): re.sub(r"\\(.)", r"\1", said) for key, said in _PARAMETER.findall(value)}
            name, filename = found.get("name", ""), found.get("filename")
        elif header.strip().lower() == "content-type":
            mime_type = value.strip() or mime_type
    return name, filename, mime_type
