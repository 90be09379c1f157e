"""A model that answers in 0 ms, in OpenAI's wire format, as a process of its own: `python -m bench.stub_model`.

It prints its port and serves until its standard input is closed. Its answer restates the serial of the last message it
was shown, `[c<chat>:<number>]`, so that whoever gets the answer can tell which message it belongs to.
"""

from __future__ import annotations

import asyncio
import sys

import orjson
import uvloop

from bench.wire import json_response, serve

PIECES = ("I have", " noted", " {serial}", " for you", ".", " Is there", " anything", " else?")
USAGE = {"prompt_tokens": 60, "completion_tokens": 12, "total_tokens": 72}
_BASE = {"id": "chatcmpl-bench", "created": 1_700_000_000, "model": "stub"}
_MARK = b"@@serial@@"


def _chunk(choices: list[dict[str, object]], **more: object) -> bytes:
    event = b"data: " + orjson.dumps({**_BASE, "object": "chat.completion.chunk", "choices": choices, **more})
    return event + b"\n\n"


def _events() -> list[bytes]:
    """The server-sent events of one streamed answer, with a mark where the serial belongs."""
    found = []
    for number, piece in enumerate(PIECES):
        delta: dict[str, object] = {"content": piece.replace("{serial}", _MARK.decode())}
        if number == 0:
            delta["role"] = "assistant"
        found.append(_chunk([{"index": 0, "delta": delta, "finish_reason": None}]))
    found.append(_chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    found.append(_chunk([], usage=USAGE))
    found.append(b"data: [DONE]\n\n")
    return found


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENTS = _events()
_WHOLE = orjson.dumps(
    {
        **_BASE,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "".join(PIECES).replace("{serial}", _MARK.decode()),
                },
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
)


def serial_in(body: bytes) -> bytes:
    """The last serial in a body, `[c3:17]`; empty where there is none."""
    start = body.rfind(b"[c")
    return body[start : body.index(b"]", start) + 1] if start >= 0 else b"[c?]"


def answer(_head: bytes, body: bytes) -> bytes:
    serial = serial_in(body)
    if b'"stream":true' in body or b'"stream": true' in body:
        chunks = (event.replace(_MARK, serial) for event in _EVENTS)
        return _HEAD + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    return json_response(_WHOLE.replace(_MARK, serial))


async def main() -> None:
    _, port = await serve(answer)
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
