from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.stack_auth import HOSTED, FakeStackAuth, SigningKey, compact, spell

from a1zap.accounts.stack_auth import HOSTED_APIS, StackVerifier
from a1zap.kit.errors import Invalid, NotSignedIn, Unavailable

NOW_S = 1_795_000_000.0


class HandClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW_S + self.passed_s, UTC)

    def monotonic_s(self) -> float:
        return 1000.0 + self.passed_s


class Bench:
    """A fake server that answers, a verifier that asks it over loopback, and a clock between them."""

    def __init__(self, stack: FakeStackAuth, session: aiohttp.ClientSession) -> None:
        self.stack = stack
        self.session = session
        self.clock = HandClock()
        self.verifier = self.a_verifier()

    def a_verifier(self, **options) -> StackVerifier:
        known = {"project_id": self.stack.project_id, "base_url": self.stack.base_url, "clock": self.clock}
        return StackVerifier(**(known | {"fetch_json": self.fetch_json} | options))

    async def fetch_json(self, url: str) -> object:
        async with self.session.get(url, raise_for_status=True) as answer:
            return await answer.json()

    def mint(self, *args, **options) -> str:
        return self.stack.mint(*args, **({"now": NOW_S + self.clock.passed_s} | options))

    async def verify(self, token: str):
        return await self.verifier.verify(token)

    async def refused(self, token: str, reason: str) -> None:
        with pytest.raises(NotSignedIn, match=reason) as caught:
            await self.verify(token)
        assert str(caught.value).startswith("access token refused: ")
        assert not token or token not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None, "the library's error may hold parts of the token"

    async def until_fetched(self, times: int) -> None:
        """Until the server was asked so often, and (unless it hangs) the verifier has taken the answer in."""
        async with asyncio.timeout(5):
            while self.stack.jwks_requests < times:
                await asyncio.sleep(0.002)
            if self.stack.outage != "hang":
                await self.verifier._keys._fetching


@asynccontextmanager
async def a_bench():
    async with FakeStackAuth() as stack, aiohttp.ClientSession() as session:
        made = Bench(stack, session)
        try:
            yield made
        finally:
            await made.verifier.close()


@pytest.fixture
async def bench():
    async with a_bench() as made:
        yield made


# ── what is let in ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("host", HOSTED_APIS)
async def test_a_right_token_of_either_hosted_address_is_the_same_user(bench, host):
    user = str(uuid4())
    hosted = bench.a_verifier(base_url=None, fetch_json=from_memory(bench.stack))
    identity = await hosted.verify(bench.mint(host=host, claims={"sub": user}))
    assert identity.subject == UUID(user)
    assert identity.issuer == f"https://api.stack-auth.com/api/v1/projects/{bench.stack.project_id}"
    assert (identity.email, identity.email_verified, identity.display_name) == (
        "ann@example.com",
        True,
        "Ann Example",
    )
    assert (await bench.verify(bench.mint(host=host, claims={"sub": user}))).subject == UUID(user)


@pytest.mark.parametrize("ending", ["", "/", "/api/v1", "/api/v1/"])
async def test_a_self_hosted_address_is_understood_as_operators_write_it(bench, ending):
    verifier = bench.a_verifier(base_url=bench.stack.base_url + ending)
    identity = await verifier.verify(bench.mint(host=bench.stack.base_url))
    assert identity.issuer == f"{bench.stack.base_url}/api/v1/projects/{bench.stack.project_id}"


@pytest.mark.parametrize("prefix", ["stackauth_", "hexclave_"])
async def test_the_old_wire_prefixes_are_understood(bench, prefix):
    assert await bench.verify(prefix + bench.mint())


async def test_the_key_that_signed_before_a_rotation_still_counts(bench):
    assert await bench.verify(bench.mint(key=bench.stack.keys[""][0]))


