"""The API's description is true: every operation named once, with examples that its own models take."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel
from tests.api.talk import ModelOnStrings, client, connect_a1base, new_agent, signed
from tests.conftest import MakeHouse

from a1zap.api import shapes
from a1zap.api.build import describe_api

DESCRIPTION = describe_api()
OPERATIONS = [(m.upper(), p, o) for p, ms in DESCRIPTION["paths"].items() for m, o in ms.items()]


def test_every_operation_has_a_name_of_its_own_a_tag_and_a_summary():
    names = [o["operationId"] for _, _, o in OPERATIONS]
    assert len(names) == len(set(names)) >= 38
    known = {t["name"] for t in DESCRIPTION["tags"]}
    for _, path, operation in OPERATIONS:
        assert operation["summary"] and set(operation["tags"]) <= known and operation["tags"], path


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS]
)
def test_every_body_has_an_example(method: str, path: str, operation: dict[str, Any]):
    bodies = [operation.get("requestBody"), *operation["responses"].values()]
    for body in bodies:
        for kind, content in (body or {}).get("content", {}).items():
            assert "example" in content, (method, path, kind)
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    successes = [status for status in operation["responses"] if status.startswith("2")]
    assert successes, path


def _models(of: type[BaseModel]) -> list[type[BaseModel]]:
    return [m for sub in of.__subclasses__() for m in (sub, *_models(sub))]


# Shapes without an example are shown as part of another's.
SHOWN = [m for m in (*_models(shapes.Shape), *_models(shapes.Wanted)) if "examples" in m.model_json_schema()]


@pytest.mark.parametrize("model", SHOWN, ids=lambda m: m.__name__)
def test_examples_are_what_the_models_take(model: type[BaseModel]):
    for example in model.model_json_schema()["examples"]:
        found = model.model_validate(example)
        assert set(example) <= set(type(found).model_fields) | {"key"}


def test_whoever_needs_no_credential_is_said_so():
    open_ones = {p for _, p, o in OPERATIONS if o.get("security") == []}
    assert open_ones == {
        "/api/public-agents",
        "/api/auth/sign-up",
        "/api/auth/sign-in",
        "/api/auth/sign-out",
        "/api/agents/{agent_id}/visitor",
        "/api/agents/{agent_id}/visitors",
        "/api/files/{token}",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/webhooks/messaging",
        "/api/webhooks/{channel_account_id}",
    }
    assert set(DESCRIPTION["components"]["securitySchemes"]) >= {"bearer", "api_key", "session"}


async def test_what_is_described_is_what_is_served(make_house: MakeHouse):
    house = await make_house(serve=True)
    async with client(house) as http:
        served = (await http.get("/openapi.json")).json()
    routes = {(m, r.path) for r in house.api().routes if isinstance(r, APIRoute) for m in r.methods}
    assert served == DESCRIPTION
    assert all((m, p) in routes or p.startswith("/api/webhooks") or not routes for m, p, _ in OPERATIONS)


async def test_answers_have_the_described_shape(make_house: MakeHouse):
    """Every GET that an owner can make is answered in the form that the description promises, and no other."""
    house = await make_house(serve=True, work=True, **ModelOnStrings().wiring())
    owner = await house.owner()
    schemas = DESCRIPTION["components"]["schemas"]
    async with client(house, owner) as http:
        agent_id = await new_agent(http)
        channel_id = await connect_a1base(http, agent_id)
        said = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        article = await http.post(f"/api/agents/{agent_id}/knowledge", json={"title": "t", "content": "c"})
        async with client(house) as provider:
            await provider.post(f"/api/webhooks/{channel_id}", content=b"{", headers=signed(b"{"))
        endpoint = await http.post(
            "/api/webhook-endpoints", json={"url": "https://hooks.example.com/a1zap", "events": []}
        )
        tried = await http.post(f"/api/webhook-endpoints/{endpoint.json()['id']}/test")
        unread = (await http.get(f"/api/agents/{agent_id}/channels/{channel_id}/unread")).json()
        ids = {
            "agent_id": agent_id,
            "channel_id": channel_id,
            "delivery_id": unread[0]["id"],
            "chat_id": said["chat_id"],
            "turn_id": said["turn"]["id"],
            "article_id": article.json()["id"],
            "endpoint_id": endpoint.json()["id"],
            "webhook_id": tried.json()["id"],
        }
        for method, path, operation in OPERATIONS:
            content = operation["responses"].get("200", {}).get("content", {}).get("application/json")
            if method != "GET" or content is None:
                continue
            answer = (await http.get(path.format(**ids))).json()
            schema = content["schema"]
            found = answer if isinstance(answer, list) else [answer]
            reference = schema.get("items", schema).get("$ref", "").rpartition("/")[2]
            for item in found:
                assert set(item) == set(schemas[reference]["properties"]), path
