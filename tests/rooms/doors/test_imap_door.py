"""Mailboxes that we look into: a real Dovecot, and servers that mean harm."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import trustme
from tests.conftest import MakeHouse, TestHouse, TestOwner
from tests.fakes.mail_servers import Dovecot, dovecot, need_mail_servers, trusting
from tests.rooms.doors.conftest import Keeping, KeptMail

from a1zap.agents.change_settings import change_settings
from a1zap.channels.catalog import shipped_channels
from a1zap.doors import imap_client
from a1zap.doors.imap_door import Pace, look_into_mailboxes
from a1zap.kit.egress import Egress

_USERS = itertools.count()
QUICK = Pace(
    claim_s=0.1,
    poll_s=0.2,
    idle_s=5,
    lease_s=2,
    step_s=5,
    mail_s=10,
    failed_first_s=0.2,
    failed_max_s=0.4,
    refused_max_s=0.4,
)


def mail(text: str = "Hello there.") -> bytes:
    return f"From: bob@example.net\r\nMessage-ID: <{uuid4().hex}@example.net>\r\n\r\n{text}\r\n".encode()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def pem(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imap") / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
async def everybodys_server(pem: Path) -> AsyncIterator[Dovecot]:
    need_mail_servers()
    async with dovecot(pem) as running:
        yield running


@pytest.fixture
def server(everybodys_server: Dovecot) -> Dovecot:
    """A fresh mailbox."""
    return everybodys_server.of(f"u{next(_USERS)}")


@pytest.fixture
async def own_server(pem: Path) -> AsyncIterator[Dovecot]:
    """A server of the test's own, to stop and to start."""
    need_mail_servers()
    async with dovecot(pem) as running:
        yield running


@dataclass(frozen=True)
class Looking(Keeping):
    """A house that may look into mailboxes on loopback."""

    authority: trustme.CA

    async def imap(self, server: Dovecot, *, owner: TestOwner | None = None, **settings: str) -> UUID:
        given = {
            "imap_host": "localhost",
            "imap_port": str(server.port),
            "imap_tls": "none",
            "imap_user": server.user,
            "imap_password": server.password,
            **settings,
        }
        return await self.mailbox(f"{server.user}@acme.com", owner=owner, inbound="imap", **given)

    @asynccontextmanager
    async def worker(self, pace: Pace = QUICK, house: TestHouse | None = None) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(
            look_into_mailboxes(
                (house or self.house).house, stop, pace=pace, tls=trusting(self.authority.cert_pem.bytes())
            )
        )
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(15):
                await task

    async def state(self, account: UUID) -> dict[str, Any]:
        (row,) = await self.house.as_admin(
            """SELECT d.uid_validity, d.last_uid, d.looked_at, d.failures, d.leased_by, c.health ->> 'state' AS state,
               c.health ->> 'error' AS error
               FROM mail_doors d JOIN channel_accounts c ON c.id = d.channel_account_id WHERE c.id = $1""",
            account,
        )
        return dict(row)

    async def until(
        self, account: UUID, is_so: Callable[[dict[str, Any]], bool], within_s: float = 10
    ) -> dict[str, Any]:
        state: dict[str, Any] = {}
        try:
            async with asyncio.timeout(within_s):
                while not is_so(state := await self.state(account)):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"the mailbox is still {state}")
        return state

    async def looked(self, account: UUID) -> None:
        await self.until(account, lambda s: s["looked_at"] is not None)


@pytest.fixture
async def looking(make_house: MakeHouse, authority: trustme.CA) -> Looking:
    house = await make_house(
        channels={**shipped_channels(), "email": KeptMail()}, settings={"egress_allow": "127.0.0.0/8,::1"}
    )
    return Looking(house, authority)


# ── a good server ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
async def test_what_comes_after_connecting_is_kept_and_left_unread(
    looking: Looking, server: Dovecot, tls: str
):
    await server.put(mail("from before"))
    port = server.tls_port if tls == "tls" else server.port
    account = await looking.imap(server, imap_tls=tls, imap_port=str(port))
    async with looking.worker():
        await looking.looked(account)
        first, second = mail("one\r\n.dot\r\nÜmlaut"), mail("two")
        await server.put(first, second)
        kept = await looking.wait_kept(account, 2)
    assert [raw for raw, _ in kept] == [first, second]
    assert kept[0][1] == {
        "door": "imap",
        "envelope_to": [f"{server.user}@acme.com"],
        "uid": 2,
        "uid_validity": kept[0][1]["uid_validity"],
    }
    assert await server.asks(("SEARCH", "UNSEEN")) == [b"1 2 3"]
    state = await looking.state(account)
    assert state["state"] == "ok" and state["last_uid"] == 3 and state["leased_by"] is None


