"""All SQL of channel accounts: the numbers, mailboxes and endpoints of agents, their credentials sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from a1zap.agents.model import Agent
from a1zap.agents.store import AGENT_COLUMNS
from a1zap.channels.contract import ChannelAccount, Kept
from a1zap.db.pool import Row, Tx
from a1zap.kit.crypto import SEALED_LONGER_BYTES, Sealer
from a1zap.kit.ids import new_id

_AGENT_FIELDS = tuple(f.name for f in fields(Agent))
_COLUMNS = "owner_id, id, agent_id, kind, identity, credentials_sealed, status"


@dataclass(frozen=True, slots=True)
class ChannelAccountSeen:
    """A channel account as its owner sees it: no credentials."""

    id: UUID
    agent_id: UUID
    kind: str
    identity: str
    status: str
    health: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What an owner typed (`settings`), and what the channel made of it (`credentials`)."""

    credentials: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnreadDelivery:
    """An authentic delivery that nobody could read; `size` in bytes."""

    id: UUID
    reason: str
    created_at: datetime
    size: int


async def insert_channel_account(
    tx: Tx,
    sealer: Sealer,
    *,
    agent_id: UUID,
    kind: str,
    identity: str,
    credentials: Mapping[str, str],
    settings: Mapping[str, str] | None = None,
) -> UUID | None:
    """Connect a channel; None where the agent has this one already. `settings` are what its owner typed."""
    account_id = new_id()
    return await tx.value(
        """INSERT INTO channel_accounts (owner_id, id, agent_id, kind, identity, credentials_sealed)
           VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (owner_id, agent_id, kind, identity) WHERE deleted_at IS NULL DO NOTHING RETURNING id""",
        tx.owner_id,
        account_id,
        agent_id,
        kind,
        identity,
        _seal_settings(sealer, account_id, credentials, settings or {}),
    )


async def read_channel_account(tx: Tx, sealer: Sealer, account_id: UUID) -> ChannelAccount | None:
    row = await tx.row(
        f"SELECT {_COLUMNS} FROM channel_accounts WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL",
        tx.owner_id,
        account_id,
    )
    return None if row is None else account_of_row(sealer, row)


async def read_channel_kind(tx: Tx, account_id: UUID) -> str | None:
    """The kind of an account, also of one that is disconnected."""
    return await tx.value(
        "SELECT kind FROM channel_accounts WHERE owner_id = $1 AND id = $2", tx.owner_id, account_id
    )


_AGENT_ON_CHANNEL = f"""
    SELECT {", ".join(f"a.{name.strip()}" for name in AGENT_COLUMNS.split(","))},
           c.id AS account_id, c.kind, c.identity, c.credentials_sealed, c.status AS account_status
    FROM a1_agents a LEFT JOIN channel_accounts c
        ON c.owner_id = a.owner_id AND c.agent_id = a.id AND c.deleted_at IS NULL
        AND ($3::text IS NULL OR c.kind = $3) AND ($4::uuid IS NULL OR c.id = $4)
    WHERE a.owner_id = $1 AND a.id = $2 AND a.deleted_at IS NULL ORDER BY c.id
"""


async def find_agent_on_channel(
    tx: Tx, sealer: Sealer, agent_id: UUID, *, kind: str | None = None, account_id: UUID | None = None
) -> tuple[Agent, list[ChannelAccount]] | None:
    """An agent with its accounts of one kind (oldest first), or with that one account: both in one round trip."""
    rows = await tx.rows(_AGENT_ON_CHANNEL, tx.owner_id, agent_id, kind, account_id)
    if not rows:
        return None
    agent = Agent(**{name: rows[0][name] for name in _AGENT_FIELDS})
    accounts = [
        account_of_row(
            sealer, {**dict(r), "id": r["account_id"], "agent_id": agent_id, "status": r["account_status"]}
        )
        for r in rows
        if r["account_id"] is not None
    ]
    return agent, accounts


async def list_channel_accounts(tx: Tx, agent_id: UUID) -> list[ChannelAccountSeen]:
    rows = await tx.rows(
        """SELECT id, agent_id, kind, identity, status, health, created_at FROM channel_accounts
           WHERE owner_id = $1 AND agent_id = $2 AND deleted_at IS NULL ORDER BY id""",
        tx.owner_id,
        agent_id,
    )
    return [ChannelAccountSeen(**dict(r)) for r in rows]


async def set_channel_status(tx: Tx, account_id: UUID, status: str) -> bool:
    done = await tx.value(
        """UPDATE channel_accounts SET status = $3, updated_at = now()
           WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING id""",
        tx.owner_id,
        account_id,
        status,
    )
    return done is not None


