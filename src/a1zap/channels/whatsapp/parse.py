"""Deliveries of Meta's in our words.

Each message, echo and status of a batch stands alone: one that nobody understands is kept, and the others come in.
Nothing here trusts a shape; the only thing that is refused is what is no JSON object at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from a1zap.channels.contract import Amendment, ChannelAccount, Inbound, Item, Relink, Unread
from a1zap.channels.whatsapp.changes import Change, changes_in
from a1zap.channels.whatsapp.content import content_of, type_of
from a1zap.channels.whatsapp.errors import told_error
from a1zap.channels.whatsapp.identities import Contacts, Someone, ranked, receiver_of, sender_of
from a1zap.channels.whatsapp.loose import (
    digest,
    harmless,
    id_at,
    object_at,
    objects_at,
    time_at,
    word_at,
    written,
)
from a1zap.channels.whatsapp.receipts import receipt_of
from a1zap.kit.errors import Malformed
from a1zap.kit.json import as_object, parse_object, text_at

NUMBERS_MAX = 1000  # Meta puts at most so many changes into a delivery
ITEMS_MAX = 3000
FOR_ANOTHER: Final = "for another number"
UNNAMED: Final = "unnamed:"
_BY_HAND: Final = "smb_message_echoes"  # written in the phone's own app
_LISTENING: Final = "standby"  # another program has the conversation; we are only told of it


@dataclass(frozen=True, slots=True)
class _Delivery:
    account: ChannelAccount
    now: datetime


def numbers_named(raw: bytes) -> Sequence[str]:
    """The phone number ids of a batch, each once, at most `NUMBERS_MAX`.

    Raises:
        Malformed: no JSON object, or it names none.
    """
    named: dict[str, None] = {}
    for change in changes_in(parse_object(raw)):
        if change.number_id:
            named[change.number_id] = None
        if len(named) >= NUMBERS_MAX:
            break
    if not named:
        raise Malformed("no metadata.phone_number_id in it: nobody can tell whose number it is for")
    return list(named)


def items_in(account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
    """Everything that a delivery says to this account.

    Raises:
        Malformed: the body is no JSON object.
    """
    body = parse_object(raw)
    found = list(islice(_items(_Delivery(account, now), body), ITEMS_MAX + 1))
    if len(found) > ITEMS_MAX:
        return [*found[:ITEMS_MAX], Unread(f"more than {ITEMS_MAX} parts: here is all of it", raw)]
    return found


def _items(delivery: _Delivery, body: dict[str, Any]) -> Iterator[Item]:
    changes, own_id = list(changes_in(body)), delivery.account.identity
    if not changes:
        yield Unread("there are no changes in it", written(body))
    others = {change.number_id for change in changes} - {"", own_id}
    is_mixed = any(change.number_id == own_id for change in changes)
    for change in changes:
        if change.number_id == own_id or (not change.number_id and not others):
            yield from _items_of(delivery, change)
        else:
            yield _for_another(change, is_mixed=is_mixed)


def _for_another(change: Change, *, is_mixed: bool) -> Unread:
    """A change of another number's. Its words are kept only where its own account cannot get them by the same delivery."""
    told = harmless(change.number_id, 40) or "that is not named"
    summary = {
        "field": change.field,
        "phone_number_id": change.number_id,
        **{
            k: sum(1 for _ in objects_at(change.value, k)) for k in ("messages", "message_echoes", "statuses")
        },
    }
    return Unread(f"{FOR_ANOTHER}: {told}", written(summary if is_mixed else change.whole))


def _items_of(delivery: _Delivery, change: Change) -> Iterator[Item]:
    is_empty = True
    for item in _said_in(delivery, change):
        is_empty = False
        yield item
    if is_empty:
        yield Unread(_why_unread(change), written(change.whole))


def _said_in(delivery: _Delivery, change: Change) -> Iterator[Item]:
    value, now = change.value, delivery.now
    if change.field != _LISTENING:
        messages = list(objects_at(value, "messages"))
        contacts = Contacts(value, messages)
        for message in messages:
            yield from _message(delivery, message, contacts.of(message))
        echoes = list(objects_at(value, "message_echoes"))
        contacts = Contacts(value, echoes)
        for echo in echoes:
            yield _echo(delivery, change, echo, contacts.of(echo))
        for status in objects_at(value, "statuses"):
            yield receipt_of(status, now)
        for error in objects_at(value, "errors"):
            yield Unread(f"an error that Meta tells of: {told_error(error)}", written(error))
    yield from _moves(delivery, value)


def _why_unread(change: Change) -> str:
    if change.field == _LISTENING:
        return "another program has this conversation (standby)"
    if change.field in ("messages", ""):
        return "there is no message and no status in it"
    return f"news of the account, and no message: '{harmless(change.field, 60)}'"


def _message(delivery: _Delivery, message: dict[str, Any], contact: dict[str, Any]) -> Iterator[Item]:
    type_name = type_of(message)
    if type_name in ("edit", "revoke"):
        amendment = _amendment(message, type_name, delivery.now)
        if amendment is not None:
            yield amendment
            return
    sender = sender_of(message, contact)
    if type_name == "system":
        relink = _moved(message, sender, delivery.now)
        if relink is not None:
            yield relink
            sender = Someone(_known_from_now_on(relink, sender), sender.name, sender.username)
    if not sender.addresses:
        yield Unread("a message that does not say who sent it", written(message))
        return
    yield _inbound(delivery, message, sender)


