"""Machines get no answer, and people do."""

from __future__ import annotations

from pathlib import Path

import pytest

from a1zap.channels.email.automatic import why_automatic
from a1zap.channels.email.parse_mail import parse_mail

MAILS = Path(__file__).parents[3] / "contracts" / "payloads" / "email"

REASONS = {
    "bounce": "bounce",
    "bounce_headers_only": "bounce",
    "bounce_exim": "bounce",
    "complaint": "complaint",
    "read_receipt": "receipt",
    "out_of_office": "auto_reply",
    "out_of_office_by_subject": "auto_reply",
    "mailing_list": "mailing_list",
    "no_reply_sender": "no_reply_sender",
    "own_mail": "own_mail",
    "many_headers": "auto_generated",
}


@pytest.mark.parametrize("path", sorted(MAILS.glob("*.eml")), ids=lambda path: path.stem)
def test_of_the_sample_mails_exactly_the_automatic_ones_are_found(path: Path):
    assert parse_mail(path.read_bytes()).auto_reason == REASONS.get(path.stem)


def why(*headers: str, envelope: str | None = "ada@example.com", ours: tuple[str, ...] = ()) -> str | None:
    lines = ["From: ada@example.com", "Subject: Hello", *headers]
    named = {line.partition(":")[0]: line for line in lines}
    return why_automatic(parse_mail("\r\n".join([*named.values(), "", "words"]).encode()), envelope, ours)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Auto-Submitted: auto-generated", "auto_generated"),
        ("auto-submitted: AUTO-REPLIED; owner-email=x", "auto_reply"),
        ("Auto-Submitted: auto-notified", "auto_generated"),
        ("Auto-Submitted: no", None),
        ("Auto-Submitted: No (a comment)", None),
        ("Precedence: bulk", "bulk"),
        ("Precedence: Junk", "bulk"),
        ("Precedence: list", "mailing_list"),
        ("Precedence: auto_reply", "auto_reply"),
        ("Precedence: first-class", None),
        ("List-Id: <x.example>", "mailing_list"),
        ("List-Post: <mailto:x@example.org>", "mailing_list"),
        ("List-Unsubscribe: <https://x.example>", "mailing_list"),
        ("X-Auto-Response-Suppress: DR, OOF, AutoReply", "replies_unwanted"),
        ("X-Auto-Response-Suppress: DR, RN", None),
        ("X-Autoreply: yes", "auto_reply"),
        ("X-Autoreply: no", None),
        ("X-Autorespond: Re: hello", "auto_reply"),
        ("X-Auto-Reply-From: x@example.org", "auto_reply"),
        ("X-Loop: x@example.org", "loop"),
        ("Feedback-ID: 1:2:3:x", None),
        ("Return-Path: <>", None),  # the envelope is known, and says another
        ("From: MAILER-DAEMON@example.org", "bounce"),
        ("From: Postmaster <postmaster@example.org>", "bounce"),
        ("From: noreply@example.org", "no_reply_sender"),
        ("From: no-reply+abc@example.org", "no_reply_sender"),
        ("From: notifications-noreply@example.org", "no_reply_sender"),
        ("From: do_not_reply@example.org", "no_reply_sender"),
        ("From: bounces+12@example.org", "no_reply_sender"),
        ("From: norepp@example.org", None),
        ("From: casino.reply@example.org", None),
        ("Subject: Out of Office: see you", "auto_reply"),
        ("Subject: Abwesenheitsnotiz", "auto_reply"),
        ("Subject: Automatische Antwort: Bestellung", "auto_reply"),
        ("Subject: =?utf-8?B?6Ieq5Yqo5Zue5aSNOiDkvaDlpb0=?=", "auto_reply"),
        ("Subject: Out of office chairs, do you sell them?", None),
        ("Subject: Re: Automatic reply: what did that mean?", None),
        ("Subject: Automatic doors", None),
        ("Subject: Auto: welches soll ich kaufen?", None),
        ("Subject: AUTO: Ann is out of the office (returning 2027-01-04)", "auto_reply"),
        ("Subject: [Auto-Reply] Your order", "auto_reply"),
        ("Subject: OOO: back on Monday", "auto_reply"),
        ("Subject: Fuori ufficio: ordine", "auto_reply"),
        ("Subject: =?utf-8?q?R=C4=83spuns_automat=3A_comanda?=", "auto_reply"),
        ("Subject: =?utf-8?q?Automatikus_v=C3=A1lasz=3A_x?=", "auto_reply"),
        ("Subject: =?utf-8?b?5LiN5Zyo6YCa55+lOiDms6jmloc=?=", "auto_reply"),
        ("X-A1zap-Chat: 0193", "own_mail"),
        ("x-a1zap-chat:", "own_mail"),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=x", "bounce"),
        ("Content-Type: multipart/report; boundary=x", "report"),
        ("X-Mailer: Outlook", None),
    ],
)
def test_each_sign_of_a_machine_counts_and_its_likeness_does_not(header: str, reason: str | None):
    assert why(header) == reason


@pytest.mark.parametrize("envelope", ["", "<>", " <> "])
def test_the_null_sender_gets_no_answer(envelope: str):
    assert why(envelope=envelope) == "null_sender"


def test_without_an_envelope_the_return_path_is_asked():
    assert why("Return-Path: <>", envelope=None) == "null_sender"
    assert why("Return-Path: <ada@example.com>", envelope=None) is None
    assert why(envelope=None) is None


def test_an_agent_of_ours_is_not_answered_by_another():
    assert why(ours=("sales@in.example.org", "Ada@Example.com")) == "own_mail"
    assert why(ours=("sales@in.example.org",)) is None


def test_an_envelope_of_a_daemon_gets_no_answer():
    assert why(envelope="MAILER-DAEMON@example.org") == "bounce"
    assert why(envelope="bounces+0193=agent@esp.example") is None  # most senders' envelopes look like this
