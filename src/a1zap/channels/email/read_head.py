"""The header fields of a mail; and the glance at one that must not, or could not, be read whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from a1zap.channels.email.automatic import why_automatic
from a1zap.channels.email.header_text import (
    decode_header,
    plain_header,
    read_addresses,
    read_date,
    read_ids,
    read_message_id,
)
from a1zap.channels.email.mail import Address, Headers, Mail
from a1zap.channels.email.mime_tree import is_head_ambiguous
from a1zap.channels.email.storable import attempt

_GLANCE_BYTES: Final = 64 * 1024
_GLANCE_VALUE_MAX: Final = 4_000
_GLANCE_PAIRS_MAX: Final = 500
_KEPT_MAX: Final = 200
_KEPT_VALUE_MAX: Final = 4_000
_KEPT_OF_A_NAME_MAX: Final = 10
# Where a mail was delivered, as servers on the way wrote it down: a reply token may stand only here.
_DELIVERED: Final = (
    *("delivered-to", "x-original-to", "x-forwarded-to", "x-delivered-to"),
    *("envelope-to", "x-envelope-to", "resent-to"),
)
# What decisions ask for (automatic mail, proof of the sender, providers' verdicts); the raw mail is kept elsewhere.
_KEPT: Final = frozenset(
    {
        *(
            "return-path",
            "sender",
            "auto-submitted",
            "precedence",
            "feedback-id",
            "content-type",
            "importance",
        ),
        *("authentication-results", "received-spf", "thread-topic", "user-agent"),
        *("x-mailer", "x-loop", "x-failed-recipients", "x-fc-machinegenerated", "x-post-messageclass"),
        *("x-mail-autoreply", "x-vacation", "x-priority", "x-spam-status", "x-spam-flag", "resent-from"),
    }
)
_KEPT_BEGIN: Final = (
    *("list-", "x-auto", "x-a1zap-", "x-ms-exchange-generated", "x-ms-exchange-inbox-rules", "x-ses-"),
    *("x-mailgun-", "x-sendgrid-", "x-postmark-", "x-resend-"),
)


def read_head(pairs: Iterable[tuple[str, str]], charset: str | None = None) -> Mail:
    """A mail of these raw header fields, without text and files. Never fails.

    `charset` is a guess for 8-bit bytes in them, such as the charset of the text.
    """
    raw: dict[str, list[str]] = defaultdict(list)
    for name, said in pairs:
        raw[name.lower()].append(said)
    problems: list[str] = []

    def addresses(name: str) -> tuple[Address, ...]:
        said = ", ".join(raw.get(name, ()))
        return attempt(problems, name, lambda: read_addresses(said, charset), ())

    def value(name: str) -> str:
        return raw.get(name, [""])[0]

    senders = addresses("from")
    first = (
        senders[0]
        if senders
        else Address(attempt(problems, "from", lambda: decode_header(value("from")), ""), "")
    )
    delivered = [one.email for name in _DELIVERED for one in addresses(name)]
    return Mail(
        message_id=attempt(problems, "message-id", lambda: read_message_id(value("message-id")), None),
        in_reply_to=attempt(problems, "in-reply-to", lambda: read_ids(value("in-reply-to")), ()),
        references=attempt(problems, "references", lambda: read_ids(" ".join(raw.get("references", ()))), ()),
        from_address=first.email,
        from_name=first.name,
        is_from_ambiguous=len({one.email.lower() for one in senders}) > 1 or len(raw.get("from", ())) > 1,
        to=addresses("to"),
        cc=addresses("cc"),
        reply_to=addresses("reply-to"),
        delivered_to=tuple(dict.fromkeys(delivered)),
        subject=attempt(problems, "subject", lambda: decode_header(value("subject"), charset), ""),
        date=attempt(problems, "date", lambda: read_date(value("date")), None),
        headers=attempt(problems, "headers", lambda: _kept(raw), Headers()),
        problems=tuple(problems),
    )


def _kept(raw: dict[str, list[str]]) -> Headers:
    found: list[tuple[str, str]] = []
    for name, values in raw.items():
        if name in _KEPT or name.startswith(_KEPT_BEGIN):
            found += [
                (plain_header(name, max_chars=80), plain_header(value, max_chars=_KEPT_VALUE_MAX))
                for value in values[:_KEPT_OF_A_NAME_MAX]
            ]
    return Headers(tuple(found[:_KEPT_MAX]))


def glance(raw: bytes, problem: str) -> Mail:
    """What the first 64 KiB of header lines tell, in milliseconds whatever they are; no text and no files."""
    pairs: list[tuple[str, str]] = []
    for line in (
        raw[:_GLANCE_BYTES]
        .decode("ascii", "surrogateescape")
        .lstrip("\r\n")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .split("\n")
    ):
        name, colon, value = line.partition(":")
        if not line:
            break
        if line[0] in " \t":
            if pairs:
                pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}\n{line}")
        elif colon and name and " " not in name:
            pairs.append((name, value.strip()))
    mail = read_head((name, value[:_GLANCE_VALUE_MAX]) for name, value in pairs[:_GLANCE_PAIRS_MAX])
    return replace(
        mail,
        auto_reason=why_automatic(mail, None),
        is_from_ambiguous=mail.is_from_ambiguous or is_head_ambiguous(raw),
        problems=(problem, *mail.problems),
    )
