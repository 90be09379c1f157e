"""What a raw header value says: encoded words, addresses, ids, dates.

The standard library reads headers strictly and slowly (a parser of the whole grammar), and fails on one mutant in a
hundred. These readers are linear, take what is written rather than what is allowed, and never see more than a cut
value. Raw values are ASCII with surrogates for 8-bit bytes, as `email` hands them out, or plain text.
"""

from __future__ import annotations

import binascii
import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from a1zap.channels.email.charsets import decode_text
from a1zap.channels.email.mail import Address
from a1zap.channels.email.storable import message_id, one_line, storable

_DECODED_MAX: Final = 8_000
_ADDRESSES_MAX: Final = 200
_ADDRESSES_RAW_MAX: Final = 32_000
_ADDRESS_MAX: Final = 320  # RFC 5321: 64 + 1 + 255
_NAME_MAX: Final = 250
_IDS_MAX: Final = 100

_NOT_BASE64: Final = bytes(
    set(range(256)) - {*string.ascii_letters.encode(), *string.digits.encode(), *b"+/="}
)
_FOLD = re.compile(r"\r\n|\r|\n")
# Every repeat is bounded: a value full of openings costs its length times that bound, never its square.
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,64})\?([bBqQ])\?((?:[^?]|\?(?!=)){0,4000})\?=")
_ADDRESS_TOKEN = re.compile(
    r'(?P<quoted>"(?:[^"\\]|\\.){0,250}")'
    r'|<(?P<angle>(?:"(?:[^"\\<>]|\\.){0,100}"|[^<>"]){0,1000})>'
    r"|<(?P<open>[^<>,;]{0,400})"
    r"|(?P<mark>[,;:()])"
    r'|(?P<word>[^\s"<,;:()]+|")',
    re.DOTALL,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ID = re.compile(r"<([^<>]{1,2000})>")


def decode_base64(raw: bytes) -> bytes:
    """The bytes that `raw` spells, whatever else stands in it; pieces with an end of their own are put together."""
    pieces = (piece for piece in raw.translate(None, _NOT_BASE64).split(b"=") if piece)
    whole = (piece[: len(piece) - (len(piece) % 4 == 1)] for piece in pieces)
    return b"".join(binascii.a2b_base64(piece + b"=" * (-len(piece) % 4)) for piece in whole)


def unfold(raw: str) -> str:
    """The value as one line, 8-bit bytes still as surrogates."""
    return _FOLD.sub("", raw).strip()


def raw_bytes(raw: str) -> bytes:
    """The bytes that a value was made of; a lone surrogate that stands for none becomes U+FFFD."""
    try:
        return raw.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return storable(raw).encode()


def decode_header(raw: str, charset: str | None = None, max_chars: int = 1000) -> str:
    """The value as one storable line for people. `charset` is a guess for 8-bit bytes that are no UTF-8."""
    text = _readable(raw, charset)
    if "=?" in text:
        text = "".join(_decode_words(text))
    return one_line(text, max_chars)


def plain_header(raw: str, max_chars: int = 1000) -> str:
    """The value as one storable line for programs: its encoded words stay closed.

    What a server writes of others (`smtp.mailfrom=…`) is in their words: opened, those could hold a `;` and a verdict.
    """
    return one_line(_readable(raw, None), max_chars)


def _readable(raw: str, charset: str | None) -> str:
    """Unfolded, and 8-bit bytes made text."""
    text = unfold(raw[:_DECODED_MAX])
    if "\x1b$" in text or (not text.isascii() and _SURROGATE.search(text)):
        return decode_text(raw_bytes(text), charset)
    return text


def _decode_words(text: str) -> Iterator[str]:
    """RFC 2047. White space between two encoded words is no text, and a character may be split across them."""
    end, label, content = 0, "", b""
    for found in _ENCODED_WORD.finditer(text):
        gap, charset = text[end : found.start()], found[1]
        is_next = bool(content) and not gap.strip()
        if not is_next or charset.lower() != label.lower():
            yield decode_text(content, label)
            content = b""
        if not is_next:
            yield gap
        label, end = charset, found.end()
        content += (
            decode_base64(found[3].encode("ascii", "ignore")) if found[2] in "bB" else _decode_q(found[3])
        )
    yield decode_text(content, label)
    yield text[end:]


def _decode_q(text: str) -> bytes:
    return binascii.a2b_qp(text.encode("utf-8", "replace"), header=True)


def read_addresses(raw: str, charset: str | None = None) -> tuple[Address, ...]:
    """The mailboxes in a list of them, as people write it: groups, comments, `;` between, quotes left open.

    A mailbox without a readable address is left out.
    """
    text = unfold(raw[:_ADDRESSES_RAW_MAX])
    if not text:
        return ()
    found: list[Address] = []
    if _SURROGATE.search(text):
        text = decode_text(raw_bytes(text), charset)
    for words, comment, angles in _mailboxes(text):
        said = angles or _addresses_among(words)
        name = decode_header(" ".join(words if angles and words else [comment]), charset, _NAME_MAX)
        emails = dict.fromkeys(email for email in map(clean_address, said) if email)
        found.extend(Address(name.strip("\"'<> "), email) for email in emails)
        if len(found) >= _ADDRESSES_MAX:
            break
    return tuple(found[:_ADDRESSES_MAX])


def _mailboxes(text: str) -> Iterator[tuple[list[str], str, list[str]]]:
    """Words, comment and angle addresses of one mailbox after the other."""
    words: list[str] = []
    comment: list[str] = []
    angles: list[str] = []
    depth = 0
    for token in _ADDRESS_TOKEN.finditer(text):
        kind, value = token.lastgroup, token[0]
        if value in {"(", ")"}:
            depth = depth + 1 if value == "(" else max(0, depth - 1)
        elif depth:
            comment.append(value)
        elif value in {",", ";"}:
            yield words, " ".join(comment), angles
            words, comment, angles = [], [], []
        elif value == ":":  # `Undisclosed recipients:` names a group, `mailto:` a scheme
            words = []
        elif kind in {"angle", "open"}:
            angles.append(token[kind])
        elif kind == "quoted":
            words.append(_unquoted(value))
        else:
            words.append(value)
    yield words, " ".join(comment), angles


def _addresses_among(words: list[str]) -> list[str]:
    """Addresses that stand without <>. Words are never glued together to make one, but `"local part"@domain`."""
    found = [word for word in words if "@" in word]
    if found and found[0].startswith("@"):
        before = words.index(found[0]) - 1
        found[0] = words[before] + found[0] if before >= 0 else ""
    return found


def _unquoted(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1])


