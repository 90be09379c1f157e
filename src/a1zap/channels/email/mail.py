"""The nouns of inbound mail, and how one crosses a pipe."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, Literal

import orjson

CHAT_HEADER: Final = "X-A1zap-Chat"
"""Every mail of ours carries it, so that we know our own when they come back."""

Severity = Literal["hard", "soft", "complaint"]


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox. `email` is as written, its domain in lower case."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class MailFile:
    """An attachment. `name` is safe to show and to save; `mime_type` is only what the sender says."""

    name: str
    mime_type: str
    content: bytes = field(repr=False)
    content_id: str | None = None
    is_inline: bool = False


@dataclass(frozen=True, slots=True)
class Headers:
    """Those headers that decisions need, in their order, as they stand, cut; names are in lower case."""

    pairs: tuple[tuple[str, str], ...] = ()

    def first(self, name: str) -> str | None:
        """The topmost header of that name, in any case."""
        wanted = name.lower()
        return next((value for known, value in self.pairs if known == wanted), None)

    def every(self, name: str) -> tuple[str, ...]:
        """All headers of that name, topmost first."""
        wanted = name.lower()
        return tuple(value for known, value in self.pairs if known == wanted)


@dataclass(frozen=True, slots=True)
class BouncedRecipient:
    """`status` is an RFC 3463 code (`5.1.1`) or ''; `diagnostic` is what the other server said, cut.

    `severity` is about the address, `has_given_up` about the mail: a full mailbox is soft, and the mail never gets there.
    """

    address: str
    severity: Severity
    status: str
    diagnostic: str
    has_given_up: bool = True


@dataclass(frozen=True, slots=True)
class Bounce:
    """News that a mail of ours did not arrive, or was not welcome.

    Anybody can write one: believe it only where `original_message_id` (or the address it came to) is one of ours.
    """

    recipients: tuple[BouncedRecipient, ...]
    original_message_id: str | None


@dataclass(frozen=True, slots=True)
class Mail:
    """What one raw mail says. Every string can be stored in PostgreSQL; nothing here is proven (`sender_proof.py`).

    `reply` is what the sender wrote this time, the whole text where that is empty; `full_text` is all they sent, as
    plain text. `is_from_ambiguous`: two readers may see two different senders (there are several, or the
    head is not lines that everybody cuts alike).
    `auto_reason` is what the headers alone tell; ask `why_automatic` with the envelope. Ids are without <>.
    """

    message_id: str | None = None
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    from_address: str = ""
    from_name: str = ""
    is_from_ambiguous: bool = False
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    delivered_to: tuple[str, ...] = ()
    subject: str = ""
    date: datetime | None = None
    text_plain: str = ""
    text_html: str = ""
    reply: str = ""
    full_text: str = ""
    attachments: tuple[MailFile, ...] = ()
    headers: Headers = Headers()
    auto_reason: str | None = None
    bounce: Bounce | None = None
    problems: tuple[str, ...] = ()


def pack_mail(mail: Mail) -> bytes:
    """The mail as bytes: length of the JSON (4, big-endian), JSON, then the contents of the files in their order."""
    told = orjson.dumps(mail, default=_size_of)
    return b"".join((len(told).to_bytes(4), told, *(file.content for file in mail.attachments)))


def unpack_mail(packed: bytes) -> Mail:
    """What `pack_mail` packed.

    Raises:
        ValueError: it did not.
    """
    begin = 4 + int.from_bytes(packed[:4])
    told: dict[str, Any] = orjson.loads(packed[4:begin])
    files: list[MailFile] = []
    for said in told["attachments"]:
        end = begin + int(said.pop("content"))
        files.append(MailFile(content=packed[begin:end], **said))
        begin = end
    if begin != len(packed):
        raise ValueError(f"a packed mail of {len(packed)} bytes says it has {begin}")
    found = Mail(**{known.name: told[known.name] for known in fields(Mail)})
    return replace(
        found,
        **{name: tuple(told[name]) for name in ("in_reply_to", "references", "delivered_to", "problems")},
        **{name: tuple(Address(**one) for one in told[name]) for name in ("to", "cc", "reply_to")},
        date=datetime.fromisoformat(told["date"]) if told["date"] else None,
        attachments=tuple(files),
        headers=Headers(tuple((name, value) for name, value in told["headers"]["pairs"])),
        bounce=_bounce(told["bounce"]),
    )


def _size_of(value: object) -> int:
    """In the JSON the content of a file is only its size: the one type here that JSON does not know."""
    if isinstance(value, bytes):
        return len(value)
    raise TypeError(type(value).__name__)


def _bounce(told: dict[str, Any] | None) -> Bounce | None:
    if told is None:
        return None
    recipients = tuple(BouncedRecipient(**one) for one in told["recipients"])
    return Bounce(recipients, told["original_message_id"])
