"""An owner comes to be: the row, a data key of its own, and a plan, in one transaction."""

from __future__ import annotations

import re
from typing import Literal
from uuid import UUID

import asyncpg

from a1zap.accounts import store
from a1zap.accounts.keys import Keyring
from a1zap.accounts.passwords import Passwords
from a1zap.audit.store import record_act
from a1zap.db.pool import Database
from a1zap.kit.errors import Conflict, Invalid
from a1zap.kit.ids import new_id

EMAIL_CHARACTERS_MAX = 254
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+")


async def create_owner(
    db: Database,
    keyring: Keyring,
    passwords: Passwords,
    *,
    email: str,
    password: str | None,
    plan_id: str,
) -> UUID:
    """Make a local owner exist; without a password they sign in by a one-time link.

    Raises:
        Invalid: the address, the password or the plan is none.
        Conflict: somebody has the address.
    """
    address = normal_email(email)
    password_hash = None if password is None else await passwords.hash_password(password)
    owner_id = new_id()
    if not await add_owner(
        db,
        keyring,
        owner_id,
        auth_source="local",
        email=address,
        password_hash=password_hash,
        plan_id=plan_id,
    ):
        raise Conflict(f"an owner with the address '{address}' exists already", field="email", value=address)
    return owner_id


async def add_owner(
    db: Database,
    keyring: Keyring,
    owner_id: UUID,
    *,
    auth_source: Literal["local", "stack"],
    email: str | None,
    password_hash: str | None,
    plan_id: str,
    only_first: bool = False,
) -> bool:
    """Write a new owner down; False where the id or the address is taken, or, with `only_first`, anybody exists.

    Only local owners are found by their address: anybody may claim one elsewhere.
    """
    index = keyring.email_index(email) if email and auth_source == "local" else None
    try:
        async with db.owned(owner_id) as tx:
            if only_first:
                # Two first sign-ups at once would both find nobody: they take turns.
                await tx.run("SELECT pg_advisory_xact_lock(hashtext('a1zap first owner'))")
                if await store.any_owner_exists(tx):
                    return False
            made = await store.insert_owner(
                tx, auth_source=auth_source, email_index=index, password_hash=password_hash, plan_id=plan_id
            )
            if not made:
                return False
            await keyring.add_key(tx)
            if email:
                await store.seal_owner_email(tx, await keyring.sealer(tx), email)
            await record_act(
                tx,
                actor=f"sign_up:{auth_source}",
                action="owner.created",
                subject_kind="owner",
                subject_id=owner_id,
                detail={"plan": plan_id},
            )
    except asyncpg.ForeignKeyViolationError:
        raise Invalid(f"there is no plan '{plan_id}'", field="plan", value=plan_id) from None
    return True


def normal_email(email: str) -> str:
    """The address without the space around it.

    Raises:
        Invalid: it cannot be one.
    """
    address = email.strip()
    if len(address) > EMAIL_CHARACTERS_MAX or not _EMAIL.fullmatch(address):
        raise Invalid(
            "that is no e-mail address: one looks like name@example.com", field="email", value=address
        )
    return address
