"""An address or a mailbox is written down where the doors for mail find it, if its owner may have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from a1zap.accounts import store as accounts
from a1zap.accounts.keys import Keyring
from a1zap.agents import mail_door_store
from a1zap.db.pool import Tx
from a1zap.kit.errors import Conflict, NotAllowed

# How mail comes in, and the door it comes by: one and the same for both of its protocols.
_DOORS = {"smtp": "smtp", "lmtp": "smtp", "imap": "imap"}


@dataclass(frozen=True, slots=True)
class MailDomains:
    """Which domains' addresses may be connected to the SMTP and LMTP door, and by whom.

    `owner_emails`: a domain, and the sign-in address of the one owner who may use it, or None for anybody; empty for
    every domain. Where anybody may make an account, a domain that nobody named is nobody's.
    """

    owner_emails: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    is_sign_up_open: bool = False


ANY_DOMAIN = MailDomains()


def parse_mail_domains(text: str, *, is_sign_up_open: bool) -> MailDomains:
    """`acme.com, example.org=owner@example.org` in A1ZAP_MAIL_DOMAINS's form."""
    found: dict[str, str | None] = {}
    for part in text.split(","):
        domain, _, email = part.strip().partition("=")
        if domain.strip():
            found[domain.strip().lower()] = email.strip() or None
    return MailDomains(found, is_sign_up_open)


async def open_mail_door(
    tx: Tx,
    keyring: Keyring,
    account_id: UUID,
    address: str,
    credentials: Mapping[str, str],
    domains: MailDomains,
) -> None:
    """Let mail come in by the door that `credentials` name; nothing where they name none of ours.

    An address has one place on an instance, first come, so nobody can connect somebody else's and get their mail. A
    mailbox that we look into proves itself by its password.

    Raises:
        NotAllowed: the operator has not opened the address's domain to this owner.
        Conflict: the address is connected already, by this owner or another.
    """
    door = _DOORS.get(credentials.get("inbound", ""))
    if door is None:
        return
    if door == "smtp":
        await _check_domain(tx, keyring, address, domains)
    if not await mail_door_store.insert_mail_door(tx, account_id, door, address):
        raise Conflict(
            f"mail for '{address}' has its place already on this instance; disconnect it there first",
            field="address",
            value=address,
        )


async def reopen_mail_door(
    tx: Tx, account_id: UUID, old: Mapping[str, str], credentials: Mapping[str, str]
) -> None:
    """After an account's settings have changed: its mailbox, if it has one to look into, is looked into by the new ones."""
    if credentials.get("inbound") == "imap":
        where = ("imap_host", "imap_port", "imap_user", "imap_folder")
        is_other = any(old.get(name) != credentials.get(name) for name in where)
        await mail_door_store.look_anew(tx, account_id, is_other_mailbox=is_other)


async def _check_domain(tx: Tx, keyring: Keyring, address: str, domains: MailDomains) -> None:
    domain = address.rpartition("@")[2]
    if domain not in domains.owner_emails:
        if domains.owner_emails or domains.is_sign_up_open:
            raise NotAllowed(
                f"the operator takes no mail for '{domain}' here; it is opened with A1ZAP_MAIL_DOMAINS",
                field="address",
                value=address,
            )
        return
    email = domains.owner_emails[domain]
    if email is None:
        return
    found = await accounts.find_by_email(tx, keyring.email_index(email))
    if found is None or found[0] != tx.owner_id:
        raise NotAllowed(
            f"the operator keeps '{domain}' for another owner (A1ZAP_MAIL_DOMAINS)",
            field="address",
            value=address,
        )
