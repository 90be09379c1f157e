"""Any program: it writes in by a signed POST, and its answers leave by one (Standard Webhooks 1.0 both ways).

In:  {"type": "message.created", "timestamp": "…", "data": {
         "chat_id": "their id", "message_id": "theirs, optional", "text": "…",
         "sender": {"id": "theirs", "name": "optional", "verified": true},
         "chat_type": "individual | group", "is_mentioned": true, "message_type": "text | image | …",
         "attachments": [{"name": "…", "mime_type": "…", "content_base64": "…" or "url": "https://…"}]}}
     message.updated {message_id, text} · message.deleted {message_id} · message.status {message_id (ours), status, error}
Out: {"type": "message.created", "timestamp": "…", "data": {"chat_id": "their id", "message_id": "ours", "text": "…", …}}

The program holds the secret, so whom it names is who it says, unless it says `"verified": false` of a sender.
What leaves is called by our message's id (`webhook-id`), the same at every attempt: who gets it twice can tell.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

import orjson

from a1zap.channels.contract import (
    AccountBroken,
    Amendment,
    Attached,
    ChannelAccount,
    ChannelBase,
    Fetched,
    Inbound,
    Item,
    MessageType,
    Outbound,
    OutboundFile,
    Posted,
    Receipt,
    SendRefused,
    Sent,
    Status,
    Unread,
    only_settings,
)
from a1zap.kit.egress import Egress, EgressFailed, EgressRefused, EgressTimedOut, EgressTooLarge
from a1zap.kit.errors import ChannelUnavailable, Malformed, NotConfigured
from a1zap.kit.ids import new_id, parse_id
from a1zap.kit.json import as_list, as_object, parse_object, text_at
from a1zap.kit.standard_webhooks import id_of, new_secret, read_secret, sign, verify

SEND_TIMEOUT_S = 15.0
FETCH_TIMEOUT_S = 30.0
ANSWER_MAX_BYTES = 1 << 16
ID_MAX = 200
ATTACHMENTS_MAX = 10
TEXT_MAX = 100_000

_FileKind = Literal["image", "video", "audio", "document", "sticker"]
_KNOWN_TYPES: frozenset[str] = frozenset(
    ("text", "rich_text", "image", "video", "audio", "document", "location", "reaction", "group_invite")
)
_STATUSES = {s.value: s for s in (Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED, Status.FAILED)}


class Webhook(ChannelBase):
    kind = "webhook"
    asks_for = "name, url (where answers go), secret (made by us without one), old_secret"
    stale_after_s = 6 * 3600.0
    body_max = 8 << 20  # files ride in base64
    shown_once = ("secret",)

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """All of it is optional: without `secret` we make one, without `url` answers are read from us.

        `name` tells an agent's webhooks apart: the url may move.
        """
        only_settings(self.kind, settings, needed=(), known=("name", "url", "secret", "old_secret"))
        for name in ("secret", "old_secret"):
            if settings.get(name):
                read_secret(settings[name], field=name)
        credentials = {k: v for k, v in settings.items() if k != "name" and v}
        credentials.setdefault("secret", new_secret())
        return settings.get("name", ""), credentials

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        verify(_secrets(account), posted.headers, posted.raw, now)

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        """Without the headers, a message that has no id of its own is called by what it holds."""
        return [_item(account, raw, now, hashlib.sha256(raw).hexdigest())]

    def parse_posted(self, account: ChannelAccount, posted: Posted, now: datetime) -> Sequence[Item]:
        return [_item(account, posted.raw, now, id_of(posted.headers))]

    async def fetch(self, account: ChannelAccount, what: Mapping[str, str], egress: Egress) -> Fetched:
        try:
            answer = await egress.request("GET", what["url"], total_s=FETCH_TIMEOUT_S)
        except (EgressRefused, EgressTooLarge) as error:
            raise SendRefused(str(error)) from error
        except (EgressTimedOut, EgressFailed) as error:
            raise ChannelUnavailable("the file's server cannot be reached") from error
        if answer.status != 200:
            if answer.status == 429 or answer.status >= 500:
                raise ChannelUnavailable(f"the file's server answered {answer.status}")
            raise SendRefused(f"the file's server answered {answer.status}")
        return Fetched(answer.body, answer.headers.get("content-type", "application/octet-stream"))

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        if not account.credentials.get("url"):
            return "there is no url to answer to; what is written in is checked with the secret as it comes"
        told = {"channel_id": str(account.id)}
        await _post(account, egress, str(new_id()), "webhook.test", datetime.now(UTC), told)
        return "the url took a signed webhook.test with 2xx"

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        """Where there is no url, the program reads its answers from us: to store one is to deliver it."""
        message_id = str(outbound.id)
        if account.credentials.get("url"):
            at, told = outbound.written_at or outbound.first_tried_at, _told(outbound)
            await _post(account, egress, message_id, "message.created", at, told)
        return Sent(external_id=message_id)


# ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _secrets(account: ChannelAccount) -> list[str]:
    """The secret, and the one before it while the other side still uses that."""
    return [account.credentials[name] for name in ("secret", "old_secret") if account.credentials.get(name)]


def _item(account: ChannelAccount, raw: bytes, now: datetime, delivery_id: str) -> Item:
    body = parse_object(raw)
    data = as_object(body.get("data"))
    if data is None:
        raise Malformed("'data' must be an object")
    at = _time(body.get("timestamp"), now)
    match text_at(body, "type"):
        case "message.created":
            return _message(account, data, at, delivery_id)
        case "message.updated":
            return Amendment(_id_at(data, "message_id"), text_at(data, "text"), at)
        case "message.deleted":
            return Amendment(_id_at(data, "message_id"), None, at)
        case "message.status":
            return _receipt(data, at)
        case other:
            return Unread(f"a webhook of the type '{other[:80]}'", raw)


def _message(account: ChannelAccount, data: dict[str, Any], at: datetime, delivery_id: str) -> Inbound:
    sender = as_object(data.get("sender")) or {}
    sender_id = _id_at(sender, "id", called="sender.id")
    attachments = _attachments(data)
    message_type = _message_type(data, attachments)
    text = text_at(data, "text")
    if not text and not attachments and message_type == "text":
        raise Malformed("a message needs 'text' or 'attachments'")
    if len(text) > TEXT_MAX:
        raise Malformed(f"'text' has more than {TEXT_MAX} characters")
    is_mentioned = data.get("is_mentioned")
    return Inbound(
        external_id=_id_at(data, "message_id") if data.get("message_id") is not None else delivery_id,
        chat_external_id=_id_at(data, "chat_id"),
        chat_type="group" if data.get("chat_type") == "group" else "individual",
        service="webhook",
        # Two programs may both know a customer 7, and mean two people.
        sender_address=f"{account.id}:{sender_id}",
        sender_name=text_at(sender, "name")[:ID_MAX] or None,
        message_type=message_type,
        text=text or _stand_in(message_type, attachments),
        said_at=at,
        rich_content=as_object(data.get("rich_content")),
        is_mentioned=is_mentioned if isinstance(is_mentioned, bool) else None,
        sender_is_verified=sender.get("verified") is not False,
        attachments=attachments,
    )


def _receipt(data: dict[str, Any], at: datetime) -> Receipt:
    status = _STATUSES.get(text_at(data, "status"))
    if status is None:
        raise Malformed(f"'status' must be one of: {', '.join(_STATUSES)}")
    message_id = _id_at(data, "message_id")
    error = text_at(data, "error")[:500] or None
    return Receipt(message_id, status, at, error, message_id=parse_id(message_id))


def _id_at(data: dict[str, Any], key: str, *, called: str | None = None) -> str:
    """The other side's id at `key`; numbers count as what they spell."""
    value = data.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= ID_MAX:
        raise Malformed(f"'{called or key}' must be a text of 1 to {ID_MAX} characters")
    return value


