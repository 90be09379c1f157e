"""Sign-in with Stack Auth (now Hexclave): its access tokens, verified here without asking it.

An access token is a JWT of about ten minutes, signed with ES256 by a key of its *audience*: ordinary users have
`<project>`, restricted ones `<project>:restricted`, anonymous ones `<project>:anon`. Only the first are let in.
What we cannot see is a user deleted or signed out in the last minutes: the token lives until it expires.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from jwt.algorithms import ECAlgorithm

from a1zap.kit.clock import Clock
from a1zap.kit.errors import Invalid, NotSignedIn, Unavailable

FetchJson = Callable[[str], Awaitable[object]]

HOSTED_APIS = ("https://api.stack-auth.com", "https://api.hexclave.com")
TOKEN_CHARACTERS_MAX = 8192
LEEWAY_S = 30
KEYS_FRESH_S = 3600.0
REFETCH_EVERY_S = 30.0
FETCH_TIMEOUT_S = 10.0
UNKNOWN_KEPT_S = 300.0

_UNKNOWN_KIDS_MAX = 256
_KEYS_MAX = 32
_KID_CHARACTERS_MAX = 64
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WIRE_PREFIXES = ("stackauth_", "hexclave_")

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StackIdentity:
    """Who the token speaks for. Key an owner by (`issuer`, `subject`), never by `email`, which anybody may claim."""

    subject: UUID
    issuer: str
    email: str | None
    email_verified: bool
    display_name: str | None


class StackVerifier:
    """Verifies one project's access tokens; one instance a process. `close` ends what it fetches in the background.

    `fetch_json` gets a URL and answers its JSON, or raises. `base_url` is a self-hosted server's address; the
    hosted service's two addresses stand for the same project, and count as one issuer.
    """

    def __init__(
        self,
        *,
        project_id: str,
        fetch_json: FetchJson,
        clock: Clock,
        base_url: str | None = None,
        branch_id: str = "main",
    ) -> None:
        if not _PROJECT_ID.fullmatch(project_id):
            raise Invalid(
                "STACK_PROJECT_ID holds letters, digits, - and _ only", field="project_id", value=project_id
            )
        api = _api_address(base_url) if base_url else HOSTED_APIS[0]
        self._project_id = project_id
        self._branch_id = branch_id
        self._clock = clock
        self._issuers = frozenset(_issuer(known, project_id) for known in (*HOSTED_APIS, api))
        # The host in `iss` follows the address that the app called, so one user comes under either of the two.
        self._issuer = _issuer(HOSTED_APIS[0] if api in HOSTED_APIS else api, project_id)
        self._keys = _Keys(f"{_issuer(api, project_id)}/.well-known/jwks.json", fetch_json, clock)

    async def verify(self, token: str) -> StackIdentity:
        """The user for whom Stack Auth signed `token` (without `Bearer`; the old wire prefixes are understood).

        Raises:
            NotSignedIn: the token does not count; the detail names the kind of reason, never what it holds.
            Unavailable: it names a key that we have not, and Stack Auth's keys cannot be fetched now.
        """
        bare = _strip_wire_prefix(token)
        key = await self._keys.find(_read_kid(bare))
        claims = _read_signed_claims(bare, key, audience=self._project_id, issuers=self._issuers)
        _check_times(claims, self._clock.now().timestamp())
        self._check_standing(claims)
        return self._identity(claims)

    async def close(self) -> None:
        await self._keys.close()

    def _check_standing(self, claims: Mapping[str, object]) -> None:
        """Anonymous and restricted users have audiences of their own; their marks are refused in any audience."""
        if claims.get("is_anonymous", False) is not False:
            raise _refusal("anonymous user")
        if claims.get("is_restricted", False) is not False or claims.get("restricted_reason") is not None:
            raise _refusal("restricted user")
        if claims.get("project_id", self._project_id) != self._project_id:
            raise _refusal("another project")
        if claims.get("branch_id", self._branch_id) != self._branch_id:
            raise _refusal("another branch")
        if claims.get("role", "authenticated") != "authenticated":
            raise _refusal("another role")

    def _identity(self, claims: Mapping[str, object]) -> StackIdentity:
        email, name = claims.get("email"), claims.get("name")
        verified = claims.get("email_verified", False)
        if (
            not isinstance(email, str | None)
            or not isinstance(name, str | None)
            or not isinstance(verified, bool)
        ):
            raise _refusal("malformed claims")
        shown_email = email if email and len(email) <= 320 and email.isprintable() else None
        return StackIdentity(
            subject=_subject(claims),
            issuer=self._issuer,
            email=shown_email,
            email_verified=verified and shown_email is not None,
            display_name="".join(filter(str.isprintable, name or ""))[:200].strip() or None,
        )


class _Keys:
    """The project's public keys by kid: fetched once an hour, and at most once in 30 s for a kid we do not know.

    A key that we hold is used at once, fresh or not: fetching goes on behind, and an outage of Stack Auth's keeps
    nobody out who has a token. All who wait for a fetch wait for the same one.
    """

    def __init__(self, url: str, fetch_json: FetchJson, clock: Clock) -> None:
        self._url = url
        self._fetch_json = fetch_json
        self._clock = clock
        self._held: dict[str, EllipticCurvePublicKey] = {}
        self._stale_at_s = -math.inf
        self._next_fetch_at_s = -math.inf
        self._last_fetch_failed = False
        self._lists_read = 0
        self._unknown_until_s: dict[str, float] = {}
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> EllipticCurvePublicKey:
        key = self._held.get(kid)
        now_s = self._clock.monotonic_s()
        if key is not None:
            if now_s >= self._stale_at_s:
                self._begin_fetch(now_s)
            return key
        if self._unknown_until_s.get(kid, -math.inf) > now_s:
            raise _refusal("unknown key")
        lists_before = self._lists_read
        fetching = self._begin_fetch(now_s)
        if fetching is not None:
            # Shielded: one caller who hangs up must not end the fetch for the others.
            await asyncio.shield(fetching)
        key = self._held.get(kid)
        if key is None:
            raise self._why_not(kid, looked_up=self._lists_read > lists_before)
        return key

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _why_not(self, kid: str, *, looked_up: bool) -> NotSignedIn | Unavailable:
        now_s = self._clock.monotonic_s()
        if self._last_fetch_failed:
            return Unavailable(
                "Stack Auth's keys cannot be fetched now, and this token names one that we do not hold",
                retry_after_s=max(1.0, self._next_fetch_at_s - now_s),
            )
        if looked_up:
            # Only a fresh list says that there is no such key; held back by the limit we merely do not know yet.
            self._remember_unknown(kid, now_s)
        return _refusal("unknown key")

    def _remember_unknown(self, kid: str, now_s: float) -> None:
        while len(self._unknown_until_s) >= _UNKNOWN_KIDS_MAX:
            del self._unknown_until_s[next(iter(self._unknown_until_s))]
        self._unknown_until_s[kid] = now_s + UNKNOWN_KEPT_S

    def _begin_fetch(self, now_s: float) -> asyncio.Task[None] | None:
        """The fetch that is under way, a new one, or None where the last one is too recent."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if now_s < self._next_fetch_at_s:
            return None
        first = not self._held
        self._next_fetch_at_s = now_s + REFETCH_EVERY_S
        self._fetching = asyncio.create_task(self._fetch(first=first), name="fetch Stack Auth's keys")
        return self._fetching

    async def _fetch(self, *, first: bool) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                keys = _read_keys(await self._fetch_json(self._url))
        except Exception as error:  # noqa: BLE001  (whatever it is, the keys we hold stay good)
            self._last_fetch_failed = True
            _log.warning(
                "stack_keys_not_fetched", url=self._url, error=type(error).__name__, held=len(self._held)
            )
            return
        self._held = keys
        self._lists_read += 1
        self._last_fetch_failed = False
        self._stale_at_s = self._clock.monotonic_s() + KEYS_FRESH_S
        for kid in keys:
            self._unknown_until_s.pop(kid, None)
        if first:
            # The first list does not use up the one refetch that a rotation right after it needs.
            self._next_fetch_at_s = -math.inf


