"""Mail out: a real SMTP server on loopback, with STARTTLS and TLS, refusals and broken connections; the providers' APIs."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.policy import default
from ipaddress import ip_network
from uuid import UUID, uuid4

import pytest
import trustme
from tests.contracts.mailboxes import KEY, NOW, Told, mailbox, outbound
from tests.fakes.relay import Relay, relaying

from a1zap.channels.contract import (
    AccountBroken,
    Kept,
    OutboundFile,
    SendAmbiguous,
    SendRefused,
    Sent,
    Thread,
)  # fmt: skip
from a1zap.channels.email.channel import Email
from a1zap.channels.email.out.compose import compose_letter, mail_bytes
from a1zap.channels.email.out.markdown import render_markdown
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable

ORDINARY = Told()
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
ID = "0193b1a2-6c1e-7d3f-9a44-0b6e7c9d1f20"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def said(mail: EmailMessage, kind: str = "plain") -> str:
    return mail.get_body((kind,)).get_content().replace("\r\n", "\n")


@pytest.fixture
async def egress(authority):
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    async with Egress(allow=LOOPBACK, tls=trusted, https_only=True) as found:
        yield found


@pytest.fixture
async def email():
    channel = Email(clock=lambda: NOW + timedelta(minutes=1))
    yield channel
    await channel.close()


def to(relay: Relay, tls: str = "starttls", **settings):
    return mailbox(smtp_host="localhost", smtp_port=str(relay.port), smtp_tls=tls, **settings)


# ── the letter ──────────────────────────────────────────────────────────────────────────────────────────────────


async def letter_of(told: Told = ORDINARY, settings: dict | None = None, **more) -> EmailMessage:
    raw = mail_bytes(await compose_letter(mailbox(**(settings or {})), outbound(told, **more)))
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    return message_from_bytes(raw, policy=default)


async def test_a_letter_answers_its_thread():
    mail = await letter_of()
    assert mail["Subject"] == "Re: Opening hours"
    assert mail["Message-ID"] == f"<{ID}@acme.test>"
    assert mail["In-Reply-To"] == "<last@example.com>"
    assert mail["References"].split() == ["<first@example.com>", "<last@example.com>"]
    assert mail["From"] == "Ada <support@acme.test>"
    assert mail["Reply-To"] == f"Ada <support+{KEY}@acme.test>"
    assert (mail["To"], mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"]) == (
        "ann@example.com",
        "auto-replied",
        "All",
    )
    assert mail["X-A1zap-Chat"]
    assert said(mail) == "We open at **nine**.\n\n- Monday\n- Tuesday\n"
    html = said(mail, "html")
    assert "<strong>nine</strong>" in html
    assert "<li>Monday</li>" in html


async def test_every_attempt_is_the_same_mail():
    first, second = await letter_of(), await letter_of()
    assert [(k, v) for k, v in first.items() if k != "Content-Type"] == [
        (k, v) for k, v in second.items() if k != "Content-Type"
    ]


async def test_what_a_person_writes_is_not_said_to_be_a_machines():
    assert (await letter_of(is_by_person=True))["Auto-Submitted"] is None


@pytest.mark.parametrize(("subject", "expected"), [
    ("Opening hours", "Re: Opening hours"), ("Re: Opening hours", "Re: Opening hours"), ("RE: re: AW: Hours", "Re: Hours"),
    ("Fwd: Hours", "Re: Fwd: Hours"), ("", "Re:"), ("x" * 500, "Re: " + "x" * 200), ("Größe 😀", "Re: Größe 😀"),
    ("a\r\nBcc: evil@example.com", "Re: a Bcc: evil@example.com"), ("a\x00\x1f\u2028b", "Re: a b"),
])  # fmt: skip
async def test_the_subject_stays_the_threads_and_is_one_line(subject, expected):
    mail = await letter_of(Told(subject=subject))
    assert mail["Subject"].strip() == expected
    assert mail["Bcc"] is None


# What a stranger's subject says once its encoded words are open may be an encoded word again.
@pytest.mark.parametrize(
    "slipped",
    [
        "=?utf-8?q?a=0D=0ABcc:_evil@example.com?=",
        "=?utf-8?b?DQoNCkJ1eSB0aGlz?=",
        "=?utf-8?q?=00?=",
        "Hi =?us-ascii?q?=0A?= =?utf-8?q?=0Ax?=",
        "ü =?utf-8?q?a=0D=0ABcc:_x@y.z?= ü",
    ],
)
async def test_an_encoded_word_within_a_text_is_text(slipped):
    letter = await compose_letter(
        mailbox(from_name=slipped), outbound(Told(subject=slipped), agent_name=slipped)
    )
    head = mail_bytes(letter).partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"}
    assert not names & {b"bcc", b"x"}
    assert b"\x00" not in head
    assert b"content-type" in names, "nothing of the head has become the body"
    read = message_from_bytes(head + b"\r\n\r\n")
    assert str(make_header(decode_header(read["Subject"]))) == f"Re: {slipped}"
    assert str(make_header(decode_header(read["From"]))).startswith(slipped)


async def test_an_encoded_word_as_an_address_stays_the_address():
    to = "=?utf-8?q?a=2cevil=40evil.test=2c=0a?=@example.com"
    head = mail_bytes(await compose_letter(mailbox(), outbound(Told(to=to)))).partition(b"\r\n\r\n")[0]
    assert f"\r\nTo: <{to}>\r\n".encode() in head


async def test_a_new_chat_has_its_first_words_as_subject():
    mail = await letter_of(
        Told(
            subject=None,
            last=None,
            references=(),
            text="**Hello Ann**, your order has been shipped today and will arrive on Monday",
        )
    )
    assert mail["Subject"] == "Hello Ann, your order has been shipped today and will …"
    assert mail["In-Reply-To"] is None
    assert mail["References"] is None


async def test_at_most_ten_ids_are_named_and_the_first_and_the_last_stay():
    ids = tuple(f"{n}.{'x' * 80}@example.com" for n in range(30))
    mail = await letter_of(Told(references=ids, last=ids[-1]))
    named = mail["References"].split()
    assert len(named) == 10
    assert (named[0], named[-1], mail["In-Reply-To"]) == (f"<{ids[0]}>", f"<{ids[-1]}>", f"<{ids[-1]}>")


@pytest.mark.parametrize(
    "bad", ["a b@c", "<x>\r\nBcc: evil@example.com", "ü@example.com", "", "x" * 1000, "a>b<c"]
)
async def test_an_id_that_is_none_is_not_named(bad):
    mail = await letter_of(Told(references=(bad,), last=bad))
    assert mail["References"] is None
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    "name", ["Ada\r\nBcc: evil@example.com", 'A"d\\a', "Müller, Jörg", "A" * 300, "\x00\x01", "=?utf-8?q?x?="]
)
async def test_no_name_breaks_out_of_its_header(name):
    mail = await letter_of(settings={"from_name": name}, agent_name=name)
    assert mail["Bcc"] is None
    assert mail["From"].addresses[0].addr_spec == "support@acme.test"


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "ann",
        "ann@",
        "ann@example.com\r\nBcc: x@y.z",
        "a@b.test, c@d.test",
        "Ann <ann@example.com>",
        "a b@c.test",
    ],
)
async def test_who_is_no_address_gets_no_letter(address):
    with pytest.raises(SendRefused, match="address"):
        await letter_of(Told(to=address))


async def test_signature_and_format_are_the_mailboxs():
    mail = await letter_of(settings={"signature": "{agent} of *Acme*", "reply_format": "text"})
    assert said(mail).endswith("\n\n-- \nAda of *Acme*\n")
    assert mail.get_content_type() == "text/plain"
    both = await letter_of(settings={"signature": "{agent} of *Acme*"})
    assert "Ada of <em>Acme</em>" in said(both, "html")


async def test_an_address_without_room_for_the_key_has_no_reply_to():
    mail = await letter_of(settings={"address": "a-very-long-name-of-a-mailbox-indeed@acme.test"})
    assert mail["Reply-To"] is None


async def test_choices_are_said_in_words():
    mail = await letter_of(
        Told(text="Which day?"),
        rich={"buttons": [{"id": "1", "title": "Monday"}, {"id": "2", "title": "Friday"}]},
    )
    assert said(mail) == "Which day?\n\n- Monday\n- Friday\n"


def a_file(name="plan.pdf", content=b"%PDF-1.4", mime_type="application/pdf", size=None) -> OutboundFile:
    async def load():
        return content

    return OutboundFile(
        name, mime_type, len(content) if size is None else size, "https://a1zap.test/f/1", load
    )


async def test_files_ride_along():
    mail = await letter_of(
        files=[a_file(), a_file("../../größe\r\n.txt", b"x", "message/rfc822"), a_file(mime_type="junk")]
    )
    names = [(part.get_filename(), part.get_content_type()) for part in mail.iter_attachments()]
    assert names[0] == ("plan.pdf", "application/pdf")
    assert names[1][0].startswith("größe")
    assert {kind for _, kind in names[1:]} == {"application/octet-stream"}


async def test_files_beyond_twenty_megabytes_are_refused_before_they_are_loaded():
    with pytest.raises(SendRefused, match="20 MB"):
        await letter_of(files=[a_file(size=11 << 20), a_file(size=11 << 20)])


@pytest.mark.parametrize("text", [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](https://evil.test/pixel.png)", "[x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)", "<a href='https://evil.test' onclick=alert(1)>x</a>", "<style>*{display:none}</style>",
    '[x](https://a.test "t\\" onmouseover=alert(1)")', "`<b onclick=1>`", "<!--[if mso]><xml/><![endif]-->", "&lt;script&gt;",
])  # fmt: skip
def test_markdown_never_becomes_active_html(text):
    html = render_markdown(text).lower()
    for bad in ("<script", "<img", "<style", "<xml", 'href="javascript', 'href="data', "<b ", "<!--"):
        assert bad not in html
    # An attribute that acts would stand inside a tag.
    assert all(
        " on" not in tag.partition(">")[0].replace('title="t" on', "") or "&quot;" in tag
        for tag in html.split("<")[1:]
    )


def test_a_picture_is_not_shown_and_what_it_shows_is_said():
    assert "our shop" in render_markdown("![our shop](https://acme.test/shop.png)")


def test_markdown_of_any_depth_is_rendered_in_time():
    for text in (">" * 5000, "[" * 5000, "*" * 5000 + "a", "- " * 2000, "`" * 5000, "![" * 3000, "<" * 5000):
        assert isinstance(render_markdown(text), str)


# ── SMTP ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tls", ["starttls", "tls", "none"])
async def test_a_mail_leaves_by_smtp(email, egress, authority, tls):
    async with relaying(authority, tls=tls) as relay:
        sent = await email.send(to(relay, tls), outbound(), egress)
    assert sent == Sent(f"{ID}@acme.test", f"{ID}@acme.test")
    sender, recipients, _, was_encrypted = relay.mails[0]
    assert (sender, recipients, was_encrypted) == ("support@acme.test", ["ann@example.com"], tls != "none")
    assert relay.message()["Message-ID"] == f"<{ID}@acme.test>"


async def test_the_login_goes_over_the_encrypted_connection(email, egress, authority):
    async with relaying(authority, auth=True) as relay:
        account = to(relay, smtp_user="support", smtp_password="secret")
        await email.send(account, outbound(), egress)
        assert "takes the login" in await email.check(account, egress)
        with pytest.raises(AccountBroken, match="535"):
            await email.send(to(relay, smtp_user="support", smtp_password="wrong"), outbound(), egress)
        with pytest.raises(AccountBroken):
            await email.check(to(relay, smtp_user="support", smtp_password="wrong"), egress)
        with pytest.raises(AccountBroken, match="530"):
            await email.send(to(relay), outbound(), egress)
    assert len(relay.mails) == 1
    assert all(was_encrypted for *_, was_encrypted in relay.logins)


async def test_dots_and_long_lines_arrive_as_they_were_written(email, egress, authority):
    text = ".\n..\n.x\n" + "ü" * 5000 + "\n" + "x" * 5000
    async with relaying(authority) as relay:
        await email.send(to(relay), outbound(Told(text=text)), egress)
    assert said(relay.message()) == f"{text}\n"


@pytest.mark.parametrize(("answers", "error"), [
    ({"RCPT": "450 4.2.0 greylisted"}, ChannelUnavailable), ({"RCPT": "550 5.1.1 no such user"}, SendRefused),
    ({"MAIL": "451 4.3.0 later"}, ChannelUnavailable), ({"MAIL": "553 5.7.1 not yours"}, SendRefused),
    ({"MAIL": "530 5.7.0 login first"}, AccountBroken),
    ({"DATA": "452 4.3.1 full"}, ChannelUnavailable), ({"DATA": "554 5.7.1 spam"}, SendRefused),
])  # fmt: skip
async def test_each_answer_of_the_relay_means_what_it_means(email, egress, authority, answers, error):
    async with relaying(authority, answers=answers) as relay:
        with pytest.raises(error) as caught:
            await email.send(to(relay), outbound(), egress)
    assert type(caught.value) is error
    code, enhanced = next(iter(answers.values())).split()[:2]
    assert f"{code} {enhanced}" in str(caught.value)
    assert relay.mails == []


async def test_a_connection_lost_after_the_mail_is_a_doubt_and_the_second_attempt_is_the_same_mail(
    email, egress, authority
):
    async with relaying(authority, drop_at="DATA") as relay:
        with pytest.raises(SendAmbiguous):
            await email.send(to(relay), outbound(), egress)
        assert await email.was_sent(to(relay), outbound(), egress) is None
        relay.drop_at = ""
        await email.send(to(relay), outbound(), egress)
    assert {message_from_bytes(raw, policy=default)["Message-ID"] for _, _, raw, _ in relay.mails} == {
        f"<{ID}@acme.test>"
    }


async def test_a_connection_lost_before_the_mail_is_no_doubt(email, egress, authority):
    async with relaying(authority, drop_at="RCPT") as relay:
        with pytest.raises(ChannelUnavailable) as caught:
            await email.send(to(relay), outbound(), egress)
    assert not isinstance(caught.value, SendAmbiguous)


async def test_a_relay_that_is_not_there_is_an_outage(email, egress):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        account = mailbox(smtp_host="localhost", smtp_port=str(free.getsockname()[1]), smtp_tls="tls")
        with pytest.raises(ChannelUnavailable):
            await email.send(account, outbound(), egress)


async def test_without_starttls_or_with_a_wrong_certificate_nothing_is_sent(email, egress, authority):
    async with relaying(authority, tls="none", auth=True) as relay:
        with pytest.raises(AccountBroken, match="STARTTLS"):
            await email.send(to(relay, smtp_user="support", smtp_password="secret"), outbound(), egress)
    assert relay.logins == []
    for tls in ("starttls", "tls"):
        async with relaying(trustme.CA(), tls=tls, auth=True) as stranger:
            with pytest.raises(ChannelUnavailable, match="certificate"):
                await email.send(
                    to(stranger, tls, smtp_user="support", smtp_password="secret"), outbound(), egress
                )
        async with relaying(authority, tls=tls, host="other.test", auth=True) as other:
            with pytest.raises(ChannelUnavailable, match="certificate"):
                await email.send(
                    to(other, tls, smtp_user="support", smtp_password="secret"), outbound(), egress
                )
        assert stranger.logins == other.logins == []


async def test_a_relay_inside_the_house_is_refused(email, authority):
    async with relaying(authority) as relay, Egress() as guarded:
        with pytest.raises(AccountBroken, match="A1ZAP_EGRESS_ALLOW"):
            await email.send(to(relay), outbound(), guarded)
        with pytest.raises(AccountBroken, match="A1ZAP_EGRESS_ALLOW"):
            await email.send(to(relay, "none"), outbound(), guarded)


async def test_in_clear_nothing_goes_to_a_public_relay(email):
    async def lookup(_host, _port):
        return ["8.8.8.8"]

    async with Egress(lookup=lookup) as guarded:
        with pytest.raises(AccountBroken, match="plain"):
            await email.send(mailbox(smtp_host="smtp.acme.test", smtp_tls="none"), outbound(), guarded)


async def test_after_two_days_nobody_tries_any_more(egress, authority):
    async with relaying(authority, answers={"RCPT": "450 4.2.0 greylisted"}) as relay:
        for age, pause in (
            (timedelta(minutes=1), None),
            (timedelta(hours=1), 900),
            (timedelta(hours=40), 1800),
        ):
            channel = Email(clock=lambda age=age: NOW + age)
            with pytest.raises(ChannelUnavailable) as caught:
                await channel.send(to(relay), outbound(), egress)
            assert caught.value.retry_after_s == pause
        with pytest.raises(SendRefused, match="48 hours"):
            await Email(clock=lambda: NOW + timedelta(hours=49)).send(to(relay), outbound(), egress)


async def test_addresses_beyond_ascii_leave_by_smtputf8_and_domains_in_ascii(email, egress, authority):
    async with relaying(authority) as relay:
        await email.send(to(relay), outbound(Told(to="jörg@bücher.example")), egress)
        assert relay.mails[-1][1] == ["jörg@xn--bcher-kva.example"]
        await email.send(to(relay), outbound(Told(to="joerg@bücher.example")), egress)
        assert relay.mails[-1][1] == ["joerg@xn--bcher-kva.example"]
    async with relaying(authority, answers={"UTF8": "no"}) as relay:
        with pytest.raises(SendRefused, match="SMTPUTF8"):
            await email.send(to(relay), outbound(Told(to="jörg@bücher.example")), egress)


async def test_the_id_that_amazon_gives_a_mail_is_the_one_that_answers_will_name():
    from a1zap.channels.email.out.smtp import _sent

    account = mailbox(smtp_host="email-smtp.eu-west-1.amazonaws.com")
    letter = await compose_letter(account, outbound())
    sent = _sent(account, letter, "Ok 0102018f4aa1b2c3-11111111-2222-3333-4444-555555555555-000000")
    assert (
        sent.thread_ref
        == "0102018f4aa1b2c3-11111111-2222-3333-4444-555555555555-000000@eu-west-1.amazonses.com"
    )
    assert sent.external_id == sent.thread_ref


async def test_what_we_send_is_known_as_our_own_when_it_comes_back(email, egress, authority):
    async with relaying(authority) as relay:
        account = to(relay)
        await email.send(account, outbound(), egress)
    item = (await email.read(account, Kept(uuid4(), relay.mails[0][2], {"door": "smtp"}), NOW))[0]
    assert item.automatic == "own_mail"


async def test_the_answer_to_our_mail_finds_its_chat(email, egress, authority):
    async with relaying(authority) as relay:
        account = to(relay)
        sent = await email.send(account, outbound(), egress)
    ours = relay.message()
    answer = EmailMessage(policy=SMTP_POLICY)
    answer["From"], answer["To"], answer["Message-ID"] = (
        "ann@example.com",
        str(ours["Reply-To"]),
        "<answer@example.com>",
    )
    answer["In-Reply-To"] = answer["References"] = str(ours["Message-ID"])
    answer.set_content(
        "Thanks!\n\nOn Mon, Nov 23, 2026 at 9:00 AM Ada <support@acme.test> wrote:\n> We open at nine.\n"
    )
    item = (await email.read(account, Kept(uuid4(), answer.as_bytes(), {}), NOW))[0]
    assert (item.text, item.chat_key, item.continues[0]) == ("Thanks!", KEY, sent.thread_ref)


# ── APIs ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Api:
    """A provider's API on loopback: answers in turn, (status, JSON) or "drop"."""

    answers: list
    port: int = 0
    asked: list = field(default_factory=list)

    async def serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = {
                k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head.split("\r\n")[1:])
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.asked.append((head.split()[0], head.split()[1], headers, json.loads(body) if body else None))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer != "drop":
                status, told, *more = answer
                raw = json.dumps(told).encode()
                extra = "".join(f"{line}\r\n" for line in more)
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-length: {len(raw)}\r\n{extra}connection: close\r\n\r\n".encode()
                    + raw
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def answering(*answers):
    api = Api(list(answers))
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()