def _message_type(data: dict[str, Any], attachments: Sequence[Attached]) -> MessageType:
    said = text_at(data, "message_type")
    if said:
        return cast("MessageType", said) if said in _KNOWN_TYPES else "unsupported"
    if attachments and not text_at(data, "text"):
        return "image" if attachments[0].kind == "sticker" else attachments[0].kind
    return "text"


def _attachments(data: dict[str, Any]) -> tuple[Attached, ...]:
    found = as_list(data.get("attachments")) or []
    if len(found) > ATTACHMENTS_MAX:
        raise Malformed(f"a message takes at most {ATTACHMENTS_MAX} attachments")
    return tuple(_attached(as_object(one) or {}) for one in found)


def _attached(one: dict[str, Any]) -> Attached:
    mime_type = text_at(one, "mime_type")[:ID_MAX] or "application/octet-stream"
    name, url, encoded = text_at(one, "name")[:ID_MAX] or None, text_at(one, "url"), one.get("content_base64")
    kind = mime_type.partition("/")[0].lower()
    file_kind = cast("_FileKind", kind if kind in ("image", "video", "audio") else "document")
    if isinstance(encoded, str):
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise Malformed("'content_base64' of an attachment is not base64") from None
        return Attached(file_kind, mime_type, name, content=content, size=len(content))
    if not url:
        raise Malformed("an attachment needs 'content_base64' or 'url'")
    return Attached(file_kind, mime_type, name, fetch={"url": url})


