"""Reports about mail of ours: not delivered (RFC 3464), or complained about (RFC 5965)."""

from __future__ import annotations

import re
from typing import Final

from a1zap.channels.email.charsets import decode_text
from a1zap.channels.email.header_text import (
    clean_address,
    decode_header,
    read_addresses,
    read_message_id,
    unfold,
)
from a1zap.channels.email.mail import Bounce, BouncedRecipient, Severity
from a1zap.channels.email.mime_tree import Part, attached_mail, content_of, every_part
from a1zap.channels.email.storable import one_line

_REPORT_MAX: Final = 64_000
_RECIPIENTS_MAX: Final = 100
_DIAGNOSTIC_MAX: Final = 500

_STATUSES: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ORIGINALS: Final = frozenset(
    {
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/global-headers",
        "message/rfc822-headers",
    }
)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_SMTP_CODE = re.compile(r"(?:^|[;\s])([45])\d\d[\s-]")
# Permanent by their number, yet true of the mail or the moment and not of the address: mailbox full, mail too big.
_PASSING: Final = frozenset({"5.2.2", "5.2.3", "5.3.4"})
_COMPLAINTS: Final = frozenset(
    {"abuse", "fraud", "opt-out", "opt-out-list", "miscategorized", "virus", "other"}
)

Block = dict[str, str]


def read_bounce(root: Part) -> Bounce | None:
    """What the report tells of each recipient that it failed for; None where the mail is no such report.

    A report inside an attached mail does not count: people forward them.
    """
    parts = list(every_part(root))
    recipients: list[BouncedRecipient] = []
    for part in parts:
        kind = part.get_content_type()
        if kind in _STATUSES:
            recipients += [found for block in _blocks(part) if (found := _failed(block))]
        elif kind == "message/feedback-report":
            recipients += _complained(_blocks(part), parts)
    if not recipients:
        said = root.get("x-failed-recipients", "")  # Exim writes its reports as plain text
        recipients = [BouncedRecipient(one.email, "hard", "", "") for one in read_addresses(said)]
    if not recipients:
        return None
    return Bounce(tuple(recipients[:_RECIPIENTS_MAX]), _original_id(parts))


def _blocks(part: Part) -> list[Block]:
    """The groups of fields in a report: one of the mail, then one of each recipient."""
    text = decode_text(attached_mail(part, [])[:_REPORT_MAX])
    found: list[Block] = []
    for block in re.split(r"(?:\r?\n[ \t]*){2,}", text):
        fields: Block = {}
        for line in re.sub(r"\r?\n[ \t]+", " ", block).splitlines():
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.strip().lower(), value.strip())
        if fields:
            found.append(fields)
    return found


def _failed(block: Block) -> BouncedRecipient | None:
    """The recipient of a block, unless the mail has come as far as one could wish."""
    address = _address(block.get("original-recipient", "")) or _address(block.get("final-recipient", ""))
    action = block.get("action", "").lower().partition(" ")[0]
    if not address or action in {"delivered", "relayed", "expanded"}:
        return None
    diagnostic = block.get("diagnostic-code", "")
    found = _STATUS.search(block.get("status", "")) or _STATUS.search(diagnostic)
    status = ".".join(found.groups()) if found else ""
    severity = _severity(action, status, diagnostic)
    has_given_up = action == "failed" or severity == "hard"
    return BouncedRecipient(address, severity, status, _told(diagnostic), has_given_up)


def _severity(action: str, status: str, diagnostic: str) -> Severity:
    if action == "delayed" or status.startswith("4") or status in _PASSING:
        return "soft"
    said = _SMTP_CODE.search(diagnostic)
    if not status and said:
        return "hard" if said[1] == "5" else "soft"
    return "hard" if status.startswith("5") or action == "failed" else "soft"


def _told(diagnostic: str) -> str:
    kind, semicolon, text = diagnostic.partition(";")
    return one_line(text if semicolon and len(kind) < 20 else diagnostic, _DIAGNOSTIC_MAX)


def _address(said: str) -> str:
    """`rfc822; user@example.org` as an address."""
    found = read_addresses(said.rpartition(";")[2])
    return found[0].email if found else clean_address(said)


def _complained(blocks: list[Block], parts: list[Part]) -> list[BouncedRecipient]:
    fields: Block = {name: value for block in blocks for name, value in block.items()}
    kind = fields.get("feedback-type", "").lower()
    if kind not in _COMPLAINTS:  # `not-spam` is praise, `auth-failure` is about our DNS
        return []
    said = fields.get("original-rcpt-to", "") or _original(parts).get("to", "")
    return [
        BouncedRecipient(one.email, "complaint", "", one_line(kind, _DIAGNOSTIC_MAX))
        for one in read_addresses(said)
    ]


def _original(parts: list[Part]) -> Block:
    """Header fields of the mail that the report is about."""
    for part in parts:
        if part.get_content_type() in _ORIGINALS:
            raw = attached_mail(part, []) if part.is_multipart() else content_of(part, [])
            head = decode_text(raw[:_REPORT_MAX].lstrip()).replace("\r\n", "\n").partition("\n\n")[0]
            lines = re.sub(r"\n[ \t]+", " ", head).splitlines()
            return {
                name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
            }
    return {}


def _original_id(parts: list[Part]) -> str | None:
    said = _original(parts).get("message-id", "")
    return read_message_id(decode_header(unfold(said))) if said else None
