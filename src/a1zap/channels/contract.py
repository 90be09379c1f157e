"""What every channel looks like from inside the house.

A channel translates and checks; it stores nothing, decides nothing, and knows no other room. Adding one is one file
(or folder) here that obeys this contract, and one line in `catalog.py`. `ChannelBase` answers for what a kind does not have.

In:  provider ─► authenticate (raw bytes) ─► parse ─► Items            (WhatsApp, A1Base, signed webhooks)
     provider ─► authenticate (raw bytes) ─► kept ─► read ─► Items     (email: raw bytes first, understood by a worker)
Out: Outbound ─► send ─► Sent;  in doubt ─► was_sent
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID

from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, Invalid, NotAllowed, Rejected

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


class AccountBroken(ChannelUnavailable):
    """The provider will take nothing from this account until its owner has mended it (token expired, account locked).

    The account is paused with the reason shown, its messages wait, and its owner is told.
    """

    title = "Channel account broken"


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


# ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Posted:
    """What a provider posted, as it came. Header names are in lower case."""

    headers: Mapping[str, str]
    raw: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Kept:
    """A delivery that was stored before anybody read it. `meta` is what the door knew (content type, envelope)."""

    id: UUID
    raw: bytes = field(repr=False)
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that came with a message: its bytes, or what `fetch` of the same channel needs to get them.

    `mime_type`, `name`, `size` and `sha256` (hex) are what the sender's side says; the file is looked at before
    any of it is believed.
    """

    kind: Literal["image", "video", "audio", "document", "sticker"]
    mime_type: str = "application/octet-stream"
    name: str | None = None
    content: bytes | None = field(default=None, repr=False)
    fetch: Mapping[str, str] | None = field(default=None, repr=False)
    size: int | None = None
    sha256: str | None = None
    is_voice: bool = False


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from outside, in our words.

    `sender_address` is who it counts as; `other_addresses` are further identities of the same person (a phone number
    beside a business-scoped id): whoever has one of them already is the person.
    `sender_is_verified` is a fact of the channel, never of what the sender says about itself; an unproven sender is a
    person of its own, and never continues the chat of the one it claims to be.
    `is_echo` marks a message that our own side sent: it is matched with what we know, never answered. With
    `is_by_hand` a person of the owner's wrote it past us (in the phone's app): the chat is theirs from then on.
    `automatic` says why nobody must answer it (`bounce`, `mailing_list`, …): stored, shown, held.
    `chat_key` is the token of a reply address, and `continues` the provider ids of earlier messages, nearest first:
    the chat it belongs to is found by these before `chat_external_id` is taken.
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
    other_addresses: Sequence[str] = ()
    attachments: Sequence[Attached] = ()
    is_by_hand: bool = False
    automatic: str | None = None
    chat_key: str | None = None
    continues: Sequence[str] = ()
    thread_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """News about a message that we sent, found by its provider id, or by ours where the provider gives it back.

    `dead_address`: the provider says that nobody is to be reached there any more (hard bounce, complaint).
    """

    external_id: str
    status: Status
    at: datetime
    error: str | None = None
    message_id: UUID | None = None
    dead_address: str | None = None


