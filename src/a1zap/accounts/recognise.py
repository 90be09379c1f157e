"""Whom a credential speaks for: a session, an API key, a token of Stack Auth's."""

from __future__ import annotations

from datetime import datetime, timedelta

from a1zap.accounts import store
from a1zap.accounts.create_owner import add_owner
from a1zap.accounts.keys import Keyring
from a1zap.accounts.model import ALL_SCOPES, Principal
from a1zap.accounts.stack_auth import StackVerifier
from a1zap.accounts.tokens import TokenKind, digest_token
from a1zap.db.pool import Database
from a1zap.kit.errors import NotSignedIn

_EVERYTHING = frozenset(ALL_SCOPES)
_TOUCH_EVERY = timedelta(minutes=1)


async def recognise_session(db: Database, token: str, now: datetime) -> Principal:
    """The owner whose session this is.

    Raises:
        NotSignedIn: it has ended, or never was one.
    """
    digest = digest_token(token, TokenKind.SESSION)
    async with db.standalone() as tx:
        found = await store.find_session(tx, digest)
    if found is None or found["kind"] != "session" or found["expires_at"] <= now:
        raise NotSignedIn("this session has ended: sign in again")
    return Principal("session", found["owner_id"], _EVERYTHING, credential_id=found["id"])


async def recognise_key(db: Database, token: str, now: datetime) -> Principal:
    """The owner whose API key this is, narrowed to what the key may do.

    Raises:
        NotSignedIn: it was revoked, or never was one.
    """
    digest = digest_token(token, TokenKind.API_KEY)
    async with db.standalone() as tx:
        found = await store.find_api_key(tx, digest)
    if found is None or found["revoked_at"] is not None:
        raise NotSignedIn("this API key was revoked, or never was one")
    if found["last_used_at"] is None or now - found["last_used_at"] > _TOUCH_EVERY:
        async with db.owned(found["owner_id"]) as tx:
            await store.touch_api_key(tx, found["id"], now)
    return Principal(
        "key",
        found["owner_id"],
        frozenset(found["scopes"]),
        credential_id=found["id"],
        agent_id=found["agent_id"],
    )


async def recognise_stack(
    db: Database, keyring: Keyring, verifier: StackVerifier, token: str, *, plan_id: str
) -> Principal:
    """The owner behind a token of Stack Auth's; who comes for the first time becomes one.

    Raises:
        NotSignedIn: the token does not count, or the owner was disabled here.
        Unavailable: Stack Auth's keys cannot be had now.
    """
    identity = await verifier.verify(token)
    async with db.owned(identity.subject) as tx:
        is_known = await store.owner_exists(tx)
    if not is_known:
        await add_owner(
            db,
            keyring,
            identity.subject,
            auth_source="stack",
            email=identity.email if identity.email_verified else None,
            password_hash=None,
            plan_id=plan_id,
        )
        async with db.owned(
            identity.subject
        ) as tx:  # two first requests at once make one owner; a disabled one stays so
            if not await store.owner_exists(tx):
                raise NotSignedIn("this account is disabled here")
    return Principal("stack", identity.subject, _EVERYTHING)
