"""The chat on other sites' pages, as its JavaScript and its browser ask for it: visits, origins, typing, reading, files."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from tests.api.talk import Event, ModelOnStrings, client, events_of, new_agent, stream, until
from tests.conftest import MakeHouse, TestHouse, TestOwner

from a1zap.kit.clock import SystemClock
from a1zap.people.store import read_profile

SITE = "https://shop.example"
FOREIGN = {"origin": SITE, "sec-fetch-site": "cross-site"}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100"
    "c9fe92ef0000000049454e44ae426082"
)


class MovedClock(SystemClock):
    """The real one, so much later."""

    later = timedelta(0)

    def now(self) -> Any:
        return super().now() + self.later


@dataclass
class Site:
    """A public agent, its chat page's settings, and the site that shows it."""

    house: TestHouse
    owner: TestOwner
    agent_id: str
    channel_id: str
    secret: str

    @property
    def visitors(self) -> str:
        return f"/api/agents/{self.agent_id}/visitors"

    def identity(self, user_id: str, **more: str) -> dict[str, Any]:
        proof = hmac.new(self.secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()
        return {"identity": {"user_id": user_id, "hash": proof, **more}}

    async def change(self, **settings: str) -> dict[str, Any]:
        async with client(self.house, self.owner) as http:
            path = f"/api/agents/{self.agent_id}/channels/{self.channel_id}"
            answer = await http.patch(path, json={"settings": settings})
        assert answer.status_code == 200, answer.text
        return answer.json()["shown_once"]

    async def visit(self, body: Any = None, token: str | None = None) -> dict[str, Any]:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        async with client(self.house) as http:
            answer = await http.post(self.visitors, json=body or {}, headers={**FOREIGN, **headers})
        assert answer.status_code == 201, answer.text
        return answer.json()

    @asynccontextmanager
    async def page(self, token: str) -> AsyncIterator[httpx.AsyncClient]:
        async with client(self.house) as http:
            http.headers.update({**FOREIGN, "authorization": f"Bearer {token}"})
            yield http

    async def say(self, token: str, text: str = "hello", **more: Any) -> dict[str, Any]:
        async with self.page(token) as http:
            answer = await http.post(f"/api/agents/{self.agent_id}/chat", json={"message": text, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def chats(self, token: str) -> list[str]:
        async with self.page(token) as http:
            answer = await http.get(f"/api/agents/{self.agent_id}/conversations")
        assert answer.status_code == 200, answer.text
        return [chat["id"] for chat in answer.json()]


async def open_site(house: TestHouse, *, name: str = "Ada", **settings: str) -> Site:
    owner = await house.owner()
    async with client(house, owner) as http:
        agent_id = await new_agent(http, name=name, is_public=True, message_settings={"settle_s": 0})
        found = (await http.get(f"/api/agents/{agent_id}/channels")).json()
        [channel_id] = [c["id"] for c in found if c["kind"] == "web"]
    site = Site(house, owner, agent_id, channel_id, "")
    made = await site.change(allowed_origins=SITE, **settings)
    site.secret = made["identity_secret"]
    return site


@pytest.fixture
async def site(make_house: MakeHouse) -> Site:
    return await open_site(await make_house(serve=True, work=True, **ModelOnStrings().wiring()))


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_secret_is_shown_once_is_kept_by_other_changes_and_can_be_rotated(site: Site):
    assert site.secret.startswith("idsec_")
    assert await site.change(greeting="Ahoy!") == {}
    before = await site.visit(site.identity("7"))
    assert before["greeting"] == "Ahoy!" and before["agent_name"] == "Ada"
    old = site.secret
    made = await site.change(identity_secret="", old_identity_secret=old)
    assert made["identity_secret"] not in ("", old)
    await site.visit(site.identity("7"))  # with the old one, which still counts
    renewed = await site.visit(token=before["token"])
    assert renewed["is_identified"]
    await site.change(old_identity_secret="")
    async with client(site.house) as http:
        refused = [
            await http.post(site.visitors, json=site.identity("7")),
            await http.post(site.visitors, json={}, headers={"authorization": f"Bearer {renewed['token']}"}),
        ]
    assert [a.status_code for a in refused] == [401, 401]
    async with client(site.house, site.owner) as http:
        shown = await http.get(f"/api/agents/{site.agent_id}/channels/{site.channel_id}")
        rows = await site.house.as_admin("SELECT credentials_sealed FROM channel_accounts WHERE kind = 'web'")
    assert made["identity_secret"] not in shown.text
    assert all(made["identity_secret"].encode() not in (r[0] or b"") for r in rows)


async def test_a_wrong_setting_is_named_and_changes_nothing(site: Site):
    path = f"/api/agents/{site.agent_id}/channels/{site.channel_id}"
    async with client(site.house, site.owner) as http:
        for name, value in (("allowed_origins", "*"), ("alowed_origins", SITE), ("accepts_files", "maybe")):
            answer = await http.patch(path, json={"settings": {name: value}})
            assert answer.status_code == 422 and answer.json()["field"] == name, answer.text
    await site.visit()


async def test_an_identity_without_a_secret_is_503(make_house: MakeHouse):
    house = await make_house(serve=True)
    owner = await house.owner()
    async with client(house, owner) as http:
        agent_id = await new_agent(http, is_public=True)
    async with client(house) as http:
        body = {"identity": {"user_id": "7", "hash": "0" * 64}}
        answer = await http.post(f"/api/agents/{agent_id}/visitors", json=body)
        anonymous = await http.post(f"/api/agents/{agent_id}/visitors", json={})
    assert answer.status_code == 503 and answer.json()["title"] == "Not configured"
    assert anonymous.status_code == 201


# ── visits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_visitors_are_two_people_and_see_only_their_own(site: Site):
    ada, eve = await site.visit(), await site.visit()
    assert ada["is_identified"] is False and ada["token"] != eve["token"]
    chat_id = (await site.say(ada["token"]))["chat_id"]
    assert await site.chats(ada["token"]) == [chat_id] and await site.chats(eve["token"]) == []
    async with site.page(eve["token"]) as http:
        hidden = [
            await http.get(f"/api/chats/{chat_id}"),
            await http.get(f"/api/chats/{chat_id}/messages"),
            await http.get(f"/api/chats/{chat_id}/events"),
            await http.post(f"/api/chats/{chat_id}/typing", json={}),
            await http.post(f"/api/chats/{chat_id}/read", json={"seq": 1}),
            await http.post(f"/api/chats/{uuid4()}/read", json={"seq": 1}),
            await http.post(
                f"/api/agents/{site.agent_id}/chat", json={"message": "me too", "chat_id": chat_id}
            ),
        ]
    assert {a.status_code for a in hidden} == {404} and len({a.content for a in hidden}) == 1


async def test_who_is_vouched_for_is_the_same_person_on_every_device(site: Site):
    phone = await site.visit(site.identity("customer-17", name="Jane", email="jane@example.com"))
    chat_id = (await site.say(phone["token"]))["chat_id"]
    laptop = await site.visit(site.identity("customer-17"))
    other = await site.visit(site.identity("customer-18"))
    assert await site.chats(laptop["token"]) == [chat_id] and await site.chats(other["token"]) == []
    [person] = await site.house.as_admin(
        "SELECT u.* FROM conversation_users u JOIN chat_participants p ON p.user_id = u.id"
    )
    async with site.house.db.owned(site.owner.owner_id) as tx:
        sealer = await site.house.keyring.sealer(tx)
        assert await read_profile(tx, sealer, person["id"]) == {
            "user_id": "customer-17",
            "email": "jane@example.com",
        }
    assert b"customer-17" not in person["profile_sealed"]


async def test_who_logs_in_keeps_the_chat_they_began_and_nobody_else_gets_it(site: Site):
    before = await site.visit()
    chat_id = (await site.say(before["token"], "when do you open?"))["chat_id"]
    async with site.page(before["token"]) as http:
        logged_in = (await http.post(site.visitors, json=site.identity("customer-17"))).json()
    assert await site.chats(logged_in["token"]) == [chat_id]
    said = await site.say(logged_in["token"], "and on Sundays?", chat_id=chat_id)
    async with site.page(logged_in["token"]) as http:
        listed = (await http.get(f"/api/chats/{chat_id}/messages")).json()
        after = await http.post(site.visitors, json=site.identity("customer-17"))
    assert {m["sender_id"] for m in listed if m["direction"] == "inbound"} == {
        said["userMessage"]["sender_id"]
    }
    assert await site.chats(after.json()["token"]) == [chat_id]
    async with site.page(before["token"]) as http:
        # The token from before is spent: it reads nothing, says nothing, and logs nobody else in.
        spent = [
            await http.get(f"/api/chats/{chat_id}"),
            await http.get(f"/api/agents/{site.agent_id}/conversations"),
            await http.post(f"/api/agents/{site.agent_id}/chat", json={"message": "still me"}),
            await http.post(site.visitors, json={}),
            await http.post(site.visitors, json=site.identity("customer-18")),
        ]
    assert {a.status_code for a in spent} == {401}
    somebody = await site.visit(site.identity("customer-18"))
    assert await site.chats(somebody["token"]) == []


async def test_what_a_known_person_began_never_goes_to_another(site: Site):
    ada = await site.visit(site.identity("ada"))
    chat_id = (await site.say(ada["token"]))["chat_id"]
    async with site.page(ada["token"]) as http:
        eve = (await http.post(site.visitors, json=site.identity("eve"))).json()
        ended = await http.get(f"/api/chats/{chat_id}")
    assert await site.chats(eve["token"]) == [] and ended.status_code == 401
    assert await site.chats((await site.visit(site.identity("ada")))["token"]) == [chat_id]


async def test_a_planted_token_shows_its_planter_nothing_of_who_logs_in_with_it(site: Site):
    planted = await site.visit()
    await site.say(planted["token"], "planted")
    async with site.page(planted["token"]) as http:
        victim = (await http.post(site.visitors, json=site.identity("victim"))).json()
    secret_chat = (await site.say(victim["token"], "my account number is 4711"))["chat_id"]
    async with site.page(planted["token"]) as http:
        assert (await http.get(f"/api/chats/{secret_chat}/messages")).status_code == 401
    assert planted["token"] != victim["token"]


async def test_of_two_sites_the_same_user_id_is_two_people(site: Site):
    async with client(site.house, site.owner) as http:
        second = await new_agent(http, name="Bob", is_public=True)
        found = (await http.get(f"/api/agents/{second}/channels")).json()
        [channel] = [c["id"] for c in found if c["kind"] == "web"]
        path = f"/api/agents/{second}/channels/{channel}"
        await http.patch(path, json={"settings": {"identity_secret": site.secret, "allowed_origins": SITE}})
    await site.visit(site.identity("7"))
    async with client(site.house) as http:
        answer = await http.post(f"/api/agents/{second}/visitors", json=site.identity("7"))
    assert answer.status_code == 201
    assert len(await site.house.as_admin("SELECT 1 FROM user_addresses WHERE channel_kind = 'web'")) == 2


async def test_a_token_is_good_for_an_hour_and_renews_for_a_month(make_house: MakeHouse):
    clock = MovedClock()
    house = await make_house(serve=True, work=True, clock=clock, **ModelOnStrings().wiring())
    site = await open_site(house)
    visit, known = await site.visit(), await site.visit(site.identity("7"))
    chat_id = (await site.say(visit["token"]))["chat_id"]
    clock.later = timedelta(hours=2)
    async with site.page(visit["token"]) as http:
        late = await http.get(f"/api/chats/{chat_id}")
    assert late.status_code == 401 and "renew" in late.json()["detail"]
    renewed = await site.visit(token=visit["token"])
    assert await site.chats(renewed["token"]) == [chat_id]
    assert (await site.visit(token=known["token"]))["is_identified"]
    clock.later = timedelta(hours=26)
    async with client(house) as http:
        too_late = await http.post(
            site.visitors, json={}, headers={"authorization": f"Bearer {known['token']}"}
        )
    assert too_late.status_code == 401, "who was vouched for must be vouched for anew after a day"
    clock.later = timedelta(days=29)
    assert await site.chats((await site.visit(token=renewed["token"]))["token"]) == [chat_id]
    clock.later = timedelta(days=60)
    async with client(house) as http:
        gone = await http.post(site.visitors, json={}, headers={"authorization": f"Bearer {visit['token']}"})
    assert gone.status_code == 401


async def test_who_signs_out_is_out_everywhere(site: Site):
    visit = await site.visit(site.identity("7"))
    copy = await site.visit(token=visit["token"])
    async with site.page(visit["token"]) as http:
        assert (await http.post(f"{site.visitors}/sign-out")).status_code == 204
    for token in (visit["token"], copy["token"]):
        async with site.page(token) as http:
            answers = [
                await http.get(f"/api/agents/{site.agent_id}/conversations"),
                await http.post(site.visitors, json={}),
                await http.post(f"{site.visitors}/sign-out"),
            ]
        assert {a.status_code for a in answers} == {401}
    async with client(site.house) as http:
        assert (await http.post(f"{site.visitors}/sign-out")).status_code == 401
    await site.visit(site.identity("7"))


async def test_a_token_is_of_one_agent_and_one_owner_and_elsewhere_nothing_is_there(site: Site):
    other = await open_site(site.house, name="Bob")
    token = (await site.visit())["token"]
    own_chat = (await site.say(token))["chat_id"]
    other_chat = (await other.say((await other.visit())["token"]))["chat_id"]
    async with site.page(token) as http:
        agents: list[httpx.Response] = []
        for agent_id in (other.agent_id, str(uuid4()), "nonsense"):
            agents += [
                await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"}),
                await http.get(f"/api/agents/{agent_id}/conversations"),
                await http.post(f"/api/agents/{agent_id}/files", files={"file": ("a.png", PNG, "image/png")}),
                await http.post(f"/api/agents/{agent_id}/visitors", json={}),
                await http.post(f"/api/agents/{agent_id}/visitors/sign-out"),
            ]
        found: list[httpx.Response] = []
        for chat_id in (other_chat, str(uuid4()), "nonsense"):
            found += [
                await http.get(f"/api/chats/{chat_id}"),
                await http.get(f"/api/chats/{chat_id}/messages"),
                await http.get(f"/api/chats/{chat_id}/events"),
                await http.post(f"/api/chats/{chat_id}/typing", json={}),
                await http.post(f"/api/chats/{chat_id}/read", json={"seq": 9}),
            ]
        forbidden = [
            await http.get("/api/agents"),
            await http.get(f"/api/agents/{site.agent_id}"),
            await http.post(f"/api/chats/{own_chat}/takeover"),
            await http.post(f"/api/chats/{own_chat}/messages", json={"text": "I am the owner"}),
            await http.get(f"/api/agents/{site.agent_id}/channels"),
        ]
    for group in (agents, found):
        assert {a.status_code for a in group} == {404} and len({a.content for a in group}) == 1
    assert {a.status_code for a in forbidden} == {403}


async def test_an_agent_that_is_public_no_more_ends_its_visits(site: Site):
    token = (await site.visit())["token"]
    async with client(site.house, site.owner) as http:
        made = await http.patch(f"/api/agents/{site.agent_id}", json={"version": 1, "is_public": False})
        assert made.status_code == 200
    async with site.page(token) as http:
        answers = [
            await http.get(f"/api/agents/{site.agent_id}/conversations"),
            await http.post(site.visitors, json={}),
            await http.post(f"/api/agents/{uuid4()}/visitors", json={}),
        ]
    assert [a.status_code for a in answers] == [401, 404, 404]
    assert answers[1].content == answers[2].content


# ── other sites' pages ──────────────────────────────────────────────────────────────────────────────────────────────

ALLOWED = [SITE, "http://localhost:3000"]
NOT_ALLOWED = [
    "https://evil.example",
    "null",
    "",
    "*",
    "http://shop.example",
    "https://shop.example:8443",
    "https://shop.example:443",
    "https://SHOP.example",
    "https://shop.example/",
    "https://www.shop.example",
    "https://shop.example.evil.example",
    "https://evilshop.example",
    "https://shop.example@evil.example",
    "http://localhost",
    "http://localhost:30000",
]


def _asked(site: Site, chat_id: str) -> list[tuple[str, str]]:
    """Everything that a chat page needs."""
    agent, chat = f"/api/agents/{site.agent_id}", f"/api/chats/{chat_id}"
    return [
        ("POST", f"{agent}/visitors"),
        ("POST", f"{agent}/visitors/sign-out"),
        ("POST", f"{agent}/chat"),
        ("POST", f"{agent}/files"),
        ("GET", f"{agent}/conversations"),
        ("GET", chat),
        ("GET", f"{chat}/messages"),
        ("GET", f"{chat}/events"),
        ("POST", f"{chat}/typing"),
        ("POST", f"{chat}/read"),
    ]


async def _preflight(http: httpx.AsyncClient, method: str, path: str, origin: str) -> httpx.Response:
    return await http.options(
        path,
        headers={
            "origin": origin,
            "access-control-request-method": method,
            "access-control-request-headers": "authorization, content-type",
        },
    )


@pytest.fixture
async def talked(site: Site) -> tuple[Site, str, str]:
    await site.change(allowed_origins=",".join(ALLOWED))
    token = (await site.visit())["token"]
    return site, token, (await site.say(token))["chat_id"]


async def test_browsers_are_told_which_pages_may_ask_and_the_asking_writes_nothing(
    talked: tuple[Site, str, str],
):
    site, _, chat_id = talked
    # Every transaction that writes takes a number; the database's own housekeeping takes few.
    wrote = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    async with client(site.house) as http:
        for method, path in _asked(site, chat_id):
            for origin in ALLOWED:
                answer = await _preflight(http, method, path, origin)
                assert answer.status_code == 204, (method, path, origin)
                assert answer.headers["access-control-allow-origin"] == origin
                assert answer.headers["access-control-allow-methods"] == method
                assert "authorization" in answer.headers["access-control-allow-headers"]
                assert answer.headers["vary"] == "Origin"
                assert "access-control-allow-credentials" not in answer.headers
    async with client(site.house) as http:
        before = (await site.house.as_admin(wrote))[0][0]
        for _ in range(20):
            await _preflight(http, "POST", f"/api/agents/{site.agent_id}/chat", SITE)
            await _preflight(http, "GET", f"/api/chats/{chat_id}/events", SITE)
        assert (await site.house.as_admin(wrote))[0][0] - before < 20  # of forty that were asked


async def test_no_other_page_may_ask(talked: tuple[Site, str, str]):
    site, token, chat_id = talked
    async with client(site.house) as http:
        answers: list[httpx.Response] = []
        for method, path in _asked(site, chat_id):
            for origin in NOT_ALLOWED:
                answers.append(await _preflight(http, method, path, origin))
        missing = [
            await _preflight(http, "POST", f"/api/agents/{uuid4()}/visitors", SITE),
            await _preflight(http, "GET", f"/api/chats/{uuid4()}", SITE),
            await _preflight(http, "GET", "/api/chats/nonsense", SITE),
        ]
        actual = []
        for origin in NOT_ALLOWED:
            asked = {"origin": origin, "sec-fetch-site": "cross-site", "authorization": f"Bearer {token}"}
            actual.append(await http.get(f"/api/chats/{chat_id}", headers=asked))
            opened = await http.post(
                site.visitors, json={}, headers={"origin": origin, "sec-fetch-site": "cross-site"}
            )
            assert opened.status_code == 403, origin
            actual.append(opened)
    for answer in (*answers, *missing):
        assert answer.status_code == 403 and answer.content == answers[0].content
    for answer in (*answers, *missing, *actual):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert {a.headers["cross-origin-resource-policy"] for a in actual} == {"same-origin"}
    assert all("Origin" in a.headers["vary"] for a in actual)


async def test_allowed_pages_can_read_answers_and_refusals(talked: tuple[Site, str, str]):
    site, token, chat_id = talked
    agent = f"/api/agents/{site.agent_id}"
    async with site.page(token) as http:
        answers = [
            await http.post(site.visitors, json={}),
            await http.get(f"/api/chats/{chat_id}/messages"),
            await http.get(f"/api/chats/{uuid4()}"),  # nobody's chat is shown by any page
            await http.post(f"{agent}/chat", json={"message": ""}),
            await http.post(f"{agent}/chat", content=b"x", headers={"content-type": "text/plain"}),
            await http.post(
                f"{agent}/chat", content=bytes((1 << 20) + 1), headers={"content-type": "application/json"}
            ),
            await http.post(site.visitors, json=site.identity("7") | {"more": 1}),
            await http.get(f"{agent}/conversations", headers={"authorization": "Bearer a1w_nonsense"}),
        ]
    statuses = [a.status_code for a in answers]
    assert statuses == [201, 200, 404, 422, 415, 413, 422, 401]
    for at, answer in enumerate(answers):
        if at == 2:
            assert "access-control-allow-origin" not in answer.headers
            continue
        assert answer.headers.get_list("access-control-allow-origin") == [SITE], at
        assert answer.headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
        assert "retry-after" in answer.headers["access-control-expose-headers"]


async def test_everything_else_stays_same_origin(talked: tuple[Site, str, str]):
    site, _, chat_id = talked
    agent, chat = f"/api/agents/{site.agent_id}", f"/api/chats/{chat_id}"
    others = [
        ("GET", "/api/agents"),
        ("GET", agent),
        ("PATCH", agent),
        ("DELETE", agent),
        ("GET", f"{agent}/channels"),
        ("POST", f"{agent}/channels"),
        ("POST", f"{agent}/visitor"),
        ("POST", f"{chat}/messages"),
        ("POST", f"{chat}/takeover"),
        ("DELETE", chat),
        ("POST", "/api/auth/sign-in"),
        ("GET", "/api/keys"),
        ("GET", "/api/public-agents"),
    ]
    async with client(site.house, site.owner) as http:
        for method, path in others:
            asked = await _preflight(http, method, path, SITE)
            assert "access-control-allow-origin" not in asked.headers or method not in (
                asked.headers["access-control-allow-methods"].split(", ")
            ), path
            if method == "GET":
                answer = await http.get(path, headers=FOREIGN)
                assert "access-control-allow-origin" not in answer.headers
                assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        posted = await http.post(f"{chat}/messages", json={"text": "hi"}, headers=FOREIGN)
    assert "access-control-allow-origin" not in posted.headers


async def test_cookies_do_not_work_from_another_page(talked: tuple[Site, str, str]):
    site, _, _ = talked
    own = {"origin": site.house.url, "sec-fetch-site": "same-origin"}
    async with client(site.house) as http:
        assert (await http.post(f"/api/agents/{site.agent_id}/visitor", headers=own)).status_code == 201
        said = await http.post(f"/api/agents/{site.agent_id}/chat", json={"message": "hi"}, headers=own)
        crossed = [
            await http.post(f"/api/agents/{site.agent_id}/chat", json={"message": "hi"}, headers=FOREIGN),
            await http.post(f"/api/chats/{said.json()['chat_id']}/typing", json={}, headers=FOREIGN),
            await http.post(f"/api/chats/{said.json()['chat_id']}/read", json={"seq": 1}, headers=FOREIGN),
        ]
    assert {a.status_code for a in crossed} == {403}


async def test_our_own_pages_need_no_leave(site: Site):
    async with client(site.house) as http:
        for headers in (
            {"origin": site.house.url, "sec-fetch-site": "same-origin"},
            {"origin": site.house.url},
            {},
        ):
            answer = await http.post(site.visitors, json={}, headers=headers)
            assert answer.status_code == 201 and "access-control-allow-origin" not in answer.headers


# ── typing and reading ──────────────────────────────────────────────────────────────────────────────────────────────


async def _next_event(events: AsyncIterator[Event], kind: str) -> Event:
    async with asyncio.timeout(5):
        async for event in events:
            if event.kind == kind:
                return event
    raise AssertionError(f"the stream ended without {kind}")


async def test_each_side_sees_the_other_type_and_nobody_sees_themselves(talked: tuple[Site, str, str]):
    site, token, chat_id = talked
    path = f"/api/chats/{chat_id}"
    rows = "SELECT count(*) FROM messages UNION ALL SELECT count(*) FROM live_events"
    before = await site.house.as_admin(rows)
    async with (
        site.page(token) as page,
        client(site.house, site.owner) as desk,
        stream(page, "GET", f"{path}/events") as to_visitor,
        stream(desk, "GET", f"{path}/events") as to_owner,
    ):
        seen_by_visitor, seen_by_owner = events_of(to_visitor), events_of(to_owner)
        await asyncio.sleep(0.1)
        for asker in (page, desk):
            assert (await asker.post(f"{path}/typing", json={"is_typing": True})).status_code == 204
        at_owner = await _next_event(seen_by_owner, "typing")
        at_visitor = await _next_event(seen_by_visitor, "typing")
        assert at_owner.data == {"chat_id": chat_id, "by": "user", "is_typing": True}
        assert at_visitor.data == {"chat_id": chat_id, "by": "owner", "is_typing": True}
        assert at_owner.id is None, "there is no coming back to it"
        assert (await desk.post(f"{path}/typing", json={"is_typing": False})).status_code == 204
        assert (await _next_event(seen_by_visitor, "typing")).data["is_typing"] is False
    assert await site.house.as_admin(rows) == before


async def test_typing_is_held_to_a_rate(talked: tuple[Site, str, str]):
    site, token, chat_id = talked
    async with site.page(token) as page:
        answers = [await page.post(f"/api/chats/{chat_id}/typing", json={}) for _ in range(8)]
    assert answers[0].status_code == 204 and answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_what_a_visitor_has_read_is_told_once_and_never_goes_back(talked: tuple[Site, str, str]):
    site, token, chat_id = talked
    path = f"/api/chats/{chat_id}"
    async with site.page(token) as page, client(site.house, site.owner) as desk:
        assert (await page.get(path)).json()["unread_count"] == 1
        async with stream(desk, "GET", f"{path}/events") as watching:
            events = events_of(watching)
            await asyncio.sleep(0.1)
            assert (await page.post(f"{path}/read", json={"seq": 2})).status_code == 204
            told = await _next_event(events, "message.status")
            assert told.data["status"] == "read"
            for seq in (0, 1, 2, 10_000):
                assert (await page.post(f"{path}/read", json={"seq": seq})).status_code == 204
        recorded = await site.house.as_admin("SELECT count(*) FROM live_events WHERE kind = 'message.status'")
        assert recorded[0][0] == 1
        chat = (await page.get(path)).json()
        assert chat["unread_count"] == 0 and (await desk.get(path)).json()["other_read_seq"] == 2
        # What is written after it is not read before it is there, however far ahead somebody said to have read.
        await desk.post(f"{path}/messages", json={"text": "One thing more."})
        [newest, *_] = (await page.get(f"{path}/messages")).json()
        assert newest["status"] == "delivered" and (await page.get(path)).json()["unread_count"] == 1
        await site.house.as_admin("UPDATE messages SET status = 'failed' WHERE id = $1", UUID(newest["id"]))
        await page.post(f"{path}/read", json={"seq": newest["seq"]})
        assert (await page.get(f"{path}/messages")).json()[0]["status"] == "failed"


async def test_two_who_read_at_once_move_each_status_once(talked: tuple[Site, str, str]):
    site, token, chat_id = talked
    async with client(site.house, site.owner) as desk:
        for n in range(10):
            await desk.post(f"/api/chats/{chat_id}/messages", json={"text": f"note {n}"})
    async with site.page(token) as page:
        await asyncio.gather(
            *(page.post(f"/api/chats/{chat_id}/read", json={"seq": seq}) for seq in (12, 3, 12, 7, 12, 1))
        )
    read = await site.house.as_admin("SELECT status FROM messages WHERE direction = 'outbound'")
    told = await site.house.as_admin("SELECT subject_id FROM live_events WHERE kind = 'message.status'")
    assert {r["status"] for r in read} == {"read"} and len(read) == 11
    assert len(told) == len({r["subject_id"] for r in told}) == 11


async def test_what_the_owner_has_read_counts_down_and_is_told_to_the_visitor(talked: tuple[Site, str, str]):
    site, token, chat_id = talked
    path = f"/api/chats/{chat_id}"
    async with site.page(token) as page, client(site.house, site.owner) as desk:
        assert (await desk.post(f"{path}/takeover")).status_code == 200
        await page.post(f"/api/agents/{site.agent_id}/chat", json={"message": "anybody?", "chat_id": chat_id})
        listed = (await desk.get(f"/api/agents/{site.agent_id}/conversations")).json()
        assert [c["unread_count"] for c in listed] == [2]
        assert (await page.get(path)).json()["other_read_seq"] == 2, "the agent has read what it answered"
        async with stream(page, "GET", f"{path}/events") as watching:
            events = events_of(watching)
            await asyncio.sleep(0.1)
            assert (await desk.post(f"{path}/read", json={"seq": 3})).status_code == 204
            told = await _next_event(events, "chat.read")
        assert told.data == {"chat_id": chat_id, "by": "owner", "seq": 3}
        assert (await desk.get(path)).json()["unread_count"] == 0
        assert (await page.get(path)).json()["other_read_seq"] == 3
        inbound = [m for m in (await page.get(f"{path}/messages")).json() if m["direction"] == "inbound"]
    assert {m["status"] for m in inbound} == {"received"}


@pytest.mark.parametrize(
    "body", [{}, {"seq": -1}, {"seq": 1 << 54}, {"seq": "2"}, {"seq": 1.5}, {"seq": None}]
)
async def test_how_far_one_has_read_is_a_number(talked: tuple[Site, str, str], body: Any):
    site, token, chat_id = talked
    async with site.page(token) as page:
        answer = await page.post(f"/api/chats/{chat_id}/read", json=body)
    assert answer.status_code == 422 and answer.json()["field"] == "seq"


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_visitor_sends_a_file_from_another_page_where_files_are_wanted(talked: tuple[Site, str, str]):
    site, token, chat_id = talked
    files = {"file": ("a.png", PNG, "image/png")}
    async with site.page(token) as page:
        sent = await page.post(f"/api/agents/{site.agent_id}/files", files=files)
        assert sent.status_code == 201, sent.text
        assert sent.headers["access-control-allow-origin"] == SITE
        said = await site.say(token, "look", chat_id=chat_id, attachments=[sent.json()["id"]])
        [shown] = said["userMessage"]["attachments"]
        seen = await page.get(shown["url"])
        assert seen.status_code == 200 and seen.headers["cross-origin-resource-policy"] == "cross-origin"
    await site.change(accepts_files="false")
    assert (await site.visit(token=token))["accepts_files"] is False
    async with site.page(token) as page:
        refused = await page.post(f"/api/agents/{site.agent_id}/files", files=files)
    async with client(site.house, site.owner) as desk:
        owners = await desk.post(f"/api/agents/{site.agent_id}/files", files=files)
    assert refused.status_code == 403 and owners.status_code == 201


async def test_ended_visits_are_swept_once_they_would_have_ended_by_themselves(site: Site):
    token = (await site.visit())["token"]
    async with site.page(token) as http:
        await http.post(f"{site.visitors}/sign-out")

    async def count() -> int:
        async with site.house.db.standalone() as tx:
            await tx.run("SELECT a1zap.sweep_visits()")
        return (await site.house.as_admin("SELECT count(*) FROM ended_visits"))[0][0]

    assert await count() == 1
    await site.house.as_admin("UPDATE ended_visits SET until = now() - interval '1 second'")
    assert await count() == 0
    assert await until(lambda: site.house.as_admin("SELECT 1"))
