"""A self-hoster's own mail server before the whole house: Postfix brings the mail and takes the answer, Dovecot keeps it."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import trustme
from tests.api.talk import ModelOnStrings, client, new_agent, until
from tests.conftest import MakeHouse
from tests.fakes.mail_servers import dovecot, need_mail_servers, postfix
from tests.fakes.relay import Relay, relaying
from tests.journeys.test_email import mail

from a1zap.doors.smtp_door import opened_smtp_doors


async def answered(relay: Relay, count: int) -> None:
    async def enough() -> bool:
        return len(relay.mails) >= count

    await until(enough, within_s=20)


async def test_a_mail_comes_through_postfix_and_its_answer_leaves_through_it(make_house: MakeHouse):
    need_mail_servers()
    house = await make_house(serve=True, work=True, **ModelOnStrings().wiring(egress_allow="127.0.0.0/8"))
    settings = house.settings.model_copy(
        update={"lmtp_listen": "127.0.0.1:0", "mail_authserv_id": "mx.acme.test"}
    )
    async with relaying(tls="none") as world, opened_smtp_doors(house.house, settings) as (door,):
        routes = f"acme.test=lmtp:inet:127.0.0.1:{door.port}, example.com=smtp:[127.0.0.1]:{world.port}"
        async with (
            postfix(
                "relay_domains = acme.test, example.com", f"transport_maps = inline:{{ {routes} }}"
            ) as server,
            client(house, await house.owner()) as http,
        ):
            agent_id = await new_agent(http, message_settings={"settle_s": 0})
            made = await http.post(
                f"/api/agents/{agent_id}/channels",
                json={
                    "kind": "email", "address": "support@acme.test", "inbound": "lmtp",
                    "outbound": "smtp", "smtp_host": "127.0.0.1", "smtp_port": str(server.port), "smtp_tls": "none",
                },
            )  # fmt: skip
            assert made.status_code == 201, made.text

            def hand_in(raw: bytes, to: str) -> None:
                with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as program:
                    assert program.sendmail("ann@example.com", [to], raw) == {}

            await asyncio.to_thread(hand_in, mail("When are you open?", 1), "support@acme.test")
            await answered(world, 1)
            answer = world.message()
            assert answer["In-Reply-To"] == "<1@example.com>"
            # Only the envelope knows the token: as after a forwarding that rewrites To.
            token = answer["Reply-To"].addresses[0].addr_spec
            await asyncio.to_thread(hand_in, mail("And on Sundays?", 2), token)
            await answered(world, 2)
            chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
            assert len(chats) == 1
            again = await http.post(
                f"/api/agents/{await new_agent(http, name='Bea')}/channels",
                json={
                    "kind": "email",
                    "address": "support@acme.test",
                    "inbound": "smtp",
                    "outbound": "smtp",
                    "smtp_host": "127.0.0.1",
                },
            )
            assert again.status_code == 409 and "support@acme.test" in again.text


async def test_a_mail_in_a_mailbox_elsewhere_is_answered(make_house: MakeHouse, tmp_path: Path):
    need_mail_servers()
    pem = tmp_path / "server.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    async with relaying(tls="none") as world, dovecot(pem) as server:
        house = await make_house(serve=True, work=True, **ModelOnStrings().wiring(egress_allow="127.0.0.0/8"))
        async with client(house, await house.owner()) as http:
            agent_id = await new_agent(http, message_settings={"settle_s": 0})
            made = await http.post(
                f"/api/agents/{agent_id}/channels",
                json={
                    "kind": "email", "address": "support@acme.test", "authserv_id": "mx.acme.test",
                    "inbound": "imap", "imap_host": "127.0.0.1", "imap_port": str(server.port), "imap_tls": "none",
                    "imap_user": server.user, "imap_password": server.password,
                    "outbound": "smtp", "smtp_host": "127.0.0.1", "smtp_port": str(world.port), "smtp_tls": "none",
                },
            )  # fmt: skip
            assert made.status_code == 201, made.text

            async def is_looked_into() -> bool:
                rows = await house.as_admin("SELECT 1 FROM mail_doors WHERE looked_at IS NOT NULL")
                return bool(rows)

            await until(is_looked_into, within_s=15)
            await server.put(mail("When are you open?", 1))
            await answered(world, 1)
            assert world.message()["In-Reply-To"] == "<1@example.com>"