async def test_claims_that_may_be_missing_or_null_may(bench):
    token = bench.mint(
        claims={"email": None},
        without=[
            "name",
            "email_verified",
            "is_anonymous",
            "is_restricted",
            "restricted_reason",
            "branch_id",
            "role",
        ],
    )
    identity = await bench.verify(token)
    assert (identity.email, identity.email_verified, identity.display_name) == (None, False, None)


async def test_a_name_is_stored_without_what_no_person_can_read(bench):
    claims = {"name": "An\u0000n \u202eExample\ud800" + "x" * 300, "email": "a\u0000@example.com"}
    identity = await bench.verify(bench.mint(claims=claims))
    assert identity.display_name == ("Ann Example" + "x" * 300)[:200]
    assert (identity.email, identity.email_verified) == (None, False)


async def test_clocks_may_differ_by_half_a_minute(bench):
    assert await bench.verify(bench.mint(claims={"exp": NOW_S - 29, "iat": NOW_S + 29, "nbf": NOW_S + 29}))


# ── what is refused: every claim, one by one, signed with the right key ─────────────────────────────────────────────

OTHER = "0193b7c2-1111-7222-8333-944455566677"
WRONG_CLAIMS = [
    ("iss", f"https://evil.example/api/v1/projects/{OTHER}", "issuer"),
    ("iss", lambda pid: f"{HOSTED}/api/v1/projects-restricted-users/{pid}", "issuer"),
    ("iss", lambda pid: f"{HOSTED}/api/v1/projects-anonymous-users/{pid}", "issuer"),
    ("iss", lambda pid: f"{HOSTED}/api/v1/projects/{pid}/", "issuer"),
    ("iss", lambda pid: f"http://api.stack-auth.com/api/v1/projects/{pid}", "issuer"),
    ("iss", lambda pid: f"https://API.stack-auth.com/api/v1/projects/{pid}", "issuer"),
    ("iss", lambda pid: f"https://api.stack-auth.com.evil.example/api/v1/projects/{pid}", "issuer"),
    ("iss", lambda _: f"{HOSTED}/api/v1/projects/{OTHER}", "issuer"),
    ("iss", lambda pid: [f"{HOSTED}/api/v1/projects/{pid}"], "issuer"),
    ("iss", "https://access-token.jwt-signature.stack-auth.com", "issuer"),
    ("iss", "", "issuer"),
    ("aud", OTHER, "audience"),
    ("aud", lambda pid: f"{pid}:anon", "audience"),
    ("aud", lambda pid: f"{pid}:restricted", "audience"),
    ("aud", lambda pid: [pid], "audience"),
    ("aud", lambda pid: [pid, OTHER], "audience"),
    ("aud", lambda pid: pid.upper() + " ", "audience"),
    ("aud", "", "no claim aud"),
    ("sub", "not a user id", "subject"),
    ("sub", "", "subject"),
    ("sub", 7, "malformed"),
    ("sub", "urn:uuid:" + OTHER, "subject"),
    ("sub", OTHER.replace("-", ""), "subject"),
    ("exp", NOW_S - 31, "expired"),
    ("exp", 0, "exp is no time"),
    ("exp", "tomorrow", "exp is no time"),
    ("exp", str(int(NOW_S) + 600), "exp is no time"),
    ("exp", True, "exp is no time"),
    ("exp", float("inf"), "exp is no time"),
    ("exp", float("nan"), "exp is no time"),
    ("exp", 10**400, "exp is no time"),
    ("exp", [NOW_S + 600], "exp is no time"),
    ("iat", NOW_S + 31, "future"),
    ("iat", float("-inf"), "iat is no time"),
    ("iat", "now", "iat is no time"),
    ("nbf", NOW_S + 31, "not valid yet"),
    ("nbf", None, "nbf is no time"),
    ("is_anonymous", True, "anonymous"),
    ("is_anonymous", "false", "anonymous"),
    ("is_anonymous", 0, "anonymous"),
    ("is_anonymous", None, "anonymous"),
    ("is_restricted", True, "restricted"),
    ("is_restricted", 1, "restricted"),
    ("restricted_reason", {"type": "restricted_by_administrator"}, "restricted"),
    ("restricted_reason", {}, "restricted"),
    ("project_id", OTHER, "project"),
    ("project_id", None, "project"),
    ("branch_id", "preview", "branch"),
    ("role", "admin", "role"),
    ("email", ["ann@example.com"], "malformed"),
    ("email_verified", "yes", "malformed"),
    ("name", 7, "malformed"),
    ("jti", 7, "malformed"),
]