async def test_idle_tells_of_mail_long_before_the_next_look(looking: Looking, server: Dovecot):
    account = await looking.imap(server)
    async with looking.worker(replace(QUICK, poll_s=60, idle_s=60)):
        await looking.looked(account)
        for count in (1, 2, 3):
            await server.put(mail())
            await looking.wait_kept(account, count, within_s=5)


async def test_without_a_free_hand_for_idle_it_is_looked_again_and_again(looking: Looking, server: Dovecot):
    account = await looking.imap(server)
    async with looking.worker(replace(QUICK, idle_hands=0)):
        await looking.looked(account)
        await server.put(mail())
        await looking.wait_kept(account, 1)


async def test_a_restart_repeats_nothing_and_loses_nothing(looking: Looking, server: Dovecot):
    account = await looking.imap(server)
    async with looking.worker():
        await looking.looked(account)
        await server.put(mail("one"))
        await looking.wait_kept(account, 1)
    await server.put(mail("two"), mail("three"))
    async with looking.worker():
        await looking.wait_kept(account, 3)
    assert (await looking.state(account))["last_uid"] == 3


async def test_a_server_that_goes_away_is_waited_for(looking: Looking, own_server: Dovecot):
    server = own_server
    account = await looking.imap(server)
    async with looking.worker():
        await looking.looked(account)
        await server.put(mail("one"))
        server.stop()
        state = await looking.until(account, lambda s: s["failures"] > 0)
        assert state["state"] == "failing" and "localhost" in state["error"]
        await server.start()
        await looking.wait_kept(account, 1)
        await looking.until(account, lambda s: s["state"] == "ok" and s["failures"] == 0)


async def test_mails_that_the_server_numbers_anew_are_kept_once_and_new_ones_too(
    looking: Looking, server: Dovecot
):
    account = await looking.imap(server)
    async with looking.worker():
        await looking.looked(account)
        await server.put(mail("one"), mail("two"), mail("three"))
        await looking.wait_kept(account, 3)
        before = await looking.until(account, lambda s: s["last_uid"] == 3)
    await server.asks(("STORE", "1", "+FLAGS", "\\Deleted"), ("EXPUNGE", "1"))
    await asyncio.sleep(1.1)  # the number that says so is a time in seconds
    server.renumber()
    await server.put(mail("four"))
    async with looking.worker():
        kept = await looking.wait_kept(account, 4)
        after = await looking.until(account, lambda s: s["uid_validity"] != before["uid_validity"])
    assert [raw.split(b"\r\n")[-2] for raw, _ in kept] == [b"one", b"two", b"three", b"four"]
    assert after["last_uid"] == 3


async def test_two_workers_keep_each_mail_once(looking: Looking, server: Dovecot):
    account = await looking.imap(server)
    async with looking.worker(), looking.worker():
        await looking.looked(account)
        for _ in range(5):
            await server.put(mail())
        await looking.wait_kept(account, 5)
    assert len({meta["uid"] for _, meta in await looking.kept(account)}) == 5


async def test_a_worker_that_died_is_followed_by_another(looking: Looking, server: Dovecot):
    account = await looking.imap(server)
    await looking.house.as_admin(
        "UPDATE mail_doors SET leased_by = $2, leased_until = now() + interval '1 s' WHERE channel_account_id = $1",
        account,
        uuid4(),
    )
    async with looking.worker():
        await looking.looked(account)


@pytest.mark.parametrize(("after", "unread", "left"), [("seen", b"", b"1"), ("move:Done", b"", b"")])
async def test_a_kept_mail_is_settled_as_its_owner_wants(
    looking: Looking, server: Dovecot, after: str, unread: bytes, left: bytes
):
    with server.client() as client:
        client.create("Done")
    account = await looking.imap(server, imap_after=after)
    async with looking.worker():
        await looking.looked(account)
        await server.put(mail())
        await looking.wait_kept(account, 1)
        async with asyncio.timeout(5):
            while await server.asks(("SEARCH", "UNSEEN"), ("SEARCH", "ALL")) != [unread, left]:
                await asyncio.sleep(0.05)
    if after.startswith("move"):
        assert await server.asks(("SEARCH", "ALL"), folder="Done") == [b"1"]


async def test_mail_is_kept_though_it_cannot_be_moved_and_its_owner_is_told(
    looking: Looking, server: Dovecot
):
    account = await looking.imap(server, imap_after="move:Nowhere")
    async with looking.worker():
        await looking.looked(account)
        await server.put(mail())
        await looking.wait_kept(account, 1)
        state = await looking.until(account, lambda s: s["state"] == "failing")
    assert "Nowhere" in state["error"]


