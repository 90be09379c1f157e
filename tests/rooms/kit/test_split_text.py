"""A text that is too long for its channel is cut where a reader would cut it."""

from __future__ import annotations

import time

import pytest

from a1zap.kit.split_text import split_text

WHOLE = {
    "flags": "🇩🇪",
    "a skin": "👍🏽",
    "a family": "👨‍👩‍👧‍👦",
    "thai": "กี่",
    "devanagari": "कि",
    "a keycap": "1️⃣",
    "an accent": "e\u0301",
    "a region's flag": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("most", [30, 31, 32, 33])
def test_what_a_reader_sees_as_one_is_not_cut(name: str, most: int):
    one = WHOLE[name]
    pieces = split_text(one * 60, most)
    assert all(piece == one * (len(piece) // len(one)) and len(piece) <= most for piece in pieces)
    assert "".join(pieces) == one * 60


@pytest.mark.parametrize("char", ["a", " ", "\u0301", "\u200d", "🇩", "\n", "x\u0301 "])
def test_no_text_takes_long_or_makes_a_piece_too_long(char: str):
    began = time.perf_counter()
    pieces = split_text(char * 100_000, 4096)
    assert time.perf_counter() - began < 2
    assert all(0 < len(piece) <= 4096 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join((char * 100_000).split())
