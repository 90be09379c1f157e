"""Every operation of the API, called with another owner's ids: what is not yours is not there, to the byte.

The operations are walked out of the API's own description, so that a new one is asked too. For each of its ids it is
called with another owner's, with one that never was and with one that is none: the same 404 three times. The call by
the owner themselves must not be a 404, or the matrix would prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.api.talk import ModelOnStrings, client, connect_a1base, new_agent, signed
from tests.conftest import MakeHouse, TestHouse, TestOwner
from tests.fakes.a1base import KEY, SECRET, FakeA1Base

from a1zap.api.build import describe_api

# Not of an owner: anybody may ask, or the credential is another one (a signature, a password).
NOT_OWNED = {
    ("GET", "/api/public-agents"),
    ("POST", "/api/agents/{agent_id}/visitor"),  # public agents only; test_signing_in.py
    ("POST", "/api/agents/{agent_id}/visitors"),  # the same; test_web_chat_api.py
    ("POST", "/api/agents/{agent_id}/visitors/sign-out"),  # a visitor's own token; test_web_chat_api.py
    ("GET", "/api/files/{token}"),  # the link is the credential; test_files_api.py
    ("POST", "/api/auth/sign-up"),
    ("POST", "/api/auth/sign-in"),
    ("POST", "/api/auth/sign-out"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/api/webhooks/messaging"),
    ("POST", "/api/webhooks/{channel_account_id}"),
    ("GET", "/api/webhooks/{channel_account_id}"),  # a provider asks with its own token; tests/contracts
}
# Ids that ride in a body instead of the path.
BODY_IDS = {
    ("POST", "/api/agents/{agent_id}/chat"): "chat_id",
    ("POST", "/api/keys"): "agent_id",
    ("POST", "/api/webhook-endpoints"): "agent_id",
}


FORM = {"file": ("words.txt", b"Some words.", "text/plain")}  # the body of an upload


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    body: Any

    @property
    def ids(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def address(self, ids: dict[str, str]) -> str:
        return self.path.format(**ids)


def operations() -> list[Operation]:
    found: list[Operation] = []
    for path, methods in describe_api()["paths"].items():
        for method, described in methods.items():
            content = described.get("requestBody", {}).get("content", {})
            body = (
                FORM
                if "multipart/form-data" in content
                else content.get("application/json", {}).get("example")
            )
            found.append(Operation(method.upper(), path, body))
    return found


OPERATIONS = operations()
OWNED = [o for o in OPERATIONS if (o.method, o.path) not in NOT_OWNED]
WITH_IDS = [o for o in OWNED if o.ids]


@pytest.fixture
async def fake() -> AsyncIterator[FakeA1Base]:
    """A channel can be tested, and then something has to answer."""
    async with FakeA1Base() as running:
        yield running


async def _belongings(house: TestHouse, owner: TestOwner, fake: FakeA1Base) -> dict[str, str]:
    """One of everything that has an id."""
    async with client(house, owner) as http:
        agent_id = await new_agent(http)
        channel_id = await connect_a1base(
            http, agent_id, api_key=KEY, api_secret=SECRET, base_url=fake.base_url
        )
        async with client(house) as provider:
            await provider.post(
                f"/api/webhooks/{channel_id}", content=b"{", headers=signed(b"{", secret=SECRET)
            )
        unread = (await http.get(f"/api/agents/{agent_id}/channels/{channel_id}/unread")).json()
        article = await http.post(
            f"/api/agents/{agent_id}/knowledge", json={"title": "Hours", "content": "We open at nine."}
        )
        said = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        key = (await http.post("/api/keys", json={"name": "spare"})).json()
        endpoint = (
            await http.post("/api/webhook-endpoints", json={"url": "https://hooks.example.com/"})
        ).json()
        told = (await http.post(f"/api/webhook-endpoints/{endpoint['id']}/test")).json()
        letter = uuid4()
        await house.as_admin(
            """INSERT INTO dead_letters (owner_id, id, queue, chat_id, payload, attempts, reason)
               VALUES ($1, $2, 'turns', $3::uuid, '{}', 8, 'test') RETURNING id""",
            owner.owner_id,
            letter,
            said["chat_id"],
        )
    return {
        "agent_id": agent_id,
        "channel_id": channel_id,
        "delivery_id": unread[0]["id"],
        "article_id": article.json()["id"],
        "chat_id": said["chat_id"],
        "turn_id": said["turn"]["id"],
        "key_id": key["id"],
        "endpoint_id": endpoint["id"],
        "webhook_id": told["id"],
        "letter_id": str(letter),
    }


def _body(operation: Operation, ids: dict[str, str]) -> Any:
    body = operation.body
    field = BODY_IDS.get((operation.method, operation.path))
    return body if field is None or body is None else {**body, field: ids[field]}


async def _call(
    http: httpx.AsyncClient, operation: Operation, ids: dict[str, str], body: Any
) -> httpx.Response:
    sent = {"files": body} if body is FORM else {"json": body}
    async with http.stream(operation.method, operation.address(ids), **sent) as response:
        if "text/event-stream" not in response.headers.get("content-type", ""):
            await response.aread()
        return response


@pytest.fixture
async def served(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True, work=True, **ModelOnStrings().wiring(egress_allow="127.0.0.0/8"))


async def test_every_operation_with_anothers_ids_is_404_with_the_same_bytes(
    served: TestHouse, fake: FakeA1Base
):
    ada, eve = await served.owner(), await served.owner()
    hers, others = await _belongings(served, ada, fake), await _belongings(served, eve, fake)
    problems: list[str] = []
    asked = 0
    async with client(served, eve) as http:
        for operation in WITH_IDS:
            wrong_ids = [*operation.ids]
            field = BODY_IDS.get((operation.method, operation.path))
            for name in {*wrong_ids, *([field] if field else [])}:
                answers: list[httpx.Response] = []
                for wrong in (hers[name], str(uuid4()), "nonsense", hers[name].upper(), "%00", "' OR 1=1"):
                    ids = {**others, name: wrong}
                    answers.append(await _call(http, operation, ids, _body(operation, ids)))
                asked += len(answers)
                found = {(a.status_code, a.content if a.status_code == 404 else b"") for a in answers}
                if len(found) != 1 or answers[0].status_code != 404:
                    problems.append(f"{operation.method} {operation.path} {name}: {found}")
    assert not problems, "\n".join(problems)
    assert asked > 100


async def test_ids_in_bodies_are_no_way_around(served: TestHouse, fake: FakeA1Base):
    ada, eve = await served.owner(), await served.owner()
    hers, others = await _belongings(served, ada, fake), await _belongings(served, eve, fake)
    async with client(served, eve) as http:
        for (method, path), field in BODY_IDS.items():
            operation = next(o for o in OPERATIONS if (o.method, o.path) == (method, path))
            answers = [
                await _call(http, operation, others, {**operation.body, field: wrong})
                for wrong in (hers[field], str(uuid4()), "nonsense")
            ]
            assert {a.status_code for a in answers} == {404}, path
            assert len({a.content for a in answers}) == 1


async def test_the_matrix_can_see_because_owners_reach_what_is_theirs(served: TestHouse, fake: FakeA1Base):
    ada = await served.owner()
    order = sorted(WITH_IDS, key=lambda o: (o.method == "DELETE", len(o.ids) == 1 and o.method == "DELETE"))
    async with client(served, ada) as http:
        hers = await _belongings(served, ada, fake)
        for operation in order:
            if operation.path == "/api/agents/{agent_id}" and operation.method == "DELETE":
                continue
            body = _body(operation, hers)
            if operation.path.endswith("/channels") and body:
                body = {**body, "number": "+15559998888"}
            answer = await _call(http, operation, hers, body)
            assert answer.status_code < 400, f"{operation.method} {operation.path}: {answer.status_code}"


async def test_lists_hold_only_what_is_ones_own(served: TestHouse, fake: FakeA1Base):
    ada, eve = await served.owner(), await served.owner()
    hers, others = await _belongings(served, ada, fake), await _belongings(served, eve, fake)
    async with client(served, eve) as http:
        for operation in OWNED:
            if operation.method != "GET" or "events" in operation.path:
                continue
            answer = await http.get(operation.address(others))
            assert answer.status_code == 200, operation.path
            leaked = [name for name, value in hers.items() if value in answer.text]
            assert not leaked and str(ada.owner_id) not in answer.text, operation.path


async def test_without_a_credential_every_operation_is_401(served: TestHouse, fake: FakeA1Base):
    hers = await _belongings(served, await served.owner(), fake)
    async with client(served) as http:
        for operation in OWNED:
            answer = await _call(http, operation, hers, _body(operation, hers))
            assert answer.status_code == 401, f"{operation.method} {operation.path}"


def test_the_matrix_asks_every_operation_that_has_ids():
    assert len(WITH_IDS) >= 20
    known = {
        "agent_id",
        "channel_id",
        "delivery_id",
        "endpoint_id",
        "webhook_id",
        "article_id",
        "chat_id",
        "turn_id",
        "key_id",
        "letter_id",
    }
    assert {name for o in WITH_IDS for name in o.ids} == known