def _inbound(delivery: _Delivery, message: dict[str, Any], sender: Someone) -> Inbound:
    content = content_of(message)
    group_id = id_at(message, "group_id")
    rich = dict(content.rich or {})
    if sender.username:
        rich["username"] = sender.username
    return Inbound(
        external_id=_id_of(message),
        chat_external_id=f"group:{group_id}" if group_id else sender.chat_key,
        chat_type="group" if group_id else "individual",
        service="whatsapp",
        sender_address=sender.addresses[0],
        sender_name=sender.name,
        message_type=content.message_type,
        text=content.text,
        said_at=time_at(message, "timestamp", delivery.now),
        rich_content=rich or None,
        other_addresses=sender.addresses[1:],
        attachments=content.files,
        automatic=content.automatic,
    )


def _echo(delivery: _Delivery, change: Change, echo: dict[str, Any], contact: dict[str, Any]) -> Item:
    """What our own side wrote past us."""
    type_name = type_of(echo)
    if type_name in ("edit", "revoke"):
        amendment = _amendment(echo, type_name, delivery.now)
        if amendment is not None:
            return amendment
    receiver, group_id = receiver_of(echo, contact), id_at(echo, "group_id")
    if not receiver.addresses and not group_id:
        return Unread("an echo that does not say whom it went to", written(echo))
    content = content_of(echo)
    return Inbound(
        external_id=_id_of(echo),
        chat_external_id=f"group:{group_id}" if group_id else receiver.chat_key,
        chat_type="group" if group_id else "individual",
        service="whatsapp",
        sender_address=next(iter(ranked(word_at(echo, "from"))), f"wa:{delivery.account.identity}"),
        sender_name=None,
        message_type=content.message_type,
        text=content.text,
        said_at=time_at(echo, "timestamp", delivery.now),
        rich_content=content.rich,
        is_echo=True,
        is_by_hand=change.field == _BY_HAND,
        other_addresses=[] if group_id else [a for a in receiver.addresses if a != receiver.chat_key],
        attachments=content.files,
    )


def _amendment(message: dict[str, Any], type_name: str, now: datetime) -> Amendment | None:
    """Somebody changed a message or took it back; None where it does not say which."""
    part = object_at(message, type_name)
    target = id_at(part, "original_message_id") or id_at(part, "message_id")
    if not target:
        return None
    at = time_at(message, "timestamp", now)
    if type_name == "revoke":
        return Amendment(target, None, at)
    inner = as_object(part.get("message"))
    return None if inner is None else Amendment(target, content_of(inner).text, at)


def _moved(message: dict[str, Any], sender: Someone, now: datetime) -> Relink | None:
    """What a system message says about a changed number or id; None where it says nothing of the kind."""
    part = object_at(message, "system")
    kind = text_at(part, "type").strip()
    new_number = word_at(part, "new_wa_id") or word_at(part, "wa_id")
    if not kind.endswith("_changed_number") and kind != "user_changed_user_id":
        return None
    after = ranked(word_at(part, "user_id"), word_at(part, "parent_user_id"), new_number)
    told = ranked(*(word_at(part, k) for k in ("previous_user_id", "previous_parent_user_id", "customer")))
    # Of what the sender is known by, only that goes which has a successor: a number, an id, or both.
    gone = [a for a in sender.addresses if any(a[0] == b[0] for b in after)]
    before = [a for a in dict.fromkeys((*told, *gone)) if a not in after]
    return Relink(before, after, time_at(message, "timestamp", now)) if before and after else None


def _known_from_now_on(relink: Relink, sender: Someone) -> Sequence[str]:
    return [*relink.after, *(a for a in sender.addresses if a not in (*relink.before, *relink.after))]


def _moves(delivery: _Delivery, value: dict[str, Any]) -> Iterator[Item]:
    """Changed ids as a field of their own (`user_id: {previous, current}`), and a line in the person's chat about it."""
    entries = [value] if as_object(value.get("user_id")) else list(objects_at(value, "user_id_update"))
    for entry in entries:
        user, parent = object_at(entry, "user_id"), object_at(entry, "parent_user_id")
        before = ranked(word_at(user, "previous"), word_at(parent, "previous"))
        after = ranked(word_at(user, "current"), word_at(parent, "current"), word_at(entry, "wa_id"))
        before = [a for a in before if a not in after]
        if before and after:
            yield Relink(before, after, time_at(entry, "timestamp", delivery.now))
            told = harmless(word_at(entry, "detail"), 300) or "Their id on WhatsApp is another now"
            notice = {"type": "system", "system": {"type": "user_id_update", "body": told}}
            yield _inbound(
                delivery,
                {"id": _id_of(entry), "timestamp": entry.get("timestamp"), **notice},
                Someone(after),
            )


def _id_of(message: dict[str, Any]) -> str:
    """The message's id; of one that has none, the same for the same message."""
    return id_at(message, "id") or f"{UNNAMED}{digest(message)}"