async def read_channel_settings(tx: Tx, sealer: Sealer, account_id: UUID) -> ChannelSettings:
    """What the owner typed and what was made of it; empty where the account is disconnected."""
    sealed = await tx.value(
        "SELECT credentials_sealed FROM channel_accounts WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        account_id,
    )
    return _open_settings(sealer, account_id, sealed)


async def replace_channel_settings(
    tx: Tx,
    sealer: Sealer,
    account_id: UUID,
    *,
    credentials: Mapping[str, str],
    settings: Mapping[str, str],
) -> None:
    """New credentials: nothing is known yet of how they do."""
    await tx.run(
        """UPDATE channel_accounts SET credentials_sealed = $3, health = '{"state": "untested"}', updated_at = now()
           WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL""",
        tx.owner_id,
        account_id,
        _seal_settings(sealer, account_id, credentials, settings),
    )


async def delete_channel_account(tx: Tx, account_id: UUID) -> bool:
    """Disconnect, and forget the credentials; chats that came through it stay readable."""
    done = await tx.value(
        """UPDATE channel_accounts SET deleted_at = now(), credentials_sealed = NULL, status = 'paused'
           WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING id""",
        tx.owner_id,
        account_id,
    )
    return done is not None


async def note_health(tx: Tx, account_id: UUID, health: Mapping[str, Any]) -> None:
    """Remember how the channel does; written only when it changes its state, because it is noted at every send."""
    await tx.run(
        """UPDATE channel_accounts SET health = $3 WHERE owner_id = $1 AND id = $2
           AND health ->> 'state' IS DISTINCT FROM $3::jsonb ->> 'state'""",
        tx.owner_id,
        account_id,
        dict(health),
    )


async def note_trial(tx: Tx, account_id: UUID, health: Mapping[str, Any]) -> None:
    """Remember what a test came to: its reason always, its time where the state is a new one."""
    await tx.run(
        """UPDATE channel_accounts SET health = CASE
               WHEN health ->> 'state' = $3::jsonb ->> 'state' AND health ? 'at'
               THEN $3::jsonb || jsonb_build_object('at', health -> 'at') ELSE $3::jsonb END
           WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL""",
        tx.owner_id,
        account_id,
        dict(health),
    )


async def find_channel_owner(tx: Tx, account_id: UUID) -> tuple[UUID, UUID, str] | None:
    """(owner, agent, kind) of an account; asked before the owner is known, through the directory."""
    row = await tx.row("SELECT owner_id, agent_id, kind FROM a1zap.owner_of_channel_account($1)", account_id)
    return None if row is None else (row["owner_id"], row["agent_id"], row["kind"])


async def keep_unread_delivery(tx: Tx, sealer: Sealer, account_id: UUID, raw: bytes, reason: str) -> UUID:
    """An authentic delivery that no parser understood: kept whole, so that nothing a provider gave us is lost."""
    delivery_id = new_id()
    await tx.run(
        """INSERT INTO unread_deliveries (owner_id, id, channel_account_id, raw_sealed, reason)
           VALUES ($1, $2, $3, $4, $5)""",
        tx.owner_id,
        delivery_id,
        account_id,
        sealer.seal(raw, table="unread_deliveries", column="raw_sealed", row=delivery_id),
        reason[:300],
    )
    return delivery_id


async def list_unread_deliveries(
    tx: Tx, account_id: UUID, *, before: UUID | None, count: int
) -> list[UnreadDelivery]:
    """Those of one channel, newest first."""
    rows = await tx.rows(
        f"""SELECT id, reason, created_at, octet_length(raw_sealed) - {SEALED_LONGER_BYTES} AS size
            FROM unread_deliveries WHERE owner_id = $1 AND channel_account_id = $2
            AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4""",
        tx.owner_id,
        account_id,
        before,
        count,
    )
    return [UnreadDelivery(**dict(r)) for r in rows]


async def read_unread_delivery(
    tx: Tx, sealer: Sealer, account_id: UUID, delivery_id: UUID
) -> tuple[UnreadDelivery, bytes] | None:
    """A delivery that nobody understood, with its bytes as they came."""
    row = await tx.row(
        """SELECT id, reason, created_at, raw_sealed FROM unread_deliveries
           WHERE owner_id = $1 AND channel_account_id = $2 AND id = $3""",
        tx.owner_id,
        account_id,
        delivery_id,
    )
    if row is None:
        return None
    raw = sealer.open(row["raw_sealed"], table="unread_deliveries", column="raw_sealed", row=delivery_id)
    return UnreadDelivery(row["id"], row["reason"], row["created_at"], len(raw)), raw


