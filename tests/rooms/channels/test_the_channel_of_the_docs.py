"""docs/how-to/add-a-channel.md holds a whole channel: it is run as it stands there."""

from __future__ import annotations

import hashlib
import hmac
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from aiohttp import web
from tests.api.talk import ModelOnStrings, client, new_agent, until
from tests.conftest import MakeHouse

from a1zap.channels.catalog import shipped_channels
from a1zap.channels.contract import Channel

PAGE = Path(__file__).parents[3] / "docs/how-to/add-a-channel.md"
SECRET = "a-pager-secret-of-no-value"


def pager() -> Channel:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    module = ModuleType("a1zap_pager_of_the_docs")
    sys.modules[module.__name__] = module
    exec(compile(found[1], str(PAGE), "exec"), module.__dict__)  # noqa: S102
    return module.Pager()


def page(**fields: Any) -> tuple[bytes, dict[str, str]]:
    raw = orjson.dumps(fields)
    return raw, {"x-pager-signature": hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()}


@pytest.fixture
async def network() -> AsyncIterator[tuple[str, list[Any]]]:
    """The pager network: its address, and what it was given."""
    sent: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return web.Response(status=401)
        sent.append(await request.json())
        return web.json_response({"id": f"out-{len(sent)}"})

    app = web.Application()
    app.router.add_post("/send", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", sent  # type: ignore[union-attr]
    await runner.cleanup()


async def test_the_example_takes_in_answers_and_proves_itself(
    make_house: MakeHouse, network: tuple[str, list[Any]]
):
    url, sent = network
    house = await make_house(
        serve=True,
        work=True,
        channels={**shipped_channels(), "pager": pager()},
        **ModelOnStrings().wiring(egress_allow="127.0.0.0/8"),
    )
    async with client(house, await house.owner()) as http, client(house) as provider:
        agent_id = await new_agent(http, message_settings={"settle_s": 0})
        channels = f"/api/agents/{agent_id}/channels"
        wanted = {"kind": "pager", "number": "1111", "url": url, "secret": SECRET}
        channel_id = (await http.post(channels, json=wanted)).json()["id"]
        door = f"/api/webhooks/{channel_id}"

        raw, headers = page(id="p1", **{"from": "2222"}, text="Are you there?")
        for _ in range(2):
            assert (await provider.post(door, content=raw, headers=headers)).status_code == 200
        forged = {"x-pager-signature": "0" * 64}
        assert (await provider.post(door, content=raw, headers=forged)).status_code == 401
        assert (await provider.post(door, content=raw)).status_code == 401

        async def delivered() -> bool:
            raw, headers = page(id="out-1", **{"from": "network"}, event="delivered")
            if sent:
                await provider.post(door, content=raw, headers=headers)
            chats = (await http.get(f"/api/agents/{agent_id}/conversations")).json()
            messages = (await http.get(f"/api/chats/{chats[0]['id']}/messages")).json()
            return [m["status"] for m in messages] == ["delivered", "received"]

        await until(delivered, within_s=20)
        assert [(s["to"], s["text"]) for s in sent] == [("2222", "All is well.")], "answered once"

        nonsense, headers = page(text="from nobody")
        assert (await provider.post(door, content=nonsense, headers=headers)).status_code == 200
        unread = (await http.get(f"{channels}/{channel_id}/unread")).json()
        assert [u["reason"] for u in unread] == ["a page needs id and from"]

        tried = await http.post(f"{channels}/{channel_id}/test", json={"to": "3333"})
        assert tried.status_code == 200 and sent[-1]["to"] == "3333"
        await http.patch(f"{channels}/{channel_id}", json={"settings": {"secret": "another"}})
        refused = await http.post(f"{channels}/{channel_id}/test", json={"to": "3333"})
        broken = (await http.get(f"{channels}/{channel_id}")).json()["health"]
    assert refused.status_code == 503 and "secret" in refused.json()["detail"]
    assert broken["state"] == "broken"


def test_the_example_is_as_tidy_as_the_rest():
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None and max(map(len, found[1].splitlines())) <= 110
