"""What a message says, by its type: words or a stand-in for them, its structured part, its files.

A type that is not here, or is here and looks like nothing we know, is still a message: it is shown as unsupported,
with everything that came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from a1zap.channels.contract import Attached, MessageType
from a1zap.channels.whatsapp.loose import bounded, harmless, object_at, objects_at, word_at
from a1zap.channels.whatsapp.media import KINDS, attached_of, media_text, without_link
from a1zap.kit.json import as_object, parse_json, text_at

_STORY_MAX = 20000
# Kept beside the words of any message: what it answers, where it was forwarded from, the advertisement it came by.
_BESIDE: Final = ("context", "referral", "errors", "identity", "group_id", "origin")


@dataclass(frozen=True, slots=True)
class Content:
    message_type: MessageType
    text: str
    rich: Mapping[str, Any] | None = None
    files: Sequence[Attached] = ()
    automatic: str | None = None


def content_of(message: dict[str, Any]) -> Content:
    """Type, words, structured part and files of a message of any type."""
    type_name = type_of(message)
    read = _READERS.get(type_name, _read_unknown)
    found = read(type_name, message)
    rich = {**(found.rich or {}), **{k: message[k] for k in _BESIDE if message.get(k)}}
    return Content(
        found.message_type,
        found.text,
        bounded({"type": type_name, **rich}) if rich else None,
        found.files,
        found.automatic,
    )


def type_of(message: dict[str, Any]) -> str:
    """The type that a message names, or whose part it has; '' where there is neither."""
    named = text_at(message, "type").strip()
    if named:
        return named[:64]
    return next((name for name in _READERS if name in message), "")


def _read_text(_type_name: str, message: dict[str, Any]) -> Content:
    part = as_object(message.get("text"))
    said = text_at(message, "text") if part is None else text_at(part, "body") or word_at(part, "body")
    if said.strip():
        return Content("text", said)
    return Content("text", "[Empty message]", _all_of(message))


def _read_media(type_name: str, message: dict[str, Any]) -> Content:
    part = object_at(message, type_name)
    _, message_type, _ = KINDS[type_name]
    has_failed = any(True for _ in objects_at(message, "errors"))
    files = [] if has_failed else attached_of(type_name, part)
    return Content(message_type, media_text(type_name, part), {type_name: without_link(part)}, files)


def _read_location(_type_name: str, message: dict[str, Any]) -> Content:
    part = object_at(message, "location")
    place = ", ".join(word for word in (word_at(part, "name"), word_at(part, "address")) if word) or "a place"
    where = ", ".join(str(part[k])[:32] for k in ("latitude", "longitude") if part.get(k) is not None)
    told = f"{place} at {where}" if where else place
    return Content("location", f"[Location shared: {told[:600]}]", {"location": part})


def _read_reaction(_type_name: str, message: dict[str, Any]) -> Content:
    part = object_at(message, "reaction")
    emoji = text_at(part, "emoji").strip()
    text = f"[Reacted with: {emoji[:32]}]" if emoji else "[Reaction removed]"
    return Content("reaction", text, {"reaction": part}, automatic="reaction")


def _read_contacts(_type_name: str, message: dict[str, Any]) -> Content:
    told = [_card(card) for card in objects_at(message, "contacts")]
    word = "Contact" if len(told) == 1 else "Contacts"
    text = f"[{word}: {'; '.join(told[:10])}]" if told else "[Contact]"
    return Content("unsupported", text, {"contacts": message.get("contacts")})


def _card(card: dict[str, Any]) -> str:
    name = object_at(card, "name")
    parts = (word_at(name, key) for key in ("first_name", "last_name"))
    called = word_at(name, "formatted_name") or " ".join(part for part in parts if part) or "no name"
    numbers = (word_at(p, "phone") or word_at(p, "wa_id") for p in objects_at(card, "phones"))
    return ", ".join([called[:100], *(number[:40] for number in numbers if number)][:4])


def _read_button(type_name: str, message: dict[str, Any]) -> Content:
    part = object_at(message, "button")
    said = word_at(part, "text") or word_at(part, "payload")
    return Content("text", said, {"button": part}) if said else _read_unknown(type_name, message)


def _read_interactive(_type_name: str, message: dict[str, Any]) -> Content:
    part = object_at(message, "interactive")
    for kind in ("button_reply", "list_reply"):
        reply = object_at(part, kind)
        said = word_at(reply, "title") or word_at(reply, "id")
        if said:
            return Content("text", said, {"interactive": part})
    form = as_object(part.get("nfm_reply"))
    if form is not None:
        return _read_form(part, form)
    kind = text_at(part, "type").strip()
    story = f"[{_spelled(kind)}]" if kind else "[Unsupported message]"
    return Content("unsupported", story, _all_of(message))


def _read_form(part: dict[str, Any], form: dict[str, Any]) -> Content:
    """The answers of a form (a flow): JSON within JSON, which may be broken."""
    answers: object = None
    written = form.get("response_json")
    if isinstance(written, str):
        try:
            answers = parse_json(written[:_STORY_MAX].encode("utf-8", "replace"))
        except orjson.JSONDecodeError:
            answers = written[:_STORY_MAX]
    elif written is not None:
        answers = written
    named = as_object(answers) or {}
    told = "; ".join(
        f"{key}: {value}"
        for key, value in list(named.items())[:30]
        if key != "flow_token" and isinstance(value, str | int | float)
    )
    what = word_at(form, "name") or word_at(form, "body") or "form"
    text = f"[Form answered: {what[:60]}{', ' + told[:2000] if told else ''}]"
    return Content("rich_text", text, {"interactive": part, "answers": answers})


def _read_order(_type_name: str, message: dict[str, Any]) -> Content:
    part = object_at(message, "order")
    count = sum(1 for _ in objects_at(part, "product_items"))
    said = word_at(part, "text")
    text = f"[Order: {count} {'item' if count == 1 else 'items'}]"
    return Content("unsupported", f"{text} {said}".strip(), {"order": part})


def _read_system(_type_name: str, message: dict[str, Any]) -> Content:
    part = object_at(message, "system")
    told = harmless(word_at(part, "body"), 300) or _spelled(text_at(part, "type")) or "Notice"
    return Content("unsupported", f"[{told}]", {"system": part}, automatic="system")


def _read_welcome(_type_name: str, message: dict[str, Any]) -> Content:
    return Content("unsupported", "[Opened the chat]", _all_of(message))


def _read_unknown(type_name: str, message: dict[str, Any]) -> Content:
    inner = text_at(object_at(message, "unsupported"), "type").strip()
    named = inner or (
        type_name if type_name not in ("unsupported", "unknown", "interactive", "button") else ""
    )
    said = _words_within(message, type_name)
    text = f"[Unsupported message: {_spelled(named)}]" if named else "[Unsupported message]"
    return Content("unsupported", f"{text} {said}".strip(), _all_of(message))


def _words_within(message: dict[str, Any], type_name: str) -> str:
    """What a part of an unknown type says, where it says it in one of the usual places."""
    part = as_object(message.get(type_name)) if type_name else None
    if part is None:
        return ""
    return next(
        (w for w in (word_at(part, k) for k in ("text", "body", "caption", "title", "name")) if w), ""
    )


def _spelled(word: str) -> str:
    """`call_permission_reply` as a person reads it."""
    told = harmless(word.replace("_", " "), 60)
    return told[:1].upper() + told[1:]


def _all_of(message: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in message.items() if k not in ("id", "from", "type")}


_READERS: Final[Mapping[str, Callable[[str, dict[str, Any]], Content]]] = {
    "text": _read_text,
    **dict.fromkeys(KINDS, _read_media),
    "location": _read_location,
    "reaction": _read_reaction,
    "contacts": _read_contacts,
    "button": _read_button,
    "interactive": _read_interactive,
    "order": _read_order,
    "system": _read_system,
    "request_welcome": _read_welcome,
}
