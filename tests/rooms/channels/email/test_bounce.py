from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.contracts.mailboxes import mailbox

from a1zap.channels.contract import Receipt, Status
from a1zap.channels.email.mail import Bounce, BouncedRecipient
from a1zap.channels.email.parse_mail import parse_mail
from a1zap.channels.email.providers.contract import Handed
from a1zap.channels.email.understand_mail import understand_mail

MAILS = Path(__file__).parents[3] / "contracts" / "payloads" / "email"


def bounce(name: str) -> Bounce | None:
    return parse_mail((MAILS / f"{name}.eml").read_bytes()).bounce


def test_a_delivery_report_tells_of_each_recipient_that_it_failed_for():
    assert bounce("bounce") == Bounce(
        (
            BouncedRecipient(
                "Nobody@example.com",
                "hard",
                "5.1.1",
                "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown",
            ),
            BouncedRecipient("full@example.com", "soft", "5.2.2", "552 5.2.2 Mailbox full"),
            BouncedRecipient("slow@example.com", "soft", "4.4.1", "", has_given_up=False),
        ),
        "0193bbbb@in.example.org",
    )


def test_an_encoded_report_with_the_original_headers_only_is_read_too():
    found = bounce("bounce_headers_only")
    assert found is not None
    assert found.recipients == (BouncedRecipient("gone@example.com", "hard", "", "554 no such account"),)
    assert found.original_message_id == "0193cccc@in.example.org"


def test_a_complaint_names_who_complained_and_about_what():
    found = bounce("complaint")
    assert found == Bounce(
        (BouncedRecipient("angry@isp.example", "complaint", "", "abuse"),), "0193dddd@in.example.org"
    )


def test_a_bounce_in_plain_words_is_known_by_its_header():
    found = bounce("bounce_exim")
    assert found is not None and [one.address for one in found.recipients] == ["lost@example.com"]


def report(*fields: str, kind: str = "delivery-status") -> Bounce | None:
    block = "\r\n".join(fields)
    raw = (
        f"From: mailer-daemon@example.org\r\nContent-Type: multipart/report; report-type={kind}; boundary=x\r\n\r\n"
        f"--x\r\nContent-Type: message/{kind}\r\n\r\nReporting-MTA: dns; x\r\n\r\n{block}\r\n\r\n--x--\r\n"
    )
    return parse_mail(raw.encode()).bounce


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        (("Action: failed", "Status: 5.0.0"), "hard"),
        (("Action: failed", "Status: 4.2.0"), "soft"),
        (("Action: delayed", "Status: 5.1.1"), "soft"),
        (("Action: failed",), "hard"),
        (("Action: failed", "Diagnostic-Code: smtp; 421 try again later"), "soft"),
        (("Action: failed", "Diagnostic-Code: smtp; 550-5.1.1 no such user"), "hard"),
        (("Action: failed", "Status: 5.3.4 (message too big)"), "soft"),
        (("Status: nonsense",), "soft"),
    ],
)
def test_only_what_is_true_of_the_address_for_good_is_hard(fields: tuple[str, ...], severity: str):
    found = report("Final-Recipient: rfc822; a@example.com", *fields)
    assert found is not None and found.recipients[0].severity == severity


def test_a_report_of_success_is_no_bounce():
    assert report("Final-Recipient: rfc822; a@example.com", "Action: relayed", "Status: 2.0.0") is None


def test_praise_is_no_complaint():
    assert (
        report("Feedback-Type: not-spam", "Original-Rcpt-To: a@example.com", kind="feedback-report") is None
    )


def test_a_bounce_that_a_person_forwards_is_not_one_of_ours():
    inner = (MAILS / "bounce.eml").read_bytes()
    raw = b"From: ada@example.com\r\nContent-Type: message/rfc822\r\n\r\n" + inner
    mail = parse_mail(raw)
    assert mail.bounce is None and mail.auto_reason is None


def test_a_long_diagnostic_and_a_crowd_are_cut():
    many = "\r\n\r\n".join(f"Final-Recipient: rfc822; a{n}@example.com\r\nAction: failed" for n in range(500))
    found = report(many, "Diagnostic-Code: smtp; " + "x" * 9000)
    assert found is not None and len(found.recipients) == 100
    one = report("Final-Recipient: rfc822; a@example.com", "Diagnostic-Code: smtp; " + "x" * 9000)
    assert one is not None and len(one.recipients[0].diagnostic) == 500


def told_of(raw: bytes) -> list[Receipt]:
    account = mailbox()
    items = understand_mail(account, Handed(raw), parse_mail(raw), {}, datetime.now(UTC))
    return [item for item in items if isinstance(item, Receipt)]


@pytest.mark.parametrize(
    ("action", "status", "fails", "dead"),
    [
        ("failed", "5.1.1", True, "ann@example.com"),
        ("failed", "4.4.7", True, None),  # tried for five days
        ("failed", "5.2.2", True, None),  # mailbox full
        ("delayed", "4.4.1", False, None),
    ],
)
def test_a_mail_that_was_given_up_has_failed_though_its_address_lives(
    action: str, status: str, fails: bool, dead: str | None
):
    raw = (
        "From: mailer-daemon@example.org\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n"
        "--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
        f"Final-Recipient: rfc822; ann@example.com\r\nAction: {action}\r\nStatus: {status}\r\n\r\n"
        "--x\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@acme.test>\r\n\r\n--x--\r\n"
    )
    found = told_of(raw.encode())
    assert [(one.status, one.dead_address) for one in found] == ([(Status.FAILED, dead)] if fails else [])
