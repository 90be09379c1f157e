"""All SQL of owners: users, sessions, API keys, plans and meters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from a1zap.accounts.model import ApiKey, Owner, Plan, Scope, Usage
from a1zap.db.parts import Part
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.ids import new_id

# ── owners ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def insert_owner(
    tx: Tx,
    *,
    auth_source: Literal["local", "stack"],
    email_index: bytes | None,
    password_hash: str | None,
    plan_id: str,
) -> bool:
    """Make the transaction's owner exist; False where the id or the address is taken."""
    made = await tx.value(
        """INSERT INTO users (owner_id, auth_source, email_index, password_hash) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING RETURNING owner_id""",
        tx.owner_id,
        auth_source,
        email_index,
        password_hash,
    )
    if made is None:
        return False
    await tx.run("INSERT INTO user_subscriptions (owner_id, plan_id) VALUES ($1, $2)", tx.owner_id, plan_id)
    return True


async def seal_owner_email(tx: Tx, sealer: Sealer, email: str) -> None:
    await tx.run(
        "UPDATE users SET email_sealed = $2 WHERE owner_id = $1",
        tx.owner_id,
        sealer.seal(email, table="users", column="email_sealed", row=tx.owner_id),
    )


async def read_owner(tx: Tx, sealer: Sealer) -> Owner | None:
    row = await tx.row(
        "SELECT email_sealed, auth_source, created_at FROM users WHERE owner_id = $1", tx.owner_id
    )
    if row is None:
        return None
    sealed = row["email_sealed"]
    email = (
        sealer.open_text(sealed, table="users", column="email_sealed", row=tx.owner_id) if sealed else None
    )
    return Owner(tx.owner_id, email, row["auth_source"], row["created_at"])


async def owner_exists(tx: Tx) -> bool:
    return (
        await tx.value("SELECT true FROM users WHERE owner_id = $1 AND disabled_at IS NULL", tx.owner_id)
        or False
    )


async def any_owner_exists(tx: Tx) -> bool:
    """Is this instance set up? Asked by the first run, with nobody's transaction, through the directory."""
    return await tx.value("SELECT a1zap.has_owners()")


async def find_by_email(tx: Tx, email_index: bytes) -> tuple[UUID, str | None] | None:
    """Owner and password hash behind an address; asked before anybody is signed in."""
    row = await tx.row("SELECT owner_id, password_hash FROM a1zap.owner_of_email($1)", email_index)
    return None if row is None else (row["owner_id"], row["password_hash"])


async def set_password_hash(tx: Tx, password_hash: str) -> None:
    await tx.run("UPDATE users SET password_hash = $2 WHERE owner_id = $1", tx.owner_id, password_hash)


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def insert_session(
    tx: Tx, *, kind: Literal["session", "sign_in_link"], token_hash: bytes, expires_at: datetime
) -> UUID:
    session_id = new_id()
    await tx.run(
        "INSERT INTO sessions (owner_id, id, kind, token_hash, expires_at) VALUES ($1, $2, $3, $4, $5)",
        tx.owner_id,
        session_id,
        kind,
        token_hash,
        expires_at,
    )
    return session_id


async def find_session(tx: Tx, token_hash: bytes) -> Any | None:
    """owner_id, id, kind, expires_at, used_at of a session or sign-in link; asked before the owner is known."""
    return await tx.row("SELECT * FROM a1zap.owner_of_session($1)", token_hash)


async def use_sign_in_link(tx: Tx, session_id: UUID, now: datetime) -> bool:
    """Spend a one-time link; False where it was spent already."""
    used = await tx.value(
        """UPDATE sessions SET used_at = $3 WHERE owner_id = $1 AND id = $2 AND kind = 'sign_in_link'
           AND used_at IS NULL AND expires_at > $3 RETURNING id""",
        tx.owner_id,
        session_id,
        now,
    )
    return used is not None


async def delete_session(tx: Tx, session_id: UUID) -> None:
    await tx.run("DELETE FROM sessions WHERE owner_id = $1 AND id = $2", tx.owner_id, session_id)


# ── API keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

