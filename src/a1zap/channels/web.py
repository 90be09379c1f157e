"""Web chat: visitors of a page ask us, so nothing is parsed or sent; what it needs to know is whose pages may ask.

allowed_origins      other sites whose pages may show the chat: exact origins with commas between, or a JSON list
identity_secret      with it a site vouches for its logged-in visitors: hash = hex HMAC-SHA256(secret, user_id)
old_identity_secret  the one before it, while some pages still use that
greeting             shown before anybody has written
accepts_files        true (the default) or false
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from a1zap.channels.contract import ChannelAccount, only_settings
from a1zap.channels.pulled import Pulled
from a1zap.kit.errors import Invalid, NotConfigured, NotSignedIn

ORIGINS_MAX = 50
GREETING_MAX = 1000
USER_ID_MAX = 200
SECRET_PREFIX = "idsec_"  # noqa: S105 - how every secret begins, no secret
PRINT_BYTES = 8

_KNOWN = ("allowed_origins", "identity_secret", "old_identity_secret", "greeting", "accepts_files")
_SECRET = re.compile(r"[!-~]{32,200}")
_HASH = re.compile(r"[0-9a-f]{64}")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ORIGIN = re.compile(rf"(https?)://({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::([0-9]{{1,5}}))?/?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Web(Pulled):
    """The chat page of an agent, ours and on other sites."""

    shown_once = ("identity_secret",)

    def __init__(self) -> None:
        super().__init__("web", stale_after_s=3600.0)

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """All of it is optional; without `identity_secret` we make one."""
        only_settings(self.kind, settings, needed=(), known=_KNOWN)
        for name in ("identity_secret", "old_identity_secret"):
            if settings.get(name) and not _SECRET.fullmatch(settings[name]):
                raise Invalid(f"'{name}' must be 32 to 200 printable ASCII characters", field=name)
        credentials = {name: value for name, value in settings.items() if value}
        credentials["allowed_origins"] = ",".join(_read_origins(settings.get("allowed_origins", "")))
        credentials["accepts_files"] = _read_flag("accepts_files", settings.get("accepts_files", "true"))
        greeting = settings.get("greeting", "")
        if len(greeting) > GREETING_MAX:
            raise Invalid(
                f"'greeting' may have {GREETING_MAX:,} characters; this one has {len(greeting):,}",
                field="greeting",
            )
        credentials.setdefault("identity_secret", SECRET_PREFIX + secrets.token_urlsafe(32))
        return "", credentials


def is_allowed_origin(account: ChannelAccount, origin: str) -> bool:
    """Whether a page of this origin, as its browser spells it, may show the chat. Equal to the letter, or not at all."""
    return bool(origin) and origin in account.credentials.get("allowed_origins", "").split(",")


def takes_files(account: ChannelAccount) -> bool:
    return account.credentials.get("accepts_files") != "false"


def check_identity(account: ChannelAccount, user_id: str, claimed_hash: str) -> bytes:
    """Prove that the site vouches for this user id; the print of the secret that it did it with.

    Raises:
        NotConfigured: the channel has no secret to check with: refused, never skipped.
        NotSignedIn: it does not.
    """
    known = _secrets(account)
    if not known:
        raise NotConfigured("this chat has no identity_secret: its owner makes one by changing its settings")
    if not _HASH.fullmatch(claimed_hash):
        raise NotSignedIn("hash must be the hex HMAC-SHA256 of user_id: 64 digits, in lower case")
    for secret in known:
        right = hmac.new(secret.encode(), user_id.encode("utf-8", "surrogatepass"), hashlib.sha256)
        if hmac.compare_digest(right.hexdigest(), claimed_hash):
            return print_of(secret)
    raise NotSignedIn("hash is not the HMAC-SHA256 of user_id with this chat's identity_secret")


def knows_print(account: ChannelAccount, found: bytes) -> bool:
    """Whether a secret of this print still counts."""
    return any(hmac.compare_digest(print_of(secret), found) for secret in _secrets(account))


def print_of(secret: str) -> bytes:
    """By which a secret is known again; says nothing about it."""
    return hashlib.sha256(b"print of\n" + secret.encode()).digest()[:PRINT_BYTES]


def _secrets(account: ChannelAccount) -> list[str]:
    """The secret, and the one before it while some pages still use that."""
    names = ("identity_secret", "old_identity_secret")
    return [account.credentials[name] for name in names if account.credentials.get(name)]


def _read_origins(text: str) -> Sequence[str]:
    """The origins that an owner typed, as browsers spell them.

    Raises:
        Invalid: one is none, and how it should look.
    """
    typed = _listed(text.strip())
    if len(typed) > ORIGINS_MAX:
        raise Invalid(
            f"'allowed_origins' may name {ORIGINS_MAX} origins; these are {len(typed)}",
            field="allowed_origins",
        )
    return list(dict.fromkeys(_read_origin(one) for one in typed))


def _listed(text: str) -> list[str]:
    if not text.startswith("["):
        return [one.strip() for one in text.split(",") if one.strip()]
    try:
        found: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in cast("list[Any]", found)):
        raise Invalid(
            "'allowed_origins' must be origins with commas between, or a JSON list of them",
            field="allowed_origins",
        )
    return [one.strip() for one in cast("list[str]", found)]


def _read_origin(typed: str) -> str:
    found = _ORIGIN.fullmatch(typed.lower())
    if found is None:
        raise _no_origin(typed)
    scheme, host, port = found[1], found[2], found[3]
    if port is None or int(port) == _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host}"
    if not 0 < int(port) < 1 << 16:
        raise _no_origin(typed)
    return f"{scheme}://{host}:{int(port)}"


def _no_origin(typed: str) -> Invalid:
    return Invalid(
        "each of 'allowed_origins' is exactly one origin, such as https://www.example.com or http://localhost:3000: "
        "no path, no *, and letters beyond ASCII as xn--…",
        field="allowed_origins",
        value=typed,
    )


def _read_flag(name: str, text: str) -> str:
    if text.lower() not in ("true", "false"):
        raise Invalid(f"'{name}' must be true or false", field=name, value=text)
    return text.lower()
