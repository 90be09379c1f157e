"""A delivery that is proved: whose it is, and how it came so far."""

from __future__ import annotations

from dataclasses import dataclass

from a1zap.agents.model import Agent
from a1zap.channels.contract import Channel, ChannelAccount
from a1zap.chats.model import Hop
from a1zap.kit.crypto import Sealer


@dataclass(frozen=True, slots=True)
class Opened:
    """An authentic delivery: for whom it is, and how it came so far."""

    sealer: Sealer
    channel: Channel
    account: ChannelAccount
    agent: Agent
    hops: tuple[Hop, ...]
    read_at_s: float
