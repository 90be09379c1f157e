"""Email through the whole house: in by a signed door, read by a worker, answered on its thread through a real relay."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.talk import ModelOnStrings, client, new_agent, until
from tests.conftest import MakeHouse
from tests.contracts.mailboxes import INBOUND, body_of, expected_of, posted_by
from tests.fakes.relay import Relay, relaying

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PAYLOADS = Path(__file__).parent.parent / "contracts" / "payloads"
PROVEN = "mx.acme.test; dmarc=pass header.from=example.com"


def sign(raw: bytes) -> dict[str, str]:
    stamp = str(int(time.time()))
    signature = base64.b64encode(
        hmac.new(b"k" * 32, b"m.%b." % stamp.encode() + raw, hashlib.sha256).digest()
    )
    return {
        "webhook-id": "m",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature.decode()}",
        "content-type": "message/rfc822",
    }


def mail(
    text: str, number: int, *, sender: str = "Ann <ann@example.com>", proven: bool = True, **headers: str
) -> bytes:
    message = EmailMessage(policy=SMTP)
    if proven:
        message["Authentication-Results"] = PROVEN
    message["From"], message["To"] = sender, headers.pop("To", "support@acme.test")
    message["Subject"], message["Message-ID"] = (
        headers.pop("Subject", "Opening hours"),
        f"<{number}@example.com>",
    )
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message.as_bytes()


@dataclass(frozen=True)
class Mailbox:
    """An agent with a mailbox, its owner's client, and the relay that its answers leave through."""

    http: httpx.AsyncClient
    provider: httpx.AsyncClient
    agent_id: str
    channel_id: str
    relay: Relay

    async def deliver(self, raw: bytes) -> None:
        answer = await self.provider.post(f"/api/webhooks/{self.channel_id}", content=raw, headers=sign(raw))
        assert answer.status_code == 200, answer.text

    async def chats(self) -> list[dict[str, Any]]:
        return (await self.http.get(f"/api/agents/{self.agent_id}/conversations?limit=100")).json()

    async def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for chat in await self.chats():
            found += (await self.http.get(f"/api/chats/{chat['id']}/messages")).json()
        return sorted(found, key=lambda m: (m["chat_id"], m["seq"]) if "chat_id" in m else m["seq"])

    async def sent(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.relay.mails) >= count

        await until(enough, within_s=15)

    async def stored(self, count: int) -> None:
        async def enough() -> bool:
            return len([m for m in await self.messages() if m["direction"] == "inbound"]) >= count

        await until(enough, within_s=20)


@asynccontextmanager
async def mailbox(make_house: MakeHouse, **settings: str) -> AsyncIterator[Mailbox]:
    async with relaying(tls="none") as relay:
        house = await make_house(serve=True, work=True, **ModelOnStrings().wiring(egress_allow="127.0.0.0/8"))
        owner = await house.owner()
        async with client(house, owner) as http, client(house) as provider:
            agent_id = await new_agent(http, message_settings={"settle_s": 0})
            told = {
                "kind": "email", "address": "support@acme.test", "inbound": "raw", "inbound_secret": SECRET,
                "outbound": "smtp", "smtp_host": "127.0.0.1", "smtp_port": str(relay.port), "smtp_tls": "none",
                "authserv_id": "mx.acme.test", **settings,
            }  # fmt: skip
            made = await http.post(
                f"/api/agents/{agent_id}/channels", json={k: v for k, v in told.items() if v}
            )
            assert made.status_code == 201, made.text
            assert SECRET not in made.text
            yield Mailbox(http, provider, agent_id, made.json()["id"], relay)


async def test_a_mail_is_answered_on_its_thread_and_the_answer_finds_its_chat(make_house: MakeHouse):
    async with mailbox(make_house) as box:
        await box.deliver(mail("When are you open?", 1))
        await box.sent(1)
        sender, to, _, _ = box.relay.mails[0]
        answer = box.relay.message()
        assert (sender, to) == ("support@acme.test", ["ann@example.com"])
        assert (answer["Subject"], answer["In-Reply-To"]) == ("Re: Opening hours", "<1@example.com>")
        assert answer.get_body(("plain",)).get_content().startswith("All is well.")
        reply_to = answer["Reply-To"].addresses[0].addr_spec
        # By the token alone, by the ids alone: both find the chat.
        await box.deliver(
            mail(
                "And on Sundays?\n\nOn Mon, Ada <support@acme.test> wrote:\n> All is well.\n", 2, To=reply_to
            )
        )
        await box.sent(2)
        await box.deliver(mail("And at Christmas?", 3, In_Reply_To=str(box.relay.message()["Message-ID"])))
        await box.sent(3)
        assert len(await box.chats()) == 1
        assert box.relay.message()["References"].split()[0] == "<1@example.com>"
        said = [m["content"] for m in await box.messages() if m["direction"] == "inbound"]
        assert said == ["When are you open?", "And on Sundays?", "And at Christmas?"]


async def test_a_mail_delivered_twice_is_answered_once(make_house: MakeHouse):
    async with mailbox(make_house) as box:
        raw = mail("When are you open?", 1)
        await box.deliver(raw)
        await box.deliver(raw)
        await box.deliver(b"X-Other-Hop: 1\r\n" + raw)  # the same mail by another way
        await box.sent(1)
        await box.deliver(mail("Thanks!", 2, In_Reply_To="<1@example.com>"))
        await box.sent(2)
        assert len(box.relay.mails) == 2