@dataclass(frozen=True, slots=True)
class Amendment:
    """Somebody changed a message of theirs (`text`), or took it back (`text` is None)."""

    target_external_id: str
    text: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Relink:
    """A person's identity changed: whoever had one of `before` is found by `after` (best first), and by `before` no more."""

    before: Sequence[str]
    after: Sequence[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of an authentic delivery that this channel has no words for: kept whole and shown, never answered."""

    reason: str
    raw: bytes = field(repr=False)


Item: TypeAlias = Inbound | Receipt | Amendment | Relink | Unread


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file's bytes as the provider gave them."""

    content: bytes = field(repr=False)
    mime_type: str


# ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OutboundFile:
    """A file that leaves with a message. `url` is a short-lived signed link to it, for providers that fetch."""

    name: str
    mime_type: str
    size: int
    url: str
    load: Callable[[], Awaitable[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Thread:
    """What came before a message, for channels that want it: see `Channel.wants_thread`.

    `references` are the provider ids of the chat's newest messages, oldest first (at most ten).
    """

    subject: str | None = None
    references: Sequence[str] = ()
    last_inbound_id: str | None = None
    last_inbound_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message to the outside. `id` is ours and the same at every attempt.

    `rich` is the message's structured part: `buttons` (id, title), `list`, `reaction`, `template`, …: a channel shows
    what it can and says the rest in text. `chat_key` goes into a reply address and finds the chat again.
    `first_tried_at` is when the first attempt began that we know of; `written_at` is the same at every attempt, for
    what must be the same letter however often it is sent.
    """

    id: UUID
    chat_external_id: str
    chat_type: ChatType
    service: str
    to_address: str | None
    text: str
    first_tried_at: datetime
    other_addresses: Sequence[str] = ()
    rich: Mapping[str, Any] | None = None
    files: Sequence[OutboundFile] = ()
    thread: Thread | None = None
    chat_key: str | None = None
    chat_id: UUID | None = None  # ours, for programs that ask our API about it
    agent_name: str = ""
    is_by_person: bool = False
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it; its own id where it told one, and the id under which answers will name it (`thread_ref`)."""

    external_id: str | None = None
    thread_ref: str | None = None


# ── the contract ────────────────────────────────────────────────────────────────────────────────────────────────────


class Channel(Protocol):
    """One kind of channel. Accounts come as arguments; what it remembers is only a cache."""

    @property
    def kind(self) -> str: ...

    @property
    def asks_for(self) -> str:
        """What connecting one asks for, in a line for people."""
        ...

    @property
    def stale_after_s(self) -> float:
        """A message older than this is not answered as if it had just come."""
        ...

    @property
    def is_pulled(self) -> bool:
        """The other side reads its messages from us (web chat, chat API): to store one is to deliver it."""
        ...

    @property
    def is_read_later(self) -> bool:
        """Deliveries are stored as they came, answered with 2xx, and read by a worker (`read`)."""
        ...

    @property
    def wants_thread(self) -> bool:
        """`send` needs to know what came before."""
        ...

    @property
    def acknowledges(self) -> bool:
        """The other side can be shown that we have read and are writing (`acknowledge`)."""
        ...

    def text_max_for(self, service: str) -> int | None:
        """Characters that one message may hold; a longer answer becomes several messages, in order."""
        ...

    @property
    def body_max(self) -> int:
        """Bytes that one delivery may have."""
        ...

    @property
    def chats_follow_people(self) -> bool:
        """An individual chat is its person's, whatever address they write from: found by the person before its id."""
        ...

    @property
    def answers_per_hour_max(self) -> int | None:
        """Answers that one chat, and one address, may have in an hour before we suspect a loop and hold; None: no cap."""
        ...

    @property
    def shown_once(self) -> Sequence[str]:
        """Credentials that the kind makes itself where the owner brought none: the creation's answer shows them, once."""
        ...

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Identity and credentials out of what an owner typed.

        Raises:
            Invalid: a field is missing, unknown or wrong, by name.
        """
        ...

    def named_in(self, raw: bytes) -> Sequence[str]:
        """Identities that a delivery at the door of the whole kind claims to be for; nothing else is read of it.

        Raises:
            Malformed: it names none.
            NotAllowed: this kind has no such door.
        """
        ...

    def challenge(self, account: ChannelAccount, query: Mapping[str, str]) -> str:
        """What the provider wants to hear when it asks whether this address is ours (a GET).

        Raises:
            NotAllowed: the question does not prove that the provider asks, or the kind has no such question.
        """
        ...

    async def prepare(self, account: ChannelAccount, posted: Posted, egress: Egress) -> None:
        """Fetch what `authenticate` will need (a signer's certificate); no transaction is open, and it may be cached.

        Raises:
            NotSignedIn: what it points at is not to be trusted.
            ChannelUnavailable: it cannot be had now; the provider will come again.
        """
        ...

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        """Prove that the provider sent these very bytes just now; nothing is parsed before.

        Raises:
            NotConfigured: the account has no secret to check with: refused, never skipped.
            NotSignedIn: missing, wrong or stale signature.
        """
        ...

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        """What the bytes say, in our words; what there are no words for is an `Unread`. Only for this account's identity.

        Raises:
            Malformed: they say nothing that we understand.
        """
        ...

    def parse_posted(self, account: ChannelAccount, posted: Posted, now: datetime) -> Sequence[Item]:
        """`parse`, for kinds that also need what stands in the headers (authentic by then).

        Raises:
            Malformed: they say nothing that we understand.
        """
        ...

    async def complete(self, account: ChannelAccount, posted: Posted, egress: Egress) -> Posted | None:
        """An authentic delivery that is read later, made whole before it is kept (a provider that posts only a notice).

        None: there was nothing to keep (the handshake of a subscription).

        Raises:
            ChannelUnavailable: it cannot be had now; the provider will come again.
        """
        ...

    async def read(self, account: ChannelAccount, kept: Kept, now: datetime) -> Sequence[Item]:
        """What a kept delivery says; called by a worker, with no transaction open.

        Raises:
            Malformed: it says nothing that we understand.
        """
        ...

    async def fetch(self, account: ChannelAccount, what: Mapping[str, str], egress: Egress) -> Fetched:
        """Get the bytes of an `Attached` that came without.

        Raises:
            SendRefused: they are gone, or not what was announced.
            ChannelUnavailable: later, perhaps.
        """
        ...

    async def acknowledge(self, account: ChannelAccount, external_id: str, egress: Egress) -> None:
        """Show that the message was read and that an answer is being written. Best effort.

        Raises:
            ChannelUnavailable, SendRefused: it could not be shown; nobody minds.
        """
        ...

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        """Ask the provider whether these credentials work; a sentence for the owner.

        Raises:
            AccountBroken, SendRefused: they do not, and why.
            ChannelUnavailable: it cannot be asked now.
        """
        ...

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        """Hand one message to the provider.

        Raises:
            SendRefused: it will never take it.
            SendAmbiguous: it may have taken it.
            AccountBroken: it takes nothing from this account any more.
            ChannelUnavailable: it has not taken it; later, perhaps.
        """
        ...

    async def was_sent(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> bool | None:
        """After an ambiguous send: did the provider take it? None where the channel cannot tell.

        Raises:
            ChannelUnavailable: ask again later.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds (a child process)."""
        ...


class ChannelBase:
    """What a kind of channel is unless it says otherwise: pushed to us, read at once, sent to, and without extras."""

    kind = ""
    asks_for = ""
    is_pulled = False
    is_read_later = False
    wants_thread = False
    acknowledges = False
    text_max: int | None = None
    body_max = 1 << 20
    chats_follow_people = False
    answers_per_hour_max: int | None = None
    shown_once: Sequence[str] = ()

    def text_max_for(self, service: str) -> int | None:
        return self.text_max

    def named_in(self, raw: bytes) -> Sequence[str]:
        raise NotAllowed(
            f"{self.kind} has no address for all of its accounts: use the channel's own webhook_url"
        )

    def challenge(self, account: ChannelAccount, query: Mapping[str, str]) -> str:
        raise NotAllowed(f"nobody asks a {self.kind} channel with GET")

    async def prepare(self, account: ChannelAccount, posted: Posted, egress: Egress) -> None:
        return None

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        raise NotAllowed(f"nothing is delivered to a {self.kind} channel by webhook")

    def parse_posted(self, account: ChannelAccount, posted: Posted, now: datetime) -> Sequence[Item]:
        return self.parse(account, posted.raw, now)

    async def complete(self, account: ChannelAccount, posted: Posted, egress: Egress) -> Posted | None:
        return posted

    async def read(self, account: ChannelAccount, kept: Kept, now: datetime) -> Sequence[Item]:
        return self.parse(account, kept.raw, now)

    async def fetch(self, account: ChannelAccount, what: Mapping[str, str], egress: Egress) -> Fetched:
        raise SendRefused(f"a {self.kind} channel has nothing to fetch files from")

    async def acknowledge(self, account: ChannelAccount, external_id: str, egress: Egress) -> None:
        return None

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        return (
            f"a {self.kind} channel can only be tried by sending: give an address to send a test message to"
        )

    async def was_sent(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> bool | None:
        return None

    async def close(self) -> None:
        return None


def only_settings(
    kind: str, settings: Mapping[str, str], *, needed: Sequence[str], known: Sequence[str]
) -> None:
    """Hold an owner's settings to the names a kind has.

    Raises:
        Invalid: one is unknown, or a needed one is missing, by name.
    """
    for name in settings:
        if name not in known and name not in needed:
            names = ", ".join(sorted({*needed, *known}))
            raise Invalid(f"a {kind} channel has no setting '{name}'; it has: {names}", field=name)
    for name in needed:
        if not settings.get(name):
            raise Invalid(f"a {kind} channel needs '{name}'", field=name)
