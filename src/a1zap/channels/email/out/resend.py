"""Resend's API: the same Idempotency-Key is the same mail, for a day."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from a1zap.channels.contract import AccountBroken, ChannelAccount, SendRefused, Sent
from a1zap.channels.email.out.compose import Letter
from a1zap.channels.email.out.contract import answered, call_api, required
from a1zap.channels.email.out.postmark import shown_address
from a1zap.channels.email.providers.resend import API_URL
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable
from a1zap.kit.json import text_at

_TWICE_IN_FLIGHT: Final = "concurrent_idempotent_requests"
_TAKEN_BEFORE: Final = "invalid_idempotent_request"


class ResendOut:
    needed: Sequence[str] = ("resend_api_key",)
    known: Sequence[str] = ("resend_url",)

    def check_settings(self, settings: Mapping[str, str]) -> None:
        return None

    async def send(self, account: ChannelAccount, letter: Letter, egress: Egress) -> Sent:
        answer = await call_api(
            egress,
            "POST",
            f"{_base(account)}/emails",
            provider="Resend",
            headers={**_headers(account), "idempotency-key": str(letter.id)},
            json=_body(letter),
        )
        told = answered(answer)
        if 200 <= answer.status < 300:
            return Sent(external_id=text_at(told, "id") or None, thread_ref=letter.message_id)
        match answer.status, text_at(told, "name"):
            case 409, "concurrent_idempotent_requests":
                raise ChannelUnavailable("Resend is still at work on this mail", retry_after_s=5)
            case 409, "invalid_idempotent_request":
                # Only our own earlier attempt has this key: another form of the same message was taken.
                return Sent(thread_ref=letter.message_id)
            case _, name:
                raise SendRefused(f"Resend refused the mail ({answer.status} {name[:60]})")

    async def was_sent(self, account: ChannelAccount, message_id: str, egress: Egress) -> bool | None:
        """Nobody can be asked by our id; within a day another attempt has the same key, and sends nothing twice."""
        return None

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        answer = await call_api(
            egress,
            "GET",
            f"{_base(account)}/domains",
            provider="Resend",
            headers=_headers(account),
            may_repeat=True,
        )
        if answer.status != 200:
            raise AccountBroken(f"Resend answered {answer.status} when asked for its domains")
        return "Resend knows the key"


def _base(account: ChannelAccount) -> str:
    return (account.credentials.get("resend_url") or API_URL).rstrip("/")


def _headers(account: ChannelAccount) -> Mapping[str, str]:
    return {"authorization": f"Bearer {required(account, 'resend_api_key')}"}


def _body(letter: Letter) -> dict[str, Any]:
    body: dict[str, Any] = {
        "from": shown_address(letter.sender_name, letter.sender),
        "to": [letter.to],
        "subject": letter.subject,
        "text": letter.text,
        "headers": {"Message-ID": f"<{letter.message_id}>", **letter.threading, **letter.marks},
        "tags": [{"name": "a1zap_message_id", "value": str(letter.id)}],
    }
    if letter.html is not None:
        body["html"] = letter.html
    if letter.reply_to:
        body["reply_to"] = letter.reply_to
    if letter.files:
        body["attachments"] = [
            {
                "filename": file.name,
                "content": base64.b64encode(file.content).decode(),
                "content_type": file.mime_type,
            }
            for file in letter.files
        ]
    return body
