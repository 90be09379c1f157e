"""The README's first command, as a process: it starts everything, prints the way in, and survives a kill -9."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

A1ZAP = [sys.executable, "-m", "a1zap.cli"]


@dataclass
class Served:
    process: asyncio.subprocess.Process
    url: str
    sign_in: str | None


def _environment(data_dir: Path) -> dict[str, str]:
    return {**os.environ, "A1ZAP_DATA_DIR": str(data_dir), "A1ZAP_PORT": "0", "A1ZAP_LEASE_S": "2"}


@asynccontextmanager
async def _served(data_dir: Path) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        *A1ZAP,
        "serve",
        env=_environment(data_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield await asyncio.wait_for(_until_ready(process), timeout=60)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), timeout=20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


async def _until_ready(process: asyncio.subprocess.Process) -> Served:
    assert process.stdout
    url, sign_in, said = None, None, ""
    while True:
        line = (await process.stdout.readline()).decode()
        said += line
        assert line, f"the server ended with {await process.wait()} after saying: {said}"
        if found := re.search(r"ready on (http://\S+)", line):
            url = found[1]
        if found := re.search(r"(http://\S+/sign-in/\S+)", line):
            sign_in = found[1]
        if url and "/demo" in line:
            break
    async with httpx.AsyncClient(base_url=url) as http:
        while True:
            with suppress(httpx.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return Served(process, url, sign_in)
            await asyncio.sleep(0.05)


async def _run(data_dir: Path, *words: str, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *A1ZAP,
        *words,
        env=_environment(data_dir),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


@pytest.mark.timeout(180)
async def test_the_first_run_prints_a_link_and_a_demo_page_and_the_readmes_tour_works(tmp_path: Path):
    async with _served(tmp_path) as served:
        assert served.sign_in
        async with httpx.AsyncClient(base_url=served.url) as http:
            public = (await http.get("/api/public-agents")).json()
            assert len(public) == 2
            assert (await http.get("/demo")).status_code == 200
            # beside the running server:
            await _run(
                tmp_path,
                "owner",
                "create",
                "--email",
                "a@example.com",
                "--password-stdin",
                stdin="long enough 1\n",
            )
            key = await _run(tmp_path, "key", "create", "--email", "a@example.com", "--name", "tour")
            assert re.fullmatch(r"a1z_\S+", key), "the key stands alone on standard output"
            http.headers["authorization"] = f"Bearer {key}"
            agent = (await http.post("/api/agents", json={"name": "Ada", "description": "A shop."})).json()
            taught = await http.post(
                f"/api/agents/{agent['id']}/knowledge",
                json={
                    "title": "Opening hours",
                    "content": "On Saturdays we close at noon. We open at 9 on weekdays.",
                },
            )
            assert taught.status_code == 201
            asked = await http.post(
                f"/api/agents/{agent['id']}/chat", json={"message": "When do you close on Saturdays?"}
            )
            assert "noon" in asked.json()["agentResponse"]["content"]
    # without a server, and on the same data again:
    assert await _run(tmp_path, "sql", "--", "-tAc", "select count(*) from turns") == "1"
    async with _served(tmp_path) as again, httpx.AsyncClient(base_url=again.url) as http:
        chats = await http.get(
            f"/api/agents/{agent['id']}/conversations", headers={"authorization": f"Bearer {key}"}
        )
        assert len(chats.json()) == 1


@pytest.mark.timeout(180)
async def test_after_kill_9_of_the_whole_tree_the_next_start_answers_what_was_accepted(tmp_path: Path):
    async with _served(tmp_path) as served:
        await _run(
            tmp_path,
            "owner",
            "create",
            "--email",
            "a@example.com",
            "--password-stdin",
            stdin="long enough 1\n",
        )
        key = await _run(tmp_path, "key", "create", "--email", "a@example.com", "--name", "t")
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=served.url, headers=headers) as http:
            agent = (await http.post("/api/agents", json={"name": "Ada"})).json()
            chat = asyncio.create_task(
                http.post(f"/api/agents/{agent['id']}/chat", json={"message": "hello there"})
            )
            chat_id = None
            while chat_id is None:
                listed = (await http.get(f"/api/agents/{agent['id']}/conversations")).json()
                chat_id = listed[0]["id"] if listed else None
            os.killpg(served.process.pid, signal.SIGKILL)
            with suppress(httpx.TransportError):
                await chat
    async with _served(tmp_path) as again, httpx.AsyncClient(base_url=again.url, headers=headers) as http:
        for _ in range(200):
            messages = (await http.get(f"/api/chats/{chat_id}/messages")).json()
            if len(messages) == 2:
                break
            await asyncio.sleep(0.1)
        assert [m["direction"] for m in messages] == ["outbound", "inbound"], "newest first, answered once"


async def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path):
    taken = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    async with taken:
        process = await asyncio.create_subprocess_exec(
            *A1ZAP,
            "serve",
            "--port",
            str(port),
            env=_environment(tmp_path),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 1
    assert str(port) in err.decode() and "--port" in err.decode() and "Traceback" not in err.decode()
