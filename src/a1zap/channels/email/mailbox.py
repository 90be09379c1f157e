"""Addresses as we compare them, and the reply address that finds a chat again (`support+<key>@acme.com`)."""

from __future__ import annotations

import re
from typing import Final

import idna

_LOCAL_MAX: Final = 64  # octets, RFC 5321
_ADDRESS_MAX: Final = 254
_LOCAL = re.compile(r"""[^\s<>()\[\]\\,;:@"\x00-\x20\x7f-\x9f]+""")
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_KEY = re.compile(r"[a-z2-7]{16,60}")


def normal_address(text: str) -> str:
    """The address in lower case, its domain in ASCII (IDNA); '' where the text is not one plain address.

    Local parts differ by case in theory, and for nobody's mailbox: who writes `Ann@` and `ann@` is one person.
    """
    local, at, domain = text.strip().rpartition("@")
    local, domain = local.lower(), ascii_domain(domain)
    if not at or not domain or not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith("."):
        return ""
    if len(local.encode("utf-8", "replace")) > _LOCAL_MAX or len(local) + len(domain) >= _ADDRESS_MAX:
        return ""
    return f"{local}@{domain}"


def ascii_domain(domain: str) -> str:
    """The domain as the name system knows it; '' where it is none."""
    domain = domain.strip().rstrip(".").lower()
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            return ""
    return domain if _DOMAIN.fullmatch(domain) else ""


def reply_address(identity: str, chat_key: str | None) -> str | None:
    """Our address with the chat's key in it; None where there is no key, or no room for it."""
    if not chat_key:
        return None
    local, _, domain = identity.rpartition("@")
    keyed = f"{local}+{chat_key}"
    return f"{keyed}@{domain}" if len(keyed.encode()) <= _LOCAL_MAX else None


def key_in(address: str, identity: str) -> str | None:
    """The key in an address of ours; None where it is another's or has none. Mail servers may change its case."""
    normal = normal_address(address)
    local, _, domain = normal.rpartition("@")
    own_local, _, own_domain = identity.rpartition("@")
    base, plus, key = local.rpartition("+")
    if not plus or domain != own_domain or base != own_local or not _KEY.fullmatch(key):
        return None
    return key


def is_ours(address: str, identity: str) -> bool:
    """Is it our address, with or without something behind a plus?"""
    normal = normal_address(address)
    if normal == identity:
        return True
    own_local, _, own_domain = identity.rpartition("@")
    return normal.endswith(f"@{own_domain}") and normal.startswith(f"{own_local}+")
