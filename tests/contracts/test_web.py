"""Web chat: what its settings may be, whom it believes, and that nothing else is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.api.talk import client, new_agent
from tests.conftest import MakeHouse, TestHouse

from a1zap.accounts.visits import (
    NO_PRINT,
    VISIT_KEY_PURPOSE,
    Visit,
    sign_visit,
    verify_renewal,
    verify_visit,
)
from a1zap.channels.contract import ChannelAccount
from a1zap.channels.web import Web, check_identity, is_allowed_origin, knows_print, print_of, takes_files
from a1zap.kit.errors import Invalid, NotConfigured, NotSignedIn

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOBODY = UUID(int=1)
SECRET = "idsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = bytes(range(32))


def account(**settings: str) -> ChannelAccount:
    _, credentials = Web().check_settings(settings)
    return ChannelAccount(NOBODY, NOBODY, NOBODY, "web", "", credentials)


def hash_of(user_id: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("", ""),
        ("https://www.example.com", "https://www.example.com"),
        ("https://www.example.com/", "https://www.example.com"),
        ("HTTPS://Www.Example.COM:443", "https://www.example.com"),
        ("http://localhost:3000, https://a.example", "http://localhost:3000,https://a.example"),
        ('["https://a.example", "https://b.example:8443"]', "https://a.example,https://b.example:8443"),
        ("https://a.example,https://A.example,", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("[]", ""),
    ],
)
def test_origins_are_kept_as_browsers_spell_them(typed: str, kept: str):
    assert account(allowed_origins=typed).credentials["allowed_origins"] == kept


@pytest.mark.parametrize(
    "typed",
    [
        "*",
        "null",
        "www.example.com",
        "//www.example.com",
        "https://*.example.com",
        "https://",
        "https://www.example.com/page",
        "https://www.example.com?x",
        "https://www.example.com#x",
        "https://user@www.example.com",
        "https://www.example.com:",
        "https://www.example.com:0",
        "https://www.example.com:99999",
        "https://bücher.example",
        "https://a.example https://b.example",
        "https://a.example\nhttps://b.example",
        "https://.example",
        "https://example.",
        "ftp://a.example",
        "file:///x",
        "chrome-extension://abc",
        "[",
        '["https://a.example", 1]',
        '["https://a.example,https://b.example"]',
        '{"a": 1}',
    ],
)
def test_what_is_no_origin_is_refused_with_what_one_looks_like(typed: str):
    with pytest.raises(Invalid) as refused:
        account(allowed_origins=typed)
    assert refused.value.field == "allowed_origins"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"allowed_origin": "https://a.example"}, "allowed_origin"),
        ({"identity_secret": "short"}, "identity_secret"),
        ({"identity_secret": "x" * 201}, "identity_secret"),
        ({"identity_secret": "with a space in it, and long enough for it"}, "identity_secret"),
        ({"old_identity_secret": "short"}, "old_identity_secret"),
        ({"greeting": "x" * 1001}, "greeting"),
        ({"accepts_files": "yes"}, "accepts_files"),
        ({"allowed_origins": ",".join(f"https://a{n}.example" for n in range(51))}, "allowed_origins"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], field: str):
    with pytest.raises(Invalid) as refused:
        account(**settings)
    assert refused.value.field == field


def test_a_secret_is_made_where_none_is_brought_and_each_is_another():
    first, second = account(), account()
    assert first.credentials["identity_secret"].startswith("idsec_")
    assert len(first.credentials["identity_secret"]) >= 40
    assert first.credentials["identity_secret"] != second.credentials["identity_secret"]
    assert takes_files(first) and not takes_files(account(accepts_files="False"))


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "*",
        "https://a.example:443",
        "https://a.example/",
        "http://a.example",
        "https://A.example",
        "https://a.example.evil.example",
        "https://evil-a.example",
        "https://b.a.example",
        "https://a.example:8443",
        "https://a.example,https://b.example",
        " https://a.example",
        "https://a.example\n",
        "https://a.exampl",
        "https://аexample",
    ],
)
def test_only_the_very_origin_is_allowed(origin: str):
    found = account(allowed_origins="https://a.example,https://b.example")
    assert is_allowed_origin(found, "https://a.example") and is_allowed_origin(found, "https://b.example")
    assert not is_allowed_origin(found, origin)
    assert not is_allowed_origin(account(), origin)


# ── whom it believes ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("user_id", ["7", "customer-17", "jane@example.com", "Zoë 🐙", " 7 ", "x" * 200, "0"])
def test_whom_the_site_vouches_for_is_believed(user_id: str):
    found = account(identity_secret=SECRET)
    assert check_identity(found, user_id, hash_of(user_id)) == print_of(SECRET)


def test_the_old_secret_counts_while_it_is_named():
    new = "idsec_" + "n" * 40
    both = account(identity_secret=new, old_identity_secret=SECRET)
    only_new = account(identity_secret=new)
    assert check_identity(both, "7", hash_of("7")) == print_of(SECRET)
    assert check_identity(both, "7", hash_of("7", new)) == print_of(new)
    assert knows_print(both, print_of(SECRET)) and not knows_print(only_new, print_of(SECRET))
    with pytest.raises(NotSignedIn):
        check_identity(only_new, "7", hash_of("7"))


def test_without_a_secret_it_is_refused_and_never_skipped():
    bare = ChannelAccount(NOBODY, NOBODY, NOBODY, "web", "", {})
    for claimed in ("", hash_of("7", ""), hash_of("7")):
        with pytest.raises(NotConfigured):
            check_identity(bare, "7", claimed)
    assert not knows_print(bare, NO_PRINT) and not knows_print(bare, print_of(""))


def _mutations(text: str, alphabet: str, count: int, seed: int) -> list[str]:
    """So many texts that are not this one: one letter changed, gone, added, twice, or the case of it."""
    rng, found = random.Random(seed), set[str]()
    while len(found) < count:
        at = rng.randrange(len(text))
        made = rng.choice(
            (
                text[:at] + rng.choice(alphabet) + text[at + 1 :],
                text[:at] + text[at + 1 :],
                text[:at] + rng.choice(alphabet) + text[at:],
                text[:at],
                text[at:] + text[:at],
                text[:at] + text[at].upper() + text[at + 1 :],
                text.upper(),
                " " + text,
                text + "\n",
                text + text[:at],
            )
        )
        if made != text:
            found.add(made)
    return sorted(found)


def test_of_200_mutations_of_a_hash_none_is_accepted():
    found, right = account(identity_secret=SECRET), hash_of("customer-17")
    for wrong in _mutations(right, "0123456789abcdef", 200, seed=7):
        with pytest.raises(NotSignedIn):
            check_identity(found, "customer-17", wrong)
    for user_id in _mutations("customer-17", "abc-0123456789", 200, seed=8):
        with pytest.raises(NotSignedIn):
            check_identity(found, user_id, right)


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def a_visit(**more: object) -> Visit:
    ids = [UUID(int=n << 64 | n) for n in range(1, 6)]
    visit = Visit(*ids, NOW + timedelta(hours=1), NOW + timedelta(days=30))
    return replace(visit, **more)  # type: ignore[arg-type]


def test_a_token_says_what_was_signed_until_its_hour_is_over():
    visit = a_visit(identity_print=print_of(SECRET))
    token = sign_visit(KEY, visit)
    assert verify_visit(KEY, token, NOW) == verify_renewal(KEY, token, NOW) == visit
    assert visit.is_identified and not a_visit().is_identified
    with pytest.raises(NotSignedIn, match="renew"):
        verify_visit(KEY, token, NOW + timedelta(hours=1))
    assert verify_renewal(KEY, token, NOW + timedelta(days=29)) == visit
    with pytest.raises(NotSignedIn):
        verify_renewal(KEY, token, NOW + timedelta(days=30))
    with pytest.raises(NotSignedIn):
        verify_visit(bytes(32), token, NOW)


def test_of_200_mutations_of_a_token_none_is_accepted():
    token = sign_visit(KEY, a_visit())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/"
    for wrong in _mutations(token, alphabet, 200, seed=9):
        for check in (verify_visit, verify_renewal):
            with pytest.raises(NotSignedIn):
                check(KEY, wrong, NOW)


def test_every_bit_of_a_token_counts():
    token = sign_visit(KEY, a_visit())
    raw = bytearray(base64.urlsafe_b64decode(token[4:] + "=" * (-len(token[4:]) % 4)))
    for bit in range(len(raw) * 8):
        raw[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotSignedIn):
            verify_renewal(KEY, "a1w_" + base64.urlsafe_b64encode(raw).decode().rstrip("="), NOW)
        raw[bit // 8] ^= 1 << bit % 8


# ── through the real door ───────────────────────────────────────────────────────────────────────────────────────────


async def test_of_200_mutations_at_the_door_none_gets_in_and_none_writes(make_house: MakeHouse):
    house: TestHouse = await make_house(serve=True)
    owner = await house.owner()
    async with client(house, owner) as http:
        agent_id = await new_agent(http, is_public=True)
        [web] = [c for c in (await http.get(f"/api/agents/{agent_id}/channels")).json() if c["kind"] == "web"]
        path = f"/api/agents/{agent_id}/channels/{web['id']}"
        answer = await http.patch(path, json={"settings": {"identity_secret": SECRET}})
        assert answer.status_code == 200 and answer.json()["shown_once"] == {}
    identity = {"user_id": "customer-17", "hash": hash_of("customer-17")}
    wrong = [
        {**identity, "hash": made} for made in _mutations(identity["hash"], "0123456789abcdef", 150, seed=1)
    ] + [{**identity, "user_id": made} for made in _mutations("customer-17", "abc-123", 50, seed=2)]
    refused = 0
    async with client(house) as http:
        for one in wrong:
            answer = await http.post(f"/api/agents/{agent_id}/visitors", json={"identity": one})
            refused += answer.status_code in (401, 422)
            assert "token" not in answer.json()
        assert refused == 200
        assert await house.as_admin("SELECT 1 FROM conversation_users") == []
        right = await http.post(f"/api/agents/{agent_id}/visitors", json={"identity": identity})
        assert right.status_code == 201 and right.json()["is_identified"] is True
        token = right.json()["token"]
        statuses = set[int]()
        for made in _mutations(token, "ABCabc012-_", 100, seed=3):
            asked = await http.get(
                f"/api/agents/{agent_id}/conversations",
                headers={"authorization": "Bearer " + made.strip()},
            )
            statuses.add(asked.status_code if made.strip() != token else 401)
        assert statuses == {401}
    key = house.keyring.master.derive(VISIT_KEY_PURPOSE)
    assert verify_visit(key, token, house.clock.now()).agent_id == UUID(agent_id) != uuid4()
