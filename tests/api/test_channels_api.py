"""A channel account is tested, paused, mended and shown with its health; what nobody could read is shown too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.api.talk import ModelOnStrings, client, connect_a1base, delivery, new_agent, signed
from tests.conftest import MakeHouse, TestHouse
from tests.fakes.a1base import KEY, SECRET, FakeA1Base, Weather


@dataclass
class Bench:
    """An agent with a channel to a fake A1Base."""

    house: TestHouse
    http: httpx.AsyncClient
    fake: FakeA1Base
    agent_id: str
    channel_id: str

    @property
    def path(self) -> str:
        return f"/api/agents/{self.agent_id}/channels/{self.channel_id}"

    async def tried(self, **body: Any) -> httpx.Response:
        return await self.http.post(f"{self.path}/test", json=body or None)

    async def health(self) -> dict[str, Any]:
        return (await self.http.get(self.path)).json()["health"]

    async def deliver(self, raw: bytes, secret: str = SECRET) -> httpx.Response:
        async with client(self.house) as provider:
            url = f"/api/webhooks/{self.channel_id}"
            return await provider.post(url, content=raw, headers=signed(raw, secret=secret))


@pytest.fixture
async def bench(make_house: MakeHouse) -> AsyncIterator[Bench]:
    async with FakeA1Base(weather=Weather(delay_max_s=0)) as fake:
        house = await make_house(serve=True, **ModelOnStrings().wiring(egress_allow="127.0.0.0/8"))
        owner = await house.owner()
        async with client(house, owner) as http:
            agent_id = await new_agent(http)
            channel_id = await connect_a1base(
                http, agent_id, api_key=KEY, api_secret=SECRET, base_url=fake.base_url
            )
            yield Bench(house, http, fake, agent_id, channel_id)


async def test_a_test_message_is_really_sent_and_the_channel_is_ok(bench: Bench):
    assert (await bench.health()) == {"state": "untested"}
    answer = await bench.tried(to="+61 400 123 456")
    health = await bench.health()
    assert answer.status_code == 200 and answer.json()["ok"] is True
    assert [call.text for call in bench.fake.calls] == ["This is a test message from Ada on a1zap."]
    assert bench.fake.calls[0].thread_id == "+61400123456"
    assert health["state"] == "ok" and health["since"]
    acts = await bench.house.as_admin("SELECT detail FROM audit_events WHERE action = 'channel.tested'")
    assert len(acts) == 1
    assert (await bench.house.as_admin("SELECT count(*) FROM chats"))[0][0] == 0, "it went past all chats"


async def test_without_an_address_the_provider_is_only_asked(bench: Bench):
    for body in ({}, {"to": None}):
        answer = await bench.http.post(f"{bench.path}/test", json=body)
        assert answer.status_code == 200 and "+15550001111" in answer.json()["said"]
    assert bench.fake.calls == [] and (await bench.health())["state"] == "ok"


async def test_wrong_credentials_break_the_channel_and_new_ones_mend_it(bench: Bench):
    rotated = await bench.http.patch(bench.path, json={"settings": {"api_key": "wrong-key-canary"}})
    refused = await bench.tried(to="+61400123456")
    broken = await bench.health()
    mended = await bench.http.patch(bench.path, json={"settings": {"api_key": KEY}, "status": "active"})
    untested = mended.json()["health"]
    tried = await bench.tried(to="+61400123456")
    assert rotated.status_code == mended.status_code == tried.status_code == 200
    assert refused.status_code == 503 and "api_key" in refused.json()["detail"]
    assert broken["state"] == "broken" and "401" in broken["error"]
    assert untested == {"state": "untested"} and (await bench.health())["state"] == "ok"
    everything = rotated.text + refused.text + mended.text
    assert "wrong-key-canary" not in everything and SECRET not in everything


async def test_a_provider_that_is_down_is_failing_since_the_first_time(bench: Bench):
    bench.fake.weather = Weather(delay_max_s=0, broken=1.0)
    first = await bench.tried(to="+61400123456")
    began = await bench.health()
    await bench.tried(to="+61400123456")
    assert first.status_code == 503 and first.json()["title"] == "Channel unavailable"
    assert began["state"] == "failing" and "A1Base answered 50" in began["error"]
    assert (await bench.health())["since"] == began["since"]


async def test_a_number_that_is_refused_says_nothing_of_the_channel(bench: Bench):
    await bench.tried()
    assert (await bench.tried(to="+61400123456", service="sms")).status_code == 200
    del bench.fake.accounts["acc-1"]
    refused = await bench.tried(to="+61400123456")
    assert refused.status_code == 400 and refused.json()["title"] == "Send refused"
    assert (await bench.health())["state"] == "ok"
    asked = await bench.tried()
    assert asked.status_code == 400 and "+15550001111" in asked.json()["detail"]
    assert (await bench.health())["state"] == "failing"


async def test_a_paused_channel_can_be_tested_and_stays_paused(bench: Bench):
    await bench.http.patch(bench.path, json={"status": "paused"})
    assert (await bench.tried(to="+61400123456")).status_code == 200
    assert (await bench.http.get(bench.path)).json()["status"] == "paused"


async def test_test_messages_have_a_rate(bench: Bench):
    answers = [(await bench.tried(to="+61400123456")).status_code for _ in range(7)]
    assert answers[:5] == [200] * 5 and answers[-1] == 429
    assert len(bench.fake.calls) <= 6


async def test_what_has_nothing_to_test_says_so(bench: Bench):
    listed = (await bench.http.get(f"/api/agents/{bench.agent_id}/channels")).json()
    web = next(c["id"] for c in listed if c["kind"] == "web")
    answer = await bench.http.post(f"/api/agents/{bench.agent_id}/channels/{web}/test")
    assert answer.status_code == 422 and "reads its messages from us" in answer.json()["detail"]


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_rotated_secret_is_the_only_one_that_counts(bench: Bench):
    assert (await bench.deliver(delivery())).status_code == 200
    changed = await bench.http.patch(bench.path, json={"settings": {"api_secret": "another"}})
    assert changed.status_code == 200 and changed.json()["status"] == "active"
    assert (await bench.deliver(delivery())).status_code == 401
    assert (await bench.deliver(delivery(), secret="another")).status_code == 200
    acts = await bench.house.as_admin(
        "SELECT detail FROM audit_events WHERE action = 'channel.settings_changed'"
    )
    assert "another" not in str(acts) and "api_secret" in str(acts)


async def test_a_secret_taken_away_closes_the_door_and_never_opens_it(bench: Bench):
    assert (await bench.http.patch(bench.path, json={"settings": {"api_secret": ""}})).status_code == 200
    assert (await bench.deliver(delivery())).status_code == 503


async def test_wrong_settings_change_nothing(bench: Bench):
    wrong: tuple[tuple[dict[str, str], int], ...] = (
        ({"api_sekret": "x"}, 422),
        ({"account_id": ""}, 422),
        ({"number": "call me"}, 422),
        ({"number": "+15550009999"}, 409),
        ({"base_url": "http://169.254.169.254/"}, 422),
    )
    for settings, status in wrong:
        body = {"settings": settings, "status": "paused"}
        answer = await bench.http.patch(bench.path, json=body)
        assert answer.status_code == status, answer.text
    same = await bench.http.patch(bench.path, json={"settings": {"number": "1 555 000 1111"}})
    assert same.status_code == 200 and same.json()["identity"] == "+15550001111"
    assert (await bench.http.get(bench.path)).json()["status"] == "active"
    assert (await bench.tried()).status_code == 200


async def test_a_channel_connected_before_settings_were_kept_can_still_be_changed(bench: Bench):
    from a1zap.agents import channel_store
    from a1zap.kit.ids import parse_id

    owner_id = (await bench.house.as_admin("SELECT owner_id FROM channel_accounts LIMIT 1"))[0][0]
    account_id = parse_id(bench.channel_id)
    assert account_id is not None
    async with bench.house.db.owned(owner_id) as tx:
        sealer = await bench.house.keyring.sealer(tx)
        flat = b'{"account_id": "acc-1", "api_key": "k", "api_secret": "s", "base_url": "https://x.example"}'
        sealed = sealer.seal(flat, table="channel_accounts", column="credentials_sealed", row=account_id)
        await tx.run("UPDATE channel_accounts SET credentials_sealed = $1 WHERE id = $2", sealed, account_id)
        account = await channel_store.read_channel_account(tx, sealer, account_id)
    assert account is not None and account.credentials["api_secret"] == "s"
    without = await bench.http.patch(bench.path, json={"settings": {"api_secret": "t"}})
    assert without.status_code == 422 and without.json()["field"] == "number"
    settings = {"api_secret": "t", "number": "+15550001111"}
    assert (await bench.http.patch(bench.path, json={"settings": settings})).status_code == 200
    assert (await bench.deliver(delivery(), secret="t")).status_code == 200


# ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_last_message_each_way_is_told(bench: Bench):
    before = (await bench.http.get(bench.path)).json()
    await bench.deliver(delivery())
    after = (await bench.http.get(bench.path)).json()
    assert before["last_inbound_at"] is before["last_outbound_at"] is None
    assert after["last_inbound_at"] and after["last_outbound_at"] is None
    echo = delivery("from the phone", is_from_agent=True)
    await bench.deliver(echo)
    assert (await bench.http.get(bench.path)).json()["last_outbound_at"]


async def test_what_nobody_could_read_is_listed_and_shown_to_its_owner_alone(bench: Bench):
    for raw in (b"{", b"\xff\xfe", b'{"message_id": "m"}', b""):
        assert (await bench.deliver(raw)).status_code == 200
    other = delivery("for another number", a1_phone_number="+15550007777")
    assert (await bench.deliver(other)).status_code == 200
    page = await bench.http.get(f"{bench.path}/unread?limit=3")
    rest = await bench.http.get(page.links["next"]["url"])
    listed = [*page.json(), *rest.json()]
    shown = [(await bench.http.get(f"{bench.path}/unread/{u['id']}")).json() for u in listed]
    assert [u["size"] for u in listed] == [len(other), 0, len(b'{"message_id": "m"}'), 2, 1]
    assert [(s["encoding"], s["raw"]) for s in shown[1:]] == [
        ("utf-8", ""),
        ("utf-8", '{"message_id": "m"}'),
        ("base64", "//4="),
        ("utf-8", "{"),
    ]
    assert "+15550007777" in listed[0]["reason"] and shown[0]["raw"] == other.decode()
    assert (await bench.house.as_admin("SELECT count(*) FROM messages"))[0][0] == 0
    eve = await bench.house.owner()
    async with client(bench.house, eve) as http:
        assert (await http.get(f"{bench.path}/unread/{listed[0]['id']}")).status_code == 404
    assert (await bench.http.get(f"{bench.path}/unread/{uuid4()}")).status_code == 404
