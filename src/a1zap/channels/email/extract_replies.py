"""Replies of many mails, a JSON object a line: what `a1zap email extract-reply` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from a1zap.channels.email.html_text import html_to_reply_text
from a1zap.channels.email.reply import extract_reply
from a1zap.kit.json import as_object, parse_json


def reply_of(text: str, *, is_html: bool = False) -> str:
    """What the sender wrote, out of plain text or HTML."""
    return html_to_reply_text(text) if is_html else extract_reply(text).reply


def extract_lines(lines: Iterable[bytes], *, is_html: bool = False) -> Iterator[tuple[bytes, str]]:
    """For each line `{"text": …}` either `{"reply": …}` or, in its place, what is wrong with the line.

    Empty lines are passed over. What stands in a bad line is not repeated: it is somebody's mail.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            parsed = as_object(parse_json(line))
        except orjson.JSONDecodeError as error:
            yield b"", f"line {number} is not JSON: {error.msg} at position {error.pos}"
            continue
        text = parsed.get("text") if parsed is not None else None
        if not isinstance(text, str):
            yield b"", f'line {number} is not an object with a text: {{"text": "…"}}'
            continue
        yield orjson.dumps({"reply": reply_of(text, is_html=is_html)}), ""