async def keep_raw_delivery(
    tx: Tx, sealer: Sealer, delivery_id: UUID, account_id: UUID, raw: bytes, meta: Mapping[str, Any]
) -> bool:
    """Store a delivery as it came, to be read later; False where the very same is kept already."""
    digest = sealer.blind_index(hashlib.sha256(raw).hexdigest(), table="raw_deliveries", column="digest")
    kept = await tx.value(
        """INSERT INTO raw_deliveries (owner_id, id, channel_account_id, digest, raw_sealed, meta_sealed)
           VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (owner_id, channel_account_id, digest) DO NOTHING RETURNING true""",
        tx.owner_id,
        delivery_id,
        account_id,
        digest,
        sealer.seal(raw, table="raw_deliveries", column="raw_sealed", row=delivery_id),
        sealer.seal(orjson.dumps(dict(meta)), table="raw_deliveries", column="meta_sealed", row=delivery_id),
    )
    return kept or False


async def read_raw_delivery(tx: Tx, sealer: Sealer, delivery_id: UUID) -> tuple[UUID, Kept] | None:
    """(account, delivery) of a delivery that nobody has read yet; None where somebody has, or it is gone."""
    row = await tx.row(
        """SELECT channel_account_id, raw_sealed, meta_sealed FROM raw_deliveries
           WHERE owner_id = $1 AND id = $2 AND read_at IS NULL""",
        tx.owner_id,
        delivery_id,
    )
    if row is None:
        return None
    raw = sealer.open(row["raw_sealed"], table="raw_deliveries", column="raw_sealed", row=delivery_id)
    meta = sealer.open(row["meta_sealed"], table="raw_deliveries", column="meta_sealed", row=delivery_id)
    return row["channel_account_id"], Kept(delivery_id, raw, orjson.loads(meta))


async def mark_raw_delivery_read(tx: Tx, delivery_id: UUID, now: datetime) -> None:
    await tx.run(
        "UPDATE raw_deliveries SET read_at = $3 WHERE owner_id = $1 AND id = $2",
        tx.owner_id,
        delivery_id,
        now,
    )


async def find_accounts_named(tx: Tx, kind: str, names: Sequence[str]) -> list[tuple[UUID, UUID, UUID]]:
    """(owner, agent, account) of every account of a kind with one of these identities; asked before the owner is known."""
    rows = await tx.rows(
        "SELECT owner_id, agent_id, id FROM a1zap.channel_accounts_named($1, $2)", kind, list(names)
    )
    return [(r["owner_id"], r["agent_id"], r["id"]) for r in rows]


async def is_own_identity(tx: Tx, kind: str, name: str) -> bool:
    """Is it an account of the owner's, of any agent?"""
    return await tx.value(
        """SELECT EXISTS (SELECT FROM channel_accounts
                          WHERE owner_id = $1 AND kind = $2 AND identity = $3 AND deleted_at IS NULL)""",
        tx.owner_id,
        kind,
        name,
    )


async def find_accounts_of(tx: Tx, kind: str) -> list[tuple[UUID, UUID, UUID]]:
    """(owner, agent, account) of every active account of a kind; asked before the owner is known."""
    rows = await tx.rows("SELECT owner_id, agent_id, id FROM a1zap.channel_accounts_of($1)", kind)
    return [(r["owner_id"], r["agent_id"], r["id"]) for r in rows]


def _seal_settings(
    sealer: Sealer, account_id: UUID, credentials: Mapping[str, str], settings: Mapping[str, str]
) -> bytes:
    return sealer.seal(
        orjson.dumps({"credentials": dict(credentials), "settings": dict(settings)}),
        table="channel_accounts",
        column="credentials_sealed",
        row=account_id,
    )


def _open_settings(sealer: Sealer, account_id: UUID, sealed: bytes | None) -> ChannelSettings:
    if sealed is None:
        return ChannelSettings({}, {})
    opened = orjson.loads(
        sealer.open(sealed, table="channel_accounts", column="credentials_sealed", row=account_id)
    )
    if isinstance(opened.get("credentials"), dict):
        return ChannelSettings(opened["credentials"], opened["settings"])
    return ChannelSettings(opened, opened)  # sealed before what was typed was kept beside it


def account_of_row(sealer: Sealer, row: Row) -> ChannelAccount:
    """The account in a row that holds its columns."""
    return ChannelAccount(
        id=row["id"],
        owner_id=row["owner_id"],
        agent_id=row["agent_id"],
        kind=row["kind"],
        identity=row["identity"],
        credentials=_open_settings(sealer, row["id"], row["credentials_sealed"]).credentials,
        status=row["status"],
    )