def _stand_in(message_type: MessageType, attachments: Sequence[Attached]) -> str:
    what = "Unsupported message type" if message_type == "unsupported" else message_type.capitalize()
    name = attachments[0].name if attachments else None
    return f"[{what} received: {name}]" if name else f"[{what} received]"


def _time(value: object, now: datetime) -> datetime:
    """ISO 8601 or seconds since 1970; now where it is neither. Never in the future."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            found = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value, UTC)
        else:
            return now
        return min(found.astimezone(UTC), now)
    except (ValueError, OverflowError, OSError):
        return now


# ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _told(outbound: Outbound) -> dict[str, Any]:
    told: dict[str, Any] = {
        "chat_id": outbound.chat_external_id,
        **({} if outbound.chat_id is None else {"a1zap_chat_id": str(outbound.chat_id)}),
        "message_id": str(outbound.id),
        "chat_type": outbound.chat_type,
        "text": outbound.text,
        "sender": {"kind": "person" if outbound.is_by_person else "agent", "name": outbound.agent_name},
    }
    if outbound.rich:
        told["rich_content"] = dict(outbound.rich)
    if outbound.files:
        told["attachments"] = [_file(file) for file in outbound.files]
    return told


def _file(file: OutboundFile) -> dict[str, Any]:
    return {"name": file.name, "mime_type": file.mime_type, "size": file.size, "url": file.url}


async def _post(
    account: ChannelAccount,
    egress: Egress,
    message_id: str,
    event: str,
    at: datetime,
    data: Mapping[str, Any],
) -> None:
    """One signed POST, taken with 2xx.

    Whether a lost answer stood for a taken message is nobody's worry: the next attempt has the same webhook-id.
    """
    secrets = _secrets(account)
    if not secrets:
        raise NotConfigured("this webhook has no secret: it can send nothing")
    body = orjson.dumps({"type": event, "timestamp": at.isoformat(), "data": data})
    try:
        answer = await egress.request(
            "POST",
            account.credentials["url"],
            headers={
                "content-type": "application/json",
                **sign(secrets, message_id, datetime.now(UTC), body),
            },
            body=body,
            total_s=SEND_TIMEOUT_S,
            read_max_bytes=ANSWER_MAX_BYTES,
        )
    except EgressTooLarge as error:
        _judge(error.answer_status, {})
    except (EgressTimedOut, EgressFailed) as error:
        raise ChannelUnavailable("the webhook's url cannot be reached") from error
    else:
        _judge(answer.status, answer.headers)


def _judge(status: int, headers: Mapping[str, str]) -> None:
    """2xx is taken; what else it may be, by whose move it is."""
    if 200 <= status < 300:
        return
    if status in (401, 403, 410):
        raise AccountBroken(f"the webhook's url answered {status}: it takes nothing from this channel")
    if status in (408, 425, 429) or status >= 500:
        wait = headers.get("retry-after", "")
        raise ChannelUnavailable(
            f"the webhook's url answered {status}",
            retry_after_s=float(wait) if wait.isascii() and wait.isdigit() else None,
        )
    # A redirect too: it would lead a signed message to somewhere that nobody has checked.
    raise SendRefused(f"the webhook's url answered {status}")
