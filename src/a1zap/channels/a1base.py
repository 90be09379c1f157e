"""WhatsApp, SMS, RCS and iMessage through A1Base: signed webhook in, send call out."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from a1zap.channels.contract import (
    ChannelAccount,
    ChannelBase,
    ChatType,
    Inbound,
    Item,
    MessageType,
    Outbound,
    Posted,
    Receipt,
    SendAmbiguous,
    SendRefused,
    Sent,
    Status,
)
from a1zap.kit.egress import Egress, EgressFailed, EgressTimedOut
from a1zap.kit.errors import ChannelUnavailable, Invalid, Malformed, NotConfigured, NotSignedIn
from a1zap.kit.json import as_list, as_object, parse_object, text_at

SIGNATURE_AGE_MAX_S = 300
SEND_TIMEOUT_S = 10.0
_SETTINGS = {"number", "account_id", "api_key", "api_secret", "base_url"}
_CHAT_TYPES: dict[str, ChatType] = {"group": "group", "broadcast": "broadcast"}
_TYPES: dict[str, MessageType] = {
    "text": "text",
    "rich_text": "rich_text",
    "image": "image",
    "video": "video",
    "audio": "audio",
    "document": "document",
    "location": "location",
    "reaction": "reaction",
    "group_invite": "group_invite",
}


class A1Base(ChannelBase):
    kind = "a1base"
    stale_after_s = 6 * 3600.0

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        for name in settings:
            if name not in _SETTINGS:
                raise Invalid(f"an a1base channel has no setting '{name}'", field=name)
        for name in ("number", "account_id"):
            if not settings.get(name):
                raise Invalid(f"an a1base channel needs '{name}'", field=name)
        number = normal_number(settings["number"])
        if not number:
            raise Invalid(
                "'number' must be a phone number in E.164 form, such as +14151234567", field="number"
            )
        credentials = {k: v for k, v in settings.items() if k != "number" and v}
        credentials.setdefault("base_url", "https://api.a1base.com/v1")
        return number, credentials

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        secret = account.credentials.get("api_secret")
        if not secret:
            raise NotConfigured(
                "this a1base channel has no api_secret: set it, and deliveries are accepted again"
            )
        stamp, signature = posted.headers.get("x-timestamp", ""), posted.headers.get("x-signature", "")
        if not stamp or not signature:
            raise NotSignedIn("the headers x-timestamp and x-signature are both needed")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            raise NotSignedIn("x-timestamp is not a time in seconds")
        if abs(now.timestamp() - int(stamp)) > SIGNATURE_AGE_MAX_S:
            raise NotSignedIn("x-timestamp is more than five minutes away from now")
        expected = hmac.new(secret.encode(), stamp.encode() + posted.raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace")):
            raise NotSignedIn("x-signature does not fit the body")

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        body = parse_object(raw)
        if body.get("event") == "message_status":
            return _receipts(body, now)
        return [_inbound(account, body, now)]

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        path, body = _send_call(account, outbound)
        answer = await _call(account, egress, "POST", path, body)
        return Sent(external_id=_message_id(answer))

    async def was_sent(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> bool | None:
        """Look among the thread's newest messages for ours, since we first tried."""
        path = (
            f"/messages/threads/{_account_id(account)}/get-recent/{quote(outbound.chat_external_id, safe='')}"
        )
        answer = await _call(account, egress, "GET", path, None)
        whole = as_object(answer)
        found = as_list(answer if whole is None else whole.get("messages"))
        if found is None:
            return None
        entries = (as_object(entry) for entry in found)
        return any(entry is not None and _is_ours(entry, outbound) for entry in entries)


# ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _inbound(account: ChannelAccount, body: dict[str, Any], now: datetime) -> Inbound:
    external_id, thread = text_at(body, "message_id"), text_at(body, "thread_id")
    if not external_id or not thread:
        raise Malformed("a message needs message_id and thread_id")
    sender = normal_number(text_at(body, "sender_number"))
    is_echo = body.get("is_from_agent") is True or sender in ("", account.identity)
    message_type, text, rich = _content(body)
    thread_type = text_at(body, "thread_type")
    return Inbound(
        external_id=external_id,
        chat_external_id=thread,
        chat_type=_CHAT_TYPES.get(thread_type, "individual"),
        service=text_at(body, "service") or "whatsapp",
        sender_address=sender or thread,
        sender_name=text_at(body, "sender_name") or None,
        message_type=message_type,
        text=text,
        said_at=_time(body.get("timestamp"), now),
        rich_content=rich,
        is_mentioned=body.get("agent_mentioned") if isinstance(body.get("agent_mentioned"), bool) else None,
        is_echo=is_echo,
    )


