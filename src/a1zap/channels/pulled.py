"""What web chat and the chat API share: the other side asks us, so there is nothing to sign, parse or send."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from a1zap.channels.contract import ChannelAccount, ChannelBase, Outbound, Posted, Sent
from a1zap.kit.egress import Egress
from a1zap.kit.errors import Invalid, NotAllowed


class Pulled(ChannelBase):
    """A channel whose other side reads its messages from us: to store one is to deliver it."""

    is_pulled = True

    def __init__(self, kind: str, *, stale_after_s: float) -> None:
        self.kind = kind
        self.stale_after_s = stale_after_s

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        if settings:
            raise Invalid(f"a {self.kind} channel has no settings", field=next(iter(settings)))
        return "", {}

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        raise NotAllowed(f"nothing is delivered to a {self.kind} channel by webhook")

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        return Sent()

    async def was_sent(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> bool | None:
        return True
