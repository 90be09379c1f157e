"""The load: people who write through A1Base, and the A1Base stub that their answers come back to.

Each message carries a serial, `[c<chat>:<number>]`; the model restates it, so an answer tells which message it is for.
The provider is part of this process, because only who sees the answer can send the next message.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from bench.measure import Tally
from bench.rig import SECRET, Agent
from bench.stub_model import serial_in
from bench.wire import Answer, Connection, connect, json_response, request_bytes, serve

PATIENCE_S = 30.0  # without an answer for so long a message is counted as lost
_TAKEN = json_response(orjson.dumps({"data": {"status": "queued", "to": "", "from": "", "body": ""}}))
_WEBHOOK = "/api/webhooks/messaging"


@dataclass(slots=True)
class Provider:
    """A1Base's send call. It hands each reply to whoever waits for its chat."""

    url: str = ""
    received: int = 0
    newest: dict[int, bytes] = field(default_factory=dict)  # by chat: the serial of the last reply
    _waiting: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)
    _server: asyncio.Server | None = None

    @classmethod
    async def open(cls) -> Provider:
        provider = cls()
        provider._server, port = await serve(provider._take)
        provider.url = f"http://127.0.0.1:{port}/v1"
        return provider

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def reply_in(self, chat: int) -> asyncio.Future[bytes]:
        """The serial in the next reply of the chat."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[chat] = waiting
        return waiting

    def _take(self, head: bytes, body: bytes) -> bytes:
        if not head.startswith(b"POST "):
            return json_response(b'{"messages":[]}')
        serial = serial_in(body)
        self.received += 1
        chat = int(serial[2 : serial.index(b":")]) if b":" in serial else -1
        self.newest[chat] = serial
        waiting = self._waiting.pop(chat, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(serial)
        return _TAKEN


@dataclass(slots=True)
class Person:
    """Somebody with a thread of their own, who has said `number` messages so far."""

    agent: Agent
    chat: int  # unique in the whole run
    number: int = 0

    def next_message(self) -> tuple[bytes, bytes]:
        """The next message's serial, and the signed webhook that brings it."""
        self.number += 1
        serial = f"[c{self.chat}:{self.number}]"
        body = orjson.dumps(
            {
                "thread_id": f"thread-{self.chat}",
                "message_id": f"msg-{self.chat}-{self.number}",
                "thread_type": "individual",
                "sender_number": f"+1666{self.chat:07d}",
                "sender_name": "Jane",
                "a1_account_id": "acc",
                "a1_phone_number": self.agent.number,
                "timestamp": time.time(),
                "service": "whatsapp",
                "message_type": "text",
                "is_from_agent": False,
                "message_content": {"text": f"Hello, this is message {serial}, thank you"},
            }
        )
        stamp = str(int(time.time()))
        signature = hmac.new(SECRET.encode(), stamp.encode() + body, hashlib.sha256).hexdigest()
        request = request_bytes(
            "POST",
            _WEBHOOK,
            body,
            content_type="application/json",
            x_agent_id=self.agent.id,
            x_timestamp=stamp,
            x_signature=signature,
        )
        return serial.encode(), request


class Writer(Protocol):
    def next_message(self) -> tuple[bytes, bytes]:
        """The next message's serial, and the signed webhook that brings it."""
        ...


async def talk(
    person: Person,
    connection: Connection,
    provider: Provider,
    tally: Tally,
    *,
    stopping: asyncio.Event | None = None,
    messages: int | None = None,
) -> None:
    """A closed loop: the next message follows the reply. Until told to stop, or for so many messages."""
    said = 0
    while not (stopping is not None and stopping.is_set()) and (messages is None or said < messages):
        said += 1
        serial, request = person.next_message()
        reply = provider.reply_in(person.chat)
        began = time.monotonic()
        answer = await connection.send(request)
        if answer.status != 200:
            tally.refused += 1
            raise RuntimeError(
                f"a webhook was answered {answer.status}: {answer.body[:300].decode(errors='replace')}"
            )
        try:
            restated = await asyncio.wait_for(reply, PATIENCE_S)
        except TimeoutError:
            tally.lost += 1
            continue
        tally.latencies_s.append(time.monotonic() - began)
        tally.done += 1
        tally.out_of_order += restated != serial


async def all_talk(
    people: Sequence[Person],
    port: int,
    provider: Provider,
    tally: Tally,
    *,
    at_once: int,
    messages: int,
) -> None:
    """Everybody says `messages` messages, `at_once` people at a time."""
    waiting = list(reversed(people))

    async def take_turns() -> None:
        connection = await connect("127.0.0.1", port)
        while waiting:
            await talk(waiting.pop(), connection, provider, tally, messages=messages)
        connection.close()

    await asyncio.gather(*(take_turns() for _ in range(at_once)))


async def knock_steadily(
    people: Sequence[Writer], port: int, *, per_s: float, seconds: float
) -> list[tuple[float, bytes, Answer]]:
    """An open loop: `per_s` webhooks a second, whatever the answers do.

    Gives back (seconds from when it was due to when it was answered, serial, answer), in the order they were sent: a
    stall is felt by everybody who came during it, not only by the one who waited.
    """
    free: list[Connection] = [await connect("127.0.0.1", port) for _ in range(32)]
    began = time.monotonic()

    async def knock(due_s: float, person: Writer) -> tuple[float, bytes, Answer]:
        # A server hangs up on connections that were opened and say nothing: such a one is left behind.
        while free and not free[-1].is_open:
            free.pop()
        connection = free.pop() if free else await connect("127.0.0.1", port)
        serial, request = person.next_message()
        answer = await connection.send(request)
        free.append(connection)
        return time.monotonic() - due_s, serial, answer

    knocking: list[asyncio.Task[tuple[float, bytes, Answer]]] = []
    for number in range(int(per_s * seconds)):
        due_s = began + number / per_s
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        knocking.append(asyncio.create_task(knock(due_s, people[number % len(people)])))
    found = await asyncio.gather(*knocking)
    for connection in free:
        connection.close()
    return found