WAYS = {
    "postmark": {"postmark_token": "pm-token"},
    "resend": {"resend_api_key": "re_key"},
    "a1mail": {"a1_account_id": "acc/1", "a1_api_key": "key", "a1_api_secret": "secret"},
}
TAKEN = {
    "postmark": (200, {"ErrorCode": 0, "Message": "OK", "MessageID": "pm-1"}),
    "resend": (200, {"id": "rs-1"}),
    "a1mail": (200, {"status": "success", "data": {"email_id": "a1-1"}}),
}


def by(way: str, api: Api, **settings):
    url = {"postmark": "postmark_url", "resend": "resend_url", "a1mail": "a1_url"}[way]
    return mailbox(
        outbound=way, smtp_host="", **{url: f"http://localhost:{api.port}/"}, **WAYS[way], **settings
    )


@pytest.mark.parametrize("way", list(WAYS))
async def test_a_mail_leaves_by_an_api(email, egress, way):
    async with answering(TAKEN[way]) as api:
        sent = await email.send(by(way, api), outbound(files=[a_file()]), egress)
    assert sent == Sent({"postmark": "pm-1", "resend": "rs-1", "a1mail": "a1-1"}[way], f"{ID}@acme.test")
    method, path, headers, body = api.asked[0]
    told = json.dumps(body)
    assert method == "POST"
    assert "<last@example.com>" in told
    assert f"<{ID}@acme.test>" in told
    assert KEY in told
    assert "auto-replied" in told
    match way:
        case "postmark":
            assert (path, headers["x-postmark-server-token"]) == ("/email", "pm-token")
            assert {"Name": "X-PM-KeepID", "Value": "true"} in body["Headers"]
            assert base64.b64decode(body["Attachments"][0]["Content"]) == b"%PDF-1.4"
        case "resend":
            assert (path, headers["authorization"], headers["idempotency-key"]) == (
                "/emails",
                "Bearer re_key",
                ID,
            )
            assert body["attachments"][0]["filename"] == "plan.pdf"
        case _:
            assert (path, headers["x-api-key"]) == ("/emails/acc%2F1/send", "key")
            assert body["attachment_uri"] == ["https://a1zap.test/f/1"]


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(("answer", "error"), [
    ((401, {}), AccountBroken), ((403, {}), AccountBroken), ((429, {}, "retry-after: 7"), ChannelUnavailable),
    ((500, {}), ChannelUnavailable), ((503, {}), ChannelUnavailable), ((502, {}), SendAmbiguous), ("drop", SendAmbiguous),
    ((422, {"ErrorCode": 300, "name": "validation_error"}), SendRefused), ((400, {}), SendRefused),
])  # fmt: skip
async def test_each_answer_of_an_api_means_what_it_means(email, egress, way, answer, error):
    async with answering(answer) as api:
        with pytest.raises(error) as caught:
            await email.send(by(way, api), outbound(), egress)
    assert type(caught.value) is error
    if answer[0] == 429:
        assert caught.value.retry_after_s == 7


