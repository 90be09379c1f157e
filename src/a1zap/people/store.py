"""All SQL of conversation users and their addresses. Addresses are found by keyed hash and kept sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import orjson

from a1zap.db.pool import Row, Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id
from a1zap.people.model import Address, Person


async def find_or_add_person(
    tx: Tx,
    sealer: Sealer,
    *,
    channel_kind: str,
    address: str,
    name: str | None,
    stack_auth_user_id: UUID | None = None,
    other_addresses: Sequence[str] = (),
) -> Person:
    """Who writes from this address; made known where nobody does yet. Two at once make one person.

    `other_addresses` are the same person's: whoever has one of them already is who writes (the first address counts
    most), and is found by all of them from now on.
    """
    index = address_index(sealer, channel_kind, address)
    known = await _find(tx, channel_kind, index)
    if other_addresses:
        for other in other_addresses:
            known = known or await _find(tx, channel_kind, address_index(sealer, channel_kind, other))
        person = (
            await _renamed(tx, sealer, known, name)
            if known is not None
            else await find_or_add_person(
                tx,
                sealer,
                channel_kind=channel_kind,
                address=address,
                name=name,
                stack_auth_user_id=stack_auth_user_id,
            )
        )
        for one in (*reversed(other_addresses), address):
            await _add_address(tx, sealer, person.id, channel_kind, one)
        return person
    if known is not None:
        return await _renamed(tx, sealer, known, name)
    person_id, address_id = new_id(), new_id()
    added = await tx.value(
        """WITH person AS (
               INSERT INTO conversation_users (owner_id, id, name_sealed, stack_auth_user_id) VALUES ($1, $2, $3, $8)
               RETURNING id)
           INSERT INTO user_addresses (owner_id, id, user_id, channel_kind, address_index, address_sealed)
           SELECT $1, $4, person.id, $5, $6, $7 FROM person
           ON CONFLICT (owner_id, channel_kind, address_index) DO NOTHING RETURNING user_id""",
        tx.owner_id,
        person_id,
        _sealed_name(sealer, person_id, name),
        address_id,
        channel_kind,
        index,
        sealer.seal(address, table="user_addresses", column="address_sealed", row=address_id),
        stack_auth_user_id,
    )
    if added is not None:
        return Person(person_id, name)
    # Somebody else was quicker: theirs is the person, and ours has no address and goes.
    await tx.run("DELETE FROM conversation_users WHERE owner_id = $1 AND id = $2", tx.owner_id, person_id)
    row = await _find(tx, channel_kind, index)
    if row is None:
        raise LookupError(f"an address of owner {tx.owner_id} was there and is gone within one transaction")
    return await _renamed(tx, sealer, row, name)


async def find_person(tx: Tx, sealer: Sealer, *, channel_kind: str, address: str) -> Person | None:
    """Who writes from this address, if anybody does."""
    row = await _find(tx, channel_kind, address_index(sealer, channel_kind, address))
    return None if row is None else Person(row["id"], _name(sealer, row))


async def read_person(tx: Tx, sealer: Sealer, person_id: UUID) -> Person | None:
    row = await tx.row(
        "SELECT id, name_sealed FROM conversation_users WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        person_id,
    )
    return None if row is None else Person(person_id, _name(sealer, row))


async def relink(
    tx: Tx, sealer: Sealer, *, channel_kind: str, before: Sequence[str], after: Sequence[str]
) -> Person | None:
    """A person's identity changed: whoever has one of `before` is found by `after` instead; None where nobody has.

    An address of `after` that somebody else has goes to the person; one of `before` is free for whoever gets it next.
    """
    known: Row | None = None
    for address in before:
        known = known or await _find(tx, channel_kind, address_index(sealer, channel_kind, address))
    if known is None:
        return None
    freed = [address_index(sealer, channel_kind, a) for a in (*before, *after)]
    await tx.run(
        """DELETE FROM user_addresses WHERE owner_id = $1 AND channel_kind = $2 AND address_index = ANY($3::bytea[])""",
        tx.owner_id,
        channel_kind,
        freed,
    )
    for address in reversed(after):
        await _add_address(tx, sealer, known["id"], channel_kind, address)
    return Person(known["id"], _name(sealer, known))


async def _add_address(tx: Tx, sealer: Sealer, person_id: UUID, channel_kind: str, address: str) -> None:
    """One more address of a person; one that is known already, whoever has it, stays as it is."""
    address_id = new_id()
    await tx.run(
        """INSERT INTO user_addresses (owner_id, id, user_id, channel_kind, address_index, address_sealed)
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (owner_id, channel_kind, address_index) DO NOTHING""",
        tx.owner_id,
        address_id,
        person_id,
        channel_kind,
        address_index(sealer, channel_kind, address),
        sealer.seal(address, table="user_addresses", column="address_sealed", row=address_id),
    )


async def mark_address_dead(
    tx: Tx, sealer: Sealer, *, channel_kind: str, address: str, of: Sequence[UUID], why: str
) -> None:
    """Nobody is to be reached there any more, says the other side; it counts where the address is one of these people's."""
    await tx.run(
        """UPDATE user_addresses SET dead_since = now(), dead_because = $4
           WHERE owner_id = $1 AND channel_kind = ANY($2::text[]) AND address_index = ANY($3::bytea[])
             AND user_id = ANY($5::uuid[]) AND dead_since IS NULL""",
        tx.owner_id,
        [channel_kind, unproven(channel_kind)],
        [address_index(sealer, kind, address) for kind in (channel_kind, unproven(channel_kind))],
        why[:300],
        list(of),
    )