_KEY = "id, name, prefix, scopes, agent_id, created_at, last_used_at, revoked_at"


async def insert_api_key(
    tx: Tx, *, name: str, prefix: str, key_hash: bytes, scopes: Sequence[Scope], agent_id: UUID | None
) -> ApiKey:
    row = await tx.row(
        f"""INSERT INTO api_keys (owner_id, id, name, prefix, key_hash, scopes, agent_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_KEY}""",
        tx.owner_id,
        new_id(),
        name,
        prefix,
        key_hash,
        list(scopes),
        agent_id,
    )
    return _api_key(row)


async def list_api_keys(tx: Tx) -> list[ApiKey]:
    rows = await tx.rows(f"SELECT {_KEY} FROM api_keys WHERE owner_id = $1 ORDER BY id DESC", tx.owner_id)
    return [_api_key(r) for r in rows]


async def revoke_api_key(tx: Tx, key_id: UUID, now: datetime) -> ApiKey | None:
    row = await tx.row(
        f"""UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3) WHERE owner_id = $1 AND id = $2
            RETURNING {_KEY}""",
        tx.owner_id,
        key_id,
        now,
    )
    return None if row is None else _api_key(row)


async def find_api_key(tx: Tx, key_hash: bytes) -> Any | None:
    """owner_id, id, scopes, agent_id, revoked_at, last_used_at of a key; asked before the owner is known."""
    return await tx.row("SELECT * FROM a1zap.owner_of_api_key($1)", key_hash)


async def touch_api_key(tx: Tx, key_id: UUID, now: datetime) -> None:
    """Remember that the key was used; at most once a minute, because it is read far more often than looked at."""
    await tx.run(
        """UPDATE api_keys SET last_used_at = $3::timestamptz WHERE owner_id = $1 AND id = $2
           AND (last_used_at IS NULL OR last_used_at < $3::timestamptz - interval '1 minute')""",
        tx.owner_id,
        key_id,
        now,
    )


def _api_key(row: Any) -> ApiKey:
    fields = dict(row)
    fields["scopes"] = tuple(row["scopes"])
    return ApiKey(**fields)


# ── plans and meters ────────────────────────────────────────────────────────────────────────────────────────────────


async def read_plan(tx: Tx) -> Plan:
    row = await tx.row(
        """SELECT p.id, p.name, p.max_personal_agents, p.max_work_agents, p.max_messages_per_month
           FROM user_subscriptions s JOIN subscription_plans p ON p.id = s.plan_id WHERE s.owner_id = $1""",
        tx.owner_id,
    )
    if row is None:
        raise LookupError(f"owner {tx.owner_id} has no subscription")
    return Plan(**dict(row))


async def set_plan(tx: Tx, plan_id: str) -> bool:
    """Move the owner to a plan; False where there is no such plan."""
    known = await tx.value("SELECT true FROM subscription_plans WHERE id = $1 AND is_active", plan_id)
    if not known:
        return False
    await tx.run(
        "UPDATE user_subscriptions SET plan_id = $2, updated_at = now() WHERE owner_id = $1",
        tx.owner_id,
        plan_id,
    )
    return True


async def take_agent_place(tx: Tx, agent_type: Literal["personal", "work"]) -> bool:
    """Count one more agent, exactly: one conditional UPDATE decides, however many ask at once."""
    used, limit = f"{agent_type}_agents_used", f"max_{agent_type}_agents"
    taken = await tx.value(
        f"""UPDATE user_subscriptions s SET {used} = s.{used} + 1 FROM subscription_plans p
            WHERE s.owner_id = $1 AND p.id = s.plan_id AND (p.{limit} = -1 OR s.{used} < p.{limit})
            RETURNING true""",
        tx.owner_id,
    )
    return taken or False


async def give_agent_place(tx: Tx, agent_type: Literal["personal", "work"]) -> None:
    used = f"{agent_type}_agents_used"
    await tx.run(
        f"UPDATE user_subscriptions SET {used} = greatest(0, {used} - 1) WHERE owner_id = $1",
        tx.owner_id,
    )


