"""The door for the own mail server, talked to by good clients and by bad ones."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import trustme
from tests.rooms.doors.conftest import Keeping, OpenDoors

from a1zap.agents.connect_channel import disconnect_channel
from a1zap.agents.open_mail_door import MailDomains, parse_mail_domains
from a1zap.doors.smtp_door import Listening, opened_smtp_doors
from a1zap.doors.smtp_session import Limits
from a1zap.doors.take_mail import spelled
from a1zap.kit.errors import Conflict, Invalid, NotAllowed


def mail(text: str = "Hello there.", *, subject: str = "Hi") -> bytes:
    head = f"From: Bob <bob@example.net>\r\nTo: support@acme.com\r\nSubject: {subject}\r\nMessage-ID: <{uuid4().hex}@example.net>\r\n"
    return f"{head}\r\n{text}\r\n".encode()


async def send(
    door: Listening, raw: bytes, *to: str, sender: str = "bob@example.net", **options: object
) -> dict:
    """As a program of today would: smtplib. Gives back the recipients that were refused."""

    def talk() -> dict:
        client = smtplib.SMTP("127.0.0.1", door.port, timeout=10)
        with client:
            return client.sendmail(sender, list(to), raw, **options)

    return await asyncio.to_thread(talk)


class Wire:
    """The protocol by hand: bytes in, answers out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> str:
        """One answer, of one line or several; '' where the connection has ended."""
        async with asyncio.timeout(10):
            while line := (await self.reader.readline()).decode().rstrip("\r\n"):
                if line[3:4] != "-":
                    return line
        return ""

    async def say(self, line: str | bytes) -> str:
        self.writer.write(line.encode() + b"\r\n" if isinstance(line, str) else line)
        return await self.answer()

    async def begin(
        self, *to: str, hello: str = "EHLO mx.example.net", sender: str = "bob@example.net"
    ) -> None:
        """Up to the 354."""
        assert (await self.say(hello)).startswith("250")
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250")
        for address in to:
            await self.say(f"RCPT TO:<{address}>")
        assert (await self.say("DATA")).startswith("354")


@asynccontextmanager
async def wire(door: Listening) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    talk = Wire(reader, writer)
    try:
        assert (await talk.answer()).startswith("220")
        yield talk
    finally:
        writer.close()


# ── what is taken ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("inbound", ["smtp", "lmtp"])
async def test_a_mail_is_kept_as_it_came_with_its_envelope(keeping: Keeping, smtp: Listening, inbound: str):
    account = await keeping.mailbox("support@acme.com", inbound=inbound)
    raw = mail("Grüße\r\n.a line with a dot\r\n..and two")
    assert await send(smtp, raw, "Support+k3y@ACME.com", mail_options=["BODY=8BITMIME"]) == {}
    ((kept, meta),) = await keeping.kept(account)
    assert kept == raw
    assert meta["envelope_from"] == "bob@example.net"
    assert meta["envelope_to"] == ["Support+k3y@ACME.com"]
    assert meta["door"] == "smtp" and meta["peer"] == "127.0.0.1" and meta["helo"]
    assert "authserv_id" not in meta


async def test_the_name_of_the_own_mail_server_is_told_to_the_reader(keeping: Keeping, open_doors: OpenDoors):
    account = await keeping.mailbox("support@acme.com")
    door, _ = await open_doors(mail_authserv_id="mx.acme.com")
    await send(door, mail(), "support@acme.com")
    assert (await keeping.kept(account))[0][1]["authserv_id"] == "mx.acme.com"


