"""Who somebody is on WhatsApp: a phone number, a business-scoped user id (BSUID), or both.

    +16505551234            a phone number
    bsuid:US.1349…          an id that Meta gives for a person towards one business; never anybody else's
    bsuid:US.ENT.1181…      the same towards a group of businesses
    wa:…                    anything else that stands where one of them should

A person may hide their number: then only the BSUID comes. It is the better address, because a number changes hands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from a1zap.channels.whatsapp.loose import digest, object_at, objects_at, word_at
from a1zap.kit.json import text_at

_BSUID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{0,30}")
_OTHER_MAX = 200
PARENT = ".ENT."


@dataclass(frozen=True, slots=True)
class Someone:
    """All that a delivery says about one person. `addresses` has the best one first; empty: nobody is named."""

    addresses: Sequence[str] = ()
    name: str | None = None
    username: str | None = None

    @property
    def chat_key(self) -> str:
        """What an individual chat with them is called: the number where it is known."""
        return next((a for a in self.addresses if a.startswith("+")), next(iter(self.addresses), ""))


def address_of(word: str) -> str:
    """The address that a number, a BSUID or anything else stands for; '' for nothing."""
    word = word.strip()
    if not word:
        return ""
    if _BSUID.fullmatch(word):
        return f"bsuid:{word}"
    if _PHONE.fullmatch(word):
        return "+" + "".join(c for c in word if c.isdigit())
    return f"wa:{word}" if len(word) <= _OTHER_MAX else f"wa:long:{digest(word)}"


def is_own_id(address: str) -> bool:
    """Is it a BSUID for this one business?"""
    return address.startswith("bsuid:") and PARENT not in address


def ranked(*words: str) -> Sequence[str]:
    """The addresses of these words, each once: BSUIDs, then the parents' of them, then numbers.

    What is neither counts only where nothing else is known: a placeholder must not make two people one.
    """
    found = sorted(dict.fromkeys(a for a in map(address_of, words) if a), key=_rank)
    return [a for a in found if not a.startswith("wa:")] or found[:1]


def sender_of(message: dict[str, Any], contact: dict[str, Any]) -> Someone:
    """Who wrote `message`, with what the contact that belongs to it adds."""
    return _someone(contact, (word_at(message, k) for k in ("from_user_id", "from", "from_parent_user_id")))


def receiver_of(echo: dict[str, Any], contact: dict[str, Any]) -> Someone:
    """Whom our own side wrote `echo` to."""
    return _someone(
        contact,
        (
            word_at(echo, k)
            for k in ("to_user_id", "to", "to_parent_user_id", "recipient_id", "recipient_user_id")
        ),
    )


class Contacts:
    """The `contacts` of a delivery, by whom they belong to; `parts` are its messages or echoes.

    A contact's id need not be the sender's number letter by letter, so the only contact of a delivery that names only
    one sender is theirs.
    """

    def __init__(self, value: dict[str, Any], parts: Sequence[dict[str, Any]]) -> None:
        contacts = list(objects_at(value, "contacts"))
        self._by_id: dict[str, dict[str, Any]] = {}
        for contact in contacts:
            for key in ("wa_id", "user_id", "parent_user_id"):
                self._by_id.setdefault(word_at(contact, key), contact)
        self._by_id.pop("", None)
        is_alone = len(contacts) == 1 and len({tuple(_names(part)) for part in parts}) == 1
        self._only = contacts[0] if is_alone else {}

    def of(self, part: dict[str, Any]) -> dict[str, Any]:
        """The contact that belongs to a message or echo; {} where none does."""
        found = (self._by_id.get(name) for name in _names(part))
        return next((contact for contact in found if contact is not None), self._only)


def _names(part: dict[str, Any]) -> Sequence[str]:
    """Who stands on the other side of a message or echo, as it says."""
    keys = ("to_user_id", "to") if "to" in part or "to_user_id" in part else ("from_user_id", "from")
    return [name for name in (word_at(part, key) for key in keys) if name]


def _someone(contact: dict[str, Any], words: Any) -> Someone:
    profile = object_at(contact, "profile")
    username = text_at(profile, "username").strip() or None
    name = text_at(profile, "name").strip() or (f"@{username}" if username else None)
    known = (word_at(contact, key) for key in ("user_id", "wa_id", "parent_user_id"))
    return Someone(ranked(*words, *known), name[:200] if name else None, username[:200] if username else None)


def _rank(address: str) -> int:
    if address.startswith("bsuid:"):
        return 1 if PARENT in address else 0
    return 2 if address.startswith("+") else 3
