"""A stolen dump tells nothing: canaries go in by every path, and none is found in what pg_dump writes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import orjson
import pytest
from tests.conftest import MakeHouse, Postgres, TestHouse

from a1zap.kit.crypto import SealBroken


async def _dump(postgres: Postgres, database: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        str(postgres.server.bin_dir / "pg_dump"),
        postgres.admin_url(database),
        stdout=asyncio.subprocess.PIPE,
    )
    dumped, _ = await process.communicate()
    assert process.returncode == 0
    return dumped


def _forms(canary: str) -> list[bytes]:
    """How a text could stand in a dump: as it is, and as bytea prints it."""
    return [canary.encode(), canary.encode().hex().encode()]


async def _a1base_channel(http: httpx.AsyncClient, agent_id: str, canary: str) -> None:
    answer = await http.post(
        f"/api/agents/{agent_id}/channels",
        json={
            "kind": "a1base",
            "number": "+15550001111",
            "account_id": "acc",
            "api_key": f"key-{canary}",
            "api_secret": f"secret-{canary}",
        },
    )
    assert answer.status_code == 201, answer.text


async def test_a_plain_dump_shows_no_message_name_address_mail_or_credential(
    make_house: MakeHouse, postgres: Postgres, database: str
):
    running: TestHouse = await make_house(serve=True, work=True)
    canary = f"canary{uuid4().hex}"
    owner = await running.owner(email=f"{canary}@example.com")
    async with httpx.AsyncClient(base_url=running.url, headers=owner.headers) as http:
        agent = (await http.post("/api/agents", json={"name": "Ada"})).json()
        await _a1base_channel(http, agent["id"], canary)
        said = await http.post(
            f"/api/agents/{agent['id']}/chat",
            json={"message": f"my secret is {canary}", "conversation_user": {"id": canary, "name": canary}},
        )
        assert said.status_code == 200, said.text
        body = orjson.dumps(
            {
                "thread_id": f"thread-{canary}",
                "message_id": "m1",
                "thread_type": "individual",
                "sender_number": "+61455512345",
                "sender_name": canary,
                "timestamp": datetime.now(UTC).isoformat(),
                "service": "whatsapp",
                "message_type": "text",
                "is_from_agent": False,
                "message_content": {"text": f"hidden {canary}"},
            }
        )
        stamp = str(int(time.time()))
        signature = hmac.new(f"secret-{canary}".encode(), stamp.encode() + body, hashlib.sha256).hexdigest()
        hook = await http.post(
            "/api/webhooks/messaging",
            content=body,
            headers={"x-agent-id": agent["id"], "x-timestamp": stamp, "x-signature": signature},
        )
        assert hook.json() == {"success": True}
    dumped = await _dump(postgres, database)
    assert b"COPY public.messages" in dumped and agent["id"].encode() in dumped, (
        "the dump holds the rows at all"
    )
    for hidden in (canary, "61455512345"):
        for form in _forms(hidden):
            assert form not in dumped, hidden


async def test_a_sealed_text_moved_to_another_row_does_not_open(running: TestHouse):
    owner = await running.owner()
    async with httpx.AsyncClient(base_url=running.url, headers=owner.headers) as http:
        agent = (await http.post("/api/agents", json={"name": "Ada"})).json()
        for text in ("one", "two"):
            answer = await http.post(f"/api/agents/{agent['id']}/chat", json={"message": text})
            assert answer.status_code == 200
    rows = await running.as_admin(
        "SELECT id, content_sealed FROM messages WHERE direction = 'inbound' ORDER BY id"
    )
    async with running.db.owned(owner.owner_id) as tx:
        sealer = await running.keyring.sealer(tx)
    with pytest.raises(SealBroken):
        sealer.open(rows[0]["content_sealed"], table="messages", column="content_sealed", row=rows[1]["id"])
