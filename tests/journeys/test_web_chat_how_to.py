"""The page that tells how to put a chat on another site ends in commands that prove it: they are run here as they stand."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from tests.api.test_web_chat_api import open_site
from tests.conftest import TestHouse

PAGE = Path(__file__).parents[2] / "docs/how-to/web-chat.md"


async def _run(script: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment, "no_proxy": "*"},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return out.decode()


async def test_the_commands_of_the_page_work_and_tell_when_they_do_not(running: TestHouse):
    site = await open_site(running)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    proof, settings = blocks[-1], blocks[1].replace("CHANNEL", site.channel_id)
    around = {"A1ZAP": running.url, "KEY": site.owner.key, "AGENT": site.agent_id}
    before = await _run(proof.split("TOKEN=")[0], **around)
    assert before.strip() == "", "that site is not among allowed_origins yet"
    assert '"id":"' + site.channel_id in await _run(settings, **around)
    told = await _run(proof, **around)
    assert "access-control-allow-origin: https://www.example.com" in told
    assert '"agentResponse":{' in told
