"""All SQL of conversation users and their addresses. Addresses are found by keyed hash and kept sealed."""

from __future__ import annotations

from uuid import UUID

from a1zap.db.pool import Row, Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id
from a1zap.people.model import Person


async def find_or_add_person(
    tx: Tx,
    sealer: Sealer,
    *,
    channel_kind: str,
    address: str,
    name: str | None,
    stack_auth_user_id: UUID | None = None,
) -> Person:
    """Who writes from this address; made known where nobody does yet. Two at once make one person."""
    index = address_index(sealer, channel_kind, address)
    known = await _find(tx, channel_kind, index)
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


async def read_address(tx: Tx, sealer: Sealer, person_id: UUID, channel_kind: str) -> str | None:
    """Where the person can be reached on a channel; the newest address where there are several."""
    row = await tx.row(
        """SELECT id, address_sealed FROM user_addresses WHERE owner_id = $1 AND user_id = $2 AND channel_kind = $3
           ORDER BY id DESC LIMIT 1""",
        tx.owner_id,
        person_id,
        channel_kind,
    )
    if row is None:
        return None
    return sealer.open_text(
        row["address_sealed"], table="user_addresses", column="address_sealed", row=row["id"]
    )


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
