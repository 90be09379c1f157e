"""docs/how-to/receive-our-webhooks.md does what it says: its snippets are run."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.api.talk import client, new_agent
from tests.conftest import MakeHouse

from a1zap.hooks.model import EVENT_TYPES, HookPolicy
from a1zap.kit.standard_webhooks import new_secret, sign

PAGE = (Path(__file__).parents[2] / "docs/how-to/receive-our-webhooks.md").read_text()
BODY = '{"type":"grüß"}'.encode()


def snippet(language: str, holding: str) -> str:
    [found] = [s for s in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holding in s]
    return found


def cases() -> list[tuple[str, dict[str, str], bytes, bool]]:
    """(secret, headers, body, is it true?)"""
    now, secret, other = datetime.now(UTC), new_secret(), new_secret()
    good = sign([secret], "msg_1", now, BODY)
    return [
        (secret, good, BODY, True),
        (secret, sign([other, secret], "msg_1", now, BODY), BODY, True),
        (other, good, BODY, False),
        (secret, good, BODY + b" ", False),
        (secret, {**good, "webhook-id": "msg_2"}, BODY, False),
        (secret, sign([secret], "msg_1", now - timedelta(seconds=400), BODY), BODY, False),
        (secret, {**good, "webhook-signature": "garbage"}, BODY, False),
        (secret, {}, BODY, False),
    ]


def test_the_python_snippet_tells_true_from_false():
    space: dict[str, Any] = {}
    exec(snippet("python", "def verify"), space)  # noqa: S102 - our own page
    for secret, headers, body, is_true in cases():
        assert space["verify"](secret, headers, body) is is_true


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
async def test_the_node_snippet_tells_true_from_false():
    asked = [[secret, headers, body.hex()] for secret, headers, body, _ in cases()]
    program = snippet("js", "function verify") + (
        f"\nfor (const [s, h, b] of {json.dumps(asked)}) console.log(verify(s, h, Buffer.from(b, 'hex')))"
    )
    node = await asyncio.create_subprocess_exec("node", "-e", program, stdout=asyncio.subprocess.PIPE)
    said, _ = await node.communicate()
    assert said.decode().split() == [str(is_true).lower() for *_, is_true in cases()]


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="no openssl or curl here")
async def test_the_shell_snippet_writes_in(make_house: MakeHouse):
    house = await make_house(serve=True)
    async with client(house, await house.owner()) as http:
        agent_id = await new_agent(http)
        made = (await http.post(f"/api/agents/{agent_id}/channels", json={"kind": "webhook"})).json()
        program = re.sub(r"^SECRET=.*$", "", snippet("sh", "openssl dgst"), flags=re.MULTILINE)
        url = f"{house.url}/api/webhooks/{made['id']}"
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            program,
            env={"PATH": os.environ["PATH"], "SECRET": made["shown_once"]["secret"], "URL": url},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await shell.communicate()
        assert json.loads(said) == {"success": True}
        assert len((await http.get(f"/api/agents/{agent_id}/conversations")).json()) == 1


def test_every_event_and_the_schedule_are_on_the_page():
    for event in EVENT_TYPES:
        assert f"`{event}`" in PAGE, event
    assert HookPolicy().schedule_s[1:] == (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