async def test_a_folder_and_a_user_in_other_scripts(looking: Looking, server: Dovecot):
    them = server.of("müller", "gehéim")
    with server.client() as client:
        client.create('"Anfr&AOQ-gen"')
    account = await looking.imap(server, imap_folder="Anfrägen")
    other = await looking.imap(them)
    async with looking.worker():
        await looking.looked(account)
        await looking.looked(other)
        await server.put(mail(), folder='"Anfr&AOQ-gen"')
        await looking.wait_kept(account, 1)


async def test_a_wrong_password_is_said_and_not_tried_all_the_time(looking: Looking, server: Dovecot):
    account = await looking.imap(server, imap_password="wrong-secret")
    async with looking.worker(replace(QUICK, failed_first_s=60, refused_max_s=60)):
        state = await looking.until(account, lambda s: s["state"] == "failing")
        await asyncio.sleep(0.5)
    assert "user name and password" in state["error"] and "wrong-secret" not in state["error"]
    assert (await looking.state(account))["failures"] == 1
    log = (server.folder / "dovecot.log").read_text()
    assert len([line for line in log.splitlines() if "auth failed" in line and server.user in line]) == 1


async def test_a_certificate_for_another_name_is_not_taken(looking: Looking, server: Dovecot):
    account = await looking.imap(
        server, imap_tls="tls", imap_port=str(server.tls_port), imap_host="127.0.0.1"
    )
    async with looking.worker():
        state = await looking.until(account, lambda s: s["state"] == "failing")
    assert "certificate" in state["error"]


async def test_a_paused_mailbox_is_let_go_and_gone_on_with(looking: Looking, server: Dovecot):
    account = await looking.imap(server)
    async with looking.worker(replace(QUICK, idle_s=60)):
        await looking.looked(account)
        await looking.house.as_admin("UPDATE channel_accounts SET status = 'paused' WHERE id = $1", account)
        await looking.until(account, lambda s: s["leased_by"] is None)
        await server.put(mail())
        await asyncio.sleep(0.5)
        assert await looking.kept(account) == []
        await looking.house.as_admin("UPDATE channel_accounts SET status = 'active' WHERE id = $1", account)
        await looking.wait_kept(account, 1)


async def test_a_mended_password_is_tried_at_once_and_another_mailbox_begins_anew(
    looking: Looking, server: Dovecot
):
    owner = await looking.house.owner()
    other = server.of(f"u{next(_USERS)}")
    await other.put(*[mail() for _ in range(3)])
    account = await looking.imap(server, imap_password="wrong", owner=owner)

    async def change(**settings: str) -> None:
        ((agent_id,),) = await looking.house.as_admin(
            "SELECT agent_id FROM channel_accounts WHERE id = $1", account
        )
        await change_settings(
            looking.house.db,
            looking.house.keyring,
            looking.house.channels["email"],
            owner_id=owner.owner_id,
            agent_id=agent_id,
            account_id=account,
            settings=settings,
            actor="test",
        )

    async with looking.worker(replace(QUICK, failed_first_s=60, refused_max_s=60, idle_s=60)):
        await looking.until(account, lambda s: s["state"] == "failing")
        await change(imap_password=server.password)
        await looking.looked(account)
        await server.put(mail("one"))
        await looking.wait_kept(account, 1)
        await change(imap_user=other.user)
        await looking.until(account, lambda s: s["last_uid"] == 3)
        await other.put(mail("two"))
        kept = await looking.wait_kept(account, 2)
    assert kept[1][1]["uid"] == 4