async def test_who_only_says_to_be_somebody_never_gets_into_their_chat(make_house: MakeHouse):
    async with mailbox(make_house) as box:
        await box.deliver(mail("My number is 4711, keep it secret", 1))
        await box.sent(1)
        ours = box.relay.message()
        token = ours["Reply-To"].addresses[0].addr_spec
        forged = {"To": token, "In_Reply_To": str(ours["Message-ID"])}
        await box.deliver(mail("What is my number?", 2, proven=False, **forged))
        await box.deliver(mail("And whose is it?", 3, sender="eve@example.com", **forged))
        await box.sent(3)
        assert len(await box.chats()) == 3


async def test_machines_are_heard_and_never_answered(make_house: MakeHouse):
    async with mailbox(make_house) as box:
        await box.deliver(mail("I am away", 1, Auto_Submitted="auto-replied"))
        await box.deliver(mail("News!", 2, List_Id="<news.example.com>"))
        await box.deliver(mail("It is me", 3, sender="support@acme.test"))
        await box.stored(3)
        await box.deliver(mail("A person at last", 4))
        await box.sent(1)
        held = {
            m["content"]: m.get("held_reason") for m in await box.messages() if m["direction"] == "inbound"
        }
        assert held["A person at last"] is None
        assert all(why for text, why in held.items() if text != "A person at last")
        assert len(box.relay.mails) == 1


async def test_two_agents_of_one_owner_do_not_answer_each_other(make_house: MakeHouse):
    async with mailbox(make_house) as box:
        second = await new_agent(box.http, name="Sales")
        told = {
            "kind": "email", "address": "sales@acme.test", "inbound": "raw",
            "outbound": "smtp", "smtp_host": "127.0.0.1", "smtp_port": "25", "smtp_tls": "none",
        }  # fmt: skip
        made = await box.http.post(f"/api/agents/{second}/channels", json=told)
        assert made.status_code == 201, made.text
        # A relay took out what our mails say of themselves.
        await box.deliver(mail("Happy to help!", 1, sender="Sales <Sales+mfrggzdfmztwq2lk@acme.test>"))
        await box.stored(1)
        assert [m.get("held_reason") for m in await box.messages()] == ["automatic_own_mail"]


async def test_a_bounce_is_shown_and_its_message_has_failed(make_house: MakeHouse):
    async with mailbox(make_house) as box:
        await box.deliver(mail("When are you open?", 1))
        await box.sent(1)
        own = str(box.relay.message()["Message-ID"]).strip("<>").encode()
        bounce = (PAYLOADS / "email_raw" / "bounce.eml").read_bytes()
        await box.deliver(bounce.replace(b"0193b1a2-6c1e-7d3f-9a44-0b6e7c9d1f20@acme.test", own))

        async def failed() -> bool:
            return any(m["status"] == "failed" for m in await box.messages())

        await until(failed, within_s=10)
        assert len(box.relay.mails) == 1, "nobody answers a bounce"


async def test_every_mail_that_comes_is_stored_and_shown(make_house: MakeHouse):
    async with mailbox(make_house) as box:
        mails = [
            p.read_bytes()
            for folder in ("email", "email_raw")
            for p in sorted((PAYLOADS / folder).glob("*.eml"))
        ]
        assert len(mails) >= 70
        for raw in mails:
            await box.deliver(raw)
        await box.stored(len(set(mails)))


@pytest.mark.parametrize("way", ["a1mail", "postmark", "mailgun", "sendgrid"])
async def test_every_providers_form_comes_through_the_door(make_house: MakeHouse, way: str):
    settings = {"inbound": way, "inbound_secret": "", **INBOUND[way], "provider_verdicts": ""}
    async with mailbox(make_house, **settings) as box:
        url, now = f"/api/webhooks/{box.channel_id}", datetime.now(UTC)
        names = [name for name, told in expected_of(way).items() if not told.get("malformed")]
        for name in names:
            posted = posted_by(way, *body_of(way, name, now), at=now)
            stranger = {k: v for k, v in posted.headers.items() if k == "content-type"}
            forged = posted.raw.replace(b"signature", b"signatures")
            assert (await box.provider.post(url, content=forged, headers=stranger)).status_code == 401
            answer = await box.provider.post(url, content=posted.raw, headers=posted.headers)
            assert answer.status_code == 200, (name, answer.text)
        wanted = {told["text"] for told in expected_of(way).values() if "text" in told}

        async def all_there() -> bool:
            return wanted <= {message["content"] for message in await box.messages()}

        await until(all_there, within_s=20)


async def test_what_nobody_signed_is_refused_and_without_an_outside_address_nothing_is_sent(
    make_house: MakeHouse,
):
    async with mailbox(make_house) as box:
        raw = mail("Hello", 1)
        for headers in (
            {},
            {**sign(raw), "webhook-signature": "v1,AAAA"},
            sign(raw + b"!"),
            {"authorization": "Bearer x"},
        ):
            answer = await box.provider.post(f"/api/webhooks/{box.channel_id}", content=raw, headers=headers)
            assert answer.status_code == 401, answer.text
        assert await box.chats() == []