@pytest.mark.parametrize(("claim", "value", "reason"), WRONG_CLAIMS)
async def test_one_wrong_claim_is_enough_to_be_refused(bench, claim, value, reason):
    value = value(bench.stack.project_id) if callable(value) else value
    assert await bench.verify(bench.mint())
    await bench.refused(bench.mint(claims={claim: value}), reason)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "exp", "iat"])
@pytest.mark.parametrize("how", ["missing", "null"])
async def test_a_claim_that_must_be_there_must_be_there(bench, claim, how):
    token = bench.mint(without=[claim]) if how == "missing" else bench.mint(claims={claim: None})
    await bench.refused(token, f"no claim {claim}")


async def test_every_claim_changed_after_signing_is_refused(bench):
    token = bench.mint()
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    for name in claims:
        for changed in (claims | {name: OTHER}, {other: claims[other] for other in claims if other != name}):
            await bench.refused(
                f"{header}.{spell(json.dumps(changed).encode())}.{signature}", "wrong signature"
            )


@pytest.mark.parametrize("audience", [":anon", ":restricted"])
async def test_tokens_of_anonymous_and_restricted_users_are_refused_by_their_key(bench, audience):
    await bench.refused(bench.mint(audience), "unknown key")


@pytest.mark.parametrize("audience", [":anon", ":restricted"])
async def test_tokens_of_anonymous_and_restricted_users_are_refused_even_where_their_keys_are_published(
    bench, audience
):
    everything = bench.stack.jwk_set(["", ":restricted", ":anon"])
    bench.verifier = bench.a_verifier(fetch_json=answering(everything))
    await bench.refused(bench.mint(audience), "another (issuer|audience)")
    assert await bench.verify(bench.mint())


async def test_a_token_of_another_project_is_refused_whoever_signed_it(bench):
    await bench.refused(FakeStackAuth().mint(now=NOW_S), "unknown key")
    await bench.refused(
        FakeStackAuth().mint(now=NOW_S, key=bench.stack.keys[""][-1]), "another (issuer|audience)"
    )


async def test_another_branch_is_let_in_where_it_is_the_configured_one(bench):
    token = bench.mint(claims={"branch_id": "preview"})
    assert await bench.a_verifier(branch_id="preview").verify(token)
    with pytest.raises(NotSignedIn, match="branch"):
        await bench.a_verifier(branch_id="preview").verify(bench.mint())


# ── what is refused: algorithms, keys, forms ────────────────────────────────────────────────────────────────────────


def hmac_secrets(key: SigningKey) -> list[bytes]:
    """What a careless verifier could take for the secret of HS256: the public key, in each way of writing it."""
    public = key.private.public_key()
    return [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        json.dumps(key.jwk()).encode(),
        key.jwk()["x"].encode(),
        b"",
    ]


@pytest.mark.parametrize("alg", ["HS256", "HS512", "ES256"])
async def test_the_public_key_is_never_taken_for_a_shared_secret(bench, alg):
    assert await bench.verify(bench.mint())
    name = "sha512" if alg == "HS512" else "sha256"
    for secret in hmac_secrets(bench.stack.keys[""][-1]):
        forged = bench.mint(
            header={"alg": alg}, sign=lambda data, secret=secret: hmac.digest(secret, data, name)
        )
        await bench.refused(forged, "signature" if alg == "ES256" else "not signed with ES256")


