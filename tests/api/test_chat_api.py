"""The guide's chat endpoint, to the letter."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from tests.api.talk import ModelOnStrings, client, new_agent, until, whole_stream, written
from tests.conftest import MakeHouse, TestHouse

from a1zap.api.chat import ChatAnswer


@pytest.fixture
async def model() -> ModelOnStrings:
    return ModelOnStrings()


@pytest.fixture
async def talking(make_house: MakeHouse, model: ModelOnStrings) -> TestHouse:
    return await make_house(serve=True, work=True, **model.wiring())


async def test_a_message_gets_its_answer_in_one_request(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        answer = await http.post(f"/api/agents/{agent_id}/chat", json={"message": "How are you?"})
    assert answer.status_code == 200
    found = answer.json()
    ChatAnswer.model_validate(found)
    assert set(found) == {"userMessage", "agentResponse", "agentResponses", "chat_id", "turn", "held_reason"}
    assert found["userMessage"]["content"] == "How are you?"
    assert found["userMessage"]["direction"] == "inbound"
    assert found["agentResponse"]["content"] == "All is well."
    assert found["agentResponse"]["turn_id"] == found["turn"]["id"]
    assert found["agentResponses"] == [found["agentResponse"]]
    assert found["turn"]["status"] == "answered"
    assert found["chat_id"] == found["userMessage"]["chat_id"] == found["agentResponse"]["chat_id"]


async def test_chat_id_goes_on_with_a_chat_and_its_absence_begins_one(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        first = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "one"})).json()
        second = (
            await http.post(
                f"/api/agents/{agent_id}/chat", json={"message": "two", "chat_id": first["chat_id"]}
            )
        ).json()
        third = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "three"})).json()
    assert second["chat_id"] == first["chat_id"] != third["chat_id"]
    assert second["userMessage"]["seq"] == 3
    assert second["userMessage"]["sender_id"] == first["userMessage"]["sender_id"]


async def test_conversation_user_may_be_a_name_of_ours_or_id_and_name(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)

        async def sender(user: object, chat_id: str | None = None) -> str:
            body = {"message": "hi", "conversation_user": user, **({"chat_id": chat_id} if chat_id else {})}
            answer = await http.post(f"/api/agents/{agent_id}/chat", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()["userMessage"]["sender_id"], answer.json()["chat_id"]

        plain, chat_id = await sender("customer-17")
        named, _ = await sender({"id": "customer-17", "name": "Jane"})
        other, _ = await sender({"id": "customer-18"})
        goes_on = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "again", "chat_id": chat_id}
        )
    assert plain == named != other
    assert goes_on.json()["userMessage"]["sender_id"] == plain


async def test_an_unknown_field_is_refused_by_its_name(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        answer = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "hi", "mesage": "secret words"}
        )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == "mesage"
    assert "secret words" not in answer.text


@pytest.mark.parametrize(
    "body", [{}, {"message": 7}, {"message": None}, {"message": "  \n"}, ["hi"], "hi", 7, None]
)
async def test_a_body_without_a_message_is_refused(talking: TestHouse, body: object):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        answer = await http.post(f"/api/agents/{agent_id}/chat", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["title"] == "Invalid"


async def test_a_message_of_16000_bytes_is_taken_and_one_more_is_too_large(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        fits = await http.post(f"/api/agents/{agent_id}/chat", json={"message": "ä" * 8_000})
        too_large = await http.post(f"/api/agents/{agent_id}/chat", json={"message": "ä" * 8_000 + "b"})
    assert fits.status_code == 200
    assert too_large.status_code == 413
    assert "16,000 bytes" in too_large.json()["detail"] and too_large.json()["field"] == "message"


async def test_a_repeat_with_the_same_idempotency_key_changes_nothing(
    talking: TestHouse, model: ModelOnStrings
):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        headers = {"idempotency-key": uuid4().hex}
        answers = await asyncio.gather(
            *(
                http.post(f"/api/agents/{agent_id}/chat", json={"message": "once"}, headers=headers)
                for _ in range(5)
            )
        )
        other_words = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "twice"}, headers=headers
        )
        chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
    assert {a.status_code for a in answers} == {200}
    assert len({a.json()["userMessage"]["id"] for a in answers}) == 1
    assert len({a.json()["agentResponse"]["id"] for a in answers}) == 1
    assert model.asked == 1
    assert other_words.status_code == 409
    assert len(chats) == 1 and chats[0]["message_count"] == 2


async def test_a_paused_agent_stores_and_does_not_answer(talking: TestHouse, model: ModelOnStrings):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http, status="paused")
        answer = await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hello?"})
        events = await whole_stream(http, agent_id, {"message": "hello again?"})
    assert answer.status_code == 200
    assert answer.json()["agentResponse"] is None and answer.json()["turn"] is None
    assert answer.json()["held_reason"] == answer.json()["userMessage"]["held_reason"] == "agent_paused"
    assert [e.kind for e in events] == ["message.accepted", "error"]
    assert events[1].data["held_reason"] == "agent_paused"
    assert model.asked == 0


async def test_over_the_plans_limit_a_message_is_stored_and_answered_with_429(
    talking: TestHouse, model: ModelOnStrings
):
    owner = await talking.owner(plan="free")
    await talking.as_admin(
        "INSERT INTO message_meters (owner_id, month, messages_used) VALUES ($1, date_trunc('month', now()), 999)",
        owner.owner_id,
    )
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        last = await http.post(f"/api/agents/{agent_id}/chat", json={"message": "the thousandth"})
        beyond = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "one more", "chat_id": last.json()["chat_id"]}
        )
        stored = (await http.get(f"/api/chats/{last.json()['chat_id']}/messages")).json()
        usage = (await http.get("/api/usage")).json()
        trail = (await http.get("/api/audit")).json()
    assert last.status_code == 200
    assert beyond.status_code == 429 and int(beyond.headers["retry-after"]) > 0
    assert beyond.json()["message_id"] == stored[0]["id"]
    assert stored[0]["held_reason"] == "over_limit" and stored[0]["content"] == "one more"
    assert usage["used"] == {"personal_agents": 1, "work_agents": 0, "messages": 1000, "messages_held": 1}
    assert "usage.limit_reached" in {act["action"] for act in trail}
    assert model.asked == 1


async def test_who_does_not_want_to_wait_gets_202_and_where_to_look(make_house: MakeHouse):
    model = ModelOnStrings(hold=True)
    house = await make_house(serve=True, work=True, **model.wiring())
    owner = await house.owner()
    async with client(house, owner) as http:
        agent_id = await new_agent(http)
        answer = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "take your time"}, headers={"prefer": "wait=0"}
        )
        model.go(3)
        chat_id = answer.json()["chat_id"]

        async def answered() -> bool:
            return len((await http.get(f"/api/chats/{chat_id}/messages")).json()) == 2

        await until(answered)
    assert answer.status_code == 202
    assert answer.json()["agentResponse"] is None and answer.json()["turn"] is None
    assert answer.headers["location"] == f"/api/chats/{chat_id}/events"


async def test_an_agent_that_answers_in_paragraphs_answers_in_several_messages(make_house: MakeHouse):
    model = ModelOnStrings(pieces=("First.\n\n", "Second.\n\nThird."))
    house = await make_house(serve=True, work=True, **model.wiring())
    owner = await house.owner()
    async with client(house, owner) as http:
        agent_id = await new_agent(http, message_settings={"split_paragraphs": True})
        answer = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "go"})).json()
        events = await whole_stream(http, agent_id, {"message": "go"})
    assert [m["content"] for m in answer["agentResponses"]] == ["First.", "Second.", "Third."]
    assert answer["agentResponse"] == answer["agentResponses"][0]
    assert [e.kind for e in events if e.kind != "token"] == [
        "message.accepted",
        "typing",
        *["message.created"] * 3,
        "turn.completed",
    ]
    assert written(events) == "First.\n\nSecond.\n\nThird."


async def test_a_chat_of_another_agent_cannot_be_gone_on_with(talking: TestHouse):
    owner, stranger = await talking.owner(), await talking.owner()
    async with client(talking, owner) as http, client(talking, stranger) as other:
        agent_id, second = await new_agent(http), await new_agent(http, name="Bob")
        foreign = await new_agent(other)
        chat_id = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()["chat_id"]
        answers = [
            await http.post(f"/api/agents/{second}/chat", json={"message": "hi", "chat_id": chat_id}),
            await other.post(f"/api/agents/{foreign}/chat", json={"message": "hi", "chat_id": chat_id}),
            await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi", "chat_id": str(uuid4())}),
            await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi", "chat_id": "nonsense"}),
        ]
    assert {a.status_code for a in answers} == {404}
    assert len({a.content for a in answers}) == 1


async def test_the_turn_says_what_each_hop_of_the_way_did(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        answer = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        turn = (await http.get(f"/api/turns/{answer['turn']['id']}")).json()
    assert [hop["hop"] for hop in turn["hops"]] == [
        "receive_webhook",
        "parse",
        "accept_inbound",
        "work_off",
        "take_turn",
        "choose_agent",
        "choose_workflow",
        "run",
        "deliver_message",
    ]
    assert all(hop["took_ms"] >= 0 for hop in turn["hops"])
    assert turn["model"] == "test:strings" and turn["tokens_in"] == 9


async def test_conversations_come_newest_first_in_pages(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        chat_ids = [
            (await http.post(f"/api/agents/{agent_id}/chat", json={"message": f"{n}"})).json()["chat_id"]
            for n in range(5)
        ]
        await http.post(f"/api/agents/{agent_id}/chat", json={"message": "me again", "chat_id": chat_ids[1]})
        found, path = [], f"/api/agents/{agent_id}/conversations?limit=2"
        while path:
            page = await http.get(path)
            assert isinstance(page.json(), list) and len(page.json()) <= 2
            found += [chat["id"] for chat in page.json()]
            path = page.links.get("next", {}).get("url")
        wrong = await http.get(f"/api/agents/{agent_id}/conversations?cursor=nonsense")
        too_many = await http.get(f"/api/agents/{agent_id}/conversations?limit=101")
    assert found == [chat_ids[1], *reversed(chat_ids[2:]), chat_ids[0]]
    assert wrong.status_code == 422 and wrong.json()["field"] == "cursor"
    assert too_many.status_code == 422 and too_many.json()["field"] == "limit"


async def test_messages_come_newest_first_in_pages(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        agent_id = await new_agent(http)
        chat_id = None
        for n in range(3):
            body = {"message": f"{n}", **({"chat_id": chat_id} if chat_id else {})}
            chat_id = (await http.post(f"/api/agents/{agent_id}/chat", json=body)).json()["chat_id"]
        found, path = [], f"/api/chats/{chat_id}/messages?limit=4"
        while path:
            page = await http.get(path)
            found += [m["seq"] for m in page.json()]
            path = page.links.get("next", {}).get("url")
    assert found == [6, 5, 4, 3, 2, 1]
