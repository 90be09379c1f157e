"""The floor: the least that the job takes. One script, bare asyncpg and httpx, no framework, no queue, no crash safety.

For each message: store it · ask the model, streamed · store the reply · mark it delivered. Each statement is its own
commit with fsync on. A process of its own; it prints its windows as one JSON document.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import asdict
from uuid import uuid4

import asyncpg
import httpx
import orjson
import uvloop

from bench.measure import Meter, Tally, cut_windows

_TABLE = """
    CREATE TABLE IF NOT EXISTS floor_messages (
        id uuid PRIMARY KEY, chat_id int NOT NULL, direction text NOT NULL, content text NOT NULL,
        status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())
"""
_STORE = "INSERT INTO floor_messages (id, chat_id, direction, content, status) VALUES ($1, $2, $3, $4, $5)"
_MARK = "UPDATE floor_messages SET status = 'delivered' WHERE id = $1"


async def main(
    database_url: str, model_url: str, postmaster: str, chats: str, window_s: str, count: str
) -> None:
    tally, stopping = Tally(), asyncio.Event()
    async with (
        asyncpg.create_pool(database_url, min_size=4, max_size=16) as pool,
        httpx.AsyncClient(limits=httpx.Limits(max_connections=100)) as client,
    ):
        await pool.execute(_TABLE)

        async def talk(chat: int) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                began = time.monotonic()
                await answer(chat, f"Hello, this is message [c{chat}:{number}], thank you")
                tally.latencies_s.append(time.monotonic() - began)
                tally.done += 1

        async def answer(chat: int, text: str) -> None:
            await pool.execute(_STORE, uuid4(), chat, "inbound", text, "received")
            reply, reply_id = await ask(text), uuid4()
            await pool.execute(_STORE, reply_id, chat, "outbound", reply, "pending")
            await pool.execute(_MARK, reply_id)

        async def ask(text: str) -> str:
            body = {"model": "stub", "stream": True, "messages": [{"role": "user", "content": text}]}
            said = []
            async with client.stream("POST", f"{model_url}/chat/completions", json=body) as answering:
                async for line in answering.aiter_lines():
                    if line.startswith("data: {"):
                        for choice in orjson.loads(line[6:])["choices"]:
                            said.append(choice["delta"].get("content") or "")
            return "".join(said)

        talking = [asyncio.create_task(talk(chat)) for chat in range(int(chats))]
        windows = await cut_windows(
            Meter({"script": [os.getpid()], "postgres": [int(postmaster)]}),
            tally,
            warm_up_s=2,
            window_s=float(window_s),
            count=int(count),
            say=lambda _line: None,
        )
        stopping.set()
        await asyncio.gather(*talking)
    sys.stdout.buffer.write(orjson.dumps([asdict(w) for w in windows]))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