@pytest.mark.parametrize(
    "alg",
    [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        None,
        "es256",
        "ES256 ",
        "ES384",
        "RS256",
        "EdDSA",
        ["ES256"],
        7,
        {},
    ],
)
async def test_any_other_algorithm_is_refused_before_a_key_is_sought(bench, alg):
    await bench.refused(bench.mint(header={"alg": alg}), "not signed with ES256")
    await bench.refused(bench.mint(header={"alg": alg}, sign=lambda _: b"x"), "not signed with ES256")
    assert bench.stack.jwks_requests == 0


@pytest.mark.parametrize("without", ["alg", "kid"])
async def test_a_header_without_algorithm_or_key_is_refused(bench, without):
    await bench.refused(bench.mint(without=[without]), "ES256|no key named")


@pytest.mark.parametrize("kid", [None, 7, 0, True, ["a"], {"a": 1}, "", "k" * 65])
async def test_a_key_name_that_is_no_short_text_is_refused(bench, kid):
    await bench.refused(bench.mint(header={"kid": kid}), "no key named|malformed")
    assert bench.stack.jwks_requests == 0


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["b64"], "b64": False},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"crit": None},
    ],
)
async def test_extensions_are_refused(bench, header):
    await bench.refused(bench.mint(header=header), "extensions|malformed")


async def test_a_key_that_the_token_brings_along_is_not_used(bench):
    own = SigningKey(kid=bench.stack.keys[""][-1].kid)
    header = {"jwk": own.jwk(), "jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/"}
    await bench.refused(bench.mint(key=own, header=header), "wrong signature")


async def test_empty_and_zero_signatures_are_refused(bench):
    for signature in (b"\x00" * 64, b"\x00", b"\xff" * 64, b"\x00" * 63, b"\x00" * 65):
        await bench.refused(bench.mint(sign=lambda _, signature=signature: signature), "wrong signature")
    await bench.refused(bench.mint().rsplit(".", 1)[0] + ".", "malformed")


async def test_padding_and_other_spellings_of_the_same_bytes_are_refused(bench):
    token = bench.mint()
    header, body, signature = token.split(".")
    for changed in (
        token + "=",
        token + "==",
        f"{header}=.{body}.{signature}",
        f"{header}.{body}==.{signature}",
        token + "\n",
        " " + token,
        token.replace(".", ".."),
        f"{token}.{signature}",
        f"{header}.{body}",
        f"{header}..{signature}",
        "..",
        "",
        f"{header}.{body}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}",  # the bits that belong to no byte
        f"Bearer {token}",
        f"stackauth_stackauth_{token}",
    ):
        await bench.refused(changed, "malformed|wrong signature")


async def test_every_changed_character_is_seen(bench):
    token = bench.mint()
    for position in range(0, len(token), 3):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        with pytest.raises(NotSignedIn):
            await bench.verify(changed)


@pytest.mark.parametrize(
    "huge",
    ["a" * 50_000_000, "." * 1_000_000, "A.B." + "C" * 8189, "eyJhbGciOiJFUzI1NiJ9." + "A" * 9000 + ".A"],
    ids=["50 MB", "dots", "one too long", "long body"],
)
async def test_a_huge_token_is_refused_cheaply(bench, huge):
    began = time.perf_counter()
    await bench.refused(huge, "longer than 8192")
    assert time.perf_counter() - began < 0.05


async def test_a_deeply_nested_token_is_refused(bench):
    nested = spell(b"[" * 3000 + b"]" * 3000)
    key = bench.stack.keys[""][-1]
    await bench.refused(f"{nested}.{nested[:9]}.AAAA", "malformed")
    head = spell(json.dumps({"alg": "ES256", "kid": key.kid}).encode())
    body = f"{head}.{spell(b'[' * 2500)}"
    await bench.refused(f"{body}.{spell(key.sign(body.encode()))}", "malformed")