def _content(body: dict[str, Any]) -> tuple[MessageType, str, dict[str, Any] | None]:
    """Type, text or its stand-in, and what else the message holds (never the media's bytes)."""
    message_type = _TYPES.get(text_at(body, "message_type"), "unsupported")
    if isinstance(body.get("message_content"), str):  # SMS
        return message_type, text_at(body, "message_content"), None
    content = as_object(body.get("message_content"))
    if content is None:
        return message_type, text_at(body, "content"), None
    said = text_at(content, "text") or text_at(content, "caption")
    rich = {k: v for k, v in content.items() if k != "data"}
    match message_type:
        case "text" | "rich_text":
            return (
                message_type,
                said or text_at(body, "content"),
                rich if message_type == "rich_text" else None,
            )
        case "image" | "video" | "audio":
            return message_type, _stand_in(f"{message_type.capitalize()} received", said), rich
        case "document":
            return message_type, _stand_in("Document received", text_at(content, "filename") or said), rich
        case "location":
            place = (
                f"{content.get('name') or 'a place'} at {content.get('latitude')}, {content.get('longitude')}"
            )
            return message_type, f"[Location shared: {place}]", rich
        case "reaction":
            return message_type, f"[Reacted with: {text_at(content, 'reaction')}]", rich
        case "group_invite":
            return message_type, f"[Group invite to: {text_at(content, 'groupName')}]", rich
        case _:
            return "unsupported", "[Unsupported message type received]", rich


def _stand_in(what: str, caption: str) -> str:
    return f"[{what}: {caption}]" if caption else f"[{what}]"


def _receipts(body: dict[str, Any], now: datetime) -> Sequence[Receipt]:
    status = {"sent": Status.SENT, "delivered": Status.DELIVERED, "failed": Status.FAILED}.get(
        text_at(body, "status")
    )
    external_id = text_at(body, "message_id")
    if status is None or not external_id:
        return []  # a status we do not know says nothing that we could act on
    return [
        Receipt(external_id, status, _time(body.get("timestamp"), now), text_at(body, "error_code") or None)
    ]


def normal_number(number: str) -> str:
    """`+` and digits: A1Base has written numbers with and without the plus. '' where there is no number in it."""
    digits = "".join(c for c in number if c.isascii() and c.isdigit())
    return f"+{digits}" if 4 <= len(digits) <= 20 else ""


def _time(value: object, now: datetime) -> datetime:
    """ISO 8601, seconds or milliseconds; now where it is none of them. Never in the future."""
    found = now
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            found = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        return now
    return min(found, now)


# ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _send_call(account: ChannelAccount, outbound: Outbound) -> tuple[str, dict[str, str]]:
    body = {"content": outbound.text, "from": account.identity, "service": outbound.service}
    if outbound.chat_type == "individual":
        return f"/messages/individual/{_account_id(account)}/send", {**body, "to": outbound.to_address or ""}
    return f"/messages/group/{_account_id(account)}/send", {**body, "thread_id": outbound.chat_external_id}


def _account_id(account: ChannelAccount) -> str:
    return quote(account.credentials.get("account_id", ""), safe="")


async def _call(
    account: ChannelAccount, egress: Egress, method: str, path: str, body: Mapping[str, str] | None
) -> Any:
    """One call of A1Base's API; its answer, with the `data` envelope taken off where there is one."""
    key, secret = account.credentials.get("api_key"), account.credentials.get("api_secret")
    if not key or not secret:
        raise NotConfigured("this a1base channel has no api_key or api_secret: it can send nothing")
    try:
        answer = await egress.request(
            method,
            account.credentials["base_url"].rstrip("/") + path,
            headers={"x-api-key": key, "x-api-secret": secret, "content-type": "application/json"},
            body=None if body is None else orjson.dumps(body),
            total_s=SEND_TIMEOUT_S,
            read_max_bytes=1 << 20,
        )
    except (EgressTimedOut, EgressFailed) as error:
        if error.was_sent and method == "POST":
            raise SendAmbiguous("A1Base did not answer: it may have taken the message") from error
        raise ChannelUnavailable("A1Base cannot be reached") from error
    return _judged(answer.status, answer.headers, answer.body, is_send=method == "POST")


def _judged(status: int, headers: Mapping[str, str], body: bytes, *, is_send: bool) -> Any:
    if 200 <= status < 300:
        try:
            parsed: Any = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError:
            return {}
        whole = as_object(parsed)
        if whole is not None and whole.get("status") == "error":
            raise SendRefused("A1Base answered 2xx with status 'error'")
        return parsed if whole is None else whole.get("data", whole)
    if status in {408, 429}:
        raise ChannelUnavailable(f"A1Base answered {status}", retry_after_s=_retry_after_s(headers))
    if status >= 500:
        # A gateway that gave up waiting knows nothing of what happened behind it; any other 5xx says "not taken".
        if is_send and status in (502, 504):
            raise SendAmbiguous(f"A1Base answered {status}: it may have taken the message")
        raise ChannelUnavailable(f"A1Base answered {status}", retry_after_s=_retry_after_s(headers))
    raise SendRefused(f"A1Base answered {status}")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _message_id(answer: Any) -> str | None:
    """The provider's id, where it tells one (the documented answer has none; the echo webhook brings it)."""
    whole = as_object(answer)
    return None if whole is None else text_at(whole, "message_id") or text_at(whole, "id") or None


def _is_ours(entry: dict[str, Any], outbound: Outbound) -> bool:
    if entry.get("is_from_agent") is False:
        return False
    content = as_object(entry.get("message_content"))
    said = (
        text_at(entry, "content") or text_at(entry, "body") if content is None else text_at(content, "text")
    )
    if said.strip() != outbound.text.strip():
        return False
    at = _time(entry.get("timestamp") or entry.get("date_created"), datetime.now(UTC))
    # The same words may have been said before: only an entry since our first attempt counts (one second for
    # rounding). A provider whose clock is behind is asked to send again, and the message is flagged; none is lost.
    return (at - outbound.first_tried_at).total_seconds() >= -1
