"""What happens is told to the owner's endpoints: a real receiver on loopback, real lanes, real crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import standardwebhooks
import svix
from tests.api.talk import ModelOnStrings, client, connect_a1base, new_agent, until
from tests.conftest import MakeHouse, TestHouse, TestOwner
from tests.fakes.receiver import Receiver

from a1zap.audit.store import record_act
from a1zap.hooks import deliver_event as worker
from a1zap.hooks.compose_payload import PAYLOAD_MAX_BYTES
from a1zap.hooks.deliver_event import Teller, deliver_event
from a1zap.hooks.model import EVENT_TYPES, HookPolicy, lane_of
from a1zap.kit.clock import SystemClock
from a1zap.kit.ids import new_id
from a1zap.live.store import record_events
from a1zap.queue import store as queue
from a1zap.queue.model import Entry, LeaseLost

QUICK = HookPolicy(schedule_s=(0, 0.02, 0.02, 0.02), timeout_s=2.0)
LOOPBACK = {"egress_allow": "127.0.0.0/8", "poll_s": 0.05}


class LaterClock(SystemClock):
    """Real time, moved on by what the test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass
class Owner:
    """An owner with an agent, and what they do to their endpoints."""

    house: TestHouse
    owner: TestOwner
    http: httpx.AsyncClient
    agent_id: str

    async def endpoint(self, url: str, **more: Any) -> dict[str, Any]:
        answer = await self.http.post("/api/webhook-endpoints", json={"url": url, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def log(self, endpoint: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        """What it was told, oldest first."""
        answer = await self.http.get(f"/api/webhook-endpoints/{endpoint['id']}/deliveries", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()[::-1]

    async def read(self, endpoint: dict[str, Any]) -> dict[str, Any]:
        return (await self.http.get(f"/api/webhook-endpoints/{endpoint['id']}")).json()

    async def do(self, endpoint: dict[str, Any], what: str, body: Any = None, status: int = 202) -> Any:
        answer = await self.http.post(f"/api/webhook-endpoints/{endpoint['id']}/{what}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def change(self, endpoint: dict[str, Any], **change: Any) -> None:
        answer = await self.http.patch(f"/api/webhook-endpoints/{endpoint['id']}", json=change)
        assert answer.status_code == 200, answer.text

    async def say(self, text: str = "hello", *, wait_s: int = 10) -> dict[str, Any]:
        answer = await self.http.post(
            f"/api/agents/{self.agent_id}/chat", json={"message": text}, headers={"prefer": f"wait={wait_s}"}
        )
        return answer.json()

    async def act(
        self, action: str = "usage.limit_reached", subject: UUID | None = None, **detail: Any
    ) -> None:
        async with self.house.db.owned(self.owner.owner_id) as tx:
            await record_act(
                tx, actor="test", action=action, subject_kind="test", subject_id=subject, detail=detail
            )

    async def settled(self, endpoint: dict[str, Any], statuses: Sequence[str]) -> list[dict[str, Any]]:
        async def there() -> list[dict[str, Any]]:
            log = await self.log(endpoint)
            return log if [d["status"] for d in log] == list(statuses) else []

        try:
            return await until(there)
        except AssertionError:
            raise AssertionError(
                [(d["event_type"], d["status"], d["last_error"]) for d in await self.log(endpoint)]
            ) from None


@pytest.fixture
async def opened(make_house: MakeHouse) -> AsyncIterator[Any]:
    """A house with a server and (unless told otherwise) a worker, and an owner in it."""
    clients: list[httpx.AsyncClient] = []

    async def open_one(*, work: bool = True, hooks: HookPolicy = QUICK, **wiring: Any) -> Owner:
        house = await make_house(
            serve=True, work=work, hooks=hooks, **ModelOnStrings().wiring(**LOOPBACK), **wiring
        )
        return await another(house)

    async def another(house: TestHouse) -> Owner:
        owner = await house.owner()
        http = client(house, owner)
        clients.append(http)
        return Owner(house, owner, http, await new_agent(http))

    open_one.another = another  # type: ignore[attr-defined]
    yield open_one
    for http in clients:
        await http.aclose()


def teller(house: TestHouse, **more: Any) -> Teller:
    found = Teller(house.db, house.wakeups, house.keyring, house.egress, house.clock, house.hooks)
    return replace(found, **more)


async def claim(house: TestHouse, lease_s: float = 30.0) -> list[Entry]:
    async with house.db.standalone() as tx:
        return await queue.claim(tx, "hooks", 100, timedelta(seconds=lease_s))


async def drain(house: TestHouse, **more: Any) -> int:
    """Work off what is due; how many entries that were."""
    done = 0
    while entries := await claim(house):
        for entry in entries:
            await deliver_event(teller(house, **more), entry)
            done += 1
    return done


async def make_due(house: TestHouse) -> None:
    """Time goes by: whatever waits for its time is due now."""
    await house.as_admin(
        "UPDATE webhook_deliveries SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL"
    )
    await house.as_admin("UPDATE pgmq.q_hooks SET vt = now()")


# ── what is told ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_chat_is_told_in_order_thin_and_signed(opened: Any):
    one = await opened()
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        said = await one.say("my secret question")
        await one.settled(endpoint, ["delivered"] * 3)
    assert receiver.types == ["message.created", "message.created", "turn.completed"]
    for got in receiver.got:
        for library in (standardwebhooks.Webhook, svix.Webhook):
            library(endpoint["secret"]).verify(got.body, dict(got.headers))
        assert got.headers["content-type"] == "application/json"
        told = got.payload
        assert set(told) == {"type", "timestamp", "data"} and datetime.fromisoformat(told["timestamp"]).tzinfo
        assert told["data"]["chat_id"] == said["chat_id"] and told["data"]["agent_id"] == one.agent_id
        assert told["data"]["channel"] == "api"
        assert b"my secret question" not in got.body and b"All is well" not in got.body
    asked, answered, turn = (got.payload["data"] for got in receiver.got)
    assert (asked["direction"], asked["status"]) == ("inbound", "received")
    assert (answered["direction"], answered["status"]) == ("outbound", "delivered")
    assert turn["turn_id"] == said["turn"]["id"] and turn["status"] == "answered"


async def test_texts_are_told_only_to_who_asks_for_them_and_are_cut_to_fit(opened: Any):
    one = await opened()
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url, include_content=True, events=["message.created"])
        await one.say("grüß dich")
        await one.say("\u2028\x01" * 3500)
        await one.settled(endpoint, ["delivered"] * 4)
    told = {got.payload["data"]["text"]: got for got in receiver.got}
    assert {"grüß dich", "All is well."} < set(told)
    [long] = [got for text, got in told.items() if text.startswith("\u2028")]
    assert long.payload["data"]["is_text_cut"] is True
    assert PAYLOAD_MAX_BYTES * 0.8 < len(long.body) <= PAYLOAD_MAX_BYTES


async def test_each_endpoint_hears_what_it_asks_for_and_nothing_else(opened: Any):
    one = await opened()
    other_agent = await new_agent(one.http, name="Other")
    async with Receiver() as all_, Receiver() as turns, Receiver() as bound, Receiver() as paused:
        endpoints = [
            await one.endpoint(all_.url),
            await one.endpoint(turns.url, events=["turn.completed"]),
            await one.endpoint(bound.url, agent_id=other_agent),
        ]
        quiet = await one.endpoint(paused.url)
        await one.change(quiet, status="paused")
        await one.say()
        await one.act(limit="x")
        await one.settled(endpoints[0], ["delivered"] * 4)
        await one.settled(endpoints[1], ["delivered"])
        assert await one.log(endpoints[2]) == []
    assert turns.types == ["turn.completed"] and bound.types == [] and paused.types == []
    assert len({got.id for got in [*all_.got, *turns.got]}) == 5


async def test_every_kind_of_event_is_told(opened: Any):
    one = await opened()
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        said = await one.say()
        for change in ({"name": "Eva"}, {"status": "paused"}):
            agent = (await one.http.get(f"/api/agents/{one.agent_id}")).json()
            changed = await one.http.patch(
                f"/api/agents/{one.agent_id}", json={**change, "version": agent["version"]}
            )
            assert changed.status_code == 200, changed.text
        for verb in ("takeover", "release"):
            assert (await one.http.post(f"/api/chats/{said['chat_id']}/{verb}")).status_code < 300
        channel_id = await connect_a1base(one.http, one.agent_id)
        await one.act("channel.broken", UUID(channel_id), kind="a1base", reason="token expired")
        await one.act(limit="max_messages_per_month", month="2026-11")
        await one.act("webhook_endpoint.disabled", uuid4(), because="gone")
        async with one.house.db.owned(one.owner.owner_id) as tx:
            chat_id = UUID(said["chat_id"])
            message = (await one.http.get(f"/api/chats/{chat_id}/messages")).json()[0]
            await record_events(tx, chat_id, [("message.status", UUID(message["id"]))])
            await tx.run("UPDATE chats SET status = 'escalated' WHERE owner_id = $1", tx.owner_id)
            await record_events(tx, chat_id, [("typing", chat_id), ("chat.changed", chat_id)])
        extra = await new_agent(one.http, name="Extra")
        assert (await one.http.delete(f"/api/agents/{extra}")).status_code == 204
        await one.settled(endpoint, ["delivered"] * 14)
    told = {got.payload["type"]: got.payload["data"] for got in receiver.got}
    assert set(told) == set(EVENT_TYPES)
    assert told["agent.paused"]["agent_id"] == one.agent_id and told["agent.paused"]["status"] == "paused"
    assert told["agent.updated"]["fields"] == ["name"]
    assert told["channel.broken"] == {"channel_id": channel_id, "kind": "a1base", "reason": "token expired"}
    assert told["usage.limit_reached"] == {"limit": "max_messages_per_month", "month": "2026-11"}
    assert told["chat.escalated"]["status"] == "escalated"
    assert told["agent.deleted"]["agent_id"] == extra


async def test_a_status_is_told_as_it_was_when_it_was_new(opened: Any):
    one = await opened(work=False)
    async with Receiver() as receiver:
        said = await one.say(wait_s=0)
        await one.endpoint(receiver.url, events=["message.status"])
        chat_id = UUID(said["chat_id"])
        for status in ("sent", "delivered"):
            async with one.house.db.owned(one.owner.owner_id) as tx:
                [row] = await tx.rows("UPDATE messages SET status = $1 RETURNING id", status)
                await record_events(tx, chat_id, [("message.status", row["id"])])
        await drain(one.house)
    assert [got.payload["data"]["status"] for got in receiver.got] == ["sent", "delivered"]


async def test_who_has_no_endpoint_owes_nothing_and_what_is_rolled_back_is_never_told(opened: Any):
    one = await opened(work=False)
    await one.act()
    assert await one.house.as_admin("SELECT 1 FROM pgmq.q_hooks") == []
    async with Receiver() as receiver:
        await one.endpoint(receiver.url)
        with pytest.raises(ZeroDivisionError):
            async with one.house.db.owned(one.owner.owner_id) as tx:
                await record_act(
                    tx, actor="test", action="usage.limit_reached", subject_kind="t", subject_id=None
                )
                _ = 1 / 0
        assert await drain(one.house) == 0 and receiver.got == []


async def test_what_is_gone_before_it_is_told_is_given_up(opened: Any):
    one = await opened(work=False)
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.say(wait_s=0)
        await one.house.as_admin("DELETE FROM chats")
        await drain(one.house)
        [delivery] = await one.log(endpoint)
    assert (delivery["status"], delivery["last_error"]) == ("given_up", "what it was about is gone")
    assert receiver.got == []


async def test_two_owners_hear_of_their_own_only(opened: Any):
    ada = await opened()
    eve = await opened.another(ada.house)
    async with Receiver() as hers, Receiver() as others:
        at_ada, at_eve = await ada.endpoint(hers.url), await eve.endpoint(others.url)
        said = await ada.say()
        await ada.settled(at_ada, ["delivered"] * 3)
        await eve.act()
        await eve.settled(at_eve, ["delivered"])
    assert {got.payload["data"]["chat_id"] for got in hers.got} == {said["chat_id"]}
    assert others.types == ["usage.limit_reached"]


# ── when it is not taken ────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_is_tried_again_under_one_id_with_the_same_bytes(opened: Any):
    one = await opened()
    async with Receiver(answers=[500, 302, 200], headers={"location": "/x"}, said=b"oh no" * 100) as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        [delivery] = await one.settled(endpoint, ["delivered"])
    assert delivery["attempts"] == 3 == len(receiver.got) and delivery["last_status"] == 200
    assert len({got.id for got in receiver.got}) == 1 == len({got.body for got in receiver.got})
    assert receiver.got[0].id == delivery["id"]
    assert (await one.read(endpoint))["failing_since"] is None


async def test_the_log_says_what_went_wrong_and_quotes_200_characters_at_most(opened: Any):
    one = await opened(work=False, hooks=HookPolicy())
    async with Receiver(answers=[500], said="ä".encode() * 1000) as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        await drain(one.house)
    [delivery] = await one.log(endpoint)
    assert (delivery["status"], delivery["last_status"], delivery["attempts"]) == ("failed", 500, 1)
    assert delivery["last_error"] == "answered 500" and delivery["last_answer"] == "ä" * 200
    [row] = await one.house.as_admin("SELECT * FROM webhook_deliveries")
    assert "ä".encode() not in row["last_answer_sealed"]


async def test_the_schedule_is_kept_over_days_and_then_it_is_given_up(opened: Any):
    clock = LaterClock()
    one = await opened(work=False, hooks=HookPolicy(), clock=clock)
    waits = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    async with Receiver(answers=[503]) as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        for attempt, wait_s in enumerate(waits, 1):
            await drain(one.house)
            [delivery] = await one.log(endpoint)
            assert (delivery["status"], delivery["attempts"]) == ("failed", attempt)
            wait = datetime.fromisoformat(delivery["next_attempt_at"]) - clock.now()
            assert wait_s - 3 < wait.total_seconds() <= wait_s * 1.1
            [entry] = await one.house.as_admin("SELECT vt FROM pgmq.q_hooks")
            assert abs(entry["vt"] - datetime.fromisoformat(delivery["next_attempt_at"])) < timedelta(
                seconds=1
            )
            assert await drain(one.house) == 0  # not before its time
            clock.ahead += timedelta(seconds=wait_s)
            await make_due(one.house)
        await drain(one.house)
        [delivery] = await one.log(endpoint)
    assert (delivery["status"], delivery["attempts"]) == ("given_up", 10) == ("given_up", len(receiver.got))
    assert delivery["next_attempt_at"] is None
    assert await one.house.as_admin("SELECT 1 FROM pgmq.q_hooks") == []


async def test_410_disables_at_once_and_the_owners_other_endpoints_hear_of_it(opened: Any):
    one = await opened()
    async with Receiver(answers=[410]) as gone, Receiver() as other:
        endpoint = await one.endpoint(gone.url, events=["usage.limit_reached"])
        watching = await one.endpoint(other.url, events=["endpoint.disabled"])
        await one.act()
        await one.settled(endpoint, ["given_up"])
        await one.settled(watching, ["delivered"])
        found = await one.read(endpoint)
        assert (found["status"], found["disabled_because"]) == ("disabled", "it answered 410: gone")
        await one.act()
        await one.settled(endpoint, ["given_up"])  # nothing further is even recorded for it
        assert len(gone.got) == 1
    assert other.got[0].payload["data"] == {"endpoint_id": endpoint["id"], "because": "it answered 410: gone"}
    acts = (await one.http.get("/api/audit")).json()
    assert "webhook_endpoint.disabled" in {act["action"] for act in acts}


async def test_five_days_of_nothing_disable_with_notice_and_who_is_made_active_again_hears_the_rest(
    opened: Any,
):
    clock = LaterClock()
    one = await opened(work=False, hooks=HookPolicy(), clock=clock)
    async with Receiver(answers=[500]) as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        await drain(one.house)
        assert (await one.read(endpoint))["failing_since"] is not None
        clock.ahead = timedelta(days=4, hours=23)
        await make_due(one.house)
        await drain(one.house)
        assert (await one.read(endpoint))["status"] == "active"
        clock.ahead = timedelta(days=5, minutes=1)
        await make_due(one.house)
        await drain(one.house)
        found = await one.read(endpoint)
        assert found["status"] == "disabled" and found["disabled_because"].startswith(
            "nothing was taken since"
        )
        [delivery] = await one.log(endpoint)
        assert delivery["status"] == "failed"
        receiver.answers = [200]
        await one.change(endpoint, status="active")
        await make_due(one.house)
        await drain(one.house)
        [delivery] = await one.log(endpoint)
        assert delivery["status"] == "delivered"
        assert (await one.read(endpoint))["disabled_because"] is None


async def test_what_waits_for_a_disabled_endpoint_is_given_up_and_not_sent(opened: Any):
    one = await opened(work=False)
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        await one.house.as_admin("UPDATE webhook_endpoints SET status = 'disabled'")
        await drain(one.house)
        [delivery] = await one.log(endpoint)
    assert (delivery["status"], delivery["last_error"]) == ("given_up", "the endpoint is disabled")
    assert receiver.got == []


@pytest.mark.parametrize(("value", "wait_s"), [("30", 30), ("99999", 3600)])
async def test_who_asks_us_to_wait_is_not_asked_meanwhile(opened: Any, value: str, wait_s: int):
    one = await opened(work=False)
    async with Receiver(answers=[429], headers={"retry-after": value}) as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        await drain(one.house)
        [delivery] = await one.log(endpoint)
        wait = datetime.fromisoformat(delivery["next_attempt_at"]) - datetime.now(UTC)
        assert wait_s - 5 < wait.total_seconds() <= wait_s
        await one.act()
        assert await drain(one.house) == 1  # taken up, and put aside until the endpoint wants to hear
        assert len(receiver.got) == 1 and len(await one.log(endpoint, status="pending")) == 1


def test_a_wait_is_read_as_seconds_and_as_a_date():
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    read = worker._retry_after_s
    assert read("120", now) == 120
    assert read("Mon, 23 Nov 2026 12:01:00 GMT", now) == 60
    assert read("Mon, 23 Nov 2020 12:01:00 GMT", now) == 0
    for nonsense in ("", "soon", "-5", "1e3", "٣"):
        assert read(nonsense, now) is None


async def test_a_large_answer_counts_by_its_status(opened: Any):
    one = await opened()
    async with Receiver(said=b"x" * 200_000) as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        await one.settled(endpoint, ["delivered"])
        assert len(receiver.got) == 1


async def test_a_crash_between_the_call_and_its_commit_tells_again_under_the_same_id(opened: Any):
    one = await opened(work=False)
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        [entry] = await claim(one.house, lease_s=0.1)
        house = teller(one.house)
        assert entry.subject_id is not None
        owed = await worker._begin(house, entry, entry.subject_id)
        assert owed is not None and (await worker._attempt(house, owed)).is_taken
        # kill -9: nothing of it is written. The lease runs out, and another worker takes it.
        await asyncio.sleep(0.15)
        assert await drain(one.house) == 1
        first, second = receiver.got
        assert first.id == second.id and first.body == second.body
        [delivery] = await one.log(endpoint)
        assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)
        with pytest.raises(LeaseLost):  # the first one was not dead after all: it can write nothing
            await worker._end(house, entry, owed, worker._Outcome(False, 500, "answered 500"))
        assert [d["status"] for d in await one.log(endpoint)] == ["delivered"]


async def test_a_slow_endpoint_holds_neither_another_nor_more_than_four_hands(opened: Any):
    one = await opened()
    gate = asyncio.Event()
    async with Receiver(gate=gate) as slow, Receiver() as quick:
        at_slow, at_quick = await one.endpoint(slow.url), await one.endpoint(quick.url)
        for _ in range(20):
            await one.act()
        await one.settled(at_quick, ["delivered"] * 20)
        assert slow.at_once_max <= 4 and {d["status"] for d in await one.log(at_slow)} == {"pending"}
        gate.set()
        await one.settled(at_slow, ["delivered"] * 20)
        assert slow.at_once_max <= 4 and len(slow.got) == 20


async def test_retries_of_a_failing_endpoint_take_turns_in_its_lanes_too(opened: Any):
    one = await opened(hooks=replace(QUICK, schedule_s=(0, 0.2, 0.2, 0.2, 0.2)))
    async with Receiver(answers=[500] * 12 + [200], delay_s=0.05) as receiver:
        endpoint = await one.endpoint(receiver.url)
        for _ in range(12):
            await one.act()
        await one.settled(endpoint, ["delivered"] * 12)
        assert len(receiver.got) == 24 and receiver.at_once_max <= 4


# ── what the owner does ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_while_it_is_paused_it_waits_and_then_it_is_told_once(opened: Any):
    one = await opened()
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.change(endpoint, status="paused")
        for _ in range(3):
            await one.act()

        async def let_go() -> bool:
            return not await one.house.as_admin("SELECT 1 FROM pgmq.q_hooks")

        await until(let_go)
        assert receiver.got == [] and len(await one.log(endpoint, status="pending")) == 3
        for _ in range(2):
            await one.change(endpoint, status="active")
        await one.settled(endpoint, ["delivered"] * 3)
        await asyncio.sleep(0.2)
        assert len(receiver.got) == 3


async def test_a_new_secret_signs_beside_the_old_one_until_its_time_is_over(opened: Any):
    one = await opened(work=False)
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        old = endpoint["secret"]
        new = (await one.do(endpoint, "rotate-secret", {"keep_old_hours": 1}, 200))["secret"]
        await one.act()
        await drain(one.house)
        await one.house.as_admin(
            "UPDATE webhook_endpoints SET old_secret_until = now() - interval '1 second'"
        )
        await one.act()
        await drain(one.house)
    both, only_new = receiver.got
    for got, secret in ((both, old), (both, new), (only_new, new)):
        standardwebhooks.Webhook(secret).verify(got.body, dict(got.headers))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(old).verify(only_new.body, dict(only_new.headers))


async def test_a_delivery_is_replayed_under_its_old_id(opened: Any):
    one = await opened()
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        [delivery] = await one.settled(endpoint, ["delivered"])
        again = await one.do(endpoint, f"deliveries/{delivery['id']}/replay")
        assert again["status"] == "pending"
        await one.settled(endpoint, ["delivered"])
        assert [got.id for got in receiver.got] == [delivery["id"]] * 2


async def test_what_failed_since_a_time_is_replayed_and_what_was_delivered_is_not(opened: Any):
    one = await opened(hooks=replace(QUICK, schedule_s=(0,)))
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act(n=0)
        await one.settled(endpoint, ["delivered"])
        receiver.answers = [500]
        for n in (1, 2):
            await one.act(n=n)
        await one.settled(endpoint, ["delivered", "given_up", "given_up"])
        receiver.answers = [200]
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        assert await one.do(endpoint, "replay-failed", {"since": tomorrow}) == {"replayed": 0}
        assert await one.do(endpoint, "replay-failed", {"since": "2026-01-01T00:00:00Z"}) == {"replayed": 2}
        await one.settled(endpoint, ["delivered"] * 3)
    assert [got.payload["data"]["n"] for got in receiver.got].count(0) == 1 and len(receiver.got) == 5


async def test_a_replay_of_what_waits_for_its_time_is_one_attempt_now(opened: Any):
    one = await opened(work=False, hooks=HookPolicy())
    async with Receiver(answers=[500, 200]) as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        await drain(one.house)
        [delivery] = await one.log(endpoint)
        for _ in range(2):
            await one.do(endpoint, f"deliveries/{delivery['id']}/replay")
        await drain(one.house)
        await make_due(one.house)
        await drain(one.house)
        assert len(receiver.got) == 2 and (await one.log(endpoint))[0]["status"] == "delivered"
        assert await one.house.as_admin("SELECT 1 FROM pgmq.q_hooks") == []


async def test_a_test_event_is_told_whatever_the_filter_and_only_while_active(opened: Any):
    one = await opened()
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url, events=["agent.deleted"])
        await one.do(endpoint, "test")
        await one.settled(endpoint, ["delivered"])
        assert receiver.types == ["webhook.test"]
        await one.change(endpoint, status="paused")
        await one.do(endpoint, "test", status=409)


async def test_the_log_has_pages_and_each_delivery_shows_what_was_sent(opened: Any):
    one = await opened()
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        for n in range(5):
            await one.act(n=n)
        await one.settled(endpoint, ["delivered"] * 5)
        seen: list[str] = []
        path: str | None = f"/api/webhook-endpoints/{endpoint['id']}/deliveries?limit=2"
        while path:
            page = await one.http.get(path)
            seen += [d["id"] for d in page.json()]
            path = page.links.get("next", {}).get("url")
        assert len(seen) == 5 == len(set(seen))
        whole = await one.http.get(f"/api/webhook-endpoints/{endpoint['id']}/deliveries/{seen[0]}")
        assert whole.json()["payload"]["type"] == "usage.limit_reached"


async def test_a_deleted_endpoint_is_told_nothing_more(opened: Any):
    one = await opened(work=False)
    async with Receiver() as receiver:
        endpoint = await one.endpoint(receiver.url)
        await one.act()
        assert (await one.http.delete(f"/api/webhook-endpoints/{endpoint['id']}")).status_code == 204
        assert await drain(one.house) == 1 and receiver.got == []
        assert (await one.http.get("/api/webhook-endpoints")).json() == []


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "http://10.0.0.1/",
        "ftp://example.com/",
        "https://user:password@example.com/",
        "//example.com",
        "javascript:alert(1)",
        "https://",
        "nonsense",
    ],
)
async def test_an_address_that_we_may_not_call_is_refused_by_name(make_house: MakeHouse, url: str):
    house = await make_house(serve=True)
    async with client(house, await house.owner()) as http:
        answer = await http.post("/api/webhook-endpoints", json={"url": url})
    assert (answer.status_code, answer.json()["field"]) == (422, "url")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://localhost/",
    ],
)
async def test_an_address_inside_is_never_called_however_it_is_spelled(make_house: MakeHouse, url: str):
    house = await make_house(serve=True)
    async with client(house, owner := await house.owner()) as http:
        one = Owner(house, owner, http, "")
        endpoint = await one.endpoint(url)
        await one.act()
        await drain(house)
        [delivery] = await one.log(endpoint)
    assert delivery["status"] == "given_up" and "refused" in delivery["last_error"]
    assert "127.0.0.1" not in delivery["last_error"] or "127.0.0.1" in url


