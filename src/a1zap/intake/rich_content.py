"""The structured part of a message that comes in."""

from __future__ import annotations

from a1zap.channels.contract import Inbound


def rich_content_of(inbound: Inbound) -> dict[str, object] | None:
    """What the channel gave, with what it knows of who was meant and whether the sender is proven."""
    rich: dict[str, object] = dict(inbound.rich_content or {})
    if inbound.is_mentioned is not None:
        rich["is_mentioned"] = inbound.is_mentioned
    if not inbound.sender_is_verified:
        rich["sender_is_verified"] = False
    return rich or None
