"""Resend: a signed notice without the mail, which is fetched before anything is kept; and news about our mails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from a1zap.channels.contract import ChannelAccount, Posted, Receipt, Status
from a1zap.channels.email.providers.contract import Handed, InWayBase, Unpacked, secret_of
from a1zap.channels.email.providers.rebuild import rebuild_mail
from a1zap.channels.email.providers.said_at import said_at
from a1zap.kit.egress import Egress, EgressResponse
from a1zap.kit.errors import ChannelUnavailable, Malformed, Rejected, Unavailable
from a1zap.kit.ids import parse_id
from a1zap.kit.json import as_list, as_object, parse_object, text_at
from a1zap.kit.standard_webhooks import read_secret, verify

API_URL: Final = "https://api.resend.com"
_MAIL_MAX_BYTES: Final = 40 << 20
_EMAIL_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_NEWS: Final = {
    "email.delivered": Status.DELIVERED,
    "email.bounced": Status.FAILED,
    "email.complained": Status.FAILED,
    "email.failed": Status.FAILED,
}


class Resend(InWayBase):
    needed: Sequence[str] = ("signing_secret", "resend_api_key")
    known: Sequence[str] = ("resend_url",)

    def check_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        read_secret(settings["signing_secret"], field="signing_secret")
        return {}

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        verify([secret_of(account, "signing_secret")], posted.headers, posted.raw, now)

    async def complete(self, account: ChannelAccount, posted: Posted, egress: Egress) -> Posted | None:
        event = parse_object(posted.raw)
        kind, data = text_at(event, "type"), as_object(event.get("data")) or {}
        if kind in _NEWS:
            return posted
        if kind != "email.received":
            return None  # opened, clicked, contact.created, …
        email_id = text_at(data, "email_id")
        if not _EMAIL_ID.fullmatch(email_id):
            raise Malformed("the notice of Resend has no email_id")
        mail = await _mail(account, email_id, egress)
        to = [one for one in as_list(data.get("to")) or [] if isinstance(one, str)]
        return Posted(
            {"content-type": "message/rfc822", "x-envelope-to": ",".join(to).replace("\n", " ")}, mail
        )

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        if not raw.lstrip().startswith(b"{"):
            return [Handed(raw)]
        event = parse_object(raw)
        data = as_object(event.get("data")) or {}
        return list(_news(text_at(event, "type"), data, said_at(text_at(event, "created_at"), now)))


async def _mail(account: ChannelAccount, email_id: str, egress: Egress) -> bytes:
    base = account.credentials.get("resend_url") or API_URL
    key = secret_of(account, "resend_api_key")
    answer = await _get(
        egress, f"{base.rstrip('/')}/emails/receiving/{email_id}", {"authorization": f"Bearer {key}"}
    )
    found = parse_object(answer.body)
    link = text_at(as_object(found.get("raw")) or {}, "download_url")
    if link:  # signed by Resend for somebody's storage: our key does not go there
        return (await _get(egress, link, {})).body
    headers = as_object(found.get("headers")) or {}
    told = [(name, value) for name, value in headers.items() if isinstance(value, str)]
    names = {name.lower() for name, _ in told}
    for name in ("From", "Subject", "Message-ID"):
        value = text_at(found, name.lower().replace("-", "_"))
        if value and name.lower() not in names:
            told.append((name, value))
    if not told:
        raise ChannelUnavailable("Resend has the mail, and does not hand it out yet")
    return rebuild_mail(told, text=text_at(found, "text"), html=text_at(found, "html"))


async def _get(egress: Egress, url: str, headers: Mapping[str, str]) -> EgressResponse:
    try:
        answer = await egress.request("GET", url, headers=headers, total_s=30, read_max_bytes=_MAIL_MAX_BYTES)
    except (Unavailable, Rejected) as error:
        raise ChannelUnavailable("the mail cannot be fetched from Resend now") from error
    if answer.status != 200:
        raise ChannelUnavailable(f"Resend answered {answer.status} when asked for the mail")
    return answer


def _news(kind: str, data: dict[str, Any], at: datetime) -> Iterator[Receipt]:
    external_id, status = text_at(data, "email_id"), _NEWS.get(kind)
    if not external_id or status is None:
        return
    tags = as_object(data.get("tags")) or {}
    bounce = as_object(data.get("bounce")) or {}
    is_dead = kind == "email.complained" or (
        kind == "email.bounced" and text_at(bounce, "type") != "Transient"
    )
    to = [one for one in as_list(data.get("to")) or [] if isinstance(one, str)]
    yield Receipt(
        external_id,
        status,
        at,
        error=None if status is Status.DELIVERED else f"Resend says {kind}",
        message_id=parse_id(text_at(tags, "a1zap_message_id")),
        dead_address=to[0].strip().lower() if is_dead and len(to) == 1 else None,
    )
