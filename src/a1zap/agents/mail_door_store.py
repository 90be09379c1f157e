"""All SQL of mail doors: which address, and which mailbox, is whose, and how far each mailbox was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from a1zap.db.pool import Tx


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whose an address is that mail has come for."""

    owner_id: UUID
    account_id: UUID
    address: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a mailbox was read: everything up to `last_uid` is kept, while the server speaks of `uid_validity`.

    `uid_validity` is None where nobody has looked yet.
    """

    uid_validity: int | None
    last_uid: int
    looked_at: datetime | None
    failures: int


async def insert_mail_door(tx: Tx, account_id: UUID, door: str, address: str) -> bool:
    """Let mail for an account come in by this door; False where the address is somebody's already."""
    done = await tx.value(
        """INSERT INTO mail_doors (owner_id, channel_account_id, door, address) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING RETURNING true""",
        tx.owner_id,
        account_id,
        door,
        address,
    )
    return done or False


async def look_anew(tx: Tx, account_id: UUID, *, is_other_mailbox: bool) -> None:
    """The way into a mailbox has changed: whoever looks into it lets it go, and it is due at once.

    `is_other_mailbox`: how far the old one was read says nothing about the new one.
    """
    await tx.run(
        """UPDATE mail_doors SET leased_by = NULL, leased_until = NULL, next_look_at = now(), failures = 0,
               uid_validity = CASE WHEN $3 THEN NULL ELSE uid_validity END,
               last_uid = CASE WHEN $3 THEN 0 ELSE last_uid END
           WHERE owner_id = $1 AND channel_account_id = $2 AND door = 'imap'""",
        tx.owner_id,
        account_id,
        is_other_mailbox,
    )


async def find_addressees(tx: Tx, addresses: Sequence[str]) -> list[Addressee]:
    """Who has these addresses, at most one each; asked before the owner is known."""
    rows = await tx.rows(
        "SELECT owner_id, channel_account_id, address FROM a1zap.mail_door_of($1)", list(addresses)
    )
    return [Addressee(r["owner_id"], r["channel_account_id"], r["address"]) for r in rows]


async def lease_mailboxes(tx: Tx, worker: UUID, hold: timedelta, at_most: int) -> list[tuple[UUID, UUID]]:
    """Take mailboxes that are due: (owner, account) each, for `hold` from now."""
    rows = await tx.rows(
        "SELECT owner_id, channel_account_id FROM a1zap.lease_mailboxes($1, $2, $3)", worker, hold, at_most
    )
    return [(r["owner_id"], r["channel_account_id"]) for r in rows]


async def keep_mailboxes(tx: Tx, worker: UUID, hold: timedelta) -> set[UUID]:
    """Hold on to what this worker has, for `hold` from now; the accounts it still has."""
    rows = await tx.rows("SELECT channel_account_id FROM a1zap.keep_mailboxes($1, $2)", worker, hold)
    return {r["channel_account_id"] for r in rows}


async def read_mark(tx: Tx, account_id: UUID) -> Mark | None:
    row = await tx.row(
        """SELECT uid_validity, last_uid, looked_at, failures FROM mail_doors
           WHERE owner_id = $1 AND channel_account_id = $2""",
        tx.owner_id,
        account_id,
    )
    return None if row is None else Mark(**dict(row))


async def move_mark(tx: Tx, account_id: UUID, worker: UUID, uid_validity: int, last_uid: int) -> bool:
    """Everything up to `last_uid` is kept; False where another worker has the mailbox."""
    tag = await tx.run(
        """UPDATE mail_doors SET uid_validity = $4, last_uid = $5
           WHERE owner_id = $1 AND channel_account_id = $2 AND leased_by = $3""",
        tx.owner_id,
        account_id,
        worker,
        uid_validity,
        last_uid,
    )
    return tag == "UPDATE 1"


async def note_look(tx: Tx, account_id: UUID, worker: UUID, now: datetime) -> None:
    """A look that went through to its end: whatever had arrived by `now` is kept."""
    await tx.run(
        """UPDATE mail_doors SET looked_at = $4, failures = 0
           WHERE owner_id = $1 AND channel_account_id = $2 AND leased_by = $3""",
        tx.owner_id,
        account_id,
        worker,
        now,
    )


async def give_mailbox_back(
    tx: Tx, account_id: UUID, worker: UUID, pause: timedelta, *, has_failed: bool
) -> None:
    """Free for any worker, after `pause`."""
    await tx.run(
        """UPDATE mail_doors SET leased_by = NULL, leased_until = NULL, next_look_at = now() + $4,
               failures = CASE WHEN $5 THEN failures + 1 ELSE failures END
           WHERE owner_id = $1 AND channel_account_id = $2 AND leased_by = $3""",
        tx.owner_id,
        account_id,
        worker,
        pause,
        has_failed,
    )
