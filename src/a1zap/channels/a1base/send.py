"""A1Base's API: send calls in the form that its own framework sends, and answers read in every form it documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from a1zap.channels.a1base.parse import normal_number, time_of
from a1zap.channels.contract import (
    AccountBroken,
    ChannelAccount,
    Outbound,
    OutboundFile,
    SendAmbiguous,
    SendRefused,
    Sent,
)
from a1zap.kit.egress import Egress, EgressFailed, EgressTimedOut, EgressTooLarge
from a1zap.kit.errors import ChannelUnavailable, NotConfigured
from a1zap.kit.json import as_list, as_object, text_at

SEND_TIMEOUT_S = 10.0
SMS_CHARACTERS_MAX = 1200
CAPTION_CHARACTERS_MAX = 1024  # of WhatsApp; a longer text goes ahead of its files
# What WhatsApp takes of each kind, in bytes; a document may be anything.
MEDIA_BYTES_MAX: Mapping[str, int] = {"image": 5_000_000, "video": 16_000_000, "audio": 16_000_000}
DOCUMENT_BYTES_MAX = 100_000_000


async def send_outbound(account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
    """Hand a message over: one call, or one for each of several files, in order.

    Raises:
        SendRefused, SendAmbiguous, AccountBroken, ChannelUnavailable: as the contract says. Where a later call of
            several fails, the message is in doubt, whatever that call alone would be.
    """
    path, calls = send_calls(account, outbound)
    sent = Sent()
    for number, body in enumerate(calls):
        try:
            answer = await _call(account, egress, "POST", path, body)
        except (ChannelUnavailable, SendRefused, NotConfigured) as error:
            if number == 0:
                raise
            raise SendAmbiguous(f"A1Base took {number} of {len(calls)} parts: {error}") from error
        sent = sent if sent.external_id else Sent(external_id=_message_id(answer))
    return sent


async def was_taken(account: ChannelAccount, outbound: Outbound, egress: Egress) -> bool | None:
    """Look among the thread's five newest messages for ours, since we first tried. None: it cannot be told."""
    if outbound.files:
        return None  # which of its parts arrived, the list does not say
    path = f"/messages/threads/{_account_id(account)}/get-recent/{quote(outbound.chat_external_id, safe='')}"
    answer = await _call(account, egress, "GET", path, None)
    whole = as_object(answer)
    found = as_list(answer if whole is None else whole.get("messages"))
    if found is None:
        return None
    entries = (as_object(entry) for entry in found)
    return any(entry is not None and _is_ours(entry, outbound) for entry in entries)


async def check_account(account: ChannelAccount, egress: Egress) -> str:
    """List the threads of our number: harmless, and only these credentials may.

    Raises:
        AccountBroken, SendRefused, ChannelUnavailable: as the contract says.
    """
    path = f"/messages/threads/{_account_id(account)}/get-all/{quote(account.identity, safe='')}"
    try:
        await _call(account, egress, "GET", path, None)
    except SendRefused as error:
        raise SendRefused(f"{error}: does the account have the number {account.identity}?") from error
    return f"A1Base takes these credentials, and knows {account.identity}"


# ── what is sent ────────────────────────────────────────────────────────────────────────────────────────────────────


def send_calls(account: ChannelAccount, outbound: Outbound) -> tuple[str, Sequence[Mapping[str, str]]]:
    """The address and the bodies of the calls that make up one message.

    Raises:
        SendRefused: it is empty, too long, too large, or to nobody.
    """
    service = outbound.service or "whatsapp"
    head = {"from": account.identity, "service": service}
    if outbound.chat_type == "individual":
        to = outbound.to_address or ""
        if not to:
            raise SendRefused("nobody to send to: the chat has no address")
        head["to"] = normal_number(to) or to
        path = f"/messages/individual/{_account_id(account)}/send"
    else:
        head["thread_id"] = outbound.chat_external_id
        path = f"/messages/group/{_account_id(account)}/send"
    text = spoken(outbound)
    if service == "sms":
        return path, [{**head, "content": _sms(text, outbound.files)}]
    calls = _media_calls(text, outbound.files) if outbound.files else [{"content": text}]
    if not outbound.files and not text.strip():
        raise SendRefused("there is nothing in it to send")
    return path, [{**head, **call} for call in calls]


