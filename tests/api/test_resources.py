"""Agents, channels, knowledge, keys, usage, dead letters: made, read, changed, deleted."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx
import pytest
from tests.api.talk import ModelOnStrings, client, connect_a1base, new_agent
from tests.conftest import MakeHouse, TestHouse


@pytest.fixture
async def served(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True)


async def _with(served: TestHouse, plan: str = "enterprise") -> httpx.AsyncClient:
    return client(served, await served.owner(plan=plan))


# ── agents ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_agent_needs_only_a_name(served: TestHouse):
    async with await _with(served) as http:
        made = await http.post("/api/agents", json={"name": "Ćafé Zürich & Söhne!"})
        read = await http.get(made.headers["location"])
        channels = (await http.get(f"/api/agents/{made.json()['id']}/channels")).json()
        again = await http.post("/api/agents", json={"name": "Ćafé Zürich & Söhne!"})
        nameless = await http.post("/api/agents", json={"name": "日本語"})
    assert made.status_code == 201 and read.json() == made.json() and made.headers["etag"] == '"1"'
    assert made.json()["handle"] == "cafe_zurich_sohne" and again.json()["handle"] == "cafe_zurich_sohne_2"
    assert nameless.json()["handle"] == "agent"
    assert made.json()["status"] == "active" and made.json()["version"] == 1
    assert made.json()["model_settings"] == made.json()["message_settings"] == {}
    assert [(c["kind"], c["webhook_url"]) for c in channels] == [("web", None), ("api", None)]


WRONG_FIELDS: tuple[tuple[str, object, bool], ...] = (
    ("name", "", False),
    ("name", "x" * 101, False),
    ("handle", "no spaces", True),
    ("handle", "ünïcode", True),
    ("agent_type", "robot", True),
    ("status", "asleep", True),
    ("is_public", "yes", True),
    ("model_settings.model", "no-colon", True),
    ("model_settings.temperature", 3, True),
    ("model_settings.budget_usd_per_day", -1, True),
    ("model_settings.base_url", "http://169.254.169.254/", False),
    ("message_settings.settle_s", 31, True),
    ("owner_id", str(uuid4()), False),
    ("version", 7, False),
)


async def test_a_wrong_field_is_named_with_its_value(served: TestHouse):
    async with await _with(served) as http:
        for field, value, is_shown in WRONG_FIELDS:
            body: dict[str, object] = {"name": "Ada"}
            group, _, inner = field.partition(".")
            body[group] = {inner: value} if inner else value
            answer = await http.post("/api/agents", json=body)
            assert answer.status_code == 422, (field, answer.text)
            found = answer.json()
            assert found["field"] == found["errors"][0]["field"] == field
            assert found.get("value", "nothing") == (value if is_shown else "nothing")


async def test_a_change_needs_the_version_that_was_read(served: TestHouse):
    async with await _with(served) as http:
        agent = (await http.post("/api/agents", json={"name": "Ada"})).json()
        path = f"/api/agents/{agent['id']}"
        missing = await http.patch(path, json={"name": "Eve"})
        changed = await http.patch(
            path, json={"version": 1, "name": "Eve", "model_settings": {"model": "a:b"}}
        )
        stale = await http.patch(path, json={"version": 1, "name": "Bob"})
        by_header = await http.patch(path, json={"status": "paused"}, headers={"if-match": '"2"'})
        nonsense = await http.patch(path, json={"status": "paused"}, headers={"if-match": "*"})
        read = (await http.get(path)).json()
    assert missing.status_code == 422 and missing.json()["field"] == "version"
    assert changed.status_code == 200 and changed.json()["version"] == 2 and changed.headers["etag"] == '"2"'
    assert stale.status_code == 409 and "version 2" in stale.json()["detail"]
    assert by_header.status_code == 200 and by_header.json()["status"] == "paused"
    assert nonsense.status_code == 422
    assert (read["name"], read["status"], read["version"]) == ("Eve", "paused", 3)
    assert read["model_settings"] == {"model": "a:b"}


async def test_of_many_changes_at_once_one_wins(served: TestHouse):
    async with await _with(served) as http:
        agent = (await http.post("/api/agents", json={"name": "Ada"})).json()
        answers = await asyncio.gather(
            *(
                http.patch(f"/api/agents/{agent['id']}", json={"version": 1, "description": f"{n}"})
                for n in range(8)
            )
        )
    assert sorted(a.status_code for a in answers) == [200] + [409] * 7


async def test_a_handle_is_taken_once_an_owner(served: TestHouse):
    async with await _with(served) as http, await _with(served) as other:
        first = await http.post("/api/agents", json={"name": "Ada", "handle": "ada"})
        second = await http.post("/api/agents", json={"name": "Ada", "handle": "ADA"})
        elsewhere = await other.post("/api/agents", json={"name": "Ada", "handle": "ada"})
        bob = (await http.post("/api/agents", json={"name": "Bob"})).json()
        renamed = await http.patch(f"/api/agents/{bob['id']}", json={"version": 1, "handle": "ada"})
        usage = (await http.get("/api/usage")).json()
    assert (first.status_code, elsewhere.status_code) == (201, 201)
    assert (second.status_code, renamed.status_code) == (409, 409)
    assert second.json()["field"] == renamed.json()["field"] == "handle"
    assert usage["used"]["personal_agents"] == 2  # what was refused gave its place back


async def test_a_plan_has_so_many_places_and_a_deleted_agent_frees_its_own(served: TestHouse):
    async with await _with(served, plan="free") as http:
        made = await asyncio.gather(*(http.post("/api/agents", json={"name": f"Ada {n}"}) for n in range(6)))
        work = await http.post("/api/agents", json={"name": "Bob", "agent_type": "work"})
        agent_id = next(a.json()["id"] for a in made if a.status_code == 201)
        refused = next(a for a in made if a.status_code == 429)
        deleted = await http.delete(f"/api/agents/{agent_id}")
        again = await http.delete(f"/api/agents/{agent_id}")
        gone = await http.get(f"/api/agents/{agent_id}")
        after = await http.post("/api/agents", json={"name": "Ada again"})
    assert sorted(a.status_code for a in made) == [201] + [429] * 5
    assert "Free" in refused.json()["detail"] and "1 personal agent" in refused.json()["detail"]
    assert work.status_code == 201 and deleted.status_code == 204 and after.status_code == 201
    assert again.status_code == gone.status_code == 404


async def test_agents_come_newest_first_in_pages(served: TestHouse):
    async with await _with(served) as http:
        made = [await new_agent(http, name=f"Ada {n}") for n in range(5)]
        found, path = [], "/api/agents?limit=2"
        while path:
            page = await http.get(path)
            found += [agent["id"] for agent in page.json()]
            path = page.links.get("next", {}).get("url")
    assert found == list(reversed(made))


# ── channels ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_channel_is_connected_and_its_credentials_are_never_shown(served: TestHouse):
    async with await _with(served) as http:
        agent_id = await new_agent(http)
        path = f"/api/agents/{agent_id}/channels"
        body = {
            "kind": "a1base",
            "number": "+1 415 123 4567",
            "account_id": "acc",
            "api_key": "key-canary",
            "api_secret": "secret-canary",
            "base_url": "https://api.a1base.com/v1",
        }
        made = await http.post(path, json=body)
        again = await http.post(path, json=body)
        listed = await http.get(path)
        paused = await http.patch(f"{path}/{made.json()['id']}", json={"status": "paused"})
        gone = await http.delete(f"{path}/{made.json()['id']}")
        gone_again = await http.delete(f"{path}/{made.json()['id']}")
        built_in = next(c for c in listed.json() if c["kind"] == "api")
        refused = await http.delete(f"{path}/{built_in['id']}")
    assert made.status_code == 201
    assert {"id", "webhook_url", "health"} <= set(made.json()) and made.json()["identity"] == "+14151234567"
    assert made.json()["webhook_url"].endswith(f"/api/webhooks/{made.json()['id']}")
    assert made.json()["health"] == {"state": "untested"}
    assert "canary" not in made.text + again.text + listed.text + paused.text
    assert again.status_code == 409 and paused.json()["status"] == "paused"
    assert (gone.status_code, gone_again.status_code, refused.status_code) == (204, 404, 409)
    assert (await served.as_admin("SELECT credentials_sealed FROM channel_accounts WHERE kind = 'a1base'"))[
        0
    ][0] is None


WRONG_SETTINGS: tuple[tuple[dict[str, object], str], ...] = (
    ({"kind": "carrier-pigeon"}, "kind"),
    ({"kind": "api"}, "kind"),
    ({"number": None}, "number"),
    ({"number": "call me"}, "number"),
    ({"account_id": None}, "account_id"),
    ({"api_sekret": "oops"}, "api_sekret"),
    ({"api_key": 7}, "api_key"),
    ({"base_url": "http://api.a1base.com/v1"}, "base_url"),
    ({"base_url": "http://127.0.0.1:9/"}, "base_url"),
    ({"base_url": "ftp://example.com"}, "base_url"),
    ({"base_url": "https://user:pw@example.com"}, "base_url"),
    ({"base_url": "nonsense"}, "base_url"),
)


async def test_a_channels_wrong_setting_is_named(served: TestHouse):
    right = {
        "kind": "a1base",
        "number": "+14151234567",
        "account_id": "acc",
        "api_key": "k",
        "api_secret": "s",
    }
    async with await _with(served) as http:
        agent_id = await new_agent(http)
        for change, field in WRONG_SETTINGS:
            body = {k: v for k, v in {**right, **change}.items() if v is not None}
            answer = await http.post(f"/api/agents/{agent_id}/channels", json=body)
            assert answer.status_code == 422, (change, answer.text)
            assert answer.json()["field"] == field
            assert "oops" not in answer.text and "user:pw" not in answer.text


async def test_the_operator_may_open_a_range_for_providers_on_it(make_house: MakeHouse):
    house = await make_house(serve=True, settings={"egress_allow": "127.0.0.0/8"})
    async with client(house, await house.owner()) as http:
        agent_id = await new_agent(http)
        await connect_a1base(http, agent_id, base_url="http://127.0.0.1:9/v1")
        refused = await http.post(
            f"/api/agents/{agent_id}/channels",
            json={"kind": "a1base", "number": "+1555", "account_id": "a", "base_url": "http://10.0.0.1/"},
        )
    assert refused.status_code == 422


# ── knowledge, keys, dead letters ───────────────────────────────────────────────────────────────────────────────────


async def test_what_an_agent_is_taught_it_answers_from_and_forgets_again(make_house: MakeHouse):
    house = await make_house(serve=True, work=True)
    async with client(house, await house.owner()) as http:
        agent_id = await new_agent(http)
        path = f"/api/agents/{agent_id}/knowledge"
        body = {"title": "Opening hours", "content": "On Saturdays we are open from nine to one."}
        made = await http.post(path, json=body)
        listed = (await http.get(path)).json()
        read = (await http.get(made.headers["location"])).json()
        knows = (
            await http.post(f"/api/agents/{agent_id}/chat", json={"message": "Open on Saturdays?"})
        ).json()
        gone = await http.delete(f"{path}/{made.json()['id']}")
        gone_again = await http.delete(f"{path}/{made.json()['id']}")
        forgot = (
            await http.post(f"/api/agents/{agent_id}/chat", json={"message": "Open on Saturdays?"})
        ).json()
        empty = await http.post(path, json={"title": " ", "content": "x"})
        script = await http.post(
            path, json={"title": "x", "content": "x", "source_url": "javascript:alert(1)"}
        )
    assert made.status_code == 201 and read["content"] == body["content"]
    assert "content" not in listed[0] and listed[0]["title"] == "Opening hours"
    assert "nine to one" in knows["agentResponse"]["content"]
    assert "nine to one" not in forgot["agentResponse"]["content"]
    assert (gone.status_code, gone_again.status_code) == (204, 404)
    assert (empty.status_code, script.status_code) == (422, 422)


async def test_a_keys_secret_is_shown_once_and_works(served: TestHouse):
    async with await _with(served) as http:
        made = await http.post("/api/keys", json={"name": "my program"})
        async with client(served) as program:
            me = await program.get("/api/auth/me", headers={"x-api-key": made.json()["key"]})
        listed = await http.get("/api/keys")
        wrong = await http.post("/api/keys", json={"name": "x", "scopes": ["everything"]})
    assert made.status_code == 201 and made.json()["key"].startswith(made.json()["prefix"])
    assert me.status_code == 200
    assert made.json()["key"] not in listed.text
    assert (
        wrong.status_code == 422
        and wrong.json()["field"] == "scopes.0"
        and wrong.json()["value"] == "everything"
    )


async def test_a_dead_letter_is_replayed_once(make_house: MakeHouse):
    model = ModelOnStrings()
    house = await make_house(serve=True, work=True, **model.wiring())
    owner = await house.owner()
    async with client(house, owner) as http:
        agent_id = await new_agent(http)
        said = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        await house.as_admin("DELETE FROM turns")
        await house.as_admin("UPDATE chats SET answered_seq = 0")
        await house.as_admin(
            """INSERT INTO dead_letters (owner_id, id, queue, chat_id, payload, attempts, reason)
               VALUES ($1, gen_random_uuid(), 'turns', $2::uuid, '{}', 8, 'ModelUnavailable')""",
            owner.owner_id,
            said["chat_id"],
        )
        letters = (await http.get("/api/dead-letters")).json()
        replayed = await http.post(f"/api/dead-letters/{letters[0]['id']}/replay")
        again = await http.post(f"/api/dead-letters/{letters[0]['id']}/replay")
        for _ in range(100):
            if model.asked == 2:
                break
            await asyncio.sleep(0.02)
    assert [(x["queue"], x["reason"], x["replayed_at"]) for x in letters] == [
        ("turns", "ModelUnavailable", None)
    ]
    assert replayed.status_code == 200 and replayed.json()["replayed_at"] is not None
    assert again.status_code == 404
    assert model.asked == 2


async def test_an_owner_answers_as_a_person_once(make_house: MakeHouse):
    house = await make_house(serve=True, work=True, **ModelOnStrings().wiring())
    async with client(house, await house.owner()) as http:
        agent_id = await new_agent(http)
        said = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        path, key = f"/api/chats/{said['chat_id']}/messages", {"idempotency-key": "answer-1"}
        first = await http.post(path, json={"text": "Maria here."}, headers=key)
        again = await http.post(path, json={"text": "Maria here."}, headers=key)
        other = await http.post(path, json={"text": "Somebody else."}, headers=key)
        too_long = await http.post(path, json={"text": "x" * 16_001})
        empty = await http.post(path, json={"text": ""})
        stored = (await http.get(path)).json()
    assert first.status_code == 201 and first.json() == again.json()
    assert first.json()["sender_kind"] == "owner" and first.json()["status"] == "delivered"
    assert (other.status_code, too_long.status_code, empty.status_code) == (409, 413, 422)
    assert len(stored) == 3