def _read_keys(answer: object) -> dict[str, EllipticCurvePublicKey]:
    """The usable keys of a JWK set: P-256, for ES256 signatures, with a kid. Others are passed over.

    Raises:
        ValueError: there is none.
    """
    listed = cast("dict[str, object]", answer).get("keys") if isinstance(answer, dict) else None
    keys: dict[str, EllipticCurvePublicKey] = {}
    for entry in cast("list[object]", listed)[:_KEYS_MAX] if isinstance(listed, list) else []:
        if not isinstance(entry, dict):
            continue
        jwk = cast("dict[str, Any]", entry)
        kid = jwk.get("kid")
        key = _read_key(jwk)
        if isinstance(kid, str) and key is not None:
            keys[kid] = key
    if not keys:
        raise ValueError("no usable key in the JWK set")
    return keys


def _read_key(jwk: Mapping[str, Any]) -> EllipticCurvePublicKey | None:
    uses = jwk.get("key_ops", ["verify"])
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or jwk.get("alg", "ES256") != "ES256":
        return None
    if jwk.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        return None
    try:
        key = ECAlgorithm.from_jwk(dict(jwk))
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        return None
    # A private key comes out where the entry gives its secret half away: anybody could sign with it.
    return key if isinstance(key, EllipticCurvePublicKey) else None


