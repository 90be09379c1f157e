"""A provider delivers: prove it over the raw bytes, put it into our words, make it durable; then 2xx, and no sooner.

One question to the directory (whose is it?) and one transaction of that owner's: everything else happens in there.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import structlog

from a1zap.agents import channel_store
from a1zap.agents import store as agents
from a1zap.channels.contract import ChannelAccount, Item, Posted, Unread
from a1zap.chats.model import AlreadyKnown, Hop
from a1zap.db.pool import Tx
from a1zap.intake.accept_item import accept_alone, accept_item, brings_bytes, is_passing
from a1zap.intake.desk import Desk
from a1zap.intake.keep_delivery import keep_delivery
from a1zap.intake.opened import Opened
from a1zap.kit.egress import Egress
from a1zap.kit.errors import Malformed, NotAllowed, NotConfigured, NotFound, NotSignedIn
from a1zap.kit.ids import parse_id

log = structlog.get_logger()

MESSAGING_KIND = "a1base"  # what the address without an account id in it takes
_NO_WEBHOOK = "there is no such webhook"
_OWNERS_MAX = 100_000
CHALLENGED_MAX = 200  # accounts of a kind that are asked whether a challenge is theirs
NAMES_AT_ONCE = 25  # at the door of a kind: the directory answers with twice as many accounts at most
UNPROVED_NAMES_MAX = 50  # that are looked for in a delivery that nobody has proved yet
FOR_ANOTHER = "for another"  # how the reason of an Unread begins that belongs to another account
Items: TypeAlias = Sequence[Item]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a provider posted. `began_s` is when its first byte reached us, on the desk's monotonic clock."""

    posted: Posted
    began_s: float


@dataclass(frozen=True, slots=True)
class Found:
    """Whose a channel account is."""

    owner_id: UUID
    agent_id: UUID
    kind: str
    account_id: UUID


