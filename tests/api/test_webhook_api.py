"""The door that providers knock on: nothing comes in that is not proved, nothing is lost that was."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import httpx
import orjson
import pytest
from tests.api.talk import ModelOnStrings, client, connect_a1base, delivery, new_agent, signed, until
from tests.conftest import MakeHouse, TestHouse

MESSAGING = "/api/webhooks/messaging"


@pytest.fixture
async def served(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True, **ModelOnStrings().wiring())


async def _messages(house: TestHouse) -> int:
    return (await house.as_admin("SELECT count(*) FROM messages"))[0][0]


async def _ready_agent(http: httpx.AsyncClient, **more: str) -> str:
    agent_id = await new_agent(http)
    await connect_a1base(http, agent_id, **more)
    return agent_id


async def test_a_signed_delivery_is_stored_and_answered_with_success(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await _ready_agent(http)
        raw = delivery("When are you open?")
        async with client(served) as provider:
            answer = await provider.post(
                MESSAGING, content=raw, headers=signed(raw, **{"x-agent-id": agent_id})
            )
        chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
        messages = (await http.get(f"/api/chats/{chats[0]['id']}/messages")).json()
    assert answer.status_code == 200 and answer.json() == {"success": True}
    assert chats[0]["service"] == "whatsapp" and chats[0]["waiting_since"] is not None
    assert [m["content"] for m in messages] == ["When are you open?"]
    assert messages[0]["external_id"] == orjson.loads(raw)["message_id"]


async def test_without_an_agent_id_it_is_exactly_the_guides_400(served: TestHouse):
    raw = delivery()
    async with client(served) as provider:
        for headers in (signed(raw), signed(raw, **{"x-agent-id": ""}), {}):
            answer = await provider.post(MESSAGING, content=raw, headers=headers)
            assert (answer.status_code, answer.content) == (400, b'{"error":"Agent ID required"}')


async def test_the_channels_own_address_takes_the_same(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await new_agent(http)
        channel = await connect_a1base(http, agent_id)
        listed = (await http.get(f"/api/agents/{agent_id}/channels")).json()
        url = next(c["webhook_url"] for c in listed if c["id"] == channel)
        raw = delivery()
        async with client(served) as provider:
            assert (await provider.post(url, content=raw, headers=signed(raw))).json() == {"success": True}
            assert (
                await provider.post(url, content=raw, headers=signed(raw, secret="no"))
            ).status_code == 401
            pulled = [c["id"] for c in listed if c["kind"] == "api"]
            unknown = [
                await provider.post(f"/api/webhooks/{i}", content=raw, headers=signed(raw))
                for i in (*pulled, uuid4(), "nonsense")
            ]
    assert url.startswith(served.url)
    assert {a.status_code for a in unknown} == {404} and len({a.content for a in unknown}) == 1
    assert await _messages(served) == 1


async def test_what_is_not_proved_does_not_come_in(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await _ready_agent(http)
    raw = delivery()
    agent = {"x-agent-id": agent_id}
    right = signed(raw, **agent)
    now = time.time()
    forged = {
        "no signature": {k: v for k, v in right.items() if k != "x-signature"},
        "no timestamp": {k: v for k, v in right.items() if k != "x-timestamp"},
        "empty signature": {**right, "x-signature": ""},
        "another's secret": signed(raw, secret="another", **agent),
        "empty secret": signed(raw, secret="", **agent),
        "of another body": signed(delivery(), **agent),
        "of the body written anew": signed(
            orjson.dumps(orjson.loads(raw), option=orjson.OPT_INDENT_2), **agent
        ),
        "six minutes old": signed(raw, at=now - 360, **agent),
        "six minutes early": signed(raw, at=now + 360, **agent),
        "timestamp moved": {**right, "x-timestamp": str(int(now) - 1)},
        "timestamp no number": {**right, "x-timestamp": "now"},
        "timestamp in arabic digits": {**right, "x-timestamp": "1764000000"[:9] + "x"},
        "signature cut": {**right, "x-signature": right["x-signature"][:-1]},
    }
    async with client(served) as provider:
        for what, headers in forged.items():
            answer = await provider.post(MESSAGING, content=raw, headers=headers)
            assert answer.status_code == 401, what
            assert answer.headers["content-type"] == "application/problem+json"
        for place in range(0, len(raw), max(1, len(raw) // 60)):
            flipped = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
            assert (await provider.post(MESSAGING, content=flipped, headers=right)).status_code == 401
        assert await _messages(served) == 0
        assert (await provider.post(MESSAGING, content=raw, headers=right)).status_code == 200
    assert await _messages(served) == 1


async def test_an_unknown_agent_is_answered_like_a_wrong_signature(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await _ready_agent(http)
    raw = delivery()
    async with client(served) as provider:
        for headers in (signed(raw, secret="wrong"), signed(raw, at=1), {}):
            known, unknown, nonsense = [
                await provider.post(MESSAGING, content=raw, headers={**headers, "x-agent-id": i})
                for i in (agent_id, str(uuid4()), "nonsense")
            ]
            assert known.status_code == unknown.status_code == nonsense.status_code == 401
            assert known.content == unknown.content == nonsense.content


async def test_a_deleted_agent_is_a_stranger_from_then_on(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http, client(served) as provider:
        agent_id = await _ready_agent(http)
        for expected in (200, 401):
            raw = delivery()
            answer = await provider.post(
                MESSAGING, content=raw, headers=signed(raw, **{"x-agent-id": agent_id})
            )
            assert answer.status_code == expected
            await http.delete(f"/api/agents/{agent_id}")
        unknown = await provider.post(
            MESSAGING, content=raw, headers=signed(raw, **{"x-agent-id": str(uuid4())})
        )
    assert answer.content == unknown.content
    assert await _messages(served) == 1


async def test_without_a_configured_secret_it_is_refused_and_not_skipped(served: TestHouse):
    owner = await served.owner()
    raw = delivery()
    async with client(served, owner) as http:
        bare = await new_agent(http)
        keyless = await _ready_agent(http, api_secret="")
        async with client(served) as provider:
            for agent_id in (bare, keyless):
                headers = signed(raw, secret="", **{"x-agent-id": agent_id})
                answer = await provider.post(MESSAGING, content=raw, headers=headers)
                assert answer.status_code == 503, answer.text
    assert await _messages(served) == 0


async def test_a_delivery_repeated_is_stored_once(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await _ready_agent(http)
        raw = delivery()
        headers = signed(raw, **{"x-agent-id": agent_id})
        async with client(served) as provider:
            answers = await asyncio.gather(
                *(provider.post(MESSAGING, content=raw, headers=headers) for _ in range(20))
            )
        usage = (await http.get("/api/usage")).json()
    assert {a.status_code for a in answers} == {200} and {a.text for a in answers} == {'{"success":true}'}
    assert await _messages(served) == 1
    assert usage["used"]["messages"] == 1


async def test_what_is_authentic_and_unreadable_is_kept_and_not_sent_again(served: TestHouse):
    unreadable = (b"", b"{", b"[]", b"7", b'{"message_id": "m"}', b"\xff\xfe", b"null")
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await _ready_agent(http)
    async with client(served) as provider:
        for raw in unreadable:
            headers = signed(raw, **{"x-agent-id": agent_id})
            answer = await provider.post(MESSAGING, content=raw, headers=headers)
            assert answer.json() == {"success": True}, raw
    assert (await served.as_admin("SELECT count(*) FROM unread_deliveries"))[0][0] == len(unreadable)
    assert await _messages(served) == 0


async def test_naughty_characters_come_in_mended(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await _ready_agent(http)
        raw = delivery("WORDS").replace(b"WORDS", rb"a\u0000b \ud83d \udc4d \ud83d\udc4d \\u0000")
        async with client(served) as provider:
            answer = await provider.post(
                MESSAGING, content=raw, headers=signed(raw, **{"x-agent-id": agent_id})
            )
        chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
        messages = (await http.get(f"/api/chats/{chats[0]['id']}/messages")).json()
    assert answer.status_code == 200
    assert messages[0]["content"] == "a\ufffdb \ufffd \ufffd 👍 \\u0000"


async def test_a_delivery_over_the_limit_is_413(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await _ready_agent(http)
    raw = delivery("x" * (24 << 20))  # media ride inside
    async with client(served) as provider:
        answer = await provider.post(MESSAGING, content=raw, headers=signed(raw, **{"x-agent-id": agent_id}))
    assert answer.status_code == 413 and answer.headers["content-type"] == "application/problem+json"


async def test_a_secret_changed_in_mid_flight_is_judged_by_the_newest(served: TestHouse):
    """Two numbers of one agent: the secret of either proves a delivery, and names its number."""
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await new_agent(http)
        first = await connect_a1base(http, agent_id, number="+15550000001", api_secret="one")
        second = await connect_a1base(http, agent_id, number="+15550000002", api_secret="two")
        async with client(served) as provider:
            for secret in ("one", "two"):
                raw = delivery(thread_id=f"thread-{secret}")
                headers = signed(raw, secret=secret, **{"x-agent-id": agent_id})
                assert (await provider.post(MESSAGING, content=raw, headers=headers)).status_code == 200
        assert (await http.delete(f"/api/agents/{agent_id}/channels/{first}")).status_code == 204
        async with client(served) as provider:
            raw = delivery()
            headers = signed(raw, secret="one", **{"x-agent-id": agent_id})
            gone = await provider.post(MESSAGING, content=raw, headers=headers)
        chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
    assert {c["channel_account_id"] for c in chats} == {first, second}
    assert gone.status_code == 401


async def test_the_answer_goes_out_by_the_providers_send_call(make_house: MakeHouse):
    from tests.fakes.a1base import FAIR, KEY, SECRET, FakeA1Base

    model = ModelOnStrings()
    async with FakeA1Base(seed=1, weather=FAIR) as fake:
        house = await make_house(serve=True, work=True, **model.wiring(egress_allow="127.0.0.0/8"))
        owner = await house.owner()
        async with client(house, owner) as http:
            agent_id = await new_agent(http, message_settings={"settle_s": 0})
            await connect_a1base(http, agent_id, api_key=KEY, api_secret=SECRET, base_url=fake.base_url)
            raw = delivery("hello")
            async with client(house) as provider:
                headers = signed(raw, secret=SECRET, **{"x-agent-id": agent_id})
                assert (await provider.post(MESSAGING, content=raw, headers=headers)).status_code == 200

            async def sent() -> bool:
                chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
                messages = (await http.get(f"/api/chats/{chats[0]['id']}/messages")).json()
                return messages[0]["status"] == "sent"

            await until(sent)
            chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
            messages = (await http.get(f"/api/chats/{chats[0]['id']}/messages")).json()
            turn = (await http.get(f"/api/turns/{messages[0]['turn_id']}")).json()
    assert [call.text for call in fake.calls] == ["All is well."]
    assert turn["hops"][0]["hop"] == "receive_webhook" and turn["hops"][-1]["hop"] == "deliver_message"