def spoken(outbound: Outbound) -> str:
    """The text, with the choices that A1Base has no buttons for as a numbered list below it."""
    rich = outbound.rich or {}
    titles = [
        text_at(choice, "title")
        for choice in map(as_object, as_list(rich.get("buttons")) or [])
        if choice is not None and text_at(choice, "title")
    ]
    lines = [f"{number}. {title}" for number, title in enumerate(titles, 1)]
    return "\n\n".join(part for part in (outbound.text, "\n".join(lines)) if part)


def _sms(text: str, files: Sequence[OutboundFile]) -> str:
    """SMS carries text only, so files ride as links."""
    whole = "\n".join(part for part in (text, *(file.url for file in files)) if part)
    if not whole.strip():
        raise SendRefused("there is nothing in it to send")
    if len(whole) > SMS_CHARACTERS_MAX:
        raise SendRefused(
            f"it is too long for SMS: {len(whole):,} characters, and A1Base takes {SMS_CHARACTERS_MAX:,}"
        )
    return whole


def _media_calls(text: str, files: Sequence[OutboundFile]) -> list[dict[str, str]]:
    calls: list[dict[str, str]] = []
    if len(text) > CAPTION_CHARACTERS_MAX:
        calls.append({"content": text})
        text = ""
    for number, file in enumerate(files):
        caption = text if number == 0 else ""
        calls.append(
            {
                "content": caption or file.name,  # it is required, also where the caption says it all
                "message_type": "media",
                "media_url": file.url,
                "media_type": _media_type(file),
                **({"caption": caption} if caption else {}),
            }
        )
    return calls


def _media_type(file: OutboundFile) -> str:
    """What it is sent as: what is too large for its own kind is still a document."""
    kind = file.mime_type.partition("/")[0]
    if kind in MEDIA_BYTES_MAX and file.size <= MEDIA_BYTES_MAX[kind]:
        return kind
    if file.size > DOCUMENT_BYTES_MAX:
        raise SendRefused(
            f"the file '{file.name}' has {file.size:,} bytes, and A1Base takes {DOCUMENT_BYTES_MAX:,}"
        )
    return "document"


# ── calling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    except EgressTooLarge as error:
        return _judged(error.answer_status, {}, b"", is_send=method == "POST")
    except (EgressTimedOut, EgressFailed) as error:
        if error.was_sent and method == "POST":
            raise SendAmbiguous("A1Base did not answer: it may have taken the message") from error
        raise ChannelUnavailable("A1Base cannot be reached") from error
    return _judged(answer.status, answer.headers, answer.body, is_send=method == "POST")


def _judged(status: int, headers: Mapping[str, str], body: bytes, *, is_send: bool) -> Any:
    parsed = _parsed(body)
    whole = as_object(parsed)
    if 200 <= status < 300:
        if whole is not None and whole.get("status") == "error":
            raise SendRefused(f"A1Base answered {status} with status 'error'{_reason(whole)}")
        return parsed if whole is None else whole.get("data", whole)
    said = f"A1Base answered {status}"
    if status in {408, 429}:
        raise ChannelUnavailable(said, retry_after_s=_retry_after_s(headers))
    if status >= 500:
        # A gateway that gave up waiting knows nothing of what happened behind it; any other 5xx says "not taken".
        if is_send and status in (502, 504):
            raise SendAmbiguous(f"{said}: it may have taken the message")
        raise ChannelUnavailable(said, retry_after_s=_retry_after_s(headers))
    if status == 401 or (status == 403 and not is_send):
        raise AccountBroken(f"{said}: it does not take this channel's api_key and api_secret any more")
    raise SendRefused(said + _reason(whole))


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return {}


def _reason(whole: Mapping[str, Any] | None) -> str:
    """Which field it minds, where it says so by name. Its prose stays out: it may repeat what we sent."""
    faults = as_list((whole or {}).get("detail")) or []
    first = as_object(faults[0]) if faults else None
    if first is None:
        return ""
    where = [str(part) for part in as_list(first.get("loc")) or [] if isinstance(part, str | int)]
    what = text_at(first, "type")
    return f": {'.'.join(where)} {what}".rstrip()[:120] if where or what else ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) <= 6 else None


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
    if said.strip() != spoken(outbound).strip():
        return False
    at = time_of(entry.get("timestamp") or entry.get("date_created"), datetime.now(UTC))
    # The same words may have been said before: only an entry since our first attempt counts (one second for
    # rounding). A provider whose clock is behind is asked to send again, and the message is flagged; none is lost.
    return (at - outbound.first_tried_at).total_seconds() >= -1
