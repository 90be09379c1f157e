"""Debian's Postfix in front of the doors, as docs/how-to/connect-email.md tells self-hosters to set it up."""

from __future__ import annotations

import asyncio
import re
import smtplib
from pathlib import Path

import pytest
from tests.fakes.mail_servers import ROOT, Postfix, free_port, need_mail_servers, postfix
from tests.rooms.doors.conftest import Keeping, OpenDoors
from tests.rooms.doors.test_smtp_door import mail

from a1zap.doors.smtp_door import opened_smtp_doors

pytestmark = pytest.mark.usefixtures("_mail_servers")


@pytest.fixture(scope="session")
def _mail_servers() -> None:
    need_mail_servers()


def main_cf(protocol: str, port: int) -> list[str]:
    """The lines of the how-to page, for a free port."""
    page = (ROOT / "docs/how-to/connect-email.md").read_text()
    lines = re.search(r"```main\.cf\n(.*?)```", page, re.DOTALL)[1]
    assert "lmtp:inet:127.0.0.1:2424" in lines
    transport = f"lmtp:inet:127.0.0.1:{port}" if protocol == "lmtp" else f"smtp:[127.0.0.1]:{port}"
    return lines.replace("lmtp:inet:127.0.0.1:2424", transport).splitlines()


async def hand_in(server: Postfix, raw: bytes, *to: str, sender: str = "bob@example.net") -> dict[str, int]:
    """Give a mail to Postfix; the recipients that it refuses, with its codes."""

    def talk() -> dict[str, int]:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
            refused = client.sendmail(sender, list(to), raw)
        return {address: code for address, (code, _) in refused.items()}

    return await asyncio.to_thread(talk)


async def logged(server: Postfix, what: str) -> str:
    try:
        async with asyncio.timeout(15):
            while not re.search(what, server.log()):
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"Postfix does not say /{what}/:\n{server.log()}")
    return server.log()


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
async def test_postfix_delivers_to_the_door(keeping: Keeping, open_doors: OpenDoors, protocol: str):
    support, sales = await keeping.mailbox("support@acme.com"), await keeping.mailbox("sales@acme.com")
    doors = await open_doors()
    door = doors[0] if protocol == "smtp" else doors[1]
    raw = mail("Grüße\r\n.a dot\r\n" + "long " * 2000)
    async with postfix(*main_cf(protocol, door.port)) as server:
        refused = await hand_in(server, raw, "support+k3y@acme.com", "sales@acme.com", "nobody@acme.com")
        await keeping.wait_kept(support, 1)
        await keeping.wait_kept(sales, 1)
        await hand_in(server, mail("from nobody"), "support@acme.com", sender="")
        kept = await keeping.wait_kept(support, 2)
    assert refused == {"nobody@acme.com": 550}
    assert kept[0][0].startswith(b"Received: ") and "Grüße".encode() in kept[0][0]
    assert b"\r\n.a dot\r\n" in kept[0][0] and len(await keeping.kept(sales)) == 1
    assert kept[0][1]["envelope_to"] == ["support+k3y@acme.com"]
    assert [meta["envelope_from"] for _, meta in kept] == ["bob@example.net", ""]


async def test_postfix_waits_while_we_are_away_and_delivers_once(keeping: Keeping, tmp_path: Path):
    account, port = await keeping.mailbox("support@acme.com"), free_port()
    settings = keeping.house.settings.model_copy(update={"lmtp_listen": f"127.0.0.1:{port}"})
    async with postfix(*main_cf("lmtp", port)) as server:
        async with opened_smtp_doors(keeping.house.house, settings):
            await hand_in(server, mail("first"), "support@acme.com")
            await keeping.wait_kept(account, 1)
        await hand_in(server, mail("second"), "support@acme.com")
        await logged(server, "status=deferred")
        await keeping.house.as_admin(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
        )
        await keeping.house.as_admin(
            "CREATE TRIGGER refuse BEFORE INSERT ON raw_deliveries FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        async with opened_smtp_doors(keeping.house.house, settings):
            await server.try_again()
            await logged(server, r"status=deferred.*451 4\.3\.0")
            await keeping.house.as_admin("DROP TRIGGER refuse ON raw_deliveries")
            await server.try_again()
            await keeping.wait_kept(account, 2)
            await logged(server, "(?s)status=sent.*status=sent")
    assert len(await keeping.kept(account)) == 2