def published(key: SigningKey, **changes) -> dict[str, object]:
    return {"keys": [key.jwk() | changes, SigningKey().jwk()]}


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"kty": "oct", "k": "AAAA"},
        {"crv": "P-384"},
        {"x": "AAAA"},
        {"y": None},
        {"kid": None},
        {"kid": 7},
    ],
)
async def test_a_published_key_that_is_not_for_this_use_verifies_nothing(bench, changes):
    key = bench.stack.keys[""][-1]
    bench.verifier = bench.a_verifier(fetch_json=answering(published(key, **changes)))
    await bench.refused(bench.mint(), "unknown key")


async def test_a_key_published_with_its_secret_half_verifies_nothing(bench):
    key = bench.stack.keys[""][-1]
    secret = spell(key.private.private_numbers().private_value.to_bytes(32, "big"))
    bench.verifier = bench.a_verifier(fetch_json=answering(published(key, d=secret)))
    await bench.refused(bench.mint(), "unknown key")


async def test_keys_of_other_kinds_beside_ours_do_no_harm(bench):
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    others = [
        None,
        "key",
        {},
        {"kty": "RSA", "kid": "r", "n": spell(numbers.n.to_bytes(256, "big")), "e": "AQAB"},
        {
            "kty": "EC",
            "crv": "P-384",
            "kid": "e",
            "x": spell(p384.x.to_bytes(48)),
            "y": spell(p384.y.to_bytes(48)),
        },
    ]
    listed = {"keys": [*others, *bench.stack.jwk_set()["keys"]]}
    bench.verifier = bench.a_verifier(fetch_json=answering(listed))
    assert await bench.verify(bench.mint())


@pytest.mark.parametrize("project_id", ["", "a/../b", "a b", "a" * 65, "ä", "p?x=1"])
def test_a_project_id_that_would_bend_the_address_is_refused(project_id):
    with pytest.raises(Invalid, match="STACK_PROJECT_ID"):
        StackVerifier(project_id=project_id, fetch_json=answering({}), clock=HandClock())


@pytest.mark.parametrize(
    "base_url", ["stack.example.com", "ftp://a", "https://u:p@a", "https://a?x=1", "https://"]
)
def test_an_address_that_is_none_is_refused(base_url):
    with pytest.raises(Invalid, match="https://"):
        StackVerifier(project_id="p", fetch_json=answering({}), clock=HandClock(), base_url=base_url)


# ── keys: fetched seldom, kept long ─────────────────────────────────────────────────────────────────────────────────


async def test_an_unknown_key_is_looked_up_once_however_many_ask(bench):
    assert await bench.verify(bench.mint())
    bench.stack.rotate()
    answers = await asyncio.gather(*(bench.verify(bench.mint()) for _ in range(50)))
    assert len({answer.subject for answer in answers}) == 50
    assert bench.stack.jwks_requests == 2


async def test_a_key_that_nobody_published_is_looked_up_once_however_many_ask(bench):
    assert await bench.verify(bench.mint())
    forged = [bench.mint(key=SigningKey()) for _ in range(49)]
    same = bench.mint(key=SigningKey())
    answers = await asyncio.gather(
        *(bench.verify(token) for token in [same, *forged]), return_exceptions=True
    )
    assert all(isinstance(answer, NotSignedIn) for answer in answers)
    await bench.refused(same, "unknown key")
    assert bench.stack.jwks_requests == 2


async def test_the_first_fifty_share_one_fetch(bench):
    await asyncio.gather(*(bench.verify(bench.mint()) for _ in range(50)))
    assert bench.stack.jwks_requests == 1


async def test_unknown_keys_cost_one_fetch_in_half_a_minute(bench):
    assert await bench.verify(bench.mint())
    for _ in range(120):
        bench.clock.passed_s += 1
        await bench.refused(bench.mint(key=SigningKey()), "unknown key")
    assert 4 <= bench.stack.jwks_requests <= 6