async def test_of_a_mail_that_is_too_large_the_beginning_is_kept(
    looking: Looking, server: Dovecot, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(imap_client, "MAIL_MAX_BYTES", 200_000)
    monkeypatch.setattr("a1zap.doors.imap_door.MAIL_MAX_BYTES", 200_000)
    monkeypatch.setattr(imap_client, "CUT_BYTES", 5_000)
    account = await looking.imap(server)
    async with looking.worker():
        await looking.looked(account)
        large, small = mail("x" * 300_000), mail()
        await server.put(large, small)
        kept = await looking.wait_kept(account, 2)
    assert kept[0][0] == large[:5_000] and kept[0][1]["cut_from_bytes"] == len(large)
    assert kept[1][0] == small and "cut_from_bytes" not in kept[1][1]


async def test_many_mails_at_once_all_come(
    looking: Looking, server: Dovecot, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("a1zap.doors.imap_door._AT_ONCE", 7)
    monkeypatch.setattr("a1zap.doors.imap_door._WINDOW", 5)
    account = await looking.imap(server)
    async with looking.worker():
        await looking.looked(account)
    mails = [mail(str(n)) for n in range(30)]
    await server.put(*mails)
    async with looking.worker():
        kept = await looking.wait_kept(account, 30)
    assert [raw for raw, _ in kept] == mails


# ── where we may look ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("tls", "allow"), [("tls", ""), ("none", ""), ("starttls", "10.0.0.0/8")])
async def test_an_owner_cannot_have_us_look_into_the_own_house(
    make_house: MakeHouse, authority: trustme.CA, tls: str, allow: str
):
    calls = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.close()

    listening = await asyncio.start_server(count, "127.0.0.1", 0)
    house = await make_house(
        channels={**shipped_channels(), "email": KeptMail()}, settings={"egress_allow": allow}
    )
    looking = Looking(house, authority)
    port = listening.sockets[0].getsockname()[1]
    account = await looking.imap(Dovecot(port, port, Path()), imap_tls=tls)
    async with listening, looking.worker():
        state = await looking.until(account, lambda s: s["state"] == "failing")
    assert "A1ZAP_EGRESS_ALLOW" in state["error"] and calls == 0


async def test_only_the_address_that_was_checked_is_connected_to(
    make_house: MakeHouse, authority: trustme.CA
):
    """A name that changes its mind between check and connection gains nothing: it is looked up once."""
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    greeted = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeted.set()
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    house = await make_house(channels={**shipped_channels(), "email": KeptMail()})
    async with Egress(allow=[ip_network("127.0.0.0/8")], lookup=lookup) as egress, listening:
        looking = Looking(replace(house, house=replace(house.house, egress=egress)), authority)
        port = listening.sockets[0].getsockname()[1]
        await looking.imap(Dovecot(port, port, Path()), imap_host="imap.nowhere.invalid")
        async with looking.worker(replace(QUICK, failed_first_s=60, failed_max_s=60)), asyncio.timeout(5):
            await greeted.wait()
    assert asked == ["imap.nowhere.invalid"]


# ── servers that mean harm ──────────────────────────────────────────────────────────────────────────────────────────

Hostile = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _until_select(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Speaks as it should up to the folder; gives back the tag of the command after that."""
    writer.write(b"* OK [CAPABILITY IMAP4rev1 IDLE] hi\r\n")
    while line := await reader.readline():
        tag, command, *_ = line.split()
        if command == b"CAPABILITY":
            writer.write(b"* CAPABILITY IMAP4rev1 IDLE\r\n")
        elif command in (b"EXAMINE", b"SELECT"):
            writer.write(b"* 9 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 10] x\r\n")
        elif command != b"LOGIN":
            return tag
        writer.write(tag + b" OK done\r\n")
    return b""


async def _nonsense(reader, writer) -> None:
    writer.write(b"\xff\xfe not imap at all \x00\r\n" * 100)


async def _says_nothing(reader, writer) -> None:
    await asyncio.sleep(30)


async def _drips(reader, writer) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _never_ends_a_line(reader, writer) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def _never_stops_talking(reader, writer) -> None:
    await _until_select(reader, writer)
    while True:
        writer.write(b"* 5 EXISTS\r\n" * 5000)
        await writer.drain()


async def _announces_a_huge_literal(reader, writer) -> None:
    await _until_select(reader, writer)
    writer.write(b"* 1 FETCH (UID 1 BODY[] {99999999999}\r\n" + b"x" * 1000)
    await writer.drain()
    await asyncio.sleep(30)


async def _numbers_beyond_numbers(reader, writer) -> None:
    writer.write(b"* OK [CAPABILITY IMAP4rev1] hi\r\n")
    while line := await reader.readline():
        tag = line.split()[0]
        writer.write(
            b"* OK [UIDVALIDITY 99999999999999999999999] x\r\n* OK [UIDNEXT 99999999999999999999] x\r\n"
            + tag
            + b" OK x\r\n"
        )


async def _hangs_up_in_idle(reader, writer) -> None:
    tag = await _until_select(reader, writer)
    writer.write(b"* BYE\r\n" + tag + b" NO\r\n")


@pytest.mark.parametrize(
    "behave",
    [
        _nonsense,
        _says_nothing,
        _drips,
        _never_ends_a_line,
        _never_stops_talking,
        _announces_a_huge_literal,
        _numbers_beyond_numbers,
        _hangs_up_in_idle,
    ],
)
async def test_a_hostile_server_only_harms_itself(looking: Looking, behave: Hostile):
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await behave(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    account = await looking.imap(Dovecot(port, port, Path()))
    # What it could still keep from is read from it: a mark to start with, so that it is asked for mails.
    await looking.house.as_admin(
        "UPDATE mail_doors SET uid_validity = 1, last_uid = 1 WHERE channel_account_id = $1", account
    )
    async with looking.worker(replace(QUICK, step_s=1, mail_s=1, idle_s=0.5)):
        state = await looking.until(account, lambda s: s["failures"] > 0, within_s=10)
    assert (state["state"] == "failing" and "localhost" in state["error"]) or "mail server" in state["error"]
    assert await looking.kept(account) == []
    listening.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
