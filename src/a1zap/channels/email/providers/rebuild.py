"""A raw mail out of a provider's fields, so that the one reader of mails understands it.

Only headers that a provider tells are written, each as it was said; the body's own MIME headers are ours.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from email.header import Header
from email.utils import formataddr, getaddresses
from hashlib import sha256
from typing import Final

_OURS: Final = frozenset(
    ("content-type", "content-transfer-encoding", "content-disposition", "content-id", "mime-version")
)
_ADDRESSES: Final = frozenset(("from", "to", "cc", "bcc", "reply-to", "sender", "resent-from", "resent-to"))
_NAME = re.compile(r"[!-9;-~]{1,100}")
_MIME_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class FilePart:
    name: str
    mime_type: str
    content: bytes = field(repr=False)
    content_id: str = ""


def rebuild_mail(
    headers: Iterable[tuple[str, str]], *, text: str, html: str, files: Sequence[FilePart] = ()
) -> bytes:
    """A mail with these headers and parts; line breaks in a header's value are folding.

    The same fields are the same bytes: a mail without a Message-ID is known by them when it comes again.
    """
    lines = [_line(name, value) for name, value in headers if _is_kept(name)]
    parts = [_alternatives(text, html), *(_file(one) for one in files)]
    boundary = _boundary(*parts)
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts)
    head = "".join(f"{line}\r\n" for line in lines)
    head += f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'
    return head.encode("ascii", "replace") + body + f"--{boundary}--\r\n".encode()


def _boundary(*parts: bytes) -> str:
    """A line that none of the parts holds, as all their contents are base64."""
    found = sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:32]


def _is_kept(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name.lower() not in _OURS


def _line(name: str, value: str) -> str:
    value = _CONTROL.sub(" ", value).strip()
    if value.isascii():
        return f"{name}: {value}"
    if name.lower() in _ADDRESSES:
        pairs = getaddresses([value])
        return f"{name}: " + ", ".join(_address(shown, address) for shown, address in pairs)
    return f"{name}: {Header(value.encode('utf-8', 'replace').decode(), 'utf-8').encode(linesep=chr(13) + chr(10))}"


def _address(shown: str, address: str) -> str:
    try:
        return formataddr((shown, address))
    except (
        UnicodeError,
        ValueError,
    ):  # an address beyond ASCII: not to be spelled in a header without SMTPUTF8
        return formataddr((f"{shown} {address}".strip(), "unknown@invalid"))


def _alternatives(text: str, html: str) -> bytes:
    told = [(kind, body) for kind, body in (("plain", text), ("html", html)) if body]
    if len(told) < 2:
        kind, body = told[0] if told else ("plain", "")
        return _text(kind, body)
    parts = [_text(kind, body) for kind, body in told]
    boundary = _boundary(*parts).encode()
    whole = b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts)
    return (
        b'Content-Type: multipart/alternative; boundary="%b"\r\n\r\n' % boundary
        + whole
        + b"--%b--\r\n" % boundary
    )


def _text(kind: str, body: str) -> bytes:
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return head.encode() + _base64(body.encode("utf-8", "replace"))


def _file(one: FilePart) -> bytes:
    mime_type = one.mime_type.partition(";")[0].strip()
    # A mail in a mail, or parts in a part, would be read as such: here they are files.
    if not _MIME_TYPE.fullmatch(mime_type) or mime_type.lower().startswith(("multipart/", "message/")):
        mime_type = "application/octet-stream"
    name = _CONTROL.sub(" ", one.name).replace("\\", "_").replace('"', "_")[:200]
    encoded = (
        f'"{name}"'
        if name.isascii()
        else f'"{Header(name.encode("utf-8", "replace").decode(), "utf-8", maxlinelen=1000).encode()}"'
    )
    content_id = _CONTROL.sub("", one.content_id).strip().strip("<>")
    disposition = "inline" if content_id else "attachment"
    head = f"Content-Type: {mime_type}\r\nContent-Transfer-Encoding: base64\r\n"
    head += f"Content-Disposition: {disposition}; filename={encoded}\r\n"
    if content_id and content_id.isascii():
        head += f"Content-ID: <{content_id[:200]}>\r\n"
    return head.encode("ascii", "replace") + b"\r\n" + _base64(one.content)


def _base64(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")
