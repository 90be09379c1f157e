"""Postmark's API: it keeps our Message-ID, and can be asked for a mail by the id that we gave it as metadata."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from a1zap.channels.contract import AccountBroken, ChannelAccount, SendRefused, Sent
from a1zap.channels.email.out.compose import Letter
from a1zap.channels.email.out.contract import answered, call_api, required
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable
from a1zap.kit.json import text_at

API_URL: Final = "https://api.postmarkapp.com"
# Their ErrorCode: what is wrong with the account, not with the letter (key, sender signature, credits, approval, stream).
_BROKEN: Final = {
    10: "the server token is wrong",
    400: "the sender signature is not known",
    401: "the sender signature is not confirmed",
    405: "the account has no credits",
    412: "the account waits for approval",
    413: "the account is not allowed to send",
    1226: "the message stream is not known",
    1235: "the message stream is not known",
}


class PostmarkOut:
    needed: Sequence[str] = ("postmark_token",)
    known: Sequence[str] = ("postmark_stream", "postmark_url")

    def check_settings(self, settings: Mapping[str, str]) -> None:
        return None

    async def send(self, account: ChannelAccount, letter: Letter, egress: Egress) -> Sent:
        answer = await call_api(
            egress,
            "POST",
            f"{_base(account)}/email",
            provider="Postmark",
            headers=_headers(account),
            json=_body(account, letter),
        )
        told = answered(answer)
        code = told.get("ErrorCode")
        if 200 <= answer.status < 300 and code in (0, None):
            return Sent(external_id=text_at(told, "MessageID") or None, thread_ref=letter.message_id)
        raise _refusal(code, answer.status)

    async def was_sent(self, account: ChannelAccount, message_id: str, egress: Egress) -> bool | None:
        own = message_id.partition("@")[0]
        answer = await call_api(
            egress,
            "GET",
            f"{_base(account)}/messages/outbound?count=1&offset=0&metadata_a1zap_message_id={own}",
            provider="Postmark",
            headers=_headers(account),
            may_repeat=True,
        )
        count = answered(answer).get("TotalCount")
        return count > 0 if answer.status == 200 and isinstance(count, int) else None

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        answer = await call_api(
            egress,
            "GET",
            f"{_base(account)}/server",
            provider="Postmark",
            headers=_headers(account),
            may_repeat=True,
        )
        if answer.status != 200:
            raise AccountBroken(f"Postmark answered {answer.status} when asked for its server")
        return f"Postmark knows the token, of its server '{text_at(answered(answer), 'Name')[:100]}'"


def _base(account: ChannelAccount) -> str:
    return (account.credentials.get("postmark_url") or API_URL).rstrip("/")


def _headers(account: ChannelAccount) -> Mapping[str, str]:
    return {"x-postmark-server-token": required(account, "postmark_token")}


def _body(account: ChannelAccount, letter: Letter) -> dict[str, Any]:
    headers = {
        "Message-ID": f"<{letter.message_id}>",
        "X-PM-KeepID": "true",
        **letter.threading,
        **letter.marks,
    }
    body: dict[str, Any] = {
        "From": shown_address(letter.sender_name, letter.sender),
        "To": letter.to,
        "Subject": letter.subject,
        "TextBody": letter.text,
        "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
        "MessageStream": account.credentials.get("postmark_stream") or "outbound",
        "Metadata": {"a1zap_message_id": str(letter.id)},
        "TrackOpens": False,
        "TrackLinks": "None",
    }
    if letter.html is not None:
        body["HtmlBody"] = letter.html
    if letter.reply_to:
        body["ReplyTo"] = letter.reply_to
    if letter.files:
        body["Attachments"] = [
            {
                "Name": file.name,
                "Content": base64.b64encode(file.content).decode(),
                "ContentType": file.mime_type,
            }
            for file in letter.files
        ]
    return body


def shown_address(name: str, address: str) -> str:
    """`"Ann" <ann@example.com>` as APIs take it."""
    plain = name.replace("\\", "").replace('"', "").strip()
    return f'"{plain}" <{address}>' if plain else address


def _refusal(code: object, status: int) -> Exception:
    if isinstance(code, int) and code in _BROKEN:
        return AccountBroken(f"Postmark: {_BROKEN[code]}")
    if code == 406:
        return SendRefused("Postmark: this address bounced or complained before, and is switched off")
    if code == 429:
        return ChannelUnavailable("Postmark: too many requests")
    return SendRefused(f"Postmark refused the mail ({status}, error {code})")
