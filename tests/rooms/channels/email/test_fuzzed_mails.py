"""Thousands of broken mails: none raises, and every string that comes out can be stored.

`A1ZAP_TEST_CYCLES` makes more of them (in thousands; 3 where it is not set).
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from a1zap.channels.email.automatic import why_automatic
from a1zap.channels.email.mail import Mail, pack_mail, unpack_mail
from a1zap.channels.email.parse_mail import parse_mail
from a1zap.channels.email.read_head import glance
from a1zap.channels.email.sender_proof import is_sender_proven

SEEDS = [
    path.read_bytes()
    for path in sorted((Path(__file__).parents[3] / "contracts/payloads/email").glob("*.eml"))
]
SMALL = [seed for seed in SEEDS if len(seed) < 20_000]
ROUNDS = int(os.environ.get("A1ZAP_TEST_CYCLES", "3")) * 100
# What parsers stumble over, put anywhere.
SPLICES = (
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\r", b"\n\n", b"\r\n\r\n", b"\t", b"\x1b$B", b"\xef\xbb\xbf"),
    *(
        b"=?",
        b"?=",
        b"=?utf-8?b?",
        b"=?x?q?=\xff?=",
        b"=?\x00?q?a?=",
        b"=?utf-7?q?+2AA-?=",
        b"=?idna?q?xn--a?=",
    ),
    *(b"<", b">", b'"', b"(", b")", b"\\", b",", b";", b":", b"@", b"*", b"''", b"%", b"%ff%00"),
    *(b"; charset=unknown-8bit", b"; charset*=x''y", b"; charset*0=a", b'; charset="', b"; charset=utf-16"),
    *(
        b"; boundary=",
        b'; boundary=""',
        b"; name*=utf-8''%ff",
        b"; name*99999=x",
        b"; filename*0*=",
        b"; format=flowed",
    ),
    *(b"\nContent-Type: multipart/alternative; boundary=a\n\n--a\n", b"\nContent-Type: message/rfc822\n\n"),
    *(
        b"\nContent-Transfer-Encoding: x-uuencode\n\nbegin 666 x\n!\n",
        b"\nContent-Transfer-Encoding: base64\n\n=A=",
    ),
    *(
        b"\nContent-Type: text/html\n\n<table><",
        b"\nDate: ",
        b"\nFrom: ",
        b"\nContent-Type: message/delivery-status\n\n",
    ),
)


def mutant(chance: random.Random) -> bytes:
    raw = bytearray(chance.choice(SMALL))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(7):
            case 0 if raw:
                raw[at % len(raw)] ^= 1 << chance.randrange(8)
            case 1:
                raw[at:] = b""
            case 2:
                raw[at:at] = chance.choice(SPLICES)
            case 3:
                other = chance.choice(SMALL)
                raw[at:] = other[chance.randrange(len(other) + 1) :]
            case 4:
                raw[at : at + chance.randrange(40)] = b""
            case 5:
                raw[at:at] = chance.randbytes(chance.randrange(20))
            case _:
                end = at + chance.randrange(200)
                raw[at:at] = raw[at:end]
    return bytes(raw)


def strings_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        return [found for one in fields(value) for found in strings_of(getattr(value, one.name))]
    if isinstance(value, tuple):
        return [found for one in value for found in strings_of(one)]
    return []


def check(mail: Mail) -> None:
    for text in strings_of(mail):
        assert "\x00" not in text
        text.encode()
    for file in mail.attachments:
        assert file.name and len(file.name) <= 120
        assert not set(file.name) & set("/\\\r\n\u202e") and file.name not in {".", ".."}
    assert unpack_mail(pack_mail(mail)) == mail
    why_automatic(mail, "a@example.org", {"b@example.org"})
    is_sender_proven(mail, {"mx.in.example.org"})


@pytest.mark.parametrize("seed", range(10))
def test_no_mutant_raises_and_all_that_it_says_can_be_stored(seed: int):
    chance = random.Random(seed)
    for number in range(ROUNDS):
        raw = mutant(chance)
        try:
            check(parse_mail(raw))
            check(glance(raw, "x"))
        except Exception as error:
            raise AssertionError(f"seed {seed}, mutant {number}, {len(raw)} bytes") from error


def test_noise_is_a_mail_too():
    chance = random.Random(1)
    for size in range(300):
        check(parse_mail(chance.randbytes(size)))
        check(parse_mail(b"Content-Type: " + chance.randbytes(size) + b"\r\n\r\n" + chance.randbytes(size)))


def test_a_mail_may_end_anywhere():
    for raw in SMALL[::7]:
        for end in range(0, len(raw), 23):
            check(parse_mail(raw[:end]))


HEAD = b"From: a@example.com\r\nSubject: x\r\n"
COSTLY = {
    "openings": HEAD + b"To: " + b'<"' * 100_000,
    "quotes": HEAD + b"To: " + b'"a\\' * 80_000,
    "comments": HEAD + b"Authentication-Results: a" + b" (" * 100_000,
    "encoded words": HEAD + b"X: y\r\nSubject: " + b"=?x?q?" * 40_000,
    "parameters": HEAD + b"Content-Type: multipart/mixed" + b'; a="' * 50_000,
    "continuations": HEAD + b"Content-Disposition: attachment" + b"; filename*0=x" * 17_000,
    "levels": HEAD
    + b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(5000)),
    "attached mails": HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 50_000,
    "parts": HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 500_000,
    "wrong boundaries": HEAD + b"--y\r\ncontent-type: multipart/mixed; boundary=n\r\n\r\n" * 3000,
    "one line": HEAD + b"\r\n" + b"a" * 10_000_000,
    "flowing": HEAD + b"Content-Type: text/plain; format=flowed\r\n\r\n" + b"a \r\n" * 300_000,
    "report": HEAD
    + b"Content-Type: message/delivery-status\r\n\r\n"
    + b"Final-Recipient: a@b\r\n\r\n" * 50_000,
    "tags": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<div>" * 200_000,
    "tables": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<table><tr><td>" * 60_000,
    "metas": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<meta " * 200_000,
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_mail_made_to_take_long_does_not(name: str):
    began = time.process_time()
    mail = parse_mail(COSTLY[name])
    assert time.process_time() - began < 2.5
    check(mail)
    began = time.process_time()
    glance(COSTLY[name], "x")
    assert time.process_time() - began < 0.5
