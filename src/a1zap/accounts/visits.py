"""The signed tokens of people on other sites' pages: short-lived, renewable, of one agent's one chat page.

No cookie of ours reaches us from a foreign page, so the page holds the token and sends it as Bearer. It is good for an
hour. After that it only buys a new one, until `renew_until`: who comes back within a month is known again, and a
logged-in visitor only for a day, after which their site must vouch for them anew. Nothing is kept of a visit but its
end, where it is ended before its time.
"""

from __future__ import annotations

import base64
import hmac
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from a1zap.kit.errors import NotSignedIn

VISIT_KEY_PURPOSE = "visits of web chats"  # for MasterKey.derive
VISIT_PREFIX = "a1w_"
TOKEN_LIFETIME = timedelta(hours=1)
RENEWABLE_FOR = timedelta(days=30)
IDENTITY_GOOD_FOR = timedelta(days=1)
NO_PRINT = bytes(8)

_VERSION = 1
# version; owner, agent, channel account, address, visit; expiry and last renewal in seconds since 1970; secret's print
_BODY = struct.Struct("!B16s16s16s16s16sQQ8s")
_SIGNATURE_BYTES = 32
_TOKEN_BYTES = _BODY.size + _SIGNATURE_BYTES
_SPELLING = re.compile(rf"{VISIT_PREFIX}([A-Za-z0-9_-]{{{-(-_TOKEN_BYTES * 8 // 6)}}})")
_LAST_SECOND = int(datetime.max.replace(tzinfo=UTC).timestamp())
_NONE_OF_OURS = "that is no visitor's token of ours: open the chat anew"


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody in one browser, on one agent's chat page. `identity_print`: by which secret their site vouched for them."""

    owner_id: UUID
    agent_id: UUID
    account_id: UUID
    address_id: UUID
    visit_id: UUID
    expires_at: datetime
    renew_until: datetime
    identity_print: bytes = NO_PRINT

    @property
    def is_identified(self) -> bool:
        return self.identity_print != NO_PRINT


def sign_visit(key: bytes, visit: Visit) -> str:
    """The visit's token. `key` is `MasterKey.derive(VISIT_KEY_PURPOSE)`; seconds are cut off."""
    ids = (visit.owner_id, visit.agent_id, visit.account_id, visit.address_id, visit.visit_id)
    times = (int(visit.expires_at.timestamp()), int(visit.renew_until.timestamp()))
    body = _BODY.pack(_VERSION, *(i.bytes for i in ids), *times, visit.identity_print)
    return VISIT_PREFIX + _spell(body + hmac.digest(key, body, "sha256"))


def verify_visit(key: bytes, token: str, now: datetime) -> Visit:
    """The visit that this token speaks for.

    Raises:
        NotSignedIn: it is none of ours, was changed, or its hour is over.
    """
    visit = read_visit(key, token)
    if visit.expires_at <= now:
        raise NotSignedIn(
            f"the visitor's token expired at {visit.expires_at:%Y-%m-%d %H:%M:%S} UTC: renew it"
        )
    return visit


def verify_renewal(key: bytes, token: str, now: datetime) -> Visit:
    """The visit that goes on with a new token; this one's hour may be over.

    Raises:
        NotSignedIn: it is none of ours, was changed, or is too old to be renewed.
    """
    visit = read_visit(key, token)
    if visit.renew_until <= now:
        raise NotSignedIn("the visitor's token is too old to be renewed: open the chat anew")
    return visit


def read_visit(key: bytes, token: str) -> Visit:
    """What a token of ours says, however old it is.

    Raises:
        NotSignedIn: it is none of ours, or was changed.
    """
    spelled = _SPELLING.fullmatch(token)
    raw = base64.urlsafe_b64decode(spelled[1] + "=" * (-len(spelled[1]) % 4)) if spelled else b""
    body, signature = raw[: _BODY.size], raw[_BODY.size :]
    if not spelled or not hmac.compare_digest(hmac.digest(key, body, "sha256"), signature):
        raise NotSignedIn(_NONE_OF_OURS)
    version, owner, agent, account, address, visit, expires_s, renew_s, identity_print = _BODY.unpack(body)
    # The last bits of the spelling may belong to no byte: only the one that we gave out counts.
    if version != _VERSION or max(expires_s, renew_s) > _LAST_SECOND or _spell(raw) != spelled[1]:
        raise NotSignedIn(_NONE_OF_OURS)
    return Visit(
        UUID(bytes=owner),
        UUID(bytes=agent),
        UUID(bytes=account),
        UUID(bytes=address),
        UUID(bytes=visit),
        datetime.fromtimestamp(expires_s, UTC),
        datetime.fromtimestamp(renew_s, UTC),
        identity_print,
    )


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
