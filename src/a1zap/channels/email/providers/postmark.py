"""Postmark: JSON behind Basic auth, and its news about mails that we sent through it.

Postmark signs nothing; the secret is the user and password in the webhook's address (https://user:password@…).
Who a sender is, Postmark does not say either: its mails count as unproven, unless they bear results of a trusted host.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from a1zap.channels.contract import ChannelAccount, Posted, Receipt, Status
from a1zap.channels.email.providers.basic import basic_in
from a1zap.channels.email.providers.contract import Handed, InWayBase, Unpacked, require_equal, secret_of
from a1zap.channels.email.providers.rebuild import FilePart, rebuild_mail
from a1zap.channels.email.providers.said_at import said_at
from a1zap.kit.errors import Invalid, Malformed, NotSignedIn
from a1zap.kit.ids import parse_id
from a1zap.kit.json import as_list, as_object, parse_object, text_at

# Nobody is to be reached there any more; the other kinds say that this mail did not get there.
_DEAD: Final = frozenset(
    ("HardBounce", "BadEmailAddress", "ManuallyDeactivated", "SpamComplaint", "SpamNotification")
)
_FAILED: Final = frozenset(
    ("SoftBounce", "Blocked", "DnsError", "DMARCPolicy", "SMTPApiError", "InboundError")
)


class Postmark(InWayBase):
    known: Sequence[str] = ("inbound_user", "inbound_password")

    def check_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        if ":" in settings.get("inbound_user", ""):
            raise Invalid("'inbound_user' must not hold a colon", field="inbound_user")
        password = settings.get("inbound_password", "")
        if password and len(password) < 16:
            raise Invalid("'inbound_password' must have at least 16 characters", field="inbound_password")
        made = {"inbound_user": "a1zap", "inbound_password": secrets.token_urlsafe(24)}
        return {name: value for name, value in made.items() if not settings.get(name)}

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        user, password = secret_of(account, "inbound_user"), secret_of(account, "inbound_password")
        given = basic_in(posted)
        if given is None:
            raise NotSignedIn("Basic auth with inbound_user and inbound_password is needed")
        require_equal(f"{user}:{password}", ":".join(given), what="the user or password")

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        body = parse_object(raw)
        if text_at(body, "RecordType") not in {"", "Inbound"}:
            return list(_news(body, now))
        if not any(key in body for key in ("RawEmail", "FromFull", "From", "Headers")):
            raise Malformed("a Postmark delivery needs RawEmail, or From and Headers")
        raw_mail = text_at(body, "RawEmail")
        mail = raw_mail.encode("utf-8", "replace") if raw_mail.strip() else _rebuilt(body)
        recipient = text_at(body, "OriginalRecipient")
        return [
            Handed(
                mail,
                envelope_from=_return_path(body),
                envelope_to=[recipient] if recipient else [],
                chat_hash=text_at(body, "MailboxHash") or None,
                is_rebuilt=not raw_mail.strip(),
            )
        ]


def _news(body: dict[str, Any], now: datetime) -> Iterator[Receipt]:
    """What became of a mail of ours; what says nothing about that is passed over."""
    external_id, kind = text_at(body, "MessageID"), text_at(body, "RecordType")
    if not external_id:
        return
    metadata = as_object(body.get("Metadata")) or {}
    ours = parse_id(text_at(metadata, "a1zap_message_id"))
    why = text_at(body, "Type") or kind
    if kind == "Delivery":
        yield Receipt(
            external_id, Status.DELIVERED, said_at(text_at(body, "DeliveredAt"), now), message_id=ours
        )
    elif kind == "SpamComplaint" or why in _DEAD or why in _FAILED:
        dead = kind == "SpamComplaint" or why in _DEAD
        yield Receipt(
            external_id,
            Status.FAILED,
            said_at(text_at(body, "BouncedAt"), now),
            error=f"Postmark says {why}",
            message_id=ours,
            dead_address=(text_at(body, "Email").strip().lower() or None) if dead else None,
        )


def _rebuilt(body: dict[str, Any]) -> bytes:
    headers = list(_headers(body))
    told = {name.lower() for name, _ in headers}
    for name, value in (
        ("From", _addresses(body, "FromFull") or text_at(body, "From")),
        ("To", _addresses(body, "ToFull") or text_at(body, "To")),
        ("Cc", _addresses(body, "CcFull") or text_at(body, "Cc")),
        ("Reply-To", text_at(body, "ReplyTo")),
        ("Subject", text_at(body, "Subject")),
        ("Date", text_at(body, "Date")),
    ):
        if value and name.lower() not in told:
            headers.append((name, value))
    return rebuild_mail(
        headers, text=text_at(body, "TextBody"), html=text_at(body, "HtmlBody"), files=list(_files(body))
    )


def _headers(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in as_list(body.get("Headers")) or []:
        header = as_object(entry) or {}
        if name := text_at(header, "Name"):
            yield name, text_at(header, "Value")


def _addresses(body: dict[str, Any], key: str) -> str:
    one = as_object(body.get(key))
    found = [one] if one is not None else [as_object(entry) or {} for entry in as_list(body.get(key)) or []]
    told = [(text_at(entry, "Name"), text_at(entry, "Email")) for entry in found]
    return ", ".join(f'"{_unquoted(name)}" <{email}>' if name else email for name, email in told if email)


def _unquoted(name: str) -> str:
    return name.replace("\\", "").replace('"', "")


def _files(body: dict[str, Any]) -> Iterator[FilePart]:
    for entry in as_list(body.get("Attachments")) or []:
        found = as_object(entry) or {}
        try:
            content = base64.b64decode(text_at(found, "Content"))
        except (binascii.Error, ValueError):
            content = b""
        yield FilePart(
            text_at(found, "Name"), text_at(found, "ContentType"), content, text_at(found, "ContentID")
        )


def _return_path(body: dict[str, Any]) -> str | None:
    paths = [value for name, value in _headers(body) if name.lower() == "return-path"]
    return paths[0].strip().strip("<>") if len(paths) == 1 else None
