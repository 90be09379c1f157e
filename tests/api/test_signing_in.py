"""Every way of saying who asks, and none that is weaker than another."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import httpx
import pytest
from tests.api.talk import ModelOnStrings, client, new_agent
from tests.conftest import MakeHouse, TestHouse
from tests.fakes.stack_auth import FakeStackAuth

from a1zap.accounts.sign_in import add_sign_in_link

PASSWORD = "correct horse battery staple"


@pytest.fixture
async def served(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True)


@pytest.fixture
async def talking(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True, work=True, **ModelOnStrings().wiring())


def same_origin(house: TestHouse) -> dict[str, str]:
    """What a browser says of itself with a request of our own page's."""
    return {"origin": house.url, "sec-fetch-site": "same-origin"}


async def _sign_up_and_in(house: TestHouse, http: httpx.AsyncClient, email: str) -> httpx.Response:
    made = await http.post("/api/auth/sign-up", json={"email": email, "password": PASSWORD})
    assert made.status_code == 202, made.text
    return await http.post("/api/auth/sign-in", json={"email": email, "password": PASSWORD})


# ── headers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_signs_in_as_bearer_and_as_x_api_key(served: TestHouse):
    owner = await served.owner()
    async with client(served) as http:
        for headers in (
            {"authorization": f"Bearer {owner.key}"},
            {"authorization": f"bearer  {owner.key}"},
            {"x-api-key": owner.key},
        ):
            me = await http.get("/api/auth/me", headers=headers)
            assert me.status_code == 200 and UUID(me.json()["owner_id"]) == owner.owner_id


async def test_nobody_and_nonsense_are_401_and_told_how(served: TestHouse):
    owner = await served.owner()
    wrong = (
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer nonsense"},
        {"authorization": f"Basic {owner.key}"},
        {"authorization": f"Bearer {owner.key}x"},
        {"authorization": f"Bearer {owner.key[:-1]}"},
        {"authorization": "Bearer a1z_" + "A" * 43},
        {"x-api-key": ""},
        {"x-stack-access-token": "a.b.c"},
        {"authorization": "Bearer a1v_" + "A" * 119},
        {"cookie": "a1zap_session=a1s_" + "A" * 43},
        {"cookie": "a1zap_session=nonsense"},
        {"cookie": "a1zap_visitor=nonsense"},
    )
    async with client(served) as http:
        for headers in wrong:
            answer = await http.get("/api/agents", headers=headers)
            assert answer.status_code == 401, headers
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
            assert owner.key[4:] not in answer.text


async def test_a_header_that_does_not_count_is_refused_whatever_the_cookies_say(served: TestHouse):
    async with client(served) as http:
        await _sign_up_and_in(served, http, "ada@example.com")
        assert (await http.get("/api/agents")).status_code == 200
        answer = await http.get("/api/agents", headers={"authorization": "Bearer a1z_" + "A" * 43})
    assert answer.status_code == 401


