"""Every channel there is, by kind."""

from __future__ import annotations

from collections.abc import Mapping

from a1zap.channels.a1base.channel import A1Base
from a1zap.channels.contract import Channel
from a1zap.channels.email.channel import Email
from a1zap.channels.pulled import Pulled
from a1zap.channels.web import Web
from a1zap.channels.webhook import Webhook
from a1zap.channels.whatsapp.channel import WhatsApp

# Every agent has these two from its first day, so that each chat belongs to a channel account.
BUILT_IN = ("web", "api")


def shipped_channels() -> Mapping[str, Channel]:
    channels: tuple[Channel, ...] = (
        A1Base(),
        Email(),
        Webhook(),
        WhatsApp(),
        Web(),
        Pulled("api", stale_after_s=3600.0),
    )
    return {channel.kind: channel for channel in channels}