_COUNT = """plan AS (
        SELECT p.max_messages_per_month AS top,
               (SELECT COALESCE(sum(o.messages_used), 0) FROM message_meters o
                WHERE o.owner_id = $1 AND o.month = $2 AND o.slot <> 0) AS elsewhere
        FROM user_subscriptions s JOIN subscription_plans p ON p.id = s.plan_id WHERE s.owner_id = $1),
    counted AS (
        INSERT INTO message_meters AS m (owner_id, month, slot, messages_used)
        SELECT $1, $2, CASE WHEN plan.top = -1 THEN $3 ELSE 0 END, 1 FROM plan
        WHERE plan.top = -1 OR plan.elsewhere < plan.top
        ON CONFLICT (owner_id, month, slot) DO UPDATE SET messages_used = m.messages_used + 1
        WHERE (SELECT plan.top = -1 OR m.messages_used + plan.elsewhere < plan.top FROM plan)
        RETURNING true AS within)"""


async def count_message(tx: Tx, now: datetime, *, slot: int = 0) -> tuple[bool, bool]:
    """Count one inbound message of this month against the plan: (within the limit, first one over it).

    One conditional statement decides, so the limit holds exactly however many processes count at once. Call it in
    the transaction that stores the message, and only when the message is new: a redelivery costs nothing.
    A limited plan counts in one row, an unlimited one in the row of `slot` (0 to 15): there, nobody need queue.
    """
    (within,) = await tx.together(counting(tx, now, slot=slot))
    return (True, False) if within else (False, await count_held(tx, now))


COUNTED = "EXISTS (SELECT 1 FROM counted)"  # for other parts of the same statement


def counting(tx: Tx, now: datetime, *, slot: int) -> Part:
    """`count_message` as part of a larger statement: its result is null over the limit; then call `count_held`."""
    return Part(_COUNT, "(SELECT within FROM counted)", (tx.owner_id, now.date().replace(day=1), slot))


async def count_held(tx: Tx, now: datetime) -> bool:
    """Count a message over the limit; was it the first one of the month?"""
    held = await tx.value(
        """INSERT INTO message_meters AS m (owner_id, month, messages_held) VALUES ($1, $2, 1)
           ON CONFLICT (owner_id, month, slot) DO UPDATE SET messages_held = m.messages_held + 1
           RETURNING messages_held""",
        tx.owner_id,
        now.date().replace(day=1),
    )
    return held == 1


async def read_usage(tx: Tx, today: date) -> Usage:
    row = await tx.row(
        """SELECT s.personal_agents_used, s.work_agents_used,
                  COALESCE(sum(m.messages_used), 0)::int AS used, COALESCE(sum(m.messages_held), 0)::int AS held
           FROM user_subscriptions s
           LEFT JOIN message_meters m ON m.owner_id = s.owner_id AND m.month = $2
           WHERE s.owner_id = $1 GROUP BY s.personal_agents_used, s.work_agents_used""",
        tx.owner_id,
        today.replace(day=1),
    )
    if row is None:
        return Usage(0, 0, 0, 0)
    return Usage(row["personal_agents_used"], row["work_agents_used"], row["used"], row["held"])


# ── rates ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def take_rate(tx: Tx, key: bytes, *, every: timedelta, burst: int) -> float:
    """Generic cell rate: 0.0 where this call is within `burst` and one per `every`; else seconds to wait.

    Holds across processes, on the database's clock.
    """
    wait_s = await tx.value(
        """WITH taken AS (
               INSERT INTO rate_cells AS c (key, full_at) VALUES ($1, now() + $2::interval)
               ON CONFLICT (key) DO UPDATE SET full_at = greatest(c.full_at, now()) + $2::interval
               WHERE greatest(c.full_at, now()) + $2::interval <= now() + $2::interval * $3::int
               RETURNING 0.0::float8 AS wait_s)
           SELECT COALESCE((SELECT wait_s FROM taken),
               (SELECT EXTRACT(EPOCH FROM c.full_at + $2::interval - now() - $2::interval * $3::int)::float8
                FROM rate_cells c WHERE c.key = $1), 0.0)""",
        key,
        every,
        burst,
    )
    return max(0.0, float(wait_s))