class Owners:
    """Whose an agent is never changes, so it is asked once; whether it still exists is seen where it is read."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, UUID] = OrderedDict()

    async def of_agent(self, desk: Desk, agent_id: UUID) -> UUID | None:
        owner_id = self._known.get(agent_id)
        if owner_id is None:
            async with desk.db.standalone() as tx:
                found = await agents.find_agent_owner(tx, agent_id)
            if found is None:
                return None
            owner_id = self._known[agent_id] = found[0]
            while len(self._known) > _OWNERS_MAX:
                self._known.popitem(last=False)
        return owner_id


async def receive_for_agent(desk: Desk, owners: Owners, agent_id: str, delivery: Delivery) -> None:
    """Take in what A1Base delivered for an agent; the id only says which, the signature says that it is true.

    Raises:
        NotSignedIn: the signature fits no account of the agent's; an unknown agent is answered like a wrong signature.
        NotConfigured: the agent has no account that could check it.
    """
    parsed = parse_id(agent_id)
    owner_id = None if parsed is None else await owners.of_agent(desk, parsed)
    if parsed is None or owner_id is None:
        _refuse_like_a_stranger(desk, delivery)
        return
    try:
        await _receive(desk, owner_id, parsed, None, delivery)
    except NotFound:  # deleted
        _refuse_like_a_stranger(desk, delivery)


async def find_account(desk: Desk, account_id: str) -> Found:
    """Whose a channel's own address is.

    Raises:
        NotFound: there is no such account, or nothing is delivered to its kind.
    """
    parsed = parse_id(account_id)
    found = None
    if parsed is not None:
        async with desk.db.standalone() as tx:
            found = await channel_store.find_channel_owner(tx, parsed)
    if parsed is None or found is None or desk.channels[found[2]].is_pulled:
        raise NotFound(_NO_WEBHOOK)
    return Found(*found, parsed)


async def receive_for_account(desk: Desk, egress: Egress, found: Found, delivery: Delivery) -> None:
    """Take in what a provider delivered to one channel account's own address.

    Raises:
        NotFound: the account is gone.
        NotSignedIn: the signature does not fit.
        NotConfigured: the account has no secret to check with.
    """
    if desk.channels[found.kind].is_read_later:
        await _keep(desk, egress, found, delivery)
    else:
        await _receive(desk, found.owner_id, found.agent_id, found.account_id, delivery)


async def receive_for_kind(desk: Desk, kind: str, delivery: Delivery) -> None:
    """Take in what a provider delivered for all accounts of one app: each takes what is its own.

    Only what the body says about whom it is for is read before the signature is proved, and each account that it
    names checks with its own secret.

    Raises:
        NotFound: the kind has no such address.
        NotSignedIn: the signature fits none of the accounts that it names, or it names none that we have.
    """
    channel = desk.channels.get(kind)
    if channel is None or channel.is_pulled:
        raise NotFound(_NO_WEBHOOK)
    try:
        names = channel.named_in(delivery.posted.raw)
    except NotAllowed:
        raise NotFound(_NO_WEBHOOK) from None
    except Malformed:
        names = ()
    refusals: list[NotSignedIn | NotConfigured] = []
    is_taken = False
    for first in range(0, len(names), NAMES_AT_ONCE):
        if first >= UNPROVED_NAMES_MAX and not is_taken:
            break
        some = names[first : first + NAMES_AT_ONCE]
        is_taken = await _receive_for_some(desk, kind, some, delivery, refusals) or is_taken
    if not is_taken:
        raise next(iter(refusals), None) or NotSignedIn(
            "the signature fits no account that this delivery names"
        )


async def _receive_for_some(
    desk: Desk,
    kind: str,
    names: Sequence[str],
    delivery: Delivery,
    refusals: list[NotSignedIn | NotConfigured],
) -> bool:
    """Has any account of these names taken the delivery in? Why others have not is added to `refusals`."""
    async with desk.db.standalone() as tx:
        found = await channel_store.find_accounts_named(tx, kind, names)
    is_taken = False
    for owner_id, agent_id, account_id in found:
        try:
            await _receive(desk, owner_id, agent_id, account_id, delivery, is_shared=True)
        except (NotSignedIn, NotConfigured) as error:
            refusals.append(error)
        except NotFound:  # gone meanwhile
            continue
        else:
            is_taken = True
    return is_taken


async def answer_challenge(
    desk: Desk, account_id: str | None, kind: str | None, query: Mapping[str, str]
) -> str:
    """What a provider wants to hear that asks whether an address is ours.

    Raises:
        NotFound: there is no such address.
        NotAllowed: the question proves nothing.
    """
    if account_id is not None:
        found = [await find_account(desk, account_id)]
    else:
        channel = desk.channels[kind or ""]
        try:
            channel.named_in(b"")
        except NotAllowed:  # no such door: nobody's accounts are looked through
            raise NotFound(_NO_WEBHOOK) from None
        except Malformed:
            pass
        async with desk.db.standalone() as tx:
            rows = await channel_store.find_accounts_of(tx, channel.kind)
        found = [Found(owner_id, agent_id, kind or "", one) for owner_id, agent_id, one in rows]
    for one in found[:CHALLENGED_MAX]:
        async with desk.db.owned(one.owner_id) as tx:
            sealer = await desk.keyring.sealer(tx)
            account = await channel_store.read_channel_account(tx, sealer, one.account_id)
        if account is None:
            continue
        try:
            return desk.channels[account.kind].challenge(account, query)
        except NotAllowed:
            continue
    raise NotAllowed("this does not prove that the provider asks: look at the verify token")


async def _keep(desk: Desk, egress: Egress, found: Found, delivery: Delivery) -> None:
    """Prove, make whole, store as it came; a worker reads it."""
    channel = desk.channels[found.kind]
    async with desk.db.owned(found.owner_id) as tx:
        sealer = await desk.keyring.sealer(tx)
        account = await channel_store.read_channel_account(tx, sealer, found.account_id)
    if account is None:
        raise NotFound(_NO_WEBHOOK)
    await channel.prepare(account, delivery.posted, egress)
    channel.authenticate(account, delivery.posted, desk.clock.now())
    whole = await channel.complete(account, delivery.posted, egress)
    if whole is not None:
        await keep_delivery(desk, found.owner_id, found.account_id, whole.raw, _meta(whole))


def _meta(posted: Posted) -> dict[str, str]:
    """What the reading will need of the head of a request."""
    meta = {"content_type": posted.headers.get("content-type", "")[:500]}
    for name in ("envelope_from", "envelope_to"):
        value = posted.headers.get(f"x-{name.replace('_', '-')}")
        if value:
            meta[name] = value[:1000]
    return meta


async def _receive(
    desk: Desk,
    owner_id: UUID,
    agent_id: UUID,
    account_id: UUID | None,
    delivery: Delivery,
    *,
    is_shared: bool = False,
) -> None:
    opened: tuple[Opened, Items] | None = None
    raw: bytes | None = delivery.posted.raw
    done = 0
    try:
        async with desk.db.owned(owner_id) as tx:
            opened = await _open(tx, desk, agent_id, account_id, delivery)
            if any(_is_anothers(i) for i in opened[1]):
                # The whole of it holds what people said to another account, perhaps another owner's.
                raw = None
            if is_shared:
                opened = (opened[0], [i for i in opened[1] if not _is_anothers(i)])
            if opened[1] and not brings_bytes(opened[1][0]):
                done = 1
                await accept_item(tx, desk, opened[0], opened[1][0], raw)
    except AlreadyKnown:
        log.info("delivery_repeated", owner_id=str(owner_id))
    except Exception as error:
        if opened is None or is_passing(error):
            raise
        done = 0
    # What else a delivery held stands alone: one that is known already, or never to be stored, must not undo the others.
    if opened is not None:
        for place, item in enumerate(opened[1][done:], done):
            await accept_alone(desk, opened[0], item, None if place else raw)


def _is_anothers(item: Item) -> bool:
    """At the door of a whole kind every account is asked: what is another's is taken in there."""
    return isinstance(item, Unread) and item.reason.startswith(FOR_ANOTHER)


