"""Raw RFC 5322 bytes in, a `Mail` out: pure, and whatever the bytes are.

It is called in a child process with limits (`bounded.py`); strangers choose the bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html import unescape
from typing import Final

from a1zap.channels.email.automatic import why_automatic
from a1zap.channels.email.body import Body, Passage, read_body
from a1zap.channels.email.bounce import read_bounce
from a1zap.channels.email.html_text import read_html
from a1zap.channels.email.mail import Mail
from a1zap.channels.email.mime_tree import Part, every_part, is_head_ambiguous, parameter, read_tree
from a1zap.channels.email.read_head import read_head
from a1zap.channels.email.reply import Extracted, extract_reply
from a1zap.channels.email.storable import attempt, note, storable

_CONVERTED_MAX: Final = 400_000

# What programs put into text/plain when the message is in the HTML part.
_NO_TEXT = re.compile(
    r"(?:html|web)[ -]?(?:version|browser|e?-?mails?|messages?|format|compatible|capable|enabled)|in (?:html|your browser)"
    r"|(?:does not|doesn't|cannot|can't|not able to) (?:support|display|show|view|read)[^.]{0,40}html"
    r"|multi-?part message in mime format|view (?:this|the) (?:e-?mail|message)|as html|html[- ](?:ansicht|nachricht)",
    re.IGNORECASE,
)
_NO_TEXT_MAX: Final = 250
_TAGS = re.compile(r"<[^<>]{0,2000}>")


@dataclass(frozen=True, slots=True)
class _Texts:
    full: str
    reply: str


def parse_mail(raw: bytes) -> Mail:
    """Everything that the mail says and that can be read, with a note in `problems` on each thing that cannot.

    Raises:
        MemoryError: and nothing else, on any bytes.
    """
    problems: list[str] = []
    root = read_tree(raw, problems)
    head = read_head(root.items(), attempt(problems, "charset", lambda: _charset(root), None))
    body = attempt(problems, "body", lambda: read_body(root, problems), Body())
    bounce = attempt(problems, "report", lambda: read_bounce(root), None)
    texts = _texts_of(body.passages, problems)
    mail = replace(
        head,
        text_plain="\n\n".join(p.plain for p in body.passages if p.plain is not None),
        text_html="\n".join(p.html for p in body.passages if p.html is not None),
        full_text=texts.full,
        reply=texts.reply,
        attachments=tuple(body.files),
        bounce=bounce,
        is_from_ambiguous=head.is_from_ambiguous or is_head_ambiguous(raw),
        problems=tuple(dict.fromkeys((*head.problems, *problems))),
    )
    return replace(mail, auto_reason=why_automatic(mail, None))


def is_stand_in(plain: str) -> bool:
    """The text says nothing, or only that one should look at the HTML."""
    text = plain.strip()
    return not text or (len(text) <= _NO_TEXT_MAX and bool(_NO_TEXT.search(text)))


def _charset(root: Part) -> str | None:
    return next((said for part in every_part(root) if (said := parameter(part, "charset"))), None)


def _texts_of(passages: list[Passage], problems: list[str]) -> _Texts:
    """The whole text, and what the sender wrote; a passage is taken in its plain form unless that is a stand-in."""
    full: list[str] = []
    replies: list[str] = []
    plains: list[str] = []
    left = _CONVERTED_MAX  # of the mail: two hundred small parts take as long as one of their size
    for passage in passages:
        html = (passage.html or "").strip()
        if html and left <= 0:
            note(problems, f"HTML beyond {_CONVERTED_MAX} characters left out")
            html = ""
        if not html or not is_stand_in(passage.plain or ""):
            plains.append(passage.plain or "")
            full.append(passage.plain or "")
            continue
        read = _read_html(html, problems)
        left -= len(html)
        if not _repeats(
            read.full, full
        ):  # [text, HTML] in a mixed mail: one text twice, though not called alternatives
            replies += [*_replies(plains, problems), read.reply]
            plains = []
            full.append(read.full)
    replies += _replies(plains, problems)
    whole = "\n\n".join(text.strip("\n") for text in full if text.strip())
    return _Texts(whole, "\n\n".join(reply for reply in replies if reply) or whole.strip())


def _replies(plains: list[str], problems: list[str]) -> list[str]:
    """What the sender wrote in plain passages that follow each other: a quote may begin in one and end in another."""
    text = "\n\n".join(plain.strip("\n") for plain in plains if plain.strip())
    if not text.strip():
        return []
    return [storable(attempt(problems, "reply", lambda: extract_reply(text).reply, text)).strip()]


def _read_html(html: str, problems: list[str]) -> Extracted:
    if len(html) > _CONVERTED_MAX:
        note(problems, f"HTML converted up to {_CONVERTED_MAX} characters of {len(html)}")
        html = html[:_CONVERTED_MAX]
    read = attempt(problems, "html", lambda: read_html(html), None)
    if read is None:  # words between tags are better than nothing
        text = unescape(_TAGS.sub(" ", html)).strip()
        read = Extracted(text, text, "")
    return replace(read, reply=storable(read.reply), full=storable(read.full))


def _repeats(text: str, before: list[str]) -> bool:
    words = text.split()
    return any(words == other.split() for other in before)