def clean_address(said: str) -> str:
    """The address alone, its domain in lower case; '' where it is none."""
    said = said.strip().removeprefix("mailto:")
    if said.startswith("@"):  # a source route: <@relay.example:user@example.org>
        said = said.rpartition(":")[2]
    local, at, domain = one_line(said, 2 * _ADDRESS_MAX).strip("<>'\" ").rpartition("@")
    domain = domain.strip(" .").lower()
    email = f"{local.strip()}@{domain}"
    if not at or not local.strip() or not domain or len(email) > _ADDRESS_MAX:
        return ""
    return "" if " " in email or not re.fullmatch(r"[^\s@<>,;:\"()\\]+|\[[^\s@\]]+\]", domain) else email


def read_ids(raw: str) -> tuple[str, ...]:
    """Message ids in their order, each once. Of very many the first and the newest are kept, as in a cut References."""
    text = unfold(raw)
    said = _ID.findall(text) or text.replace(",", " ").split()
    found = list(dict.fromkeys(one for one in map(message_id, said) if one))
    return tuple(found if len(found) <= _IDS_MAX else [found[0], *found[1 - _IDS_MAX :]])


def read_message_id(raw: str) -> str | None:
    """The mail's own id."""
    said = _ID.search(raw)
    return message_id(said[1] if said else unfold(raw)[:2000]) or None


def read_date(raw: str) -> datetime | None:
    """The date in UTC; None where it is none, or of no time at which mail was written."""
    try:
        found = parsedate_to_datetime(decode_header(raw, max_chars=200))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None
    return found if 1970 <= found.year < 2200 else None