async def _open(
    tx: Tx, desk: Desk, agent_id: UUID, account_id: UUID | None, delivery: Delivery
) -> tuple[Opened, Items]:
    """Find the account, prove the bytes, read them. What nobody can read is kept whole."""
    now = desk.clock.now()
    sealer = await desk.keyring.sealer(tx)
    kind = MESSAGING_KIND if account_id is None else None
    found = await channel_store.find_agent_on_channel(tx, sealer, agent_id, kind=kind, account_id=account_id)
    if found is None:
        raise NotFound(_NO_WEBHOOK)
    agent, accounts = found
    account = _authentic(desk, accounts, delivery, now)
    proved_s = desk.clock.monotonic_s()
    channel = desk.channels[account.kind]
    try:
        items = channel.parse_posted(account, delivery.posted, now)
    except Malformed as error:
        items = [Unread(str(error), delivery.posted.raw)]
    except Exception as error:  # noqa: BLE001 - whatever it is, the bytes are kept
        # A bug of ours, and the same at every try: the provider need not send it for days until it is mended.
        log.error("delivery_not_read", channel=account.kind, error=type(error).__name__)
        items = [Unread(f"it could not be read: {type(error).__name__}", delivery.posted.raw)]
    read_s = desk.clock.monotonic_s()
    hops = (
        Hop(
            "receive_webhook",
            _ms(delivery.began_s, proved_s),
            {"channel": account.kind, "bytes": len(delivery.posted.raw)},
        ),
        Hop("parse", _ms(proved_s, read_s), {"items": len(items)}),
    )
    return Opened(sealer, channel, account, agent, hops, read_s), items


def _authentic(
    desk: Desk, accounts: Sequence[ChannelAccount], delivery: Delivery, now: datetime
) -> ChannelAccount:
    """The account whose secret signed the delivery; of several (numbers of one provider's account) the one it names."""
    refusal: NotSignedIn | None = None
    proved: list[ChannelAccount] = []
    for account in accounts:
        try:
            desk.channels[account.kind].authenticate(account, delivery.posted, now)
        except NotSignedIn as error:
            refusal = error
        except NotConfigured:
            continue
        else:
            proved.append(account)
    if len(proved) > 1:
        with suppress(Malformed, NotAllowed):
            named = desk.channels[proved[0].kind].named_in(delivery.posted.raw)
            proved.sort(key=lambda account: account.identity not in named)
    if proved:
        return proved[0]
    if refusal is not None:
        raise refusal
    raise NotConfigured(
        "no secret is configured to check this delivery with: connect the channel with its api_secret"
    )


def _refuse_like_a_stranger(desk: Desk, delivery: Delivery) -> None:
    """Check against a secret that nobody has: the answer is that of an agent whose secret the sender does not know."""
    nobody = UUID(int=0)
    decoy = ChannelAccount(
        id=nobody,
        owner_id=nobody,
        agent_id=nobody,
        kind=MESSAGING_KIND,
        identity="",
        credentials={"api_secret": secrets.token_hex()},
    )
    desk.channels[MESSAGING_KIND].authenticate(decoy, delivery.posted, desk.clock.now())
    raise NotSignedIn("x-signature does not fit the body")


def _ms(began_s: float, ended_s: float) -> float:
    return round((ended_s - began_s) * 1000, 3)
