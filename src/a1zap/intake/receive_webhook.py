"""A provider delivers: prove it over the raw bytes, put it into our words, make it durable; then 2xx, and no sooner.

One question to the directory (whose is it?) and one transaction of that owner's: everything else happens in there.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import structlog

from a1zap.agents import channel_store
from a1zap.agents import store as agents
from a1zap.agents.model import Agent
from a1zap.channels.contract import ChannelAccount, Item, Posted, Receipt
from a1zap.chats.model import AlreadyKnown, Hop
from a1zap.db.pool import Tx
from a1zap.intake.accept_inbound import accept_inbound, accept_receipt
from a1zap.intake.desk import Desk
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import Malformed, NotConfigured, NotFound, NotSignedIn
from a1zap.kit.ids import parse_id

log = structlog.get_logger()

MESSAGING_KIND = "a1base"  # what the address without an account id in it takes
_NO_WEBHOOK = "there is no such webhook"
_OWNERS_MAX = 100_000
Items: TypeAlias = Sequence[Item]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a provider posted. `began_s` is when its first byte reached us, on the desk's monotonic clock."""

    posted: Posted
    began_s: float


@dataclass(frozen=True, slots=True)
class _Opened:
    """A delivery that is authentic: for whom, and what it says."""

    sealer: Sealer
    account: ChannelAccount
    agent: Agent
    items: Items
    hops: tuple[Hop, ...]
    read_at_s: float


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


async def receive_for_account(desk: Desk, account_id: str, delivery: Delivery) -> None:
    """Take in what a provider delivered to one channel account's own address.

    Raises:
        NotFound: no such account, or nothing is delivered to its kind.
        NotSignedIn: the signature does not fit.
        NotConfigured: the account has no secret to check with.
    """
    parsed = parse_id(account_id)
    found = None
    if parsed is not None:
        async with desk.db.standalone() as tx:
            found = await channel_store.find_channel_owner(tx, parsed)
    if parsed is None or found is None or desk.channels[found[2]].is_pulled:
        raise NotFound(_NO_WEBHOOK)
    owner_id, agent_id, _ = found
    await _receive(desk, owner_id, agent_id, parsed, delivery)


async def _receive(
    desk: Desk, owner_id: UUID, agent_id: UUID, account_id: UUID | None, delivery: Delivery
) -> None:
    opened: _Opened | None = None
    try:
        async with desk.db.owned(owner_id) as tx:
            opened = await _open(tx, desk, agent_id, account_id, delivery)
            await _accept(tx, desk, opened, opened.items[:1], delivery.posted.raw)
    except AlreadyKnown:
        log.info("delivery_repeated", owner_id=str(owner_id))
    # What else a delivery held stands alone: one that is known already must not undo the others.
    if opened is None:
        return
    for item in opened.items[1:]:
        try:
            async with desk.db.owned(owner_id) as tx:
                await _accept(tx, desk, opened, [item], None)
        except AlreadyKnown:
            log.info("delivery_repeated", owner_id=str(owner_id))


async def _open(tx: Tx, desk: Desk, agent_id: UUID, account_id: UUID | None, delivery: Delivery) -> _Opened:
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
    items = await _read(tx, desk, sealer, account, delivery.posted.raw, now)
    read_s = desk.clock.monotonic_s()
    hops = (
        Hop(
            "receive_webhook",
            _ms(delivery.began_s, proved_s),
            {"channel": account.kind, "bytes": len(delivery.posted.raw)},
        ),
        Hop("parse", _ms(proved_s, read_s), {"items": len(items)}),
    )
    return _Opened(sealer, account, agent, items, hops, read_s)


def _authentic(
    desk: Desk, accounts: Sequence[ChannelAccount], delivery: Delivery, now: datetime
) -> ChannelAccount:
    """The account whose secret signed the delivery."""
    refusal: NotSignedIn | None = None
    for account in accounts:
        try:
            desk.channels[account.kind].authenticate(account, delivery.posted, now)
        except NotSignedIn as error:
            refusal = error
        except NotConfigured:
            continue
        else:
            return account
    if refusal is not None:
        raise refusal
    raise NotConfigured(
        "no secret is configured to check this delivery with: connect the channel with its api_secret"
    )


async def _read(
    tx: Tx, desk: Desk, sealer: Sealer, account: ChannelAccount, raw: bytes, now: datetime
) -> Items:
    try:
        return desk.channels[account.kind].parse(account, raw, now)
    except Malformed as error:
        # Authentic, so it is worth keeping; and refusing it would only make the provider send it again.
        delivery_id = await channel_store.keep_unread_delivery(tx, sealer, account.id, raw, str(error))
        log.warning("delivery_unread", channel_account_id=str(account.id), delivery_id=str(delivery_id))
        return ()


async def _accept(tx: Tx, desk: Desk, opened: _Opened, items: Items, raw: bytes | None) -> None:
    for item in items:
        if isinstance(item, Receipt):
            await accept_receipt(tx, desk.wakeups, opened.account.id, item)
            continue
        hop = Hop(
            "accept_inbound", _ms(opened.read_at_s, desk.clock.monotonic_s()), {"service": item.service}
        )
        await accept_inbound(
            tx,
            opened.sealer,
            desk.wakeups,
            account=opened.account,
            agent=opened.agent,
            inbound=item,
            raw=raw,
            hops=(*opened.hops, hop),
            now=desk.clock.now(),
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