def _strip_wire_prefix(token: str) -> str:
    for prefix in _WIRE_PREFIXES:
        if token.startswith(prefix):
            return token[len(prefix) :]
    return token


def _read_kid(token: str) -> str:
    """The kid in the token's header, before anything of it is believed. Cheap for whatever is not a token."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise _refusal(f"longer than {TOKEN_CHARACTERS_MAX} characters")
    if not _TOKEN.fullmatch(token):
        raise _refusal("malformed")
    header: dict[str, Any] = {}
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        # Not raised from here: the error of the decoder may hold parts of the token.
        header = {}
    if not header:
        raise _refusal("malformed")
    if header.get("alg") != "ES256":
        raise _refusal("not signed with ES256")
    if "crit" in header or "b64" in header:
        raise _refusal("extensions that we do not know")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _KID_CHARACTERS_MAX:
        raise _refusal("no key named")
    return kid


def _read_signed_claims(
    token: str, key: EllipticCurvePublicKey, *, audience: str, issuers: frozenset[str]
) -> Mapping[str, object]:
    """The claims, once signature, issuer and audience are right. Times are ours to check, by our clock."""
    reason = "malformed"
    try:
        return jwt.decode(
            token,
            key=key,
            algorithms=["ES256"],
            audience=audience,
            issuer=issuers,
            options={
                "require": ["iss", "aud", "sub", "exp", "iat"],
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidSignatureError:
        reason = "wrong signature"
    except jwt.InvalidIssuerError:
        reason = "another issuer"
    except jwt.InvalidAudienceError:
        reason = "another audience"
    except jwt.MissingRequiredClaimError as error:
        reason = f"no claim {error.claim}"
    except (jwt.PyJWTError, ValueError, RecursionError):
        reason = "malformed"
    raise _refusal(reason)


def _check_times(claims: Mapping[str, object], now_s: float) -> None:
    if _seconds(claims, "exp") <= now_s - LEEWAY_S:
        raise _refusal("expired")
    if _seconds(claims, "iat") > now_s + LEEWAY_S:
        raise _refusal("issued in the future")
    if "nbf" in claims and _seconds(claims, "nbf") > now_s + LEEWAY_S:
        raise _refusal("not valid yet")


def _seconds(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**53:
        raise _refusal(f"claim {name} is no time")
    return value


def _subject(claims: Mapping[str, object]) -> UUID:
    spelled = str(claims.get("sub"))
    try:
        subject = UUID(spelled)
    except ValueError:
        subject = None
    if subject is None or str(subject) != spelled.lower():
        raise _refusal("the subject is no user id")
    return subject


def _refusal(reason: str) -> NotSignedIn:
    return NotSignedIn(f"access token refused: {reason}")


def _api_address(base_url: str) -> str:
    """`https://host[:port][/path]`, as operators write it: with or without the last slash and `/api/v1`."""
    address = base_url.strip().rstrip("/").removesuffix("/api/v1").rstrip("/")
    if not re.fullmatch(r"https?://[^\s?#@]+", address):
        raise Invalid("the address of Stack Auth begins with https://", field="base_url", value=base_url)
    return address


def _issuer(api: str, project_id: str) -> str:
    return f"{api}/api/v1/projects/{project_id}"