async def revive_address(tx: Tx, sealer: Sealer, *, channel_kind: str, address: str, is_proven: bool) -> None:
    """Somebody wrote from it: it is alive. Who only says to be somebody revives nobody's address but such a one."""
    kinds = [channel_kind, unproven(channel_kind)] if is_proven else [unproven(channel_kind)]
    await tx.run(
        """UPDATE user_addresses SET dead_since = NULL, dead_because = NULL
           WHERE owner_id = $1 AND channel_kind = ANY($2::text[]) AND address_index = ANY($3::bytea[])
             AND dead_since IS NOT NULL""",
        tx.owner_id,
        kinds,
        [address_index(sealer, kind, address) for kind in kinds],
    )


async def read_address(tx: Tx, sealer: Sealer, person_id: UUID, channel_kind: str) -> str | None:
    """Where the person can be reached on a channel; the newest address where there are several."""
    found = await read_addresses(tx, sealer, person_id, channel_kind)
    return found[0].address if found else None


def open_address(sealer: Sealer, address_id: UUID, sealed: bytes) -> str:
    """The address in a row that holds its id and itself, sealed."""
    return sealer.open_text(sealed, table="user_addresses", column="address_sealed", row=address_id)


async def read_addresses(tx: Tx, sealer: Sealer, person_id: UUID, channel_kind: str) -> list[Address]:
    """Where the person can be reached on a channel, the newest address first; unproven ones only where no other is."""
    rows = await tx.rows(
        """SELECT id, address_sealed, dead_because FROM user_addresses
           WHERE owner_id = $1 AND user_id = $2 AND channel_kind = ANY($3::text[])
           ORDER BY channel_kind, id DESC LIMIT 5""",
        tx.owner_id,
        person_id,
        [channel_kind, unproven(channel_kind)],
    )
    return [Address(open_address(sealer, r["id"], r["address_sealed"]), r["dead_because"]) for r in rows]


def unproven(channel_kind: str) -> str:
    """Under this kind stand the addresses of people who say that they are somebody, and did not prove it."""
    return f"{channel_kind}:unproven"


def address_index(sealer: Sealer, channel_kind: str, address: str) -> bytes:
    """Equal for equal addresses of one owner and channel kind."""
    return sealer.blind_index(f"{channel_kind}\n{address}", table="user_addresses", column="address_index")


async def _find(tx: Tx, channel_kind: str, index: bytes) -> Row | None:
    return await tx.row(
        """SELECT u.id, u.name_sealed FROM user_addresses a
           JOIN conversation_users u ON u.owner_id = a.owner_id AND u.id = a.user_id
           WHERE a.owner_id = $1 AND a.channel_kind = $2 AND a.address_index = $3""",
        tx.owner_id,
        channel_kind,
        index,
    )


async def _renamed(tx: Tx, sealer: Sealer, row: Row, name: str | None) -> Person:
    known = _name(sealer, row)
    if name is None or name == known:
        return Person(row["id"], known)
    await tx.run(
        "UPDATE conversation_users SET name_sealed = $3 WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        row["id"],
        _sealed_name(sealer, row["id"], name),
    )
    return Person(row["id"], name)


def _name(sealer: Sealer, row: Row) -> str | None:
    sealed = row["name_sealed"]
    if sealed is None:
        return None
    return sealer.open_text(sealed, table="conversation_users", column="name_sealed", row=row["id"])


def _sealed_name(sealer: Sealer, person_id: UUID, name: str | None) -> bytes | None:
    if name is None:
        return None
    return sealer.seal(name, table="conversation_users", column="name_sealed", row=person_id)


async def keep_profile(tx: Tx, sealer: Sealer, person_id: UUID, profile: Mapping[str, str]) -> None:
    """What the page that vouches for somebody says of them; nobody is found by it."""
    sealed = sealer.seal(
        orjson.dumps(dict(profile)), table="conversation_users", column="profile_sealed", row=person_id
    )
    await tx.run(
        "UPDATE conversation_users SET profile_sealed = $3 WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        person_id,
        sealed,
    )


async def read_profile(tx: Tx, sealer: Sealer, person_id: UUID) -> Mapping[str, str]:
    """What the page that vouches for somebody says of them; empty where none does."""
    sealed = await tx.value(
        "SELECT profile_sealed FROM conversation_users WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        person_id,
    )
    if sealed is None:
        return {}
    return orjson.loads(
        sealer.open(sealed, table="conversation_users", column="profile_sealed", row=person_id)
    )
