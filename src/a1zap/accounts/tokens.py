"""Tokens we hand out: API keys, sessions, one-time sign-in links, and the signed tokens of web-chat visitors.

The first three are 256 random bits of which we keep only the SHA-256: who reads the database can sign in as nobody.
(A slow hash is for passwords; nobody guesses 256 bits.) Visitor tokens are signed instead and kept nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

from a1zap.kit.errors import NotSignedIn
from a1zap.kit.ids import AgentId, OwnerId

SECRET_BYTES = 32
PREFIX_CHARACTERS = 8
SESSION_COOKIE = "a1zap_session"
VISITOR_KEY_PURPOSE = "visitor tokens"  # for MasterKey.derive

_VISITOR_VERSION = 1
_VISITOR = struct.Struct("!B16s16s16sQ")  # version, owner, agent, address, expiry in seconds since 1970
_SIGNATURE_BYTES = 32
_VISITOR_SPELLING = re.compile(r"a1v_([A-Za-z0-9_-]{119})")
_LAST_SECOND = int(datetime.max.replace(tzinfo=UTC).timestamp())


class TokenKind(Enum):
    """What a token is for, told by how it begins: a person, and a scanner of leaked secrets, sees it at once."""

    API_KEY = "a1z_"
    SESSION = "a1s_"
    SIGN_IN_LINK = "a1l_"


@dataclass(frozen=True, slots=True, repr=False)
class NewToken:
    """`text` goes to its holder once and is kept nowhere; `digest` and, for lists, `prefix` are kept."""

    text: str
    digest: bytes
    prefix: str

    def __repr__(self) -> str:
        return f"NewToken(prefix={self.prefix!r})"


def new_token(kind: TokenKind) -> NewToken:
    """A fresh token of 256 random bits: the kind's four characters and 43 of base64url."""
    text = kind.value + secrets.token_urlsafe(SECRET_BYTES)
    return NewToken(text=text, digest=_digest(text), prefix=text[:PREFIX_CHARACTERS])


def digest_token(text: str, kind: TokenKind) -> bytes:
    """The SHA-256 under which a presented token is looked up.

    Raises:
        NotSignedIn: it has not the form of such a token; no look-up is needed to know.
    """
    if not re.fullmatch(re.escape(kind.value) + r"[A-Za-z0-9_-]{43}", text):
        what = kind.name.lower().replace("_", " ")
        raise NotSignedIn(
            f"that is no {what}: one begins with {kind.value} and has {len(kind.value) + 43} characters"
        )
    return _digest(text)


def matches_token(text: str, digest: bytes) -> bool:
    """Whether `text` is the token of which `digest` was kept, in a time that does not depend on the answer."""
    return hmac.compare_digest(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), digest)


def session_cookie(token: str, *, lifetime_s: int, secure: bool) -> str:
    """The `Set-Cookie` value of a session. `secure` wherever the public address is https.

    No `Domain`, so that no other host of the domain gets it; `HttpOnly`, so that no script reads it; `SameSite=Lax`,
    so that a link from a mail still finds one signed in while a foreign form does not.
    """
    parts = [f"{SESSION_COOKIE}={token}", "Path=/", f"Max-Age={lifetime_s}", "HttpOnly", "SameSite=Lax"]
    return "; ".join([*parts, "Secure"] if secure else parts)


def expired_session_cookie(*, secure: bool) -> str:
    """The `Set-Cookie` value that takes the session cookie away."""
    return session_cookie("", lifetime_s=0, secure=secure)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person on a chat page: may write to one agent from one address of theirs, until `expires_at`."""

    owner_id: OwnerId
    agent_id: AgentId
    address_id: UUID
    expires_at: datetime


def sign_visitor(key: bytes, visitor: Visitor) -> str:
    """The visitor's token, 123 characters. `key` is `MasterKey.derive(VISITOR_KEY_PURPOSE)`; seconds are cut off."""
    ids = (visitor.owner_id.bytes, visitor.agent_id.bytes, visitor.address_id.bytes)
    body = _VISITOR.pack(_VISITOR_VERSION, *ids, int(visitor.expires_at.timestamp()))
    return "a1v_" + _spell(body + hmac.digest(key, body, "sha256"))


def verify_visitor(key: bytes, token: str, now: datetime) -> Visitor:
    """The visitor whom we gave this token.

    Raises:
        NotSignedIn: it is not one of ours, it was changed, or it has expired.
    """
    spelled = _VISITOR_SPELLING.fullmatch(token)
    raw = base64.urlsafe_b64decode(spelled[1] + "=") if spelled else b""
    body, signature = raw[: _VISITOR.size], raw[_VISITOR.size :]
    if not spelled or not hmac.compare_digest(hmac.digest(key, body, "sha256"), signature):
        raise NotSignedIn("that is no visitor token of ours")
    version, owner, agent, address, expires_s = _VISITOR.unpack(body)
    # Its last two bits belong to no byte: only the spelling that we gave out counts.
    if version != _VISITOR_VERSION or expires_s > _LAST_SECOND or _spell(raw) != spelled[1]:
        raise NotSignedIn("that is no visitor token of ours")
    expires_at = datetime.fromtimestamp(expires_s, UTC)
    if expires_at <= now:
        raise NotSignedIn(
            f"the visitor token expired at {expires_at:%Y-%m-%d %H:%M:%S} UTC: open the page again"
        )
    return Visitor(OwnerId(UUID(bytes=owner)), AgentId(UUID(bytes=agent)), UUID(bytes=address), expires_at)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
