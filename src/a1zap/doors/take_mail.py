"""A mail that has come to the door: whose it is, and kept before anybody says 250."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import idna
import structlog

from a1zap.agents.mail_door_store import Addressee, find_addressees
from a1zap.db.pool import Database
from a1zap.intake.desk import Desk
from a1zap.intake.keep_delivery import keep_delivery
from a1zap.kit.errors import Unavailable

log = structlog.get_logger()

_UNUSABLE = re.compile("[\x00-\x20\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address as the mail server gave it, with all it says (`support+token@…`), and whose it is."""

    address: str
    addressee: Addressee


async def find_recipient(db: Database, address: str) -> Recipient | None:
    """Whose address this is; None where it is nobody's here.

    Raises:
        DatabaseUnavailable: it cannot be known now.
    """
    spellings = spelled(address)
    if not spellings:
        return None
    async with db.standalone() as tx:
        found = {a.address: a for a in await find_addressees(tx, spellings)}
    return next((Recipient(address, found[name]) for name in spellings if name in found), None)


def spelled(address: str) -> list[str]:
    """The identities under which an address may be connected, the likeliest first; none where it is no address.

    Case does not count. What follows a plus is a token for us, unless an account was connected with that very plus.
    A domain may be written in its own script or as the name service has it.
    """
    local, at, domain = address.lower().rpartition("@")
    if not local or not at or not domain or len(address) > 400 or _UNUSABLE.search(address):
        return []
    locals_ = dict.fromkeys((local, local.partition("+")[0] or local))
    return [f"{name}@{host}" for name in locals_ for host in _domains(domain)]


def _domains(domain: str) -> Sequence[str]:
    try:
        coded = idna.encode(domain, uts46=True).decode()
        return tuple(dict.fromkeys((coded, idna.decode(coded), domain)))
    except idna.IDNAError:
        return (domain,)


async def keep_mail(
    desk: Desk, recipients: Sequence[Recipient], raw: bytes, meta: Mapping[str, Any], *, within_s: float
) -> Mapping[UUID, bool]:
    """Store a mail for each account it is for; True by account once it is durable.

    What is False may be stored all the same (an answer was lost): delivered again, it is known.
    """
    addresses: dict[UUID, list[str]] = {}
    owners: dict[UUID, UUID] = {}
    for recipient in recipients:
        account_id = recipient.addressee.account_id
        addresses.setdefault(account_id, []).append(recipient.address)
        owners[account_id] = recipient.addressee.owner_id
    kept: dict[UUID, bool] = {}
    for account_id, envelope_to in addresses.items():
        meta_of_one = {**meta, "envelope_to": envelope_to}
        kept[account_id] = await _keep_for_one(
            desk, owners[account_id], account_id, raw, meta_of_one, within_s
        )
    return kept


async def _keep_for_one(
    desk: Desk, owner_id: UUID, account_id: UUID, raw: bytes, meta: Mapping[str, Any], within_s: float
) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await keep_delivery(desk, owner_id, account_id, raw, meta)
    except (Unavailable, TimeoutError) as error:
        log.warning("mail_not_kept", channel_account_id=str(account_id), error_type=type(error).__name__)
        return False
    except Exception as error:  # a bug of ours must not cost a mail: its server brings it again
        log.error("mail_not_kept", channel_account_id=str(account_id), exc_info=error)
        return False
    return True
