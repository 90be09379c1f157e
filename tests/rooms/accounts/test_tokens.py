from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1zap.accounts.tokens import (
    TokenKind,
    Visitor,
    digest_token,
    expired_session_cookie,
    matches_token,
    new_token,
    session_cookie,
    sign_visitor,
    verify_visitor,
)
from a1zap.kit.crypto import MasterKey
from a1zap.kit.errors import NotSignedIn
from a1zap.kit.ids import AgentId, OwnerId

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
KEY = MasterKey.of(os.urandom(32)).derive("visitor tokens")


def a_visitor(**changes) -> Visitor:
    known = {"owner_id": OwnerId(uuid4()), "agent_id": AgentId(uuid4()), "address_id": uuid4()}
    return Visitor(**(known | {"expires_at": NOW + timedelta(days=30)} | changes))


@pytest.mark.parametrize("kind", TokenKind)
def test_a_token_carries_256_bits_and_only_its_hash_is_for_keeping(kind):
    token = new_token(kind)
    assert token.text.startswith(kind.value)
    assert len(token.text) == 47
    assert len(base64.urlsafe_b64decode(token.text[4:] + "=")) == 32
    assert token.digest == hashlib.sha256(token.text.encode()).digest() == digest_token(token.text, kind)
    assert token.prefix == token.text[:8]
    assert token.text not in repr(token)


def test_an_api_key_begins_as_promised():
    assert new_token(TokenKind.API_KEY).text.startswith("a1z_")


def test_tokens_do_not_repeat():
    assert len({new_token(TokenKind.SESSION).text for _ in range(1000)}) == 1000


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize("other", TokenKind)
def test_a_token_of_one_kind_is_not_one_of_another(kind, other):
    token = new_token(kind)
    if kind is other:
        assert digest_token(token.text, other)
    else:
        with pytest.raises(NotSignedIn, match=f"begins with {other.value}"):
            digest_token(token.text, other)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + "A",
        lambda text: text + "\n",
        lambda text: text[:-1] + "=",
        lambda text: text[:-1] + "é",
        lambda text: " " + text,
        lambda text: text.upper(),
        lambda _: "",
    ],
)
def test_a_token_of_the_wrong_form_is_refused_unread(spoil):
    text = spoil(new_token(TokenKind.API_KEY).text)
    with pytest.raises(NotSignedIn) as caught:
        digest_token(text, TokenKind.API_KEY)
    assert not text or text not in str(caught.value)


@given(st.text())
def test_no_text_breaks_the_comparison(text):
    assert not matches_token(text, new_token(TokenKind.API_KEY).digest)
    assert not matches_token(text + "\ud800", new_token(TokenKind.API_KEY).digest)


def test_only_the_token_itself_matches():
    token = new_token(TokenKind.API_KEY)
    assert matches_token(token.text, token.digest)
    assert not matches_token(token.text[:-1] + "!", token.digest)


def test_the_session_cookie_is_out_of_reach_for_scripts_other_hosts_and_foreign_forms():
    cookie = session_cookie("a1s_x", lifetime_s=3600, secure=True)
    assert cookie == "a1zap_session=a1s_x; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"
    assert "Secure" not in session_cookie("a1s_x", lifetime_s=3600, secure=False)
    assert expired_session_cookie(secure=False).startswith("a1zap_session=; Path=/; Max-Age=0; HttpOnly")


def test_a_visitor_comes_back_as_signed():
    visitor = a_visitor()
    token = sign_visitor(KEY, visitor)
    assert verify_visitor(KEY, token, NOW) == visitor
    assert len(token) == 123
    assert token.startswith("a1v_")


def test_a_visitor_token_ends_at_its_second():
    token = sign_visitor(KEY, a_visitor(expires_at=NOW))
    assert verify_visitor(KEY, token, NOW - timedelta(seconds=1)).expires_at == NOW
    for now in (NOW, NOW + timedelta(days=1)):
        with pytest.raises(NotSignedIn, match="expired at 2026-11-23 12:00:00 UTC"):
            verify_visitor(KEY, token, now)


def test_a_visitor_token_signed_with_another_key_is_not_ours():
    for key in (os.urandom(32), MasterKey.of(os.urandom(32)).derive("visitor tokens")):
        with pytest.raises(NotSignedIn, match="no visitor token of ours"):
            verify_visitor(KEY, sign_visitor(key, a_visitor()), NOW)


def test_a_visitor_token_with_any_one_character_changed_is_refused():
    token = sign_visitor(KEY, a_visitor())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=\n é"
    for position in range(len(token)):
        for character in alphabet:
            changed = token[:position] + character + token[position + 1 :]
            if changed != token:
                with pytest.raises(NotSignedIn):
                    verify_visitor(KEY, changed, NOW)


@pytest.mark.parametrize(("version", "expires_s"), [(0, 2**33), (2, 2**33), (1, 2**63), (1, 2**64 - 1)])
def test_a_visitor_token_of_another_format_or_age_is_refused_though_we_signed_it(version, expires_s):
    body = struct.pack("!B48sQ", version, os.urandom(48), expires_s)
    with pytest.raises(NotSignedIn, match="no visitor token of ours"):
        verify_visitor(KEY, "a1v_" + spell(body + hmac.digest(KEY, body, "sha256")), NOW)


@given(st.one_of(st.text(), st.binary(min_size=89, max_size=89).map(lambda raw: "a1v_" + spell(raw))))
@settings(max_examples=200)
def test_nothing_made_up_is_a_visitor_token(token):
    with pytest.raises(NotSignedIn):
        verify_visitor(KEY, token, NOW)


def spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
