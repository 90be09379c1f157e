"""One letter out of an outbound message: the same at every attempt, whatever way it goes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Any, Final
from uuid import UUID

from a1zap.channels.contract import ChannelAccount, Outbound, OutboundFile, SendRefused
from a1zap.channels.email.mail import CHAT_HEADER
from a1zap.channels.email.mailbox import normal_address, reply_address
from a1zap.channels.email.out.markdown import render_markdown
from a1zap.channels.email.storable import file_name
from a1zap.kit.json import as_list, as_object, text_at

FILES_MAX_BYTES: Final = 20 << 20  # Gmail and Outlook take 25 MB, and base64 makes a third more of it
_REFERENCES_MAX: Final = 10
_ID_MAX: Final = 900
_SUBJECT_MAX: Final = 200
_ID = re.compile(r"[!-;=?-~]{3,900}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_RE = re.compile(
    r"(?:\s{0,4}(?:re|aw|sv|vs|antw|ref|回复|答复)\s{0,2}(?:\[\d{1,3}\])?\s{0,2}[:：]){1,20}\s{0,4}",
    re.IGNORECASE,
)
_MARKS = re.compile(r"[*_`#>\[\]]+|\(https?://[^\s)]{0,500}\)")
_MIME_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}")


@dataclass(frozen=True, slots=True)
class LetterFile:
    name: str
    mime_type: str
    url: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail before it has a form. Ids are without <>; every text is free of line breaks where a header holds it."""

    id: UUID
    message_id: str
    sender: str
    sender_name: str
    to: str
    subject: str
    text: str
    html: str | None
    at: datetime
    reply_to: str | None
    in_reply_to: str | None
    references: Sequence[str]
    marks: Mapping[str, str]
    files: Sequence[LetterFile]

    @property
    def threading(self) -> Mapping[str, str]:
        """In-Reply-To and References, as headers."""
        found: dict[str, str] = {}
        if self.in_reply_to:
            found["In-Reply-To"] = f"<{self.in_reply_to}>"
        if self.references:
            found["References"] = " ".join(f"<{one}>" for one in self.references)
        return found


async def compose_letter(account: ChannelAccount, outbound: Outbound) -> Letter:
    """The letter of a message.

    Raises:
        SendRefused: there is nobody to write to, or the files are more than a mail takes.
    """
    to = normal_address(outbound.to_address or "")
    if not to:
        raise SendRefused("the message has no email address to go to")
    settings = account.credentials
    text = _with_extras(outbound)
    signature = settings.get("signature", "").replace("{agent}", outbound.agent_name).strip()
    is_html = settings.get("reply_format", "html") == "html"
    domain = account.identity.rpartition("@")[2]
    in_reply_to, references = _ancestors(outbound)
    return Letter(
        id=outbound.id,
        message_id=f"{outbound.id}@{domain}",
        sender=account.identity,
        sender_name=one_line(settings.get("from_name") or outbound.agent_name, 100),
        to=to,
        subject=_subject(outbound),
        text=f"{text}\n\n-- \n{signature}\n" if signature else f"{text}\n",
        html=_html(text, signature) if is_html else None,
        at=outbound.written_at or outbound.first_tried_at,
        reply_to=reply_address(account.identity, outbound.chat_key),
        in_reply_to=in_reply_to,
        references=references,
        marks=_marks(outbound),
        files=await _files(outbound.files),
    )


def one_line(text: str, max_chars: int) -> str:
    """The text as a header may hold it: line breaks and control characters are spaces."""
    return " ".join(_CONTROL.sub(" ", text[: max_chars * 4]).split())[:max_chars].strip()


def mail_bytes(letter: Letter) -> bytes:
    """The letter as RFC 5322 spells it, in lines that every mail server takes (ASCII but for a recipient who is not)."""
    # The standard library folds long ids into encoded words, and then nobody finds the thread; and it opens the encoded
    # words in a value before it writes it, line breaks and all. Lines that hold what others wrote are ours.
    head = [f"Message-ID: <{letter.message_id}>", *_addressed(letter)]
    if letter.in_reply_to:
        head.append(f"In-Reply-To: <{letter.in_reply_to}>")
    if letter.references:
        head.append("References: " + "\r\n ".join(f"<{one}>" for one in letter.references))
    return "\r\n".join(head).encode() + b"\r\n" + _message(letter).as_bytes()


def _addressed(letter: Letter) -> list[str]:
    lines = [f"From: {_mailbox(letter.sender_name, letter.sender)}", f"To: <{letter.to}>"]
    if letter.reply_to:
        lines.append(f"Reply-To: {_mailbox(letter.sender_name, letter.reply_to)}")
    return [*lines, f"Subject: {letter.subject if _is_plain(letter.subject) else _encoded(letter.subject)}"]