async def test_a_key_goes_as_far_as_its_scopes(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        made = (await http.post("/api/keys", json={"name": "reader", "scopes": ["agents:read"]})).json()
        reader = {"authorization": f"Bearer {made['key']}"}
        can = await http.get("/api/agents", headers=reader)
        cannot = [
            await http.post("/api/agents", json={"name": "Ada"}, headers=reader),
            await http.get("/api/keys", headers=reader),
            await http.post(f"/api/agents/{uuid4()}/chat", json={"message": "hi"}, headers=reader),
            await http.get(f"/api/chats/{uuid4()}", headers=reader),
        ]
        whoever = await http.get("/api/auth/me", headers=reader)
        minter = (await http.post("/api/keys", json={"name": "minter", "scopes": ["keys:write"]})).json()
        beyond = await http.post(
            "/api/keys",
            json={"name": "more", "scopes": ["agents:write"]},
            headers={"authorization": f"Bearer {minter['key']}"},
        )
    assert can.status_code == 200 and whoever.json()["scopes"] == ["agents:read"]
    assert {a.status_code for a in cannot} == {403}
    assert beyond.status_code == 403 and beyond.json()["field"] == "scopes"


async def test_a_key_bound_to_one_agent_sees_no_other(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http:
        mine, other = await new_agent(http), await new_agent(http, name="Bob")
        other_chat = (await http.post(f"/api/agents/{other}/chat", json={"message": "hi"})).json()
        made = (await http.post("/api/keys", json={"name": "bound", "agent_id": mine})).json()
        http.headers["authorization"] = f"Bearer {made['key']}"
        said = await http.post(f"/api/agents/{mine}/chat", json={"message": "hi"})
        listed = (await http.get("/api/agents")).json()
        absent = [
            await http.get(f"/api/agents/{other}"),
            await http.get(f"/api/agents/{uuid4()}"),
            await http.patch(f"/api/agents/{other}", json={"version": 1, "name": "Eve"}),
            await http.delete(f"/api/agents/{other}"),
            await http.post(f"/api/agents/{other}/chat", json={"message": "hi"}),
            await http.get(f"/api/agents/{other}/conversations"),
        ]
        absent_chats = [
            await http.get(f"/api/chats/{other_chat['chat_id']}"),
            await http.post(f"/api/chats/{other_chat['chat_id']}/takeover"),
            await http.get(f"/api/chats/{uuid4()}"),
        ]
        turns = [await http.get(f"/api/turns/{i}") for i in (other_chat["turn"]["id"], uuid4())]
        beyond = [
            await http.post("/api/agents", json={"name": "Eve"}),
            await http.post("/api/keys", json={"name": "free again"}),
            await http.get("/api/keys"),
            await http.get("/api/usage"),
            await http.get("/api/audit"),
            await http.get("/api/dead-letters"),
        ]
    assert made["agent_id"] == mine
    assert said.status_code == 200 and [a["id"] for a in listed] == [mine]
    for group in (absent, absent_chats, turns):
        assert {a.status_code for a in group} == {404} and len({a.content for a in group}) == 1
    assert {a.status_code for a in beyond} == {403}


async def test_a_revoked_key_is_nobodys(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        made = (await http.post("/api/keys", json={"name": "short-lived"})).json()
        headers = {"authorization": f"Bearer {made['key']}"}
        before = await http.get("/api/agents", headers=headers)
        assert (await http.delete(f"/api/keys/{made['id']}")).status_code == 204
        after = await http.get("/api/agents", headers=headers)
        listed = (await http.get("/api/keys")).json()
    assert (before.status_code, after.status_code) == (200, 401)
    assert next(k for k in listed if k["id"] == made["id"])["revoked_at"] is not None
    assert made["key"] not in str(listed) and "key" not in listed[0]


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_first_owner_signs_up_and_the_door_closes(served: TestHouse):
    async with client(served) as http:
        signed_in = await _sign_up_and_in(served, http, "ada@example.com")
        me = await http.get("/api/auth/me")
        closed = await http.post("/api/auth/sign-up", json={"email": "eve@example.com", "password": PASSWORD})
    cookie = signed_in.headers["set-cookie"]
    assert signed_in.status_code == 204
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie and "Domain" not in cookie
    assert me.json()["email"] == "ada@example.com" and me.json()["signed_in_by"] == "session"
    assert closed.status_code == 403


async def test_signing_up_and_in_does_not_tell_who_has_an_account(make_house: MakeHouse):
    house = await make_house(serve=True, settings={"is_sign_up_open": True})
    async with client(house) as http:
        first = await http.post("/api/auth/sign-up", json={"email": "ada@example.com", "password": PASSWORD})
        again = await http.post(
            "/api/auth/sign-up", json={"email": "ADA@example.com ", "password": "another one!"}
        )
        wrong = await http.post(
            "/api/auth/sign-in", json={"email": "ada@example.com", "password": "wrong one!"}
        )
        unknown = await http.post(
            "/api/auth/sign-in", json={"email": "eve@example.com", "password": "wrong one!"}
        )
        right = await http.post("/api/auth/sign-in", json={"email": "ada@example.com", "password": PASSWORD})
        hers = await http.post(
            "/api/auth/sign-in", json={"email": "ada@example.com", "password": "another one!"}
        )
    assert first.status_code == again.status_code == 202 and first.content == again.content
    assert wrong.status_code == unknown.status_code == 401 and wrong.content == unknown.content
    assert right.status_code == 204 and hers.status_code == 401


async def test_a_short_password_is_refused_and_never_shown(served: TestHouse):
    async with client(served) as http:
        answer = await http.post("/api/auth/sign-up", json={"email": "ada@example.com", "password": "s3cr"})
        wrong = await http.post(
            "/api/auth/sign-in", json={"email": "ada@example.com", "password": ["s3cret"]}
        )
    assert answer.status_code == wrong.status_code == 422
    assert answer.json()["field"] == wrong.json()["field"] == "password"
    assert "s3cr" not in answer.text + wrong.text


async def test_guessing_passwords_is_slowed_down(served: TestHouse):
    async with client(served) as http:
        answers = [
            await http.post(
                "/api/auth/sign-in", json={"email": "ada@example.com", "password": f"guess number {n}"}
            )
            for n in range(12)
        ]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1


async def test_a_session_changes_nothing_for_a_foreign_page(served: TestHouse):
    async with client(served) as http:
        await _sign_up_and_in(served, http, "ada@example.com")
        path, body = "/api/agents", {"name": "Ada"}
        foreign = (
            {},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
            {"sec-fetch-site": "same-site", "origin": "https://evil.example.com"},
            {"referer": "https://evil.example/page"},
        )
        for headers in foreign:
            answer = await http.post(path, json=body, headers=headers)
            assert answer.status_code == 403, headers
        own = await http.post(path, json=body, headers=same_origin(served))
        plain = await http.post(path, json=body, headers={"origin": served.url})
        form = await http.post(path, data={"name": "Ada"}, headers=same_origin(served))
        text = await http.post(
            path, content=b'{"name": "Ada"}', headers={**same_origin(served), "content-type": "text/plain"}
        )
    assert own.status_code == 201 and plain.status_code == 201
    assert form.status_code == text.status_code == 415


async def test_signing_out_ends_the_session(served: TestHouse):
    async with client(served) as http:
        await _sign_up_and_in(served, http, "ada@example.com")
        token = http.cookies["a1zap_session"]
        foreign = await http.post("/api/auth/sign-out", headers={"sec-fetch-site": "cross-site"})
        assert (
            await http.get("/api/agents", headers={"cookie": f"a1zap_session={token}"})
        ).status_code == 200
        out = await http.post("/api/auth/sign-out", headers=same_origin(served))
        kept = await http.get("/api/agents", headers={"cookie": f"a1zap_session={token}"})
        again = await http.post("/api/auth/sign-out", headers=same_origin(served))
    assert foreign.status_code == 403
    assert out.status_code == again.status_code == 204 and kept.status_code == 401


async def test_a_session_ends_by_itself(served: TestHouse):
    async with client(served) as http:
        await _sign_up_and_in(served, http, "ada@example.com")
        await served.as_admin("UPDATE sessions SET expires_at = now() - interval '1 second'")
        assert (await http.get("/api/agents")).status_code == 401


# ── one-time links ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _link(house: TestHouse) -> str:
    owner = await house.owner()
    return f"/sign-in/{await add_sign_in_link(house.db, owner.owner_id, now=house.clock.now())}"


async def test_a_sign_in_link_works_once_and_looking_at_it_does_not_spend_it(served: TestHouse):
    link = await _link(served)
    async with client(served) as http:
        for _ in range(3):
            assert (await http.head(link)).status_code == 200
            page = await http.get(link)
            assert page.status_code == 200
        foreign = await http.post(
            link, headers={"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        )
        used = await http.post(link, headers=same_origin(served))
        me = await http.get("/api/auth/me")
        async with client(served) as second:
            spent = await second.post(link, headers=same_origin(served))
            nobody = await second.get("/api/auth/me")
    assert 'method="post"' in page.text
    assert foreign.status_code == 403
    assert used.status_code == 303 and used.headers["location"] == "/"
    assert me.status_code == 200 and me.json()["signed_in_by"] == "session"
    assert spent.status_code == 410 and "set-cookie" not in spent.headers and nobody.status_code == 401


async def test_a_sign_in_link_is_no_session_and_a_session_no_link(served: TestHouse):
    link = await _link(served)
    token = link.rpartition("/")[2]
    async with client(served) as http:
        as_session = await http.get("/api/auth/me", headers={"cookie": f"a1zap_session={token}"})
        await http.post(link, headers=same_origin(served))
        session = http.cookies["a1zap_session"]
        as_link = await http.post(f"/sign-in/{session}", headers=same_origin(served))
        await served.as_admin("UPDATE sessions SET used_at = NULL, expires_at = now() - interval '1 second'")
        expired = await http.post(link, headers=same_origin(served))
    assert as_session.status_code == 401 and as_link.status_code == expired.status_code == 410


# ── Stack Auth ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_whoever_stack_auth_vouches_for_becomes_an_owner(make_house: MakeHouse):
    async with FakeStackAuth() as stack:
        settings = {"stack_project_id": stack.project_id, "stack_api_url": stack.base_url, "plan": "free"}
        house = await make_house(serve=True, settings=settings)
        subject = str(uuid4())
        token = stack.mint(claims={"sub": subject})
        ways = (
            {"authorization": f"Bearer {token}"},
            {"authorization": f"Bearer stackauth_{token}"},
            {"authorization": f"Bearer hexclave_{token}"},
            {"x-stack-access-token": token},
            {"x-hexclave-access-token": token},
        )
        async with client(house) as http:
            for headers in ways:
                me = await http.get("/api/auth/me", headers=headers)
                assert me.status_code == 200, me.text
                assert me.json()["owner_id"] == subject and me.json()["signed_in_by"] == "stack"
            made = await http.post("/api/agents", json={"name": "Ada"}, headers=ways[0])
            second = await http.post("/api/agents", json={"name": "Bob"}, headers=ways[0])
            expired = stack.mint(claims={"sub": subject, "exp": int(time.time()) - 600})
            late = await http.get("/api/auth/me", headers={"authorization": f"Bearer {expired}"})
            await house.as_admin("UPDATE users SET disabled_at = now() WHERE owner_id = $1", UUID(subject))
            disabled = await http.get("/api/auth/me", headers=ways[0])
    assert made.status_code == 201
    assert second.status_code == 429 and "Free" in second.json()["detail"]
    assert late.status_code == disabled.status_code == 401


# ── visitors ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_visitor_writes_to_a_public_agent_and_reads_only_their_own(talking: TestHouse):
    owner = await talking.owner()
    fields = {"is_public": True, "message_settings": {"settle_s": 0}}
    async with client(talking, owner) as http:
        public = await new_agent(http, **fields)
        private = await new_agent(http, name="Bob")
        owners_chat = (await http.post(f"/api/agents/{public}/chat", json={"message": "mine"})).json()[
            "chat_id"
        ]
    own = same_origin(talking)
    async with client(talking) as ada, client(talking) as eve, client(talking) as nobody:
        for visitor in (ada, eve):
            visit = await visitor.post(f"/api/agents/{public}/visitor", headers=own)
            assert visit.status_code == 201 and "a1v_" not in visit.text
            cookie = visit.headers["set-cookie"]
            assert "HttpOnly" in cookie and "samesite=lax" in cookie.lower()
        said = await ada.post(f"/api/agents/{public}/chat", json={"message": "hello"}, headers=own)
        chat_id = said.json()["chat_id"]
        bearer = {"authorization": f"Bearer {ada.cookies['a1zap_visitor']}"}
        by_bearer = await nobody.get(f"/api/chats/{chat_id}", headers=bearer)
        hers = (await ada.get(f"/api/agents/{public}/conversations")).json()
        others = (await eve.get(f"/api/agents/{public}/conversations")).json()
        read = await ada.get(f"/api/chats/{chat_id}/messages")
        hidden = [
            await eve.get(f"/api/chats/{chat_id}"),
            await eve.get(f"/api/chats/{chat_id}/messages"),
            await eve.get(f"/api/chats/{chat_id}/events"),
            await eve.post(
                f"/api/agents/{public}/chat", json={"message": "me too", "chat_id": chat_id}, headers=own
            ),
            await ada.get(f"/api/chats/{owners_chat}"),
            await ada.get(f"/api/chats/{uuid4()}"),
        ]
        forbidden = [
            await ada.get("/api/agents"),
            await ada.get(f"/api/agents/{public}"),
            await ada.get(f"/api/turns/{said.json()['turn']['id']}"),
            await ada.post(f"/api/chats/{chat_id}/takeover", headers=own),
            await ada.post(f"/api/chats/{chat_id}/messages", json={"text": "I am the owner"}, headers=own),
            await ada.get("/api/keys"),
            await ada.get("/api/auth/me"),
            await ada.post(
                f"/api/agents/{public}/chat",
                json={"message": "hi", "conversation_user": {"id": "somebody else"}},
                headers=own,
            ),
        ]
        elsewhere = [
            await ada.post(f"/api/agents/{private}/chat", json={"message": "hi"}, headers=own),
            await ada.post(f"/api/agents/{uuid4()}/chat", json={"message": "hi"}, headers=own),
            await nobody.post(f"/api/agents/{private}/visitor", headers=own),
            await nobody.post(f"/api/agents/{uuid4()}/visitor", headers=own),
        ]
        crossed = await ada.post(f"/api/agents/{public}/chat", json={"message": "hi"})
        listed = (await nobody.get("/api/public-agents")).json()
    assert said.status_code == 200, said.text
    assert said.json()["agentResponse"]["content"] == "All is well."
    assert not {"hops", "cost_usd", "tokens_in", "model"} & set(said.json()["turn"])
    assert [c["id"] for c in hers] == [chat_id] and hers[0]["service"] == "web" and others == []
    assert read.status_code == 200 and len(read.json()) == 2
    assert {a.status_code for a in hidden} == {404} and len({a.content for a in hidden}) == 1
    assert {a.status_code for a in forbidden} == {403}
    assert {a.status_code for a in elsewhere} == {404} and len({a.content for a in elsewhere}) == 1
    assert crossed.status_code == 403 and by_bearer.status_code == 200
    assert [a["id"] for a in listed] == [public]


async def test_an_agent_that_is_public_no_more_is_open_to_no_visitor(talking: TestHouse):
    owner = await talking.owner()
    async with client(talking, owner) as http, client(talking) as ada:
        public = await new_agent(http, is_public=True)
        await ada.post(f"/api/agents/{public}/visitor", headers=same_origin(talking))
        assert (await ada.get(f"/api/agents/{public}/conversations")).status_code == 200
        await http.patch(f"/api/agents/{public}", json={"version": 1, "is_public": False})
        assert (await ada.get(f"/api/agents/{public}/conversations")).status_code == 401


async def test_one_browser_visits_two_agents_and_owns_a_third(talking: TestHouse):
    """Cookies of several visits and a session: who is meant is whoever may see what is asked for."""
    other = await talking.owner()
    own = same_origin(talking)
    settle = {"message_settings": {"settle_s": 0}, "is_public": True}
    async with client(talking, other) as http:
        first, second = await new_agent(http, **settle), await new_agent(http, name="Bob", **settle)
    link = await _link(talking)
    async with client(talking) as browser:
        chats = {}
        for agent in (first, second):
            await browser.post(f"/api/agents/{agent}/visitor", headers=own)
            said = await browser.post(f"/api/agents/{agent}/chat", json={"message": "hi"}, headers=own)
            chats[agent] = said.json()["chat_id"]
        again = await browser.post(f"/api/agents/{first}/visitor", headers=own)
        await browser.post(link, headers=own)
        mine = (await browser.post("/api/agents", json={"name": "Mine", **settle}, headers=own)).json()["id"]
        said = await browser.post(f"/api/agents/{mine}/chat", json={"message": "hi me"}, headers=own)
        await browser.post(f"/api/agents/{mine}/visitor", headers=own)
        as_visitor = await browser.post(
            f"/api/agents/{mine}/chat?as=visitor", json={"message": "hi as a guest"}, headers=own
        )
        for agent, chat in chats.items():
            assert (await browser.get(f"/api/chats/{chat}")).status_code == 200
            listed = (await browser.get(f"/api/agents/{agent}/conversations")).json()
            assert [c["id"] for c in listed] == [chat]
        all_of_mine = (await browser.get(f"/api/agents/{mine}/conversations")).json()
        as_guest = (await browser.get(f"/api/agents/{mine}/conversations?as=visitor")).json()
    assert again.status_code == 201
    assert {c["service"] for c in all_of_mine} == {"api", "web"}
    assert [c["id"] for c in as_guest] == [as_visitor.json()["chat_id"]]
    assert said.json()["chat_id"] in {c["id"] for c in all_of_mine}


async def test_a_visitor_who_writes_too_quickly_waits(talking: TestHouse):
    owner = await talking.owner()
    own = same_origin(talking)
    async with client(talking, owner) as http, client(talking) as ada:
        public = await new_agent(http, is_public=True)
        await ada.post(f"/api/agents/{public}/visitor", headers=own)
        answers = [
            await ada.post(
                f"/api/agents/{public}/chat", json={"message": "hi"}, headers={**own, "prefer": "wait=0"}
            )
            for _ in range(14)
        ]
    assert answers[9].status_code == 202
    assert answers[-1].status_code == 429 and answers[-1].headers["retry-after"] == "1"
