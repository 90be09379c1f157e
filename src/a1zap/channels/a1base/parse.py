"""What A1Base posts, in our words. Its sources contradict each other, so every form that one of them shows is read.

Nothing in here trusts a type: a field of the wrong one counts as not there. What is left without a message id or a
thread is `Malformed`, and so are ids longer than an index can hold; nothing else is raised.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

from a1zap.channels.contract import (
    Attached,
    ChannelAccount,
    ChatType,
    Inbound,
    Item,
    MessageType,
    Receipt,
    Status,
    Unread,
)
from a1zap.kit.errors import Malformed
from a1zap.kit.json import as_object, parse_object, text_at

MEDIA_BYTES_MAX = 16 << 20  # of one file, as WhatsApp has it
ID_CHARACTERS_MAX = 500  # an index of the database holds no row over 2,700 bytes
NAME_CHARACTERS_MAX = 200
ADDRESS_CHARACTERS_MAX = 320

Media = Literal["image", "video", "audio", "document"]
_CHAT_TYPES: Mapping[str, ChatType] = {"group": "group", "broadcast": "broadcast"}
_TYPES: Mapping[str, MessageType] = {
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
_STATUSES: Mapping[str, Status] = {
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.READ,
    "failed": Status.FAILED,
    "undelivered": Status.FAILED,  # the word of the carriers behind it
}
_NO_NEWS = ("accepted", "queued", "sending")
_NUMBER = re.compile(r"\+?[\s().\-]*\d[\d\s().\-]*", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9_-]{1,20}")
_BEFORE_THERE_WERE_SUCH_MESSAGES = datetime(2009, 1, 1, tzinfo=UTC)


def read_delivery(account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
    """The message or the status that a delivery holds.

    A delivery for another number than this account's is `Unread`: one A1Base account signs for all of its numbers with
    one secret, and an answer would leave from a number that the sender never wrote to.

    Raises:
        Malformed: it is no JSON object, or has no ids.
    """
    body = _unwrapped(parse_object(raw))
    named, own = normal_number(_scalar(body, "a1_phone_number")), normal_number(account.identity)
    if named and own and named != own:
        return [Unread(f"for another number: it came in at {named}, this channel is {account.identity}", raw)]
    if _is_status(body):
        return _receipts(body, raw, now)
    return [_inbound(account, body, now)]


def number_named_in(raw: bytes) -> str:
    """The number of ours that a delivery says it came in at.

    Raises:
        Malformed: it names none.
    """
    named = normal_number(_scalar(_unwrapped(parse_object(raw)), "a1_phone_number"))
    if not named:
        raise Malformed("the delivery has no a1_phone_number")
    return named


def normal_number(number: str) -> str:
    """`+` and digits: A1Base has written numbers with and without the plus. '' where it is no phone number."""
    bare = number.strip().removesuffix("@s.whatsapp.net").removesuffix("@c.us")
    if not _NUMBER.fullmatch(bare):
        return ""
    digits = "".join(c for c in bare if c.isdigit()).removeprefix("00")  # 00 is how one dials a +
    return f"+{digits}" if 4 <= len(digits) <= 20 else ""


def time_of(value: object, now: datetime) -> datetime:
    """ISO 8601, seconds or milliseconds, as number or text; now where it is none of them. Never in the future."""
    try:
        if isinstance(value, str) and not re.fullmatch(r"\d{9,14}(\.\d+)?", value, re.ASCII):
            parsed = datetime.fromisoformat(value)
            found = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            number = float(value)
            found = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        else:
            return now
    except (ValueError, OverflowError, OSError):
        return now
    return now if found < _BEFORE_THERE_WERE_SUCH_MESSAGES else min(found, now)


# ── a message ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _inbound(account: ChannelAccount, body: Mapping[str, Any], now: datetime) -> Inbound:
    external_id, thread = _id_at(body, "message_id"), _id_at(body, "thread_id")
    if not external_id or not thread:
        raise Malformed("a message needs message_id and thread_id")
    chat_type = _CHAT_TYPES.get(_word(body, "thread_type"), "individual")
    sender, is_echo = _sender(account, body, chat_type)
    message_type, text, rich, attachments = _content(body)
    service = _word(body, "service")
    return Inbound(
        external_id=external_id,
        chat_external_id=thread,
        chat_type=chat_type,
        service=service if _SERVICE.fullmatch(service) else "whatsapp",
        sender_address=sender or thread[:ADDRESS_CHARACTERS_MAX],
        sender_name=" ".join(_text(body, "sender_name").split())[:NAME_CHARACTERS_MAX] or None,
        message_type=message_type,
        text=text,
        said_at=time_of(body.get("timestamp"), now),
        rich_content=rich or None,
        is_mentioned=_boolean(body, "agent_mentioned"),
        is_echo=is_echo,
        attachments=attachments,
    )


def _sender(account: ChannelAccount, body: Mapping[str, Any], chat_type: ChatType) -> tuple[str, bool]:
    """Who wrote, as far as it is said; and whether that is our own side.

    In groups the agent's own messages have come from "+" or nobody. Taking one of those for a stranger's would make the
    agent answer itself; so who is not named in a group is us, unless A1Base says that it is not.
    """
    said = _scalar(body, "sender_number").strip()
    number = normal_number(said)
    is_from_agent = _boolean(body, "is_from_agent")
    if is_from_agent or said == "+" or (number and number == normal_number(account.identity)):
        return normal_number(account.identity), True
    if not said and chat_type != "individual" and is_from_agent is None:
        return normal_number(account.identity), True
    # iMessage people write from mail addresses as well.
    return number or said.lower()[:ADDRESS_CHARACTERS_MAX], False


def _content(
    body: Mapping[str, Any],
) -> tuple[MessageType, str, dict[str, Any] | None, Sequence[Attached]]:
    """Type, text or its stand-in, what else the message holds (never the media's bytes), and its files."""
    content = _content_object(body)
    named = _word(body, "message_type")
    kind: MessageType = "text" if not named and _said(content) else "unsupported"
    kind = _TYPES.get(named, kind)
    rich = {k: v for k, v in content.items() if k not in ("data", "text", "caption")}
    if kind in ("image", "video", "audio", "document"):
        return _media(kind, content, rich)
    text, rest = _words(kind, named, content, rich)
    return kind, text, rest, ()


def _words(
    kind: MessageType, named: str, content: Mapping[str, Any], rich: dict[str, Any]
) -> tuple[str, dict[str, Any] | None]:
    match kind:
        case "text":
            return _said(content), None
        case "rich_text":
            quoted = normal_number(_scalar(content, "quoted_message_sender"))
            return _said(content), rich | ({"quoted_message_sender": quoted} if quoted else {})
        case "location":
            return f"[Location shared: {_place(content)}]", rich
        case "reaction":
            emoji = _text(content, "reaction") or _said(content)
            return f"[Reacted with: {emoji}]" if emoji else "[Reaction removed]", rich
        case "group_invite":
            return f"[Group invite to: {_text(content, 'groupName') or 'a group'}]", rich
        case _:
            if named not in ("", "unsupported", "unsupported_message_type"):
                rich = {**rich, "type": named[:40]}
            said = _said(content)
            return _stand_in("Unsupported message type received", said), rich


def _media(
    kind: Media, content: Mapping[str, Any], rich: dict[str, Any]
) -> tuple[MessageType, str, dict[str, Any], Sequence[Attached]]:
    caption, name = _said(content), _text(content, "filename") or _text(content, "file_name")
    stand_in = _stand_in(f"{kind.capitalize()} received", caption or name)
    if caption:
        rich = {**rich, "caption": caption}
    data = content.get("data")
    if not isinstance(data, str) or not data:
        return kind, stand_in, rich, ()
    declared, bytes_or_why = _decoded(data)
    if isinstance(bytes_or_why, str):
        return kind, stand_in, {**rich, "file_error": bytes_or_why}, ()
    guessed = mimetypes.guess_type(name)[0] if name else None
    attached = Attached(
        kind=kind,
        mime_type=declared or _mime_said(content) or guessed or "application/octet-stream",
        name=name[:NAME_CHARACTERS_MAX] or None,
        content=bytes_or_why,
        size=len(bytes_or_why),
    )
    return kind, stand_in, rich, (attached,)


def _decoded(data: str) -> tuple[str | None, bytes | str]:
    """(what a data: URL says it is, its bytes); a sentence in place of the bytes where they cannot be had."""
    declared = None
    if data[:5].lower() == "data:":
        head, _, data = data.partition(",")
        declared = _mime(head[5:].partition(";")[0])
    packed = "".join(data.split()).replace("-", "+").replace("_", "/").rstrip("=")
    if len(packed) * 3 // 4 > MEDIA_BYTES_MAX:
        return declared, f"it is larger than {MEDIA_BYTES_MAX:,} bytes"
    try:
        found = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        return declared, "its data is no base64"
    return declared, found or "it is empty"


def _mime_said(content: Mapping[str, Any]) -> str | None:
    return _mime(_text(content, "mime_type") or _text(content, "mimetype"))


def _mime(said: str) -> str | None:
    bare = said.partition(";")[0].strip().lower()
    return bare if re.fullmatch(r"[a-z0-9.+-]{1,60}/[a-z0-9.+_-]{1,80}", bare) else None


def _place(content: Mapping[str, Any]) -> str:
    name = _text(content, "name") or _text(content, "address") or "a place"
    where = [_scalar(content, key)[:40] for key in ("latitude", "longitude")]
    return f"{name} at {', '.join(where)}" if all(where) else name


def _stand_in(what: str, caption: str) -> str:
    return f"[{what}: {caption}]" if caption else f"[{what}]"


def _content_object(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content as an object: SMS has a plain string there, older programs a top-level `content`, some `message`."""
    for key in ("message_content", "content", "message"):
        value = body.get(key)
        if isinstance(value, str) and value:
            return {"text": value}
        found = as_object(value)
        if found is not None:
            legacy = _text(body, "content")
            return {"text": legacy, **found} if legacy and not _said(found) else found
    return {}


def _said(content: Mapping[str, Any]) -> str:
    return (
        _text(content, "text")
        or _text(content, "caption")
        or _text(content, "message")
        or _text(content, "body")
    )


# ── a status ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_status(body: Mapping[str, Any]) -> bool:
    if _word(body, "event") == "message_status":
        return True
    is_message = "message_content" in body or "thread_id" in body
    return not is_message and _word(body, "status") != "" and bool(_id_at(body, "message_id"))


def _receipts(body: Mapping[str, Any], raw: bytes, now: datetime) -> Sequence[Item]:
    said, external_id = _word(body, "status"), _id_at(body, "message_id")
    if not external_id:
        raise Malformed("a status needs message_id")
    if said in _NO_NEWS:
        return []
    status = _STATUSES.get(said)
    if status is None:
        return [Unread(f"a status that we have no word for: '{said[:40]}'", raw)]
    code, message = _scalar(body, "error_code"), _text(body, "error_message")
    error = ": ".join(part for part in (code, " ".join(message.split())) if part)[:300]
    return [
        Receipt(
            external_id,
            status,
            time_of(body.get("timestamp"), now),
            error=(error or "no reason was given") if status is Status.FAILED else None,
        )
    ]


# ── asking a body for what it may hold ──────────────────────────────────────────────────────────────────────────────


def _unwrapped(body: dict[str, Any]) -> Mapping[str, Any]:
    """Without the `data` envelope that one client library shows and the other does not."""
    inner = as_object(body.get("data"))
    return body if inner is None or "message_id" in body else {**body, **inner}


def _text(found: Mapping[str, Any], key: str) -> str:
    return text_at(cast("dict[str, Any]", found), key)


def _word(found: Mapping[str, Any], key: str) -> str:
    return _text(found, key).strip().lower()


def _scalar(found: Mapping[str, Any], key: str) -> str:
    """Text or a number, as text: numbers and codes are written both ways."""
    value = found.get(key)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _id_at(body: Mapping[str, Any], key: str) -> str:
    found = _scalar(body, key).strip()
    if len(found) > ID_CHARACTERS_MAX:
        raise Malformed(f"{key} has {len(found):,} characters; {ID_CHARACTERS_MAX} are taken")
    return found


def _boolean(body: Mapping[str, Any], key: str) -> bool | None:
    """A boolean, also where it is written as text; None where it is neither."""
    value = body.get(key)
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False}.get(_scalar(body, key).strip().lower())
