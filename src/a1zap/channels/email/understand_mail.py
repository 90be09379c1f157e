"""A read mail in the house's words: whose it is, what it continues, who must not be answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal

from a1zap.channels.contract import Attached, ChannelAccount, Inbound, Item, MessageType, Receipt, Status
from a1zap.channels.email.automatic import why_automatic
from a1zap.channels.email.mail import Bounce, Mail
from a1zap.channels.email.mailbox import ascii_domain, is_ours, key_in, normal_address
from a1zap.channels.email.providers.contract import Handed
from a1zap.channels.email.sender_proof import is_sender_proven
from a1zap.kit.ids import parse_id

_CONTINUES_MAX: Final = 50
_DIGEST_CHARS: Final = 16
_TEXT_MAX: Final = 200_000
_OLDEST: Final = timedelta(days=365 * 30)


def understand_mail(
    account: ChannelAccount, handed: Handed, mail: Mail, meta: Mapping[str, Any], now: datetime
) -> Sequence[Item]:
    """The message that a mail is, and what it tells about messages of ours (bounces, complaints)."""
    identity = account.identity
    envelope_from, envelope_to = _envelope(handed, meta)
    proof = is_sender_proven(mail, _trusted(account, meta), handed.verdicts)
    automatic = why_automatic(mail, envelope_from, {identity})
    if automatic is None and is_ours(mail.from_address, identity):
        automatic = "own_mail"
    if automatic is None and proof.is_forged:
        automatic = "forged"
    if automatic is None and handed.verdicts is not None and handed.verdicts.has_virus:
        automatic = "virus"
    if automatic is None and handed.verdicts is not None and handed.verdicts.is_spam:
        automatic = "spam"
    digest = _digest(mail, handed.raw)
    external_id = f"{mail.message_id}#{digest}" if mail.message_id else digest
    sender = normal_address(mail.from_address) or mail.from_address.lower()
    inbound = Inbound(
        external_id=external_id,
        # Not the Message-ID alone: who has seen one could otherwise write into the chat that began with it.
        chat_external_id=external_id,
        chat_type="individual",
        service="email",
        sender_address=sender or f"unknown#{digest}",
        sender_name=mail.from_name or None,
        message_type=_message_type(mail),
        text=_text(mail),
        said_at=_said_at(mail, now),
        rich_content=_rich(mail, proof.why, envelope_from),
        sender_is_verified=bool(sender) and proof.is_proven,
        attachments=[_attached(mail, number) for number in range(len(mail.attachments))],
        automatic=automatic,
        chat_key=_chat_key(identity, mail, envelope_to, handed.chat_hash),
        continues=list(_continues(mail)),
        thread_ref=mail.message_id or None,
    )
    return [inbound, *_receipts(identity, mail.bounce, _said_at(mail, now))]


# ── who, to whom, in what thread ────────────────────────────────────────────────────────────────────────────────────


def _envelope(handed: Handed, meta: Mapping[str, Any]) -> tuple[str | None, Sequence[str]]:
    """What the provider or our own door knows of the envelope; the sender is None where nobody does."""
    sender = handed.envelope_from
    if sender is None and isinstance(meta.get("envelope_from"), str):
        sender = str(meta["envelope_from"])
    to: Any = handed.envelope_to or meta.get("envelope_to") or ()
    recipients = to.split(",") if isinstance(to, str) else [one for one in to if isinstance(one, str)]
    return sender, [one.strip() for one in recipients if one.strip()]


def _trusted(account: ChannelAccount, meta: Mapping[str, Any]) -> set[str]:
    """The servers whose Authentication-Results count: what the owner named, and our own door's."""
    named = account.credentials.get("authserv_id", "").split(",")
    door = meta.get("authserv_id")
    return {one.strip().lower() for one in (*named, door if isinstance(door, str) else "") if one.strip()}


def _chat_key(identity: str, mail: Mail, envelope_to: Sequence[str], chat_hash: str | None) -> str | None:
    addresses = (
        *envelope_to,
        *mail.delivered_to,
        *(one.email for one in (*mail.to, *mail.cc)),
        *mail.headers.every("x-original-to"),
        *mail.headers.every("x-forwarded-to"),
    )
    for address in addresses:
        if key := key_in(address, identity):
            return key
    return chat_hash.lower() if chat_hash else None


