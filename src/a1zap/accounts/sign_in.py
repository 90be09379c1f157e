"""Signing in and out, as far as the database knows of it: sessions, one-time links, API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from a1zap.accounts import store
from a1zap.accounts.create_owner import add_owner, normal_email
from a1zap.accounts.keys import Keyring
from a1zap.accounts.model import ApiKey, Scope
from a1zap.accounts.passwords import Passwords
from a1zap.accounts.tokens import TokenKind, digest_token, new_token
from a1zap.audit.store import record_act
from a1zap.db.pool import Database, Tx
from a1zap.kit.errors import NotSignedIn
from a1zap.kit.ids import new_id

SESSION_LIFETIME = timedelta(days=14)
SIGN_IN_LINK_LIFETIME = timedelta(hours=1)

_WRONG = "the address or the password is wrong"
_SPENT = "this sign-in link was used already, has expired, or never was one"


async def is_set_up(db: Database) -> bool:
    """Has this instance an owner?"""
    async with db.standalone() as tx:
        return await store.any_owner_exists(tx)


async def find_owner(db: Database, keyring: Keyring, email: str) -> UUID | None:
    """Whose address this is."""
    async with db.standalone() as tx:
        found = await store.find_by_email(tx, keyring.email_index(email))
    return None if found is None else found[0]


async def sign_up(
    db: Database,
    keyring: Keyring,
    passwords: Passwords,
    *,
    email: str,
    password: str,
    plan_id: str,
    only_first: bool,
) -> None:
    """Make an account, unless somebody has the address: which of the two it was, nobody learns here.

    With `only_first`, nothing happens where an owner exists already.
    """
    address = normal_email(email)
    password_hash = await passwords.hash_password(password)
    await add_owner(
        db,
        keyring,
        new_id(),
        auth_source="local",
        email=address,
        password_hash=password_hash,
        plan_id=plan_id,
        only_first=only_first,
    )


async def sign_in(
    db: Database, keyring: Keyring, passwords: Passwords, *, email: str, password: str, now: datetime
) -> str:
    """A session's token for whoever knows the password. Takes as long for an address that nobody has.

    Raises:
        NotSignedIn: the address or the password is wrong; which one is not said.
    """
    async with db.standalone() as tx:
        found = await store.find_by_email(tx, keyring.email_index(email))
    owner_id, stored = found or (None, None)
    is_right = await passwords.verify_password(password, stored)
    if not is_right or owner_id is None or stored is None:
        raise NotSignedIn(_WRONG)
    renewed = await passwords.hash_password(password) if passwords.needs_rehash(stored) else None
    async with db.owned(owner_id) as tx:
        if renewed is not None:
            await store.set_password_hash(tx, renewed)
        return await _begin_session(tx, now, how="password")


async def add_sign_in_link(db: Database, owner_id: UUID, *, now: datetime) -> str:
    """The token of a link that signs its holder in once, within an hour."""
    token = new_token(TokenKind.SIGN_IN_LINK)
    async with db.owned(owner_id) as tx:
        await store.insert_session(
            tx, kind="sign_in_link", token_hash=token.digest, expires_at=now + SIGN_IN_LINK_LIFETIME
        )
    return token.text


async def use_sign_in_link(db: Database, token: str, *, now: datetime) -> str:
    """Spend a one-time link for a session's token.

    Raises:
        NotSignedIn: it is spent, has expired, or never was a link of ours.
    """
    try:
        digest = digest_token(token, TokenKind.SIGN_IN_LINK)
    except NotSignedIn:
        raise NotSignedIn(_SPENT) from None
    async with db.standalone() as tx:
        found = await store.find_session(tx, digest)
    if found is None or found["kind"] != "sign_in_link":
        raise NotSignedIn(_SPENT)
    async with db.owned(found["owner_id"]) as tx:
        if not await store.use_sign_in_link(tx, found["id"], now):
            raise NotSignedIn(_SPENT)
        return await _begin_session(tx, now, how="link")


async def end_session(db: Database, owner_id: UUID, session_id: UUID) -> None:
    """Sign out: the session's token is worth nothing from here on."""
    async with db.owned(owner_id) as tx:
        await store.delete_session(tx, session_id)


async def add_api_key(
    db: Database,
    owner_id: UUID,
    *,
    name: str,
    scopes: Sequence[Scope],
    actor: str,
    agent_id: UUID | None = None,
) -> tuple[ApiKey, str]:
    """A new API key and its text, which is shown this once and kept nowhere."""
    token = new_token(TokenKind.API_KEY)
    async with db.owned(owner_id) as tx:
        key = await store.insert_api_key(
            tx, name=name, prefix=token.prefix, key_hash=token.digest, scopes=scopes, agent_id=agent_id
        )
        await record_act(
            tx,
            actor=actor,
            action="key.created",
            subject_kind="api_key",
            subject_id=key.id,
            detail={"scopes": list(scopes), "agent_id": None if agent_id is None else str(agent_id)},
        )
    return key, token.text


async def _begin_session(tx: Tx, now: datetime, *, how: str) -> str:
    token = new_token(TokenKind.SESSION)
    session_id = await store.insert_session(
        tx, kind="session", token_hash=token.digest, expires_at=now + SESSION_LIFETIME
    )
    await record_act(
        tx,
        actor=f"session:{session_id}",
        action="session.begun",
        subject_kind="session",
        subject_id=session_id,
        detail={"how": how},
    )
    return token.text