async def test_a1mails_success_that_says_error_is_a_refusal(email, egress):
    async with answering((200, {"status": "error"})) as api:
        with pytest.raises(SendRefused):
            await email.send(by("a1mail", api), outbound(), egress)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (406, SendRefused),
        (10, AccountBroken),
        (400, AccountBroken),
        (405, AccountBroken),
        (412, AccountBroken),
    ],
)
async def test_postmarks_error_codes_mean_what_they_mean(email, egress, code, error):
    async with answering((422, {"ErrorCode": code})) as api:
        with pytest.raises(error) as caught:
            await email.send(by("postmark", api), outbound(), egress)
    assert type(caught.value) is error


async def test_postmark_is_asked_whether_it_has_a_mail(email, egress):
    async with answering((200, {"TotalCount": 1}), (200, {"TotalCount": 0}), (404, {})) as api:
        account = by("postmark", api)
        assert [await email.was_sent(account, outbound(), egress) for _ in range(3)] == [True, False, None]
    assert api.asked[0][1].endswith(f"metadata_a1zap_message_id={ID}")


async def test_resends_idempotency_key_keeps_a_second_attempt_from_being_a_second_mail(email, egress):
    async with answering(
        "drop",
        (409, {"name": "concurrent_idempotent_requests"}),
        (409, {"name": "invalid_idempotent_request"}),
    ) as api:
        account = by("resend", api)
        with pytest.raises(SendAmbiguous):
            await email.send(account, outbound(), egress)
        with pytest.raises(ChannelUnavailable):
            await email.send(account, outbound(), egress)
        assert (await email.send(account, outbound(), egress)).thread_ref == f"{ID}@acme.test"
    assert {headers["idempotency-key"] for _, _, headers, _ in api.asked} == {ID}
    assert api.asked[0][3] == api.asked[1][3], "the same body at every attempt, or the key is refused"


async def test_a_key_can_be_tried_without_sending(email, egress):
    async with answering((200, {"Name": "Acme"})) as api:
        assert "Acme" in await email.check(by("postmark", api), egress)
    async with answering((200, {"data": []})) as api:
        assert "knows the key" in await email.check(by("resend", api), egress)
    async with answering((401, {})) as api:
        for way in ("postmark", "resend"):
            with pytest.raises(AccountBroken):
                await email.check(by(way, api), egress)


async def test_nothing_secret_stands_in_an_error(email, egress):
    for way in WAYS:
        async with answering(
            (400, {"message": "the text We open, to ann@example.com, key pm-token re_key"})
        ) as api:
            with pytest.raises(SendRefused) as caught:
                await email.send(by(way, api), outbound(), egress)
        assert not any(bad in str(caught.value) for bad in ("We open", "ann@", "pm-token", "re_key"))


async def test_a_message_of_another_id_is_another_mail():
    one = await compose_letter(mailbox(), outbound())
    other = await compose_letter(mailbox(), replace(outbound(), id=UUID(int=7), thread=Thread()))
    assert one.message_id != other.message_id
