"""What every channel looks like from inside the house.

A channel translates and checks; it stores nothing, decides nothing, and knows no other room. Adding one is one file
here that obeys this contract, and one line in `catalog.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol
from uuid import UUID

from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, Rejected

ChatType = Literal["individual", "group", "broadcast"]
MessageType = Literal[
    "text",
    "rich_text",
    "image",
    "video",
    "audio",
    "document",
    "location",
    "reaction",
    "group_invite",
    "unsupported",
]


class Status(StrEnum):
    """Where an outbound message is. It only moves down this list; `FAILED` is the end."""

    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    FAILED = "failed"


class SendRefused(Rejected):
    """The provider will never take this message (bad number, closed window, blocked): no retry, the owner is told."""

    title = "Send refused"


class SendAmbiguous(ChannelUnavailable):
    """The provider may or may not have taken it: hold it as unknown, reconcile, and only then send again."""

    title = "Send ambiguous"


@dataclass(frozen=True, slots=True)
class ChannelAccount:
    """One connected number, mailbox or endpoint of an agent, with its credentials opened."""

    id: UUID
    owner_id: UUID
    agent_id: UUID
    kind: str
    identity: str
    credentials: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    status: Literal["active", "paused"] = "active"


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from outside, in our words.

    `is_echo` marks a message that our own side sent: it is matched with what we know, never answered.
    `sender_is_verified` is a fact of the channel, never of what the sender says about itself.
    """

    external_id: str
    chat_external_id: str
    chat_type: ChatType
    service: str
    sender_address: str
    sender_name: str | None
    message_type: MessageType
    text: str
    said_at: datetime
    rich_content: Mapping[str, Any] | None = None
    is_mentioned: bool | None = None
    is_echo: bool = False
    sender_is_verified: bool = True


@dataclass(frozen=True, slots=True)
class Receipt:
    """News about a message that we sent."""

    external_id: str
    status: Status
    at: datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message to the outside. `id` is ours and the same at every attempt."""

    id: UUID
    chat_external_id: str
    chat_type: ChatType
    service: str
    to_address: str | None
    text: str
    first_tried_at: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it; its own id where it told one."""

    external_id: str | None = None


class Channel(Protocol):
    """One kind of channel. Stateless; accounts come as arguments."""

    @property
    def kind(self) -> str: ...

    @property
    def stale_after_s(self) -> float:
        """A message older than this is not answered as if it had just come."""
        ...

    @property
    def is_pulled(self) -> bool:
        """The other side reads its messages from us (web chat, chat API): to store one is to deliver it."""
        ...

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Identity and credentials out of what an owner typed.

        Raises:
            Invalid: a field is missing, unknown or wrong, by name.
        """
        ...

    def authenticate(
        self, account: ChannelAccount, headers: Mapping[str, str], raw: bytes, now: datetime
    ) -> None:
        """Prove that the provider sent these very bytes just now; nothing is parsed before.

        Raises:
            NotConfigured: the account has no secret to check with: refused, never skipped.
            NotSignedIn: missing, wrong or stale signature.
        """
        ...

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Inbound | Receipt]:
        """What the bytes say, in our words.

        Raises:
            Malformed: they say nothing that we understand.
        """
        ...

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        """Hand one message to the provider.

        Raises:
            SendRefused: it will never take it.
            SendAmbiguous: it may have taken it.
            ChannelUnavailable: it has not taken it; later, perhaps.
        """
        ...

    async def was_sent(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> bool | None:
        """After an ambiguous send: did the provider take it? None where the channel cannot tell.

        Raises:
            ChannelUnavailable: ask again later.
        """
        ...
