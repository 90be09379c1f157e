"""A Stack Auth server on loopback: keys for each audience, outages at will, and any token one likes, right or wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from uuid import uuid4

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

Audience = Literal["", ":restricted", ":anon"]
Outage = Literal["refuse", "garbage", "empty", "hang"]

# Where the tokens of an audience come from, beside what stands in `aud`.
ISSUER_PATHS: dict[Audience, str] = {
    "": "projects",
    ":restricted": "projects-restricted-users",
    ":anon": "projects-anonymous-users",
}
HOSTED = "https://api.stack-auth.com"


@dataclass(frozen=True)
class SigningKey:
    """A P-256 key pair with the kid under which the server publishes it."""

    private: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))
    kid: str = field(default_factory=lambda: secrets.token_urlsafe(9))

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self.private.sign(data, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def jwk(self) -> dict[str, Any]:
        numbers = self.private.public_key().public_numbers()
        x, y = (spell(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": x, "y": y}


class FakeStackAuth:
    """Use it `async with`: then `base_url` answers. Without that it still mints tokens and lists keys."""

    def __init__(self, project_id: str | None = None) -> None:
        self.project_id = project_id or str(uuid4())
        # Two keys an audience, as the real server keeps them: the old one and the one that signs.
        self.keys: dict[Audience, list[SigningKey]] = {
            name: [SigningKey(), SigningKey()] for name in ISSUER_PATHS
        }
        self.outage: Outage | None = None
        self.jwks_requests = 0
        self.base_url = ""
        self._let_go = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/api/v1/projects/{project}/.well-known/jwks.json", self._answer_jwks)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end_outage()
        if self._runner is not None:
            await self._runner.cleanup()

    def end_outage(self) -> None:
        """Answer again; requests that hang are answered now."""
        self.outage = None
        self._let_go.set()
        self._let_go = asyncio.Event()

    def rotate(self, audience: Audience = "") -> SigningKey:
        """A new key signs; the one that signed so far stays published, the one before is gone."""
        self.keys[audience] = [self.keys[audience][-1], SigningKey()]
        return self.keys[audience][-1]

    def jwk_set(self, audiences: Iterable[Audience] = ("",)) -> dict[str, Any]:
        return {"keys": [key.jwk() for audience in audiences for key in self.keys[audience]]}

    def claims(
        self, audience: Audience = "", *, host: str = HOSTED, now: float | None = None, lifetime_s: int = 600
    ) -> dict[str, Any]:
        """What the real server says of a user with an address that is verified."""
        issued_s = int(time.time() if now is None else now)
        anonymous, restricted = audience == ":anon", audience != ""
        reason = "anonymous" if anonymous else "email_not_verified"
        return {
            "iss": f"{host}/api/v1/{ISSUER_PATHS[audience]}/{self.project_id}",
            "aud": f"{self.project_id}{audience}",
            "sub": str(uuid4()),
            "project_id": self.project_id,
            "branch_id": "main",
            "refresh_token_id": str(uuid4()),
            "role": "authenticated",
            "name": "Ann Example",
            "email": "ann@example.com",
            "email_verified": not restricted,
            "selected_team_id": None,
            "signed_up_at": issued_s - 86_400,
            "is_anonymous": anonymous,
            "is_restricted": restricted,
            "restricted_reason": {"type": reason} if restricted else None,
            "requires_totp_mfa": False,
            "iat": issued_s,
            "exp": issued_s + lifetime_s,
        }

    def mint(
        self,
        audience: Audience = "",
        *,
        host: str = HOSTED,
        now: float | None = None,
        claims: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
        header: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> str:
        """A right token, but for what is changed: `claims` and `header` over the usual ones, `without` some of them."""
        signer = key or self.keys[audience][-1]
        body = self.claims(audience, host=host, now=now) | dict(claims or {})
        head = {"alg": "ES256", "kid": signer.kid} | dict(header or {})
        for name in without:
            body.pop(name, None)
            head.pop(name, None)
        return compact(head, body, sign or signer.sign)

    async def _answer_jwks(self, request: web.Request) -> web.StreamResponse:
        self.jwks_requests += 1
        if request.match_info["project"] != self.project_id:
            return web.json_response({"code": "PROJECT_NOT_FOUND", "error": "no such project"}, status=404)
        if self.outage == "hang":
            await self._let_go.wait()
        if self.outage == "refuse":
            return web.json_response({"error": "down"}, status=503)
        if self.outage == "garbage":
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        if self.outage == "empty":
            return web.json_response({"keys": []})
        audiences: list[Audience] = [""]
        if {"include_restricted", "include_anonymous"} & request.query.keys():
            audiences.append(":restricted")
        if request.query.get("include_anonymous") == "true":
            audiences.append(":anon")
        return web.json_response(self.jwk_set(audiences), headers={"Cache-Control": "public, max-age=3600"})


def compact(header: object, claims: object, sign: Callable[[bytes], bytes]) -> str:
    """Any JWS in compact form, sane or not."""
    signed = ".".join(spell(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{spell(sign(signed.encode()))}"


def spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