async def test_a_bounce_has_the_null_sender(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    assert await send(smtp, mail(), "support@acme.com", sender="") == {}
    assert (await keeping.kept(account))[0][1]["envelope_from"] == ""


async def test_addresses_in_other_scripts_are_understood(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("hilfe@xn--mller-kva.example")
    async with wire(smtp) as talk:
        await talk.say("EHLO mx")
        assert (await talk.say("MAIL FROM:<jürgen@müller.example> SMTPUTF8")).startswith("250")
        assert (await talk.say("RCPT TO:<Hilfe@MÜLLER.example>")).startswith("250")
        assert (await talk.say("DATA")).startswith("354")
        assert (await talk.say(mail() + b".\r\n")).startswith("250")
    assert (await keeping.kept(account))[0][1]["envelope_from"] == "jürgen@müller.example"


async def test_a_mail_delivered_twice_is_kept_once(keeping: Keeping, smtp: Listening):
    account, raw = await keeping.mailbox("support@acme.com"), mail()
    await send(smtp, raw, "support@acme.com")
    await send(smtp, raw, "support@acme.com")
    assert len(await keeping.kept(account)) == 1


async def test_two_addresses_of_one_account_are_one_delivery(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    await send(smtp, mail(), "support@acme.com", "support+k3y@acme.com")
    ((_, meta),) = await keeping.kept(account)
    assert meta["envelope_to"] == ["support@acme.com", "support+k3y@acme.com"]


async def test_a_paused_account_still_takes_mail(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    await keeping.house.as_admin("UPDATE channel_accounts SET status = 'paused' WHERE id = $1", account)
    assert await send(smtp, mail(), "support@acme.com") == {}
    assert len(await keeping.kept(account)) == 1


async def test_a_mail_goes_on_to_be_read(make_house, keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    stop = asyncio.Event()
    working = asyncio.create_task(keeping.house.work(stop))
    try:
        await send(smtp, mail("Where is my order?"), "support@acme.com")
        async with asyncio.timeout(15):
            while not await keeping.house.as_admin(
                "SELECT 1 FROM messages WHERE channel_account_id = $1 AND direction = 'inbound'", account
            ):
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await working


async def test_an_empty_mail_and_one_without_an_end_of_line_are_mails(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    async with wire(smtp) as talk:
        await talk.begin("support@acme.com")
        assert (await talk.say(b".\r\n")).startswith("250")
        await talk.begin("support@acme.com")
        assert (await talk.say(b"\r\n.\r\n")).startswith("250")
    assert [raw for raw, _ in await keeping.kept(account)] == [b"", b"\r\n"]


async def test_a_line_as_long_as_the_mail_is_taken(keeping: Keeping, smtp: Listening):
    account, raw = (
        await keeping.mailbox("support@acme.com"),
        b"Subject: long\r\n\r\n" + b"x" * 3_000_000 + b"\r\n",
    )
    async with wire(smtp) as talk:
        await talk.begin("support@acme.com")
        assert (await talk.say(raw + b".\r\n")).startswith("250")
    assert (await keeping.kept(account))[0][0] == raw


# ── who is taken ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_address_that_no_agent_has_is_refused_alone(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    refused = await send(smtp, mail(), "support@acme.com", "nobody@acme.com", "support@other.com")
    assert {address: code for address, (code, _) in refused.items()} == {
        "nobody@acme.com": 550,
        "support@other.com": 550,
    }
    assert len(await keeping.kept(account)) == 1


@pytest.mark.parametrize("inbound", ["imap", "postmark"])
async def test_an_account_that_gets_its_mail_elsewhere_is_none_of_this_door(
    keeping: Keeping, smtp: Listening, inbound: str
):
    await keeping.mailbox("support@acme.com", inbound=inbound)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await send(smtp, mail(), "support@acme.com")


async def test_nobody_else_can_connect_an_address_that_is_connected(keeping: Keeping):
    first = await keeping.house.owner()
    account = await keeping.mailbox("support@acme.com", owner=first)
    with pytest.raises(Conflict, match=r"support@acme\.com"):
        await keeping.mailbox("Support@acme.com")
    with pytest.raises(Conflict):
        await keeping.mailbox("support@acme.com", owner=first)
    ((agent_id,),) = await keeping.house.as_admin(
        "SELECT agent_id FROM channel_accounts WHERE id = $1", account
    )
    await disconnect_channel(
        keeping.house.db, owner_id=first.owner_id, agent_id=agent_id, account_id=account, actor="test"
    )
    await keeping.mailbox("support@acme.com")


async def test_the_operator_decides_whose_a_domain_is(keeping: Keeping):
    boss = await keeping.house.owner(email="boss@acme.com")
    domains = parse_mail_domains("acme.com=Boss@Acme.com, open.org", is_sign_up_open=True)
    with pytest.raises(NotAllowed, match="another owner"):
        await keeping.mailbox("support@acme.com", domains=domains)
    with pytest.raises(NotAllowed, match="A1ZAP_MAIL_DOMAINS"):
        await keeping.mailbox("support@other.com", domains=domains)
    await keeping.mailbox("support@acme.com", owner=boss, domains=domains)
    await keeping.mailbox("support@open.org", domains=domains)


async def test_where_anybody_may_sign_up_a_domain_that_nobody_named_is_nobodys(keeping: Keeping):
    with pytest.raises(NotAllowed):
        await keeping.mailbox("ceo@acme.com", domains=MailDomains(is_sign_up_open=True))


async def test_only_trusted_mail_servers_come_in(keeping: Keeping, open_doors: OpenDoors):
    await keeping.mailbox("support@acme.com")
    door, _ = await open_doors(smtp_trusted="10.0.0.0/8")
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    said = await reader.read()
    assert said.startswith(b"554") and said.count(b"\r\n") == 1
    writer.close()


def test_an_address_is_looked_for_under_its_spellings():
    assert spelled("Support+K3Y@ACME.com") == ["support+k3y@acme.com", "support@acme.com"]
    assert spelled("a@müller.example") == ["a@xn--mller-kva.example", "a@müller.example"]
    assert spelled("+only@acme.com") == ["+only@acme.com"]
    for nonsense in (
        "",
        "postmaster",
        "@acme.com",
        "a@",
        "a b@c.d",
        "a\x00@c.d",
        "a\udcff@c.d",
        "a" * 500 + "@c.d",
    ):
        assert spelled(nonsense) == []


# ── LMTP ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_lmtp_answers_for_each_recipient(keeping: Keeping, lmtp: Listening):
    one, two = await keeping.mailbox("one@acme.com"), await keeping.mailbox("two@acme.com")
    async with wire(lmtp) as talk:
        assert (await talk.say("EHLO mx")).startswith("500")
        await talk.begin("one@acme.com", "nobody@acme.com", "two@acme.com", "one+x@acme.com", hello="LHLO mx")
        assert (await talk.say(mail() + b".\r\n")).startswith("250")
        assert [(await talk.answer())[:3] for _ in range(2)] == ["250", "250"]
        assert (await talk.say("NOOP")).startswith("250")
    assert len(await keeping.kept(one)) == len(await keeping.kept(two)) == 1


async def test_lmtp_refuses_for_each_recipient(keeping: Keeping, open_doors: OpenDoors):
    _, door = await open_doors(limits=Limits(mail_max_bytes=1000))
    await keeping.mailbox("one@acme.com")
    await keeping.mailbox("two@acme.com")
    async with wire(door) as talk:
        await talk.begin("one@acme.com", "two@acme.com", hello="LHLO mx")
        assert (await talk.say(mail("x" * 2000) + b".\r\n")).startswith("552")
        assert (await talk.answer()).startswith("552")
        assert (await talk.say("NOOP")).startswith("250")


async def _break_for(keeping: Keeping, account) -> None:
    """From now on the database takes nothing for this account."""
    await keeping.house.as_admin(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
    )
    await keeping.house.as_admin(
        f"""CREATE TRIGGER refuse BEFORE INSERT ON raw_deliveries FOR EACH ROW
            WHEN (NEW.channel_account_id = '{account}') EXECUTE FUNCTION refuse()"""
    )


async def test_where_one_of_several_cannot_be_kept_lmtp_says_which_and_smtp_says_later_to_all(
    keeping: Keeping, open_doors: OpenDoors
):
    smtp_door, lmtp_door = await open_doors()
    good, bad = await keeping.mailbox("good@acme.com"), await keeping.mailbox("bad@acme.com")
    await _break_for(keeping, bad)
    raw = mail()
    async with wire(lmtp_door) as talk:
        await talk.begin("good@acme.com", "bad@acme.com", hello="LHLO mx")
        assert (await talk.say(raw + b".\r\n")).startswith("250")
        assert (await talk.answer()).startswith("451")
    async with wire(smtp_door) as talk:
        await talk.begin("good@acme.com", "bad@acme.com")
        assert (await talk.say(raw + b".\r\n")).startswith("451")
    await keeping.house.as_admin("DROP TRIGGER refuse ON raw_deliveries")
    async with wire(smtp_door) as talk:
        await talk.begin("good@acme.com", "bad@acme.com")
        assert (await talk.say(raw + b".\r\n")).startswith("250")
    assert len(await keeping.kept(good)) == len(await keeping.kept(bad)) == 1


# ── when the house is in trouble ────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_database_the_mail_server_is_asked_to_come_again(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    async with wire(smtp) as talk:
        await talk.begin("support@acme.com")
        await keeping.house.db.close()
        assert (await talk.say(mail() + b".\r\n")).startswith("451")
        await talk.say("MAIL FROM:<bob@example.net>")
        assert (await talk.say("RCPT TO:<support@acme.com>")).startswith("451")
    rows = await keeping.house.as_admin("SELECT 1 FROM raw_deliveries WHERE channel_account_id = $1", account)
    assert rows == []


async def test_a_door_that_closes_lets_the_mail_in_hand_be_answered(keeping: Keeping):
    account = await keeping.mailbox("support@acme.com")
    settings = keeping.house.settings.model_copy(update={"smtp_listen": "127.0.0.1:0"})
    async with opened_smtp_doors(keeping.house.house, settings) as (door,):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        talk = Wire(reader, writer)
        await talk.answer()
        await talk.begin("support@acme.com")
        await keeping.house.as_admin(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$"
        )
        await keeping.house.as_admin(
            "CREATE TRIGGER slow BEFORE INSERT ON raw_deliveries FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        writer.write(mail() + b".\r\n")
        await asyncio.sleep(0.1)
    assert (await talk.answer()).startswith("250")
    assert await talk.answer() == ""
    writer.close()
    assert len(await keeping.kept(account)) == 1


async def test_a_port_that_is_taken_is_said(keeping: Keeping, smtp: Listening):
    settings = keeping.house.settings.model_copy(update={"lmtp_listen": f"127.0.0.1:{smtp.port}"})
    with pytest.raises(Conflict, match="A1ZAP_LMTP_LISTEN"):
        async with opened_smtp_doors(keeping.house.house, settings):
            pass


@pytest.mark.parametrize("given", [{"smtp_listen": "2525"}, {"smtp_listen": "a:b", "smtp_trusted": "x"}])
async def test_a_setting_that_cannot_be_is_said(keeping: Keeping, given: dict[str, str]):
    with pytest.raises(Invalid, match="A1ZAP_SMTP"):
        async with opened_smtp_doors(keeping.house.house, keeping.house.settings.model_copy(update=given)):
            pass


async def test_a_socket_file_is_a_door_too(keeping: Keeping, tmp_path: Path):
    account = await keeping.mailbox("support@acme.com")
    path = tmp_path / "mail.sock"
    settings = keeping.house.settings.model_copy(update={"lmtp_listen": str(path)})
    async with opened_smtp_doors(keeping.house.house, settings) as (door,):
        assert door.port is None and path.stat().st_mode & 0o777 == 0o660
        reader, writer = await asyncio.open_unix_connection(str(path))
        talk = Wire(reader, writer)
        await talk.answer()
        await talk.begin("support@acme.com", hello="LHLO mx")
        assert (await talk.say(mail() + b".\r\n")).startswith("250")
        writer.close()
    assert not path.exists()
    assert (await keeping.kept(account))[0][1]["peer"] == "socket"


async def test_starttls_is_offered_with_a_certificate(
    keeping: Keeping, open_doors: OpenDoors, tmp_path: Path
):
    account = await keeping.mailbox("support@acme.com")
    authority = trustme.CA()
    pem = tmp_path / "mx.pem"
    authority.issue_cert("mx.acme.com").private_key_and_cert_chain_pem.write_to_path(str(pem))
    door, _ = await open_doors(smtp_tls_cert=pem)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    trusting.check_hostname = False

    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", door.port, timeout=10) as client:
            client.starttls(context=trusting)
            client.ehlo()
            assert not client.has_extn("auth") and not client.has_extn("starttls")
            client.sendmail("bob@example.net", ["support@acme.com"], mail("x" * 200_000))

    await asyncio.to_thread(talk)
    assert len(await keeping.kept(account)) == 1


async def test_what_is_said_before_tls_is_forgotten(open_doors: OpenDoors, tmp_path: Path):
    authority = trustme.CA()
    pem = tmp_path / "mx.pem"
    authority.issue_cert("mx.acme.com").private_key_and_cert_chain_pem.write_to_path(str(pem))
    door, _ = await open_doors(smtp_tls_cert=pem)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    trusting.check_hostname = False

    def talk() -> bytes:
        client = smtplib.SMTP("127.0.0.1", door.port, timeout=5)
        client.ehlo("x")
        client.sock.sendall(b"STARTTLS\r\nEHLO injected\r\n")
        assert client.getreply()[0] == 220
        with trusting.wrap_socket(client.sock) as tls:
            tls.sendall(b"MAIL FROM:<a@b.c>\r\n")
            said = tls.recv(1000)
        client.close()
        return said

    # The injected EHLO would have been answered here, or would have let MAIL through.
    assert (await asyncio.to_thread(talk)).startswith(b"503")


# ── hostile sessions ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\r\n",
        b"\r.\r\n",
        b"\n.\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r.\r",
        b"\r\n\x00.\r\n",
        b"\r\n. \r\n",
        b"\n\r\n..\r\n",
    ],
)
async def test_a_mail_cannot_be_smuggled_behind_a_false_end(keeping: Keeping, smtp: Listening, end: bytes):
    account = await keeping.mailbox("support@acme.com")
    smuggled = (
        b"MAIL FROM:<ceo@acme.com>\r\nRCPT TO:<support@acme.com>\r\nDATA\r\nSubject: pay\r\n\r\nnow\r\n"
    )
    async with wire(smtp) as talk:
        await talk.begin("support@acme.com")
        assert (await talk.say(mail("one") + b"two" + end + smuggled + b"\r\n.\r\n")).startswith("250")
        assert (await talk.say("NOOP")).startswith("250")
    ((raw, meta),) = await keeping.kept(account)
    assert b"Subject: pay" in raw and meta["envelope_from"] == "bob@example.net"


async def test_a_pipelining_client_gets_its_answers_in_order(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    start = b"MAIL FROM:<bob@example.net>\r\nRCPT TO:<support@acme.com>\r\nRCPT TO:<no@acme.com>\r\nDATA\r\n"
    async with wire(smtp) as talk:
        talk.writer.write(b"EHLO x\r\n" + start + mail("1") + b".\r\n" + start + mail("2") + b".\r\nQUIT\r\n")
        codes = [(await talk.answer())[:3] for _ in range(12)]
    assert codes == ["250", "250", "250", "550", "354", "250", "250", "250", "550", "354", "250", "221"]
    assert len(await keeping.kept(account)) == 2


async def test_a_connection_that_ends_within_a_mail_leaves_nothing(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    for tail in (b"", b".", b".\r"):
        async with wire(smtp) as talk:
            await talk.begin("support@acme.com")
            talk.writer.write(mail() + tail)
            await talk.writer.drain()
    async with asyncio.timeout(5):
        while smtp.door.sessions:
            await asyncio.sleep(0.01)
    assert await keeping.kept(account) == []
    assert smtp.door.room.free_bytes == Limits().room_bytes


async def test_who_hangs_up_before_the_answer_has_the_mail_kept_once_at_most(
    keeping: Keeping, smtp: Listening
):
    account, raw = await keeping.mailbox("support@acme.com"), mail()
    async with wire(smtp) as talk:
        await talk.begin("support@acme.com")
        talk.writer.write(raw + b".\r\n")
        await talk.writer.drain()
    await send(smtp, raw, "support@acme.com")  # no answer: it comes again
    assert [kept for kept, _ in await keeping.kept(account)] == [raw]


async def test_ten_thousand_recipients_cost_a_hundred_questions(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    async with wire(smtp) as talk:
        await talk.say("EHLO x")
        await talk.say("MAIL FROM:<bob@example.net>")
        assert (await talk.say("RCPT TO:<support@acme.com>")).startswith("250")
        talk.writer.write(b"".join(b"RCPT TO:<n%d@acme.com>\r\n" % n for n in range(10_000)))
        codes = [(await talk.answer())[:3] for _ in range(10_000)]
        assert codes.count("550") == 99 and codes.count("452") == 9_901
        assert (await talk.say("DATA")).startswith("354")
        assert (await talk.say(mail() + b".\r\n")).startswith("250")
    assert len(await keeping.kept(account)) == 1


async def test_too_large_a_mail_is_refused_before_and_after(keeping: Keeping, open_doors: OpenDoors):
    account = await keeping.mailbox("support@acme.com")
    door, _ = await open_doors(limits=Limits(mail_max_bytes=100_000))
    async with wire(door) as talk:
        await talk.say("EHLO x")
        assert (await talk.say("MAIL FROM:<a@b.c> SIZE=100001")).startswith("552")
        await talk.begin("support@acme.com")
        assert (await talk.say(mail("x" * 100_000) + b".\r\n")).startswith("552")
        await talk.begin("support@acme.com")  # one endless line
        for _ in range(50):
            talk.writer.write(b"x" * 100_000)
            await talk.writer.drain()
        assert (await talk.say(b"\r\n.\r\n")).startswith("552")
        await talk.begin("support@acme.com")
        assert (await talk.say(mail() + b".\r\n")).startswith("250")
    assert len(await keeping.kept(account)) == 1
    assert door.door.room.free_bytes == Limits().room_bytes


async def test_many_mails_at_once_do_not_take_all_memory(keeping: Keeping, open_doors: OpenDoors):
    account = await keeping.mailbox("support@acme.com")
    door, _ = await open_doors(limits=Limits(room_bytes=150_000))
    async with wire(door) as first, wire(door) as second:
        await first.begin("support@acme.com")
        first.writer.write(mail("x" * 100_000))
        async with asyncio.timeout(5):
            while door.door.room.free_bytes > 60_000:
                await asyncio.sleep(0.01)
        await second.begin("support@acme.com")
        assert (await second.say(mail("y" * 100_000) + b".\r\n")).startswith("452")
        assert (await first.say(b".\r\n")).startswith("250")
        await second.begin("support@acme.com")
        assert (await second.say(mail("y" * 100_000) + b".\r\n")).startswith("250")
    assert len(await keeping.kept(account)) == 2


async def test_too_many_connections_are_sent_away(open_doors: OpenDoors):
    door, _ = await open_doors(limits=Limits(sessions_max=2))
    async with wire(door), wire(door):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        assert (await reader.read()).startswith(b"421")
        writer.close()
    async with asyncio.timeout(5):
        while door.door.sessions:
            await asyncio.sleep(0.01)
    async with wire(door):
        pass


async def test_who_says_nothing_or_drips_is_cut_off(keeping: Keeping, open_doors: OpenDoors):
    account = await keeping.mailbox("support@acme.com")
    door, _ = await open_doors(limits=Limits(idle_s=0.3, data_s=0.6))
    async with wire(door) as silent, wire(door) as dripping:
        await dripping.begin("support@acme.com")
        began_s = asyncio.get_running_loop().time()
        with pytest.raises((ConnectionError, EOFError)):
            async with asyncio.timeout(5):
                while True:
                    dripping.writer.write(b"x")
                    await dripping.writer.drain()
                    if dripping.reader.at_eof():
                        raise EOFError
                    await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - began_s < 2
        assert await silent.answer() == ""
    assert await keeping.kept(account) == []


async def test_nonsense_is_answered_and_nothing_falls_over(keeping: Keeping, smtp: Listening):
    account = await keeping.mailbox("support@acme.com")
    nonsense = [
        b"\xff\xfe\r\n",
        b"MAIL\r\n",
        b"MAIL FROM:\r\n",
        b"MAIL FROM:<\r\n",
        b'MAIL FROM:<"\\@x>\r\n',
        b"MAIL FROM:<a@[1.2.3.4>\r\n",
        b"MAIL FROM:<a@b> SIZE=x\r\n",
        b"MAIL FROM:<a@b> BODY=BINARYMIME\r\n",
        b"RCPT TO:<support@acme.com>\r\n",
        b"DATA\r\n",
        b"BDAT 5 LAST\r\n",
        b"VRFY support@acme.com\r\n",
        b"EXPN staff\r\n",
        b"AUTH PLAIN AHgAeQ==\r\n",
        b"HELP \xff\r\n",
        b"NOOP " + b"y" * 500 + b"\r\n",
        b"X" * 200_000 + b"\r\n",
        b"\x00\r\n",
    ]
    for line in nonsense:
        async with wire(smtp) as talk:
            await talk.say("EHLO x")
            assert (await talk.say(line))[:1] in {"2", "4", "5"}, line
            assert (await talk.say("NOOP")).startswith("250"), line
    async with wire(smtp) as talk:
        await talk.say("EHLO \xff\x01")
        assert (await talk.say(b"MAIL FROM:<\xff\xfe@example.net>\r\n")).startswith("250")
        for address in (
            b"\xff@acme.com",
            b'"a b"@acme.com',
            b"@",
            b"<>",
            b"a@" + b"b." * 300 + b"c",
            b"postmaster",
        ):
            assert (await talk.say(b"RCPT TO:<" + address + b">\r\n"))[:1] == "5", address
        assert (await talk.say("RCPT TO:<support@acme.com>")).startswith("250")
        await talk.say("DATA")
        assert (await talk.say(b"\xff\x00\r\n.\r\n")).startswith("250")
    ((raw, meta),) = await keeping.kept(account)
    assert raw == b"\xff\x00\r\n" and meta["envelope_from"] == "\ufffd\ufffd@example.net"