def _continues(mail: Mail) -> Iterator[str]:
    """Ids of earlier messages, nearest first."""
    named = dict.fromkeys((*mail.in_reply_to, *reversed(mail.references)))
    for number, one in enumerate(named):
        if number < _CONTINUES_MAX and one != mail.message_id:
            yield one


def _digest(mail: Mail, raw: bytes) -> str:
    """Tells apart two mails that a buggy program gave the same Message-ID, and not one mail that came two ways.

    So it is of what no server on the way changes: line endings and the headers of the journey are left out.
    """
    if not mail.message_id:
        return sha256(raw).hexdigest()[: 2 * _DIGEST_CHARS]
    said = (
        *(mail.from_address.lower(), "" if mail.date is None else mail.date.isoformat(), mail.subject),
        *(one.email for one in (*mail.to, *mail.cc)),
        *("\x00", mail.text_plain, "\x00", mail.text_html),
    )
    found = sha256("\x00".join(said).encode("utf-8", "replace"))
    for file in mail.attachments:
        content = sha256(file.content.replace(b"\r\n", b"\n")).hexdigest()
        found.update(f"\x00{file.name}\x00{content}".encode("utf-8", "replace"))
    return found.hexdigest()[:_DIGEST_CHARS]


# ── what it says ────────────────────────────────────────────────────────────────────────────────────────────────────


def _text(mail: Mail) -> str:
    said = mail.reply or mail.full_text or mail.subject
    if not said.strip():
        names = ", ".join(file.name for file in mail.attachments[:5])
        said = f"[Files received: {names}]" if names else "[Empty email received]"
    return said if len(said) <= _TEXT_MAX else f"{said[:_TEXT_MAX]}\n[…]"


def _rich(mail: Mail, proof: str, envelope_from: str | None) -> Mapping[str, Any]:
    rich: dict[str, Any] = {
        "subject": mail.subject,
        "from": _shown(mail.from_name, mail.from_address),
        "to": [_shown(one.name, one.email) for one in mail.to[:100]],
        "cc": [_shown(one.name, one.email) for one in mail.cc[:100]],
        "full_text": mail.full_text[:_TEXT_MAX],
        "message_id": mail.message_id,
        "sender_proof": proof,
    }
    if mail.reply_to:
        rich["reply_to"] = [_shown(one.name, one.email) for one in mail.reply_to[:10]]
    if envelope_from is not None:
        rich["envelope_from"] = envelope_from[:320]
    if mail.problems:
        rich["problems"] = list(mail.problems)
    return rich


def _shown(name: str, address: str) -> str:
    return f"{name} <{address}>" if name else address


def _message_type(mail: Mail) -> MessageType:
    return "rich_text" if mail.text_html else "text"


def _said_at(mail: Mail, now: datetime) -> datetime:
    """What the sender's clock says, unless that is the future, or before there was mail as we know it."""
    if mail.date is None or mail.date > now or mail.date < now - _OLDEST:
        return now
    return mail.date


def _attached(mail: Mail, number: int) -> Attached:
    file = mail.attachments[number]
    return Attached(
        kind=_kind(file.mime_type),
        mime_type=file.mime_type,
        name=file.name,
        content=file.content,
        size=len(file.content),
    )


def _kind(mime_type: str) -> Literal["image", "video", "audio", "document"]:
    match mime_type.partition("/")[0].lower():
        case "image":
            return "image"
        case "video":
            return "video"
        case "audio":
            return "audio"
        case _:
            return "document"


# ── bounces ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _receipts(identity: str, bounce: Bounce | None, at: datetime) -> Iterator[Receipt]:
    """Anybody can write a bounce: only one about a Message-ID that we made counts, and a passing delay is no failure."""
    if bounce is None or not bounce.original_message_id:
        return
    local, _, domain = bounce.original_message_id.rpartition("@")
    ours = parse_id(local) if ascii_domain(domain) == identity.rpartition("@")[2] else None
    for recipient in bounce.recipients[:1]:
        if not recipient.has_given_up:
            continue
        why = "marked as spam by its recipient" if recipient.severity == "complaint" else "bounced"
        code = f" ({recipient.status})" if recipient.status else ""
        yield Receipt(
            external_id=bounce.original_message_id,
            status=Status.FAILED,
            at=at,
            error=f"{why}{code}",
            message_id=ours,
            dead_address=None if recipient.severity == "soft" else normal_address(recipient.address) or None,
        )