async def test_a_key_that_was_not_there_is_not_sought_again_for_a_while(bench):
    assert await bench.verify(bench.mint())
    anonymous = bench.mint(":anon", claims={"exp": NOW_S + 5000})
    for _ in range(9):
        await bench.refused(anonymous, "unknown key")
        bench.clock.passed_s += 31
    assert bench.stack.jwks_requests == 2
    bench.clock.passed_s += 60
    await bench.refused(anonymous, "unknown key")
    assert bench.stack.jwks_requests == 3


async def test_forgers_do_not_keep_a_new_key_out(bench):
    assert await bench.verify(bench.mint())
    await bench.refused(bench.mint(key=SigningKey()), "unknown key")
    bench.stack.rotate()
    await bench.refused(bench.mint(), "unknown key")  # the forger has used up the fetch of this half minute
    bench.clock.passed_s += 30
    assert await bench.verify(bench.mint())


async def test_made_up_key_names_do_not_fill_the_memory(bench):
    assert await bench.verify(bench.mint())
    for _ in range(300):
        bench.clock.passed_s += 30
        await bench.refused(bench.mint(key=SigningKey()), "unknown key")
    assert len(bench.verifier._keys._unknown_until_s) <= 256


async def test_keys_are_fetched_anew_after_an_hour_and_nobody_waits_for_it(bench):
    assert await bench.verify(bench.mint())
    bench.clock.passed_s = 3599
    assert await bench.verify(bench.mint())
    assert bench.stack.jwks_requests == 1
    bench.stack.outage = "hang"
    bench.clock.passed_s = 3600
    async with asyncio.timeout(1):
        for _ in range(20):
            assert await bench.verify(bench.mint())
    await bench.until_fetched(2)
    assert bench.stack.jwks_requests == 2


async def test_a_key_that_is_withdrawn_counts_no_more_after_the_next_fetch(bench):
    withdrawn = bench.stack.keys[""][0]
    assert await bench.verify(bench.mint(key=withdrawn))
    bench.stack.rotate()
    bench.clock.passed_s = 3600
    assert await bench.verify(bench.mint(key=withdrawn))
    await bench.until_fetched(2)
    await bench.refused(bench.mint(key=withdrawn), "unknown key")


@pytest.mark.parametrize("outage", ["refuse", "garbage", "empty"])
async def test_in_an_outage_the_last_good_keys_go_on_to_count(bench, outage):
    assert await bench.verify(bench.mint())
    bench.stack.outage = outage
    for hours in range(1, 26):
        bench.clock.passed_s = hours * 3600.0
        assert await bench.verify(bench.mint())
        await bench.until_fetched(1 + hours)
    with pytest.raises(Unavailable, match="names one that we do not hold"):
        await bench.verify(bench.mint(key=SigningKey()))
    bench.stack.rotate()
    bench.stack.end_outage()
    bench.clock.passed_s += 31
    assert await bench.verify(bench.mint())


async def test_in_an_outage_it_is_tried_once_in_half_a_minute(bench):
    assert await bench.verify(bench.mint())
    bench.stack.outage = "refuse"
    for second in range(60):
        bench.clock.passed_s = 3600.0 + second
        assert await bench.verify(bench.mint())
        await asyncio.sleep(0.004)
    await bench.until_fetched(3)
    assert bench.stack.jwks_requests == 3


async def test_before_any_key_was_fetched_an_outage_is_not_the_users_fault(bench):
    bench.stack.outage = "refuse"
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await bench.verify(bench.mint())
        assert 1 <= caught.value.retry_after_s <= 30
    assert bench.stack.jwks_requests == 1
    bench.stack.end_outage()
    bench.clock.passed_s += 30
    assert await bench.verify(bench.mint())


