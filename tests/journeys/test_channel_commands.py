"""`a1zap channel …` beside a running server: connect, prove, pause, remove; secrets stay out of the shell's history."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.api.talk import ModelOnStrings, client, delivery, new_agent, signed
from tests.conftest import MakeHouse, Postgres
from tests.fakes.a1base import KEY, SECRET, FakeA1Base

EMAIL = "ada@example.com"


# A process takes seconds to start; after the first command, which is one of its own, they share one.
SHARED = """
import json, sys
from click.testing import CliRunner
from a1zap.cli import cli
from a1zap.kit.errors import A1ZapError
for line in sys.stdin:
    words, given, env = json.loads(line)
    done = CliRunner().invoke(cli, ["channel", *words], input=given, env=env)
    if done.exception is not None and not isinstance(done.exception, A1ZapError | SystemExit):
        raise done.exception
    said = f"a1zap: {done.exception}" if isinstance(done.exception, A1ZapError) else done.output
    print(json.dumps([done.exit_code, said]), flush=True)
"""


@dataclass
class Line:
    """The command line, on the data of a house that runs."""

    environment: dict[str, str]
    shared: asyncio.subprocess.Process | None = None

    async def alone(self, *words: str, stdin: str = "", code: int = 0, **more: str) -> str:
        process = await self._start("-m", "a1zap.cli", "channel", *words, **more)
        out, _ = await process.communicate(stdin.encode())
        assert process.returncode == code, (words, out.decode())
        assert "Traceback" not in out.decode()
        return out.decode().strip()

    async def run(self, *words: str, stdin: str = "", code: int = 0, **more: str) -> str:
        self.shared = self.shared or await self._start("-c", SHARED)
        assert self.shared.stdin is not None and self.shared.stdout is not None
        self.shared.stdin.write(json.dumps([words, stdin, more]).encode() + b"\n")
        answer = (await asyncio.wait_for(self.shared.stdout.readline(), 60)).decode()
        if not answer.startswith("["):
            self.shared.stdin.close()
            raise AssertionError(answer + (await self.shared.stdout.read()).decode())
        exit_code, said = json.loads(answer)
        assert exit_code == code, (words, said)
        return said.strip()

    async def _start(self, *words: str, **more: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, *words),
            env={**self.environment, **more},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def end(self) -> None:
        if self.shared is not None:
            await self.shared.communicate(b"")  # else it waits for more


@pytest.mark.timeout(180)
async def test_a_number_is_connected_proved_paused_and_removed(
    make_house: MakeHouse, postgres: Postgres, database: str, tmp_path: Path
):
    house = await make_house(serve=True, **ModelOnStrings().wiring(egress_allow="127.0.0.0/8"))
    owner = await house.owner(email=EMAIL)
    line = Line(
        {
            **os.environ,
            "A1ZAP_DATA_DIR": str(tmp_path),
            "A1ZAP_EMAIL": EMAIL,
            "A1ZAP_EGRESS_ALLOW": "127.0.0.0/8",
            "A1ZAP_PUBLIC_URL": "https://a1zap.example.com",
            "DATABASE_URL": postgres.url(database),
            "DATABASE_DIRECT_URL": postgres.admin_url(database),
        }
    )
    async with FakeA1Base() as fake, client(house, owner) as http:
        agent_id = await new_agent(http, name="Ada", handle="front_desk")
        connect = (
            *("connect", "a1base", "--agent", "@front_desk", "--setting", "number=+1 555 000 1111"),
            *("--setting", "account_id=acc-1", "--setting", f"base_url={fake.base_url}"),
        )
        secrets = ("--setting", "api_key=env:A1BASE_KEY", "--setting", "api_secret=-")
        said = await line.alone(*connect, *secrets, stdin=f"{SECRET}\n", A1BASE_KEY=KEY)
        channel_id, *rest = said.splitlines()
        assert re.fullmatch(r"[0-9a-f-]{36}", channel_id)
        assert f"https://a1zap.example.com/api/webhooks/{channel_id}" in "\n".join(rest)
        assert SECRET not in said and KEY not in said

        async with client(house) as provider:
            raw = delivery("hello")
            url = f"/api/webhooks/{channel_id}"
            answer = await provider.post(url, content=raw, headers=signed(raw, secret=SECRET))
            assert answer.status_code == 200, "the running server takes what the command connected"

        assert "+15550001111" in await line.run("test", channel_id)
        assert fake.calls == []
        assert "+61400123456" in await line.run("test", channel_id, "--to", "+61400123456")
        assert fake.calls[0].text == "This is a test message from Ada on a1zap."
        listed = await line.run("list", "--agent", "front_desk")
        row = next(each for each in listed.splitlines() if each.startswith(channel_id))
        assert row.split()[1:6] == ["front_desk", "a1base", "+15550001111", "active", "ok"]

        assert "is paused" in await line.run("pause", channel_id)
        shown = (await http.get(f"/api/agents/{agent_id}/channels/{channel_id}")).json()
        assert shown["status"] == "paused" and shown["health"]["state"] == "ok"
        assert "is active" in await line.run("resume", channel_id)

        del fake.accounts["acc-1"]
        refused = await line.alone("test", channel_id, code=1)
        assert refused.startswith("a1zap: A1Base answered 404") and "failing" in await line.run("list")

        again = await line.run(*connect, code=1)
        assert "has this a1base channel already" in again
        assert "there is no agent 'nobody'; there are: front_desk" in await line.run(
            *("connect", "a1base", "--agent", "nobody"), code=1
        )
        assert "needs 'number'" in await line.run("connect", "a1base", "--agent", "front_desk", code=1)
        assert "webhook" in await line.run("connect", "fax", "--agent", "front_desk", code=1)
        assert "NAME=VALUE" in await line.run(*connect, "--setting", "oops", code=2)
        assert "'NOT_SET'" in await line.run(*connect, "--setting", "api_key=env:NOT_SET", code=2)
        eve = await house.owner(email="eve@example.com")
        assert eve.owner_id != owner.owner_id
        stranger = await line.run("pause", channel_id, code=1, A1ZAP_EMAIL="eve@example.com")
        assert stranger == f"a1zap: there is no channel '{channel_id}'; look with: a1zap channel list"

        await line.run("remove", channel_id, stdin="n\n", code=1)
        assert "disconnected" in await line.run("remove", channel_id, "--yes")
        assert channel_id not in await line.run("list")
    await line.end()


async def test_the_help_teaches_and_the_kinds_are_listed_without_a_database():
    line = Line({**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    taught = await line.run("--help")
    assert "a1zap channel connect a1base" in taught and "a1zap channel test ID --to" in taught
    kinds = await line.run("kinds")
    assert "a1base" in kinds and "api_secret" in kinds and "\nweb " not in kinds
    await line.end()
