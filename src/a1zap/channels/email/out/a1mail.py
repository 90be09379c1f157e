"""A1Mail's API. It has no idempotency key and no question to ask; threading headers are sent and may not be honoured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

from a1zap.channels.contract import ChannelAccount, SendRefused, Sent
from a1zap.channels.email.out.compose import Letter
from a1zap.channels.email.out.contract import answered, call_api, required
from a1zap.kit.egress import Egress
from a1zap.kit.json import as_object, text_at

API_URL: Final = "https://api.a1base.com/v1"


class A1MailOut:
    needed: Sequence[str] = ("a1_account_id", "a1_api_key", "a1_api_secret")
    known: Sequence[str] = ("a1_url",)

    def check_settings(self, settings: Mapping[str, str]) -> None:
        return None

    async def send(self, account: ChannelAccount, letter: Letter, egress: Egress) -> Sent:
        base = (account.credentials.get("a1_url") or API_URL).rstrip("/")
        answer = await call_api(
            egress,
            "POST",
            f"{base}/emails/{quote(required(account, 'a1_account_id'), safe='')}/send",
            provider="A1Mail",
            headers={
                "x-api-key": required(account, "a1_api_key"),
                "x-api-secret": required(account, "a1_api_secret"),
            },
            json=_body(letter),
        )
        told = answered(answer)
        # A 2xx whose body says 'error' is a refusal of theirs.
        if 200 <= answer.status < 300 and told.get("status") != "error":
            data = as_object(told.get("data")) or told
            own = text_at(data, "email_id") or text_at(data, "id")
            return Sent(external_id=own or None, thread_ref=letter.message_id)
        raise SendRefused(f"A1Mail refused the mail ({answer.status})")

    async def was_sent(self, account: ChannelAccount, message_id: str, egress: Egress) -> bool | None:
        return None

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        return "A1Mail can only be tried by sending: give an address to send a test message to"


def _body(letter: Letter) -> dict[str, Any]:
    headers = {"Message-ID": f"<{letter.message_id}>", **letter.threading, **letter.marks}
    if letter.reply_to:
        headers["reply-to"] = letter.reply_to
    body: dict[str, Any] = {
        "sender_address": letter.sender,
        "recipient_address": letter.to,
        "subject": letter.subject,
        "body": letter.html if letter.html is not None else f"<pre>{escape(letter.text)}</pre>",
        "headers": headers,
    }
    if letter.files:
        body["attachment_uri"] = [file.url for file in letter.files]
    return body
