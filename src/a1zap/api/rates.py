"""How often somebody may try: generic cell rates in the database, so that they hold for all processes together."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from fastapi import Request

from a1zap.accounts.model import Principal
from a1zap.accounts.store import take_rate
from a1zap.api.house import ApiHouse
from a1zap.kit.errors import OverLimit

VISITOR_EVERY, VISITOR_BURST = timedelta(seconds=1), 10
NEW_VISITOR_EVERY, NEW_VISITOR_BURST = timedelta(seconds=5), 30
IDENTIFIED_EVERY, IDENTIFIED_BURST = timedelta(seconds=2), 20
TYPING_EVERY, TYPING_BURST = timedelta(seconds=1), 5
READ_EVERY, READ_BURST = timedelta(seconds=0.5), 20
SIGN_IN_ADDRESS_EVERY, SIGN_IN_ADDRESS_BURST = timedelta(seconds=10), 10
SIGN_IN_CLIENT_EVERY, SIGN_IN_CLIENT_BURST = timedelta(seconds=2), 30


async def hold_to_rate(house: ApiHouse, what: str, who: str, *, every: timedelta, burst: int) -> None:
    """Let one try pass, out of `burst` and one more `every` so often.

    Raises:
        OverLimit: not now; it says when.
    """
    # A hash, so that the table holds no address of anybody's.
    key = hashlib.sha256(f"{what}\n{who}".encode()).digest()[:16]
    async with house.db.standalone() as tx:
        wait_s = await take_rate(tx, key, every=every, burst=burst)
    if wait_s > 0:
        raise OverLimit(f"too many tries: again in {wait_s:.0f} s", retry_after_s=wait_s)


async def hold_visitor_to_rate(house: ApiHouse, who: Principal) -> None:
    """Visitors may write one message a second, ten at once; owners and their programs pay by their plan."""
    if who.visitor is not None:
        await hold_to_rate(house, "visitor", who.visitor, every=VISITOR_EVERY, burst=VISITOR_BURST)


def client_of(request: Request) -> str:
    """Who is on the other end, as far as a network address tells: of IPv6 the /64 that one customer is given."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else host
