"""Server-sent events: an answer as it is written, resumable without loss or repetition, cut with the right to see it."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from tests.api.talk import (
    Event,
    ModelOnStrings,
    client,
    events_of,
    new_agent,
    stream,
    until,
    whole_stream,
    written,
)
from tests.conftest import MakeHouse, TestHouse

from a1zap.api import events as live

PIECES = ("Never ", "odd ", "or ", "even. ", "日本語 ", "👩‍👩‍👧 ", "end.")
ANSWER = "".join(PIECES)


@pytest.fixture
async def model() -> ModelOnStrings:
    return ModelOnStrings(PIECES, hold=True)


@pytest.fixture
async def talking(make_house: MakeHouse, model: ModelOnStrings) -> TestHouse:
    return await make_house(serve=True, work=True, **model.wiring())


async def _until_token(events: list[Event], text: str) -> None:
    async def said() -> bool:
        return written(events).startswith(text)

    await until(said)


async def _collect(response: httpx.Response, into: list[Event]) -> None:
    async for event in events_of(response):
        into.append(event)


async def test_an_answer_streams_in_while_it_is_written(talking: TestHouse, model: ModelOnStrings):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        seen: list[Event] = []
        async with stream(http, "POST", f"/api/agents/{agent_id}/chat", json={"message": "hi"}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            collecting = asyncio.create_task(_collect(response, seen))
            for n in range(1, len(PIECES) + 1):
                model.go()
                await _until_token(seen, "".join(PIECES[:n]))
            await collecting
    kinds = [e.kind for e in seen]
    assert kinds[:2] == ["message.accepted", "typing"]
    assert kinds[-2:] == ["message.created", "turn.completed"]
    assert set(kinds[2:-2]) == {"token"} and kinds.count("token") >= 5
    assert written(seen) == ANSWER == seen[-2].data["content"]
    assert seen[-1].data["id"] == seen[-2].data["turn_id"] == seen[1].data["turn_id"]


async def test_a_quick_answer_streams_whole_all_the_same(talking: TestHouse, model: ModelOnStrings):
    model.go(100)
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        events = await whole_stream(http, agent_id, {"message": "hi"})
    assert [e.kind for e in events if e.kind != "token"] == [
        "message.accepted",
        "typing",
        "message.created",
        "turn.completed",
    ]
    assert written(events) == ANSWER


async def test_a_broken_stream_goes_on_after_any_of_its_events(talking: TestHouse, model: ModelOnStrings):
    """Cut after each event in turn: what came before and what comes after make one whole, nothing twice."""
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        seen: list[Event] = []
        async with stream(http, "POST", f"/api/agents/{agent_id}/chat", json={"message": "hi"}) as response:
            collecting = asyncio.create_task(_collect(response, seen))
            for n in range(1, len(PIECES) + 1):
                model.go()
                await _until_token(seen, "".join(PIECES[:n]))
            await collecting
        chat_id = seen[0].data["chat_id"]
        end = seen[-1].id
        for cut in range(1, len(seen)):
            again: list[Event] = []
            headers = {"last-event-id": str(seen[cut - 1].id)}
            async with stream(http, "GET", f"/api/chats/{chat_id}/events", headers=headers) as response:
                async for event in events_of(response):
                    again.append(event)
                    if event.id == end:
                        break
            whole = [*seen[:cut], *again]
            assert [e.kind for e in whole if e.kind not in ("token", "typing")] == [
                "message.accepted",
                "message.created",
                "turn.completed",
            ]
            assert len({e.id for e in whole}) == len(whole)
            if any(e.kind == "typing" for e in seen[:cut]):
                assert written(whole) == ANSWER, f"cut after {seen[cut - 1]}"


async def test_a_stream_cut_in_mid_answer_goes_on_in_mid_answer(talking: TestHouse, model: ModelOnStrings):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        headers = {"idempotency-key": "the-same"}
        first: list[Event] = []
        path, body = f"/api/agents/{agent_id}/chat", {"message": "hi"}
        async with stream(http, "POST", path, json=body, headers=headers) as response:
            collecting = asyncio.create_task(_collect(response, first))
            model.go(3)
            await _until_token(first, "".join(PIECES[:3]))
            collecting.cancel()
        headers["last-event-id"] = str(first[-1].id)
        second: list[Event] = []
        async with stream(http, "POST", path, json=body, headers=headers) as response:
            model.go(len(PIECES))
            await _collect(response, second)
    assert model.asked == 1
    assert "message.accepted" not in {e.kind for e in second} and "typing" not in {e.kind for e in second}
    assert written([*first, *second]) == ANSWER
    assert second[-1].kind == "turn.completed"


async def test_an_answer_that_begins_anew_is_told_as_such():
    """The checksum in the id tells that the text before the cut is not the text now."""
    watcher = live.Watcher(None, None, None, live.Place(7))  # type: ignore[arg-type]
    turn = __import__("uuid").uuid4()
    watcher._write(turn, "One model says")
    frames = b"".join(watcher._write(turn, "Another"))
    assert b'"text":"Another"' in frames and b'"offset":0' in frames and b'"reset":true' in frames
    place = live.parse_place(str(watcher._place))
    assert place == watcher._place
    shorter = live.Watcher(None, None, None, place)  # type: ignore[arg-type]
    assert b'"reset":true' in b"".join(shorter._write(turn, "An"))


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "7-", "7-zz-1-00000000", "7" * 40, "7-" + "a" * 32 + "-1-xyz", None]
)
def test_a_last_event_id_that_is_none_of_ours_is_passed_over(text: str | None):
    assert live.parse_place(text) is None


async def test_whoever_watches_a_chat_sees_all_that_happens_in_it(talking: TestHouse, model: ModelOnStrings):
    model.go(100)
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        said = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        chat_id = said["chat_id"]
        now = (await http.get(f"/api/chats/{chat_id}")).json()["last_event_id"]
        seen: list[Event] = []
        async with stream(http, "GET", f"/api/chats/{chat_id}/events?after={now}") as response:
            collecting = asyncio.create_task(_collect(response, seen))
            await http.post(f"/api/agents/{agent_id}/chat", json={"message": "two", "chat_id": chat_id})
            await http.post(f"/api/chats/{chat_id}/takeover")
            await http.post(f"/api/chats/{chat_id}/messages", json={"text": "A person here."})
            await http.post(f"/api/agents/{agent_id}/chat", json={"message": "thanks", "chat_id": chat_id})
            await http.post(f"/api/chats/{chat_id}/release")

            async def ended() -> bool:
                return [e.kind for e in seen].count("chat.changed") == 2

            await until(ended)
            collecting.cancel()
    kinds = [e.kind for e in seen if e.kind not in ("typing", "token")]
    assert kinds == [
        "message.accepted",
        "message.created",
        "turn.completed",
        "chat.changed",
        "message.created",
        "message.accepted",
        "chat.changed",
    ]
    assert len({e.id for e in seen}) == len(seen)


async def test_a_takeover_in_mid_thought_drops_the_answer(talking: TestHouse, model: ModelOnStrings):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        first = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "hi"}, headers={"prefer": "wait=0"}
        )
        chat_id = first.json()["chat_id"]
        waiting = asyncio.create_task(
            http.post(f"/api/agents/{agent_id}/chat", json={"message": "hello?", "chat_id": chat_id})
        )

        async def thinking() -> bool:
            return model.asked > 0

        await until(thinking)
        taken = await http.post(f"/api/chats/{chat_id}/takeover")
        model.go(100)
        answer = await waiting
        await http.post(f"/api/chats/{chat_id}/messages", json={"text": "Maria here."})

        async def dropped() -> bool:
            rows = await talking.as_admin("SELECT status FROM turns")
            return [r["status"] for r in rows] == ["dropped"]

        await until(dropped)
        stored = (await http.get(f"/api/chats/{chat_id}/messages")).json()
        held = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "hi Maria", "chat_id": chat_id}
        )
        released = await http.post(f"/api/chats/{chat_id}/release")
        back = await http.post(f"/api/agents/{agent_id}/chat", json={"message": "agent?", "chat_id": chat_id})
    assert taken.json()["status"] == "human" and released.json()["status"] == "agent"
    assert answer.status_code == 200 and answer.json()["held_reason"] == "human"
    assert [m["sender_kind"] for m in stored] == ["owner", "user", "user"]
    assert held.json()["held_reason"] == "human" and held.json()["agentResponse"] is None
    assert back.json()["agentResponse"]["content"] == ANSWER
    assert (
        back.json()["turn"]["from_seq"] == back.json()["turn"]["to_seq"] == back.json()["userMessage"]["seq"]
    )


async def test_a_revoked_key_sees_no_more(
    talking: TestHouse, model: ModelOnStrings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live, "RECHECK_S", 0.3)
    model.go(100)
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        said = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        key = (await http.post("/api/keys", json={"name": "watcher", "scopes": ["chats:read"]})).json()
        headers = {"authorization": f"Bearer {key['key']}"}
        path = f"/api/chats/{said['chat_id']}/events"
        seen: list[Event] = []
        async with client(talking) as watcher, stream(watcher, "GET", path, headers=headers) as response:
            collecting = asyncio.create_task(_collect(response, seen))
            assert (await http.delete(f"/api/keys/{key['id']}")).status_code == 204
            began_s = time.monotonic()
            await asyncio.wait_for(collecting, 5)
        again = await http.get(path, headers=headers)
    assert time.monotonic() - began_s < 3
    assert [e.kind for e in seen] == ["error"] and seen[0].data["status"] == 401
    assert again.status_code == 401


async def test_a_quiet_stream_says_now_and_then_that_it_is_there(
    talking: TestHouse, model: ModelOnStrings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.2)
    model.go(100)
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        said = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        comments = 0
        async with stream(http, "GET", f"/api/chats/{said['chat_id']}/events") as response:
            async for line in response.aiter_lines():
                comments += line == ": still here"
                if comments == 2:
                    break
        gauge = [line for line in (await http.get("/metrics")).text.splitlines() if "streams_open" in line]
    assert comments == 2
    assert any(line.startswith("a1zap_live_streams_open ") for line in gauge)


async def test_a_late_repeat_is_told_what_is_stored(talking: TestHouse, model: ModelOnStrings):
    model.go(100)
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        first = await whole_stream(http, agent_id, {"message": "hi"}, **{"idempotency-key": "k"})
        await talking.as_admin("DELETE FROM live_events")
        second = await whole_stream(http, agent_id, {"message": "hi"}, **{"idempotency-key": "k"})
    assert [e.kind for e in second] == ["message.accepted", "message.created", "turn.completed"]
    assert second[1].data == first[-2].data
