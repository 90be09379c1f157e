"""A house with a mail channel that only keeps: what the doors do ends where reading begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from tests.conftest import MakeHouse, TestHouse, TestOwner

from a1zap.agents.connect_channel import connect_channel
from a1zap.agents.create_agent import create_agent
from a1zap.agents.open_mail_door import ANY_DOMAIN, MailDomains
from a1zap.channels.catalog import shipped_channels
from a1zap.channels.contract import ChannelAccount, ChannelBase, Inbound, Item, Kept, Outbound, Posted, Sent
from a1zap.doors.smtp_door import Listening, opened_smtp_doors
from a1zap.doors.smtp_session import Limits
from a1zap.kit.egress import Egress


class KeptMail(ChannelBase):
    """Mail as the doors see it: any settings are taken, and a mail's text is what it says."""

    kind = "email"
    is_read_later = True
    stale_after_s = 3600.0

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        return settings["address"].lower(), dict(settings)

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        return None

    async def read(self, account: ChannelAccount, kept: Kept, now: datetime) -> Sequence[Item]:
        mail = message_from_bytes(kept.raw, policy=policy.default)
        return [
            Inbound(
                external_id=str(mail["message-id"] or kept.id),
                chat_external_id=str(mail["from"]),
                chat_type="individual",
                service="email",
                sender_address=str(mail["from"]),
                sender_name=None,
                message_type="text",
                text=mail.get_content(),
                said_at=now,
            )
        ]

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        return Sent()


@dataclass(frozen=True)
class Keeping:
    """A house, and what it has kept."""

    house: TestHouse

    async def mailbox(
        self,
        address: str,
        *,
        owner: TestOwner | None = None,
        domains: MailDomains = ANY_DOMAIN,
        inbound: str = "smtp",
        **settings: str,
    ) -> UUID:
        """An agent with this mail address; gives back the account."""
        owner = owner or await self.house.owner()
        agent = await create_agent(
            self.house.db, self.house.keyring, owner_id=owner.owner_id, name=uuid4().hex, actor="test"
        )
        connected = await connect_channel(
            self.house.db,
            self.house.keyring,
            self.house.channels["email"],
            owner_id=owner.owner_id,
            agent_id=agent.id,
            settings={"address": address, "inbound": inbound, **settings},
            actor="test",
            mail_domains=domains,
        )
        return connected.seen.id

    async def kept(self, account_id: UUID) -> list[tuple[bytes, dict[str, Any]]]:
        """(raw, meta) of all that was kept for an account, oldest first."""
        rows = await self.house.as_admin(
            "SELECT owner_id, id, raw_sealed, meta_sealed FROM raw_deliveries WHERE channel_account_id = $1 ORDER BY id",
            account_id,
        )
        found: list[tuple[bytes, dict[str, Any]]] = []
        for row in rows:
            async with self.house.db.owned(row["owner_id"]) as tx:
                sealer = await self.house.keyring.sealer(tx)
            raw = sealer.open(row["raw_sealed"], table="raw_deliveries", column="raw_sealed", row=row["id"])
            meta = sealer.open(
                row["meta_sealed"], table="raw_deliveries", column="meta_sealed", row=row["id"]
            )
            found.append((raw, orjson.loads(meta)))
        return found

    async def wait_kept(
        self, account_id: UUID, count: int, *, within_s: float = 15
    ) -> list[tuple[bytes, dict[str, Any]]]:
        """The same, once there are `count`."""
        found: list[tuple[bytes, dict[str, Any]]] = []
        try:
            async with asyncio.timeout(within_s):
                while len(found := await self.kept(account_id)) < count:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"{len(found)} of {count} mails were kept within {within_s:g} s")
        return found


@pytest.fixture
async def keeping(make_house: MakeHouse) -> Keeping:
    return Keeping(await make_house(channels={**shipped_channels(), "email": KeptMail()}))


OpenDoors = Callable[..., Awaitable[list[Listening]]]


@pytest.fixture
async def open_doors(keeping: Keeping) -> AsyncIterator[OpenDoors]:
    """Open doors on free ports: `await open_doors(limits=Limits(…), smtp_trusted=…)`; SMTP first, then LMTP."""
    async with AsyncExitStack() as stack:

        async def open_them(*, limits: Limits | None = None, **given: Any) -> list[Listening]:
            settings = keeping.house.settings.model_copy(
                update={"smtp_listen": "127.0.0.1:0", "lmtp_listen": "127.0.0.1:0", **given}
            )
            return await stack.enter_async_context(
                opened_smtp_doors(keeping.house.house, settings, limits=limits)
            )

        yield open_them


@pytest.fixture
async def smtp(open_doors: OpenDoors) -> Listening:
    return (await open_doors())[0]


@pytest.fixture
async def lmtp(open_doors: OpenDoors) -> Listening:
    return (await open_doors())[1]