async def test_a_key_that_may_not_read_chats_cannot_have_them_sent(opened: Any):
    one = await opened(work=False)
    key = await one.http.post("/api/keys", json={"name": "k", "scopes": ["agents:read", "agents:write"]})
    whole = await one.endpoint("https://a.example/", include_content=True)
    async with client(one.house) as http:
        http.headers["authorization"] = f"Bearer {key.json()['key']}"
        thin = await http.post("/api/webhook-endpoints", json={"url": "https://b.example/"})
        assert thin.status_code == 201
        path = "/api/webhook-endpoints"
        for answer in (
            await http.post(path, json={"url": "https://c.example/", "include_content": True}),
            await http.patch(f"{path}/{thin.json()['id']}", json={"include_content": True}),
            await http.patch(f"{path}/{whole['id']}", json={"url": "https://c.example/"}),
        ):
            assert answer.status_code == 403, answer.text


async def test_the_secret_and_the_address_are_sealed_and_shown_once(opened: Any):
    one = await opened(work=False)
    endpoint = await one.endpoint("https://hooks.example.com/a-secret-path")
    for path in ("", f"/{endpoint['id']}"):
        answer = await one.http.get(f"/api/webhook-endpoints{path}")
        assert answer.status_code == 200 and "whsec_" not in answer.text
    [row] = await one.house.as_admin("SELECT * FROM webhook_endpoints")
    kept = repr(dict(row))
    assert "a-secret-path" not in kept and endpoint["secret"].removeprefix("whsec_") not in kept


async def test_twenty_endpoints_are_the_most(opened: Any):
    one = await opened(work=False)
    for n in range(20):
        await one.endpoint(f"https://h{n}.example/")
    answer = await one.http.post("/api/webhook-endpoints", json={"url": "https://h.example/"})
    assert answer.status_code == 429 and "20" in answer.json()["detail"]


# ── what must agree ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_lane_is_the_same_in_sql_and_here(house: TestHouse):
    for _ in range(20):
        endpoint, about = new_id(), uuid4()
        [row] = await house.as_admin("SELECT a1zap.hook_lane($1, $2) AS lane", endpoint, about)
        assert row["lane"] == lane_of(endpoint, about)


async def test_ids_made_in_sql_are_of_version_7_and_of_now(house: TestHouse):
    for row in await house.as_admin("SELECT a1zap.new_id() AS id FROM generate_series(1, 50)"):
        assert row["id"].version == 7 and row["id"].variant == "specified in RFC 4122"
        assert abs((row["id"].int >> 80) / 1000 - datetime.now(UTC).timestamp()) < 60
