"""Who may be believed to be the sender: only what our own server or provider found out, and only about this sender."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from a1zap.channels.email.mail import Headers, Mail
from a1zap.channels.email.parse_mail import parse_mail
from a1zap.channels.email.read_head import glance
from a1zap.channels.email.sender_proof import (
    Proof,
    is_aligned,
    is_sender_proven,
    read_authentication_results,
)

MAILS = Path(__file__).parents[3] / "contracts" / "payloads" / "email"
OURS = ("mx.in.example.org",)


def proof(*results: str, sender: str = "ada@example.com", is_from_ambiguous: bool = False) -> Proof:
    headers = Headers(tuple(("authentication-results", value) for value in results))
    return is_sender_proven(
        Mail(from_address=sender, headers=headers, is_from_ambiguous=is_from_ambiguous), OURS
    )


def test_our_servers_topmost_word_counts():
    mail = parse_mail((MAILS / "authenticated.eml").read_bytes())
    assert is_sender_proven(mail, OURS) == Proof(is_proven=True, is_forged=False, why="dmarc=pass")
    assert not is_sender_proven(mail, ("other.example",)).is_proven
    assert not is_sender_proven(mail, ()).is_proven


def test_a_forged_mail_is_held_whatever_it_says_of_itself():
    found = is_sender_proven(parse_mail((MAILS / "forged.eml").read_bytes()), OURS)
    assert (found.is_proven, found.is_forged) == (False, True)


@pytest.mark.parametrize(
    ("results", "is_proven"),
    [
        ("mx.in.example.org; dmarc=pass header.from=example.com", True),
        ("MX.in.example.org 1; dmarc=pass", True),
        ('"mx.in.example.org"; dmarc = pass header.from = "example.com"', True),
        ("mx.in.example.org; dmarc=pass header.from=other.example", False),
        ("mx.in.example.org; dkim=pass header.d=example.com", True),
        ("mx.in.example.org; dkim=pass header.i=@news.example.com", True),
        ("mx.in.example.org; dkim=pass header.d=example.org", False),
        ("mx.in.example.org; dkim=pass header.d=notexample.com", False),
        ("mx.in.example.org; dkim=pass header.d=com", False),
        ("mx.in.example.org; dkim=fail header.d=example.com", False),
        ("mx.in.example.org; dkim=fail header.d=a.example; dkim=pass header.d=example.com", True),
        ("mx.in.example.org; spf=pass smtp.mailfrom=bounce@mail.example.com", True),
        ("mx.in.example.org; spf=pass smtp.mailfrom=example.com", True),
        ("mx.in.example.org; spf=softfail smtp.mailfrom=example.com", False),
        ("mx.in.example.org; spf=pass smtp.helo=example.com", False),
        ("mx.in.example.org; dmarc=fail header.from=example.com; dkim=pass header.d=example.com", False),
        ("mx.in.example.org; dmarc=temperror; dkim=pass header.d=example.com", True),
        ("mx.in.example.org; none", False),
        ("mx.in.example.org (; dmarc=pass header.from=example.com)", False),
        ('mx.in.example.org; spf=fail reason="; dmarc=pass header.from=example.com"', False),
        ("mx.in.example.org.evil.example; dmarc=pass", False),
        ("evil.example; mx.in.example.org; dmarc=pass", False),
        ("(mx.in.example.org) evil.example; dmarc=pass", False),
        ("", False),
        (";;;===((", False),
    ],
)
def test_results_are_read_as_they_are_meant(results: str, is_proven: bool):
    assert proof(results).is_proven is is_proven


@pytest.mark.parametrize(
    ("results", "is_forged"),
    [
        ("mx.in.example.org; dmarc=fail (p=reject sp=none dis=none) header.from=example.com", True),
        ("mx.in.example.org; dmarc=fail (p=QUARANTINE) header.from=example.com", True),
        ("mx.in.example.org; dmarc=fail (p=none) header.from=example.com", False),
        ("mx.in.example.org; dmarc=fail header.from=example.com", False),
        ("mx.in.example.org; dmarc=fail action=oreject header.from=example.com", True),
        ("mx.in.example.org; dmarc=fail policy.published-domain-policy=reject", True),
        ("mx.in.example.org; dmarc=fail (sp=reject p=none)", False),
        ("mx.in.example.org; dmarc=pass (p=reject)", False),
    ],
)
def test_a_failed_check_holds_the_mail_only_where_its_domain_asks_for_that(results: str, is_forged: bool):
    assert proof(results).is_forged is is_forged


def test_a_strangers_header_above_ours_changes_nothing():
    passed = "mx.in.example.org; dmarc=pass header.from=example.com"
    assert not proof("evil.example; dmarc=pass").is_proven
    assert proof("evil.example; dmarc=fail", passed).is_proven
    assert not proof("mx.in.example.org; dmarc=none", passed).is_proven


def test_of_several_senders_none_is_proven():
    passed = "mx.in.example.org; dmarc=pass header.from=example.com"
    assert not proof(passed, is_from_ambiguous=True).is_proven
    assert not proof(passed, sender="").is_proven


@dataclass(frozen=True)
class Told:
    spf: str = "none"
    spf_domain: str = ""
    dkim: str = "none"
    dkim_domains: tuple[str, ...] = ()
    dmarc: str = "none"
    dmarc_policy: str = ""


def test_a_providers_verdict_takes_the_place_of_the_headers():
    mail = parse_mail((MAILS / "authenticated.eml").read_bytes())
    assert is_sender_proven(mail, OURS, Told(dmarc="fail", dmarc_policy="REJECT")).is_forged
    assert not is_sender_proven(mail, OURS, Told(spf="fail", spf_domain="example.com")).is_proven
    assert not is_sender_proven(mail, OURS, Told(spf="pass")).is_proven
    assert is_sender_proven(mail, (), Told(spf="pass", spf_domain="example.com")).is_proven
    assert is_sender_proven(mail, (), Told(dkim="pass", dkim_domains=("x.example", "example.com"))).is_proven
    assert is_sender_proven(mail, OURS, Told()).is_proven  # it said nothing, so our server is asked


def test_alignment():
    assert is_aligned("example.com", "Example.com.")
    assert is_aligned("mail.example.com", "example.com") and is_aligned("example.com", "mail.example.com")
    assert not is_aligned("a.example.com", "b.example.com")
    assert not is_aligned("example.com", "com") and not is_aligned("", "")


def test_comments_nest_and_are_kept_apart():
    server, results = read_authentication_results(
        "a.example (x (y) z); dmarc=fail (p=reject (really)) header.from=b.c"
    )
    assert server == "a.example"
    assert [(one.method, one.result, one.properties) for one in results] == [
        ("dmarc", "fail", {"header.from": "b.c"})
    ]
    assert "p=reject" in results[0].comment


@pytest.mark.parametrize(
    "sender",
    [
        "=?us-ascii?q?a=3Bdmarc=3Dpass_header.from=3Dbank.example=3B?=@evil.example",
        '"=?us-ascii?q?a=22=3Bdmarc=3Dpass_header.from=3Dbank.example=3B?="@evil.example',
        "=?utf-8?b?YTtkbWFyYz1wYXNzIGhlYWRlci5mcm9tPWJhbmsuZXhhbXBsZTs=?=@evil.example",
    ],
)
def test_an_address_cannot_slip_a_verdict_into_what_our_server_wrote(sender: str):
    ours = f"{OURS[0]}; spf=pass smtp.mailfrom={sender}; dmarc=fail (p=REJECT) header.from=bank.example"
    raw = f"Authentication-Results: {ours}\r\nFrom: ceo@bank.example\r\n\r\nPay this.\r\n".encode()
    found = is_sender_proven(parse_mail(raw), OURS)
    assert (found.is_proven, found.is_forged) == (False, True), found.why


def test_of_two_dmarc_results_the_bad_one_counts():
    assert not proof(
        f"{OURS[0]}; dmarc=pass header.from=example.com; dmarc=fail header.from=example.com"
    ).is_proven


@pytest.mark.parametrize(
    "head",
    [
        b"Subject: x\rFrom: ceo@bank.example\r\rhidden\r\nFrom: eve@evil.example",
        b"Subject: x\rFrom: ceo@bank.example\r\nX: y",
        b"From: ceo@bank.example\r\n" + b"X: y\r\n" * 60_000 + b"From: eve@evil.example",
    ],
)
def test_a_head_that_two_readers_cut_differently_proves_nobody(head: bytes):
    told = Told(dmarc="pass")
    raw = head + b"\r\n\r\nPay this.\r\n"
    assert not is_sender_proven(parse_mail(raw), (), told).is_proven
    assert not is_sender_proven(glance(raw, "too large"), (), told).is_proven
    plain = b"From: ceo@bank.example\nSubject: x\n\nPay this,\rplease.\n"
    assert is_sender_proven(parse_mail(plain), (), told).is_proven
