"""A visitor says who they are, and their site vouches for it: the same person on every device, with their chats."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from a1zap.channels.contract import ChannelAccount
from a1zap.chats.reading_store import pass_chats_on
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.people import store as people


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a site vouches for. `user_id` is proven; name and mail address are only what the page says."""

    user_id: str
    name: str | None = None
    email: str | None = None


def address_of_identity(sealer: Sealer, account: ChannelAccount, user_id: str) -> UUID:
    """The address of the site's user on this channel: always the same, and not to be guessed.

    Of one channel, because two sites may both know a customer 7 and mean two people.
    """
    index = sealer.blind_index(f"{account.id}\n{user_id}", table="user_addresses", column="identity")
    return UUID(bytes=index[:16])


async def log_in_visitor(
    tx: Tx, sealer: Sealer, account: ChannelAccount, identity: Identity, *, anonymous: UUID | None
) -> UUID:
    """Make the visitor known under their own address, and give them what they began as nobody; the address.

    `anonymous` is the address of a visit that nobody has vouched for yet; nothing ever goes back to it. Its person stays
    behind, without chats: a message of theirs may be on its way at this very moment.
    """
    address = address_of_identity(sealer, account, identity.user_id)
    person = await people.find_or_add_person(
        tx, sealer, channel_kind=account.kind, address=str(address), name=identity.name
    )
    known = await people.read_profile(tx, sealer, person.id)
    said = {**known, "user_id": identity.user_id, **({"email": identity.email} if identity.email else {})}
    if said != known:
        await people.keep_profile(tx, sealer, person.id, said)
    if anonymous is not None:
        before = await people.find_person(tx, sealer, channel_kind=account.kind, address=str(anonymous))
        if before is not None and before.id != person.id:
            await pass_chats_on(tx, account.id, before.id, person.id)
    return address