async def test_whoever_hangs_up_does_not_end_the_fetch_for_the_others(bench):
    bench.stack.outage = "hang"
    asking = [asyncio.create_task(bench.verify(bench.mint())) for _ in range(4)]
    await bench.until_fetched(1)
    asking[0].cancel()
    bench.stack.end_outage()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(answer.email == "ann@example.com" for answer in answers[1:])
    assert bench.stack.jwks_requests == 1


async def test_closing_ends_a_fetch_that_hangs(bench):
    bench.stack.outage = "hang"
    asking = asyncio.create_task(bench.verify(bench.mint()))
    await bench.until_fetched(1)
    async with asyncio.timeout(1):
        await bench.verifier.close()
        with pytest.raises(asyncio.CancelledError):
            await asking


# ── noise ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def answering(answer: object):
    async def fetch_json(_: str) -> object:
        return answer

    return fetch_json


def from_memory(stack: FakeStackAuth):
    return answering(stack.jwk_set())


QUIET = FakeStackAuth()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {"alg": st.sampled_from(["ES256", "none", "HS256"]) | JSON},
        optional={"kid": st.just(QUIET.keys[""][-1].kid) | JSON, "crit": JSON, "b64": JSON, "typ": JSON},
    ),
)
RIGHT_CLAIMS = QUIET.claims(now=NOW_S)
CHANGED_CLAIMS = st.dictionaries(st.sampled_from(sorted(RIGHT_CLAIMS)), JSON, min_size=1, max_size=3)


async def refuse_quietly(token: str) -> None:
    verifier = StackVerifier(project_id=QUIET.project_id, fetch_json=from_memory(QUIET), clock=HandClock())
    with pytest.raises(NotSignedIn):
        await verifier.verify(token)


FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(
    st.text()
    | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,90}", fullmatch=True)
)
@FUZZ
async def test_no_text_is_a_token(text):
    await refuse_quietly(text)


@given(HEADERS, JSON, st.binary(max_size=70))
@FUZZ
async def test_no_made_up_header_and_body_is_a_token(header, claims, signature):
    await refuse_quietly(compact(header, claims, lambda _: signature))


@given(HEADERS, st.binary(max_size=200))
@FUZZ
async def test_no_signed_bytes_are_a_token(header, body):
    signed = f"{spell(json.dumps(header).encode())}.{spell(body)}"
    await refuse_quietly(f"{signed}.{spell(QUIET.keys[''][-1].sign(signed.encode()))}")


@given(CHANGED_CLAIMS)
@FUZZ
async def test_changed_claims_are_refused_or_change_nobodys_identity(changes):
    verifier = StackVerifier(project_id=QUIET.project_id, fetch_json=from_memory(QUIET), clock=HandClock())
    claims = RIGHT_CLAIMS | changes
    token = compact({"alg": "ES256", "kid": QUIET.keys[""][-1].kid}, claims, QUIET.keys[""][-1].sign)
    try:
        identity = await verifier.verify(token)
    except NotSignedIn:
        return
    assert (claims["iss"], claims["aud"]) == (RIGHT_CLAIMS["iss"], RIGHT_CLAIMS["aud"])
    assert str(identity.subject) == claims["sub"]
    assert claims["is_anonymous"] is False
    assert claims["is_restricted"] is False


@given(st.integers(0, 10_000), st.characters(codec="utf-8"))
@FUZZ
async def test_a_right_token_with_any_character_changed_is_refused(position, character):
    token = QUIET.mint(now=NOW_S)
    position %= len(token)
    if token[position] != character:
        await refuse_quietly(token[:position] + character + token[position + 1 :])


@given(JSON)
@FUZZ
async def test_no_list_of_keys_breaks_the_verifier(answer):
    verifier = StackVerifier(
        project_id=QUIET.project_id, fetch_json=answering({"keys": answer}), clock=HandClock()
    )
    with pytest.raises((NotSignedIn, Unavailable)):
        await verifier.verify(QUIET.mint(now=NOW_S))
