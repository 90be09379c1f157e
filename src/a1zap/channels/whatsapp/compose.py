"""Our messages in Meta's words. Pure: what is sent is decided here, and nothing is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a1zap.channels.contract import ChannelAccount, Outbound, SendRefused
from a1zap.channels.whatsapp import limits
from a1zap.channels.whatsapp.identities import PARENT, is_own_id
from a1zap.channels.whatsapp.loose import object_at, objects_at, word_at
from a1zap.kit.json import as_list, as_object

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    id: str
    title: str
    description: str = ""


def envelope(outbound: Outbound, to: str | None = None) -> Body:
    """To whom, what it answers, and our own mark, by which a status names it.

    Raises:
        SendRefused: there is nobody to send it to.
    """
    body: Body = {"messaging_product": "whatsapp", **_receiver(outbound, to)}
    quoted = _quoted(outbound)
    if quoted:
        body["context"] = {"message_id": quoted}
    body["biz_opaque_callback_data"] = str(outbound.id)
    return body


def _receiver(outbound: Outbound, to: str | None) -> Body:
    """Exactly one of `to` (a number or a group) and `recipient` (a BSUID)."""
    if outbound.chat_type == "group" or outbound.chat_external_id.startswith("group:"):
        return {"recipient_type": "group", "to": outbound.chat_external_id.removeprefix("group:")}
    address = to or outbound.to_address or outbound.chat_external_id
    if not address:
        raise SendRefused("nobody knows an address of the person on WhatsApp")
    if PARENT in address:  # takes messages only for some businesses; the person's own id always does
        address = next((a for a in outbound.other_addresses if is_own_id(a)), address)
    own_ids = {a for a in (address, *outbound.other_addresses) if is_own_id(a)}
    if address.startswith("bsuid:") and len(own_ids) > 1:
        # The owner has numbers in several businesses, and each calls the person otherwise: the number is good in all.
        address = next((a for a in outbound.other_addresses if a.startswith("+")), address)
    if address.startswith("bsuid:"):
        return {"recipient_type": "individual", "recipient": address.removeprefix("bsuid:")}
    return {"recipient_type": "individual", "to": address.removeprefix("wa:").removeprefix("+")}


def _quoted(outbound: Outbound) -> str | None:
    """The message that is answered: said in groups, where it would not be clear, and where the answer wants it."""
    wanted = word_at(dict(outbound.rich or {}), "reply_to")
    if wanted:
        return wanted
    last = outbound.thread.last_inbound_id if outbound.thread is not None else None
    return last if last and last.startswith("wamid.") and outbound.chat_type == "group" else None


def text_part(text: str) -> Body:
    return {"type": "text", "text": {"body": text, "preview_url": False}}


def reaction_part(outbound: Outbound, rich: Mapping[str, Any]) -> Body | None:
    """A reaction to a message of theirs (the last one, unless it is named); None where none is wanted."""
    found = as_object(rich.get("reaction"))
    emoji = rich.get("reaction") if isinstance(rich.get("reaction"), str) else word_at(found or {}, "emoji")
    last = outbound.thread.last_inbound_id if outbound.thread is not None else None
    target = word_at(found or {}, "message_id") or last
    if rich.get("reaction") is None or not target:
        return None
    return {"type": "reaction", "reaction": {"message_id": target, "emoji": emoji}}


def words_part(outbound: Outbound, rich: Mapping[str, Any]) -> Body:
    """The text, with buttons or a list under it where they fit; else they are spelled out under it."""
    choices, label = _choices(dict(rich))
    if not choices:
        return text_part(outbound.text)
    if 0 < len(outbound.text) <= limits.BODY_MAX:
        if _fit_buttons(choices) and label is None:
            return _buttons(outbound.text, choices)
        if _fit_list(choices):
            return _list(outbound.text, choices, label)
    spelled = outbound.text + "\n\n" + "\n".join(_spelled(i, c) for i, c in enumerate(choices, 1))
    # An answer that fills the whole message has no room for them; it says what it says.
    return text_part(spelled.strip() if len(spelled) <= limits.TEXT_MAX else outbound.text)


def _choices(rich: dict[str, Any]) -> tuple[Sequence[Choice], str | None]:
    """What can be chosen, and the label of the list that it is, None where it is buttons."""
    wanted = object_at(rich, "list")
    if wanted:
        rows = list(objects_at(wanted, "rows"))
        for section in objects_at(wanted, "sections"):
            rows += objects_at(section, "rows")
        return [_choice(row) for row in rows if word_at(row, "title")], word_at(wanted, "button")
    return [_choice(button) for button in objects_at(rich, "buttons") if word_at(button, "title")], None


def _choice(found: dict[str, Any]) -> Choice:
    title = word_at(found, "title")
    return Choice(word_at(found, "id") or title[: limits.CHOICE_ID_MAX], title, word_at(found, "description"))


def _fit_buttons(choices: Sequence[Choice]) -> bool:
    return (
        len(choices) <= limits.BUTTONS_MAX
        and all(len(c.title) <= limits.BUTTON_TITLE_MAX and not c.description for c in choices)
        and _are_distinct(choices)
        and len({c.title for c in choices}) == len(choices)
    )


def _fit_list(choices: Sequence[Choice]) -> bool:
    return (
        len(choices) <= limits.ROWS_MAX
        and all(
            len(c.title) <= limits.ROW_TITLE_MAX and len(c.description) <= limits.ROW_DESCRIPTION_MAX
            for c in choices
        )
        and _are_distinct(choices)
    )


def _are_distinct(choices: Sequence[Choice]) -> bool:
    ids = {c.id for c in choices}
    return len(ids) == len(choices) and all(len(i) <= limits.CHOICE_ID_MAX for i in ids)


def _buttons(text: str, choices: Sequence[Choice]) -> Body:
    buttons = [{"type": "reply", "reply": {"id": c.id, "title": c.title}} for c in choices]
    return _interactive("button", text, {"buttons": buttons})


def _list(text: str, choices: Sequence[Choice], label: str | None) -> Body:
    rows = [
        {"id": c.id, "title": c.title, **({"description": c.description} if c.description else {})}
        for c in choices
    ]
    named = label if label and len(label) <= limits.LIST_BUTTON_MAX else "Options"
    return _interactive("list", text, {"button": named, "sections": [{"title": named, "rows": rows}]})


def _interactive(kind: str, text: str, action: Body) -> Body:
    return {"type": "interactive", "interactive": {"type": kind, "body": {"text": text}, "action": action}}


def _spelled(number: int, choice: Choice) -> str:
    return f"{number}. {choice.title}" + (f": {choice.description}" if choice.description else "")


def wanted_template(rich: Mapping[str, Any]) -> Body | None:
    """The template that the message itself asks for: {name, language?, parameters? | components?}."""
    found = as_object(rich.get("template"))
    name = word_at(found or {}, "name")
    if found is None or not name:
        return None
    language = object_at(found, "language")
    code = word_at(language, "code") or word_at(found, "language") or "en_US"
    components = as_list(found.get("components"))
    parameters = as_list(found.get("parameters"))
    if components is None and parameters:
        components = [_filled([str(p) for p in parameters])]
    return _template(name, code, components or [])


def window_template(account: ChannelAccount, text: str) -> Body | None:
    """The account's template with the text in its only variable; None where it has no template.

    Raises:
        SendRefused: the text is longer than a variable may be.
    """
    name = account.credentials.get("template_name")
    if not name:
        return None
    # A variable takes no line breaks and no tabs.
    flat = " ".join(text.split())
    if len(flat) > limits.BODY_MAX:
        raise SendRefused(
            f"more than 24 hours have passed since their last message, and the text is too long for the template "
            f"'{name}': {len(flat)} characters, at most {limits.BODY_MAX}"
        )
    return _template(name, account.credentials.get("template_language") or "en_US", [_filled([flat])])


def _template(name: str, code: str, components: Sequence[Any]) -> Body:
    template: Body = {"name": name, "language": {"code": code}}
    if components:
        template["components"] = list(components)
    return {"type": "template", "template": template}


def _filled(words: Sequence[str]) -> Body:
    return {"type": "body", "parameters": [{"type": "text", "text": word} for word in words]}


def file_part(kind: str, media_id: str, name: str, caption: str) -> Body:
    """A file that was uploaded. Sound has no caption."""
    part: Body = {"id": media_id}
    if caption and kind != "audio":
        part["caption"] = caption
    if kind == "document":
        part["filename"] = name[: limits.FILE_NAME_MAX]
    return {"type": kind, kind: part}