def _mailbox(name: str, address: str) -> str:
    if not name:
        return f"<{address}>"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>' if _is_plain(name) else f"{_encoded(name)}\r\n <{address}>"


def _is_plain(text: str) -> bool:
    return text.isascii() and "=?" not in text


def _encoded(text: str) -> str:
    """Encoded words that spell exactly this text, whatever it looks like itself."""
    return Header(text, "utf-8", header_name="Reply-To").encode(linesep="\r\n")


def needs_smtputf8(letter: Letter) -> bool:
    return not letter.to.isascii() or not letter.sender.isascii()


def _message(letter: Letter) -> EmailMessage:
    policy = (SMTPUTF8 if needs_smtputf8(letter) else SMTP).clone(cte_type="7bit")
    message = EmailMessage(policy=policy)
    message["Date"] = format_datetime(letter.at)
    for name, value in letter.marks.items():
        message[name] = value
    message.set_content(letter.text)
    if letter.html is not None:
        message.add_alternative(letter.html, subtype="html")
    for file in letter.files:
        kind, _, subtype = file.mime_type.partition("/")
        message.add_attachment(file.content, maintype=kind, subtype=subtype, filename=file.name)
    return message


def _marks(outbound: Outbound) -> Mapping[str, str]:
    """What tells other programs not to answer this one (RFC 3834), and us that it is our own."""
    marks = {
        "X-Auto-Response-Suppress": "All",
        CHAT_HEADER: one_line(outbound.chat_key or str(outbound.id), 100),
    }
    if not outbound.is_by_person:
        marks["Auto-Submitted"] = "auto-replied"
    return marks


def _ancestors(outbound: Outbound) -> tuple[str | None, Sequence[str]]:
    """What it answers, and what came before, oldest first; the middle is what may be left out."""
    thread = outbound.thread
    if thread is None:
        return None, ()
    last = _plain_id(thread.last_inbound_id)
    named = [one for one in map(_plain_id, thread.references) if one and one != last]
    if last:
        named.append(last)
    named = list(dict.fromkeys(named))
    if len(named) > _REFERENCES_MAX:
        named = [named[0], *named[1 - _REFERENCES_MAX :]]
    return last or (named[-1] if named else None), named


def _plain_id(said: str | None) -> str | None:
    found = (said or "").strip().strip("<>")
    return found if _ID.fullmatch(found) else None


def _subject(outbound: Outbound) -> str:
    said = one_line(outbound.thread.subject or "", _SUBJECT_MAX) if outbound.thread else ""
    if said or (outbound.thread and outbound.thread.last_inbound_id):
        return f"Re: {_RE.sub('', said, count=1) if _RE.match(said) else said}".strip()
    words = one_line(_MARKS.sub("", outbound.text), 400)
    if len(words) > 60:
        words = words[:60].rsplit(" ", 1)[0].rstrip(",.;:") + " …"
    return words or one_line(f"Message from {outbound.agent_name}".strip(), _SUBJECT_MAX)


def _with_extras(outbound: Outbound) -> str:
    """The text, and what a mail cannot show as such: choices as a list, a reaction in words."""
    rich = outbound.rich or {}
    reaction = as_object(rich.get("reaction"))
    if not outbound.text.strip() and reaction is not None:
        return f"[Reacted with: {text_at(reaction, 'emoji')}]"
    choices = [*_titles(rich.get("buttons")), *_titles((as_object(rich.get("list")) or {}).get("items"))]
    listed = [f"- {title}" for title in choices if title not in outbound.text]
    return "\n".join([outbound.text, "", *listed]) if listed else outbound.text


def _titles(entries: Any) -> list[str]:
    found = (as_object(entry) or {} for entry in as_list(entries) or [])
    return [title for entry in found if (title := one_line(text_at(entry, "title"), 200))]


def _html(text: str, signature: str) -> str:
    signed = f"<div>--<br>{render_markdown(signature)}</div>" if signature else ""
    return (
        '<!doctype html><html><head><meta charset="utf-8"></head>'
        f"<body>{render_markdown(text)}{signed}</body></html>\n"
    )


async def _files(files: Sequence[OutboundFile]) -> Sequence[LetterFile]:
    total = sum(file.size for file in files)
    if total > FILES_MAX_BYTES:
        raise SendRefused(
            f"the files have {total / (1 << 20):.1f} MB together: a mail takes {FILES_MAX_BYTES >> 20} MB"
        )
    loaded: list[LetterFile] = []
    for number, file in enumerate(files, 1):
        mime_type = file.mime_type if _MIME_TYPE.fullmatch(file.mime_type) else "application/octet-stream"
        if mime_type.lower().startswith(("multipart/", "message/")):
            mime_type = "application/octet-stream"
        name = file_name(file.name, f"file-{number}")
        loaded.append(LetterFile(name, mime_type.lower(), file.url, await file.load()))
    return loaded
