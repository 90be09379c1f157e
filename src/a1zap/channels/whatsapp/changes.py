"""The envelope of a delivery: entries of changes, each for one of the business's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as kept
from typing import Any

from a1zap.channels.whatsapp.loose import id_at, object_at, objects_at
from a1zap.kit.json import as_object, text_at

_VALUES = ("messages", "statuses", "message_echoes")


@dataclass(frozen=True, slots=True)
class Change:
    """One piece of news. `number_id` is whose; '' where it does not say."""

    field: str
    number_id: str
    value: dict[str, Any] = kept(repr=False)
    whole: dict[str, Any] = kept(repr=False)


def changes_in(body: dict[str, Any]) -> Iterator[Change]:
    """The changes of a delivery, however little of the envelope is there.

    Replays and relays post a change, or only its value, without what Meta wraps around it.
    """
    if as_object(body.get("value")) is not None:
        yield _change(body)
        return
    if "entry" not in body and any(key in body for key in _VALUES):
        yield Change("messages", _number_id(body), body, body)
        return
    for entry in objects_at(body, "entry"):
        for change in objects_at(entry, "changes"):
            yield _change(change)


def _change(change: dict[str, Any]) -> Change:
    value = object_at(change, "value")
    return Change(text_at(change, "field"), _number_id(value), value, change)


def _number_id(value: dict[str, Any]) -> str:
    """Whose number it is for; news of a handover between programs has it in another place."""
    return next(
        (i for i in (id_at(object_at(value, k), "phone_number_id") for k in ("metadata", "recipient")) if i),
        "",
    )
