from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1zap.accounts.same_origin import SAFE_METHODS, is_same_origin

OURS = ["https://a1.example.com"]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        # A page with Referrer-Policy: no-referrer sends Origin: null, and the browser still vouches for it.
        {"sec-fetch-site": "same-origin", "origin": "null"},
        # Another page of ours that the operator named, for instance a dashboard on a host of its own.
        {"sec-fetch-site": "cross-site", "origin": "https://a1.example.com"},
        {"sec-fetch-site": "same-site", "origin": "https://a1.example.com"},
        # Plain http in a local network: browsers send no Sec-Fetch-Site there.
        {"origin": "http://192.168.1.5:8000", "host": "192.168.1.5:8000"},
        {"origin": "http://[::1]:8000", "host": "[::1]:8000"},
        {"origin": "http://A1.local", "host": "a1.local:80"},
        {"origin": "https://a1.local", "host": "a1.local"},
        {"origin": "https://a1.example.com", "host": "internal:8000"},  # behind a proxy
        {"origin": "https://a1.example.com:443", "host": "internal:8000"},
        {"referer": "https://a1.example.com/chats/7?x=1"},
        {"referer": "http://127.0.0.1:8000/", "host": "127.0.0.1:8000"},
    ],
)
def test_a_request_of_our_own_page_is_let_through(headers):
    assert is_same_origin(headers, OURS)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "a1.example.com"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "something-new"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": "https://evil.example.com"},
        # Where the browser speaks, neither Host nor Referer may contradict it.
        {"sec-fetch-site": "cross-site", "origin": "https://a1.local", "host": "a1.local"},
        {"sec-fetch-site": "cross-site", "referer": "https://a1.example.com/"},
        {"origin": "null", "host": "a1.example.com"},
        {"origin": "null", "referer": "https://a1.example.com/"},
        {"origin": "", "referer": "https://a1.example.com/"},
        {"origin": "https://evil.example", "referer": "https://a1.example.com/"},
        {"origin": "https://a1.example.com.evil.example"},
        {"origin": "https://evil.example/https://a1.example.com"},
        {"origin": "https://a1.example.com@evil.example"},
        {"origin": "https://evil@a1.example.com"},
        {"origin": "http://a1.example.com"},
        {"origin": "https://a1.example.com:8443"},
        {"origin": "http://127.0.0.1:9999", "host": "127.0.0.1:8000"},  # another program on this machine
        {"origin": "http://localhost:8000", "host": "127.0.0.1:8000"},
        {"origin": "http://:8000", "host": ":8000"},
        {"origin": "http://", "host": ""},
        {"origin": "file:///etc/passwd", "host": ""},
        {"origin": "http://[::1", "host": "[::1"},
        {"origin": "http://a:99999", "host": "a:99999"},
        {"referer": "about:blank", "host": "blank"},
    ],
)
def test_a_request_without_a_proof_is_refused(headers):
    assert not is_same_origin(headers, OURS)


def test_an_allowed_origin_that_is_none_allows_nothing():
    assert not is_same_origin({"origin": "null"}, ["null", "", "*"])
    assert not is_same_origin({"origin": "https://evil.example"}, ["*"])


def test_only_methods_that_change_nothing_are_safe():
    assert {"GET", "HEAD", "OPTIONS"} == SAFE_METHODS


@given(st.dictionaries(st.sampled_from(["origin", "referer", "host"]), st.text()))
def test_no_header_breaks_the_check(headers):
    assert is_same_origin(headers | {"sec-fetch-site": "cross-site"}, OURS) is False
    assert is_same_origin(headers, OURS) in {True, False}
