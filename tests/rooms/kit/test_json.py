"""JSON from outside: strict, and rid of what is no text before anybody stores it."""

from __future__ import annotations

import json
import time

import pytest

from a1zap.kit.errors import Malformed
from a1zap.kit.json import parse_json, parse_object


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"a\u0000b"', "a\ufffdb"),
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"\uD83D\uDE00"', "😀"),
        (rb'"\ud83d x \ude00"', "\ufffd x \ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\\u0000 \\\\ud800"', "\\u0000 \\\\ud800"),
        (rb'"\\\u0000"', "\\\ufffd"),
        (rb'"\u0041\n\ud83d\"\u0000"', 'A\n\ufffd"\ufffd'),
    ],
)
def test_nul_and_halves_of_characters_become_the_replacement_character(raw: bytes, text: str):
    assert parse_json(raw) == text
    assert parse_json(b"[" + raw + b"]") == [text]


@pytest.mark.parametrize("raw", [b"", b"NaN", b"[1,]", b"\xff", b"[" * 5_000, b'"\x00"', rb'"\ud83"'])
def test_what_is_no_json_is_said_to_be_none(raw: bytes):
    with pytest.raises(json.JSONDecodeError):
        parse_json(raw)
    with pytest.raises(Malformed):
        parse_object(raw)


def test_a_mebibyte_of_halves_is_mended_in_no_time():
    raw = b'"' + rb"\ud83d" * 170_000 + b'"'
    began_s = time.process_time()
    assert parse_json(raw) == "\ufffd" * 170_000
    assert time.process_time() - began_s < 1.5
