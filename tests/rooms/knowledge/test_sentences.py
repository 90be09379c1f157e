from __future__ import annotations

import time

import pytest

from a1zap.knowledge.sentences import CHARS_MAX, split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "Dr. Smith and Mr. J. Doe pay e.g. 3.50 EUR. Done.",
            ["Dr. Smith and Mr. J. Doe pay e.g. 3.50 EUR.", "Done."],
        ),
        ("We open at 9 a.m. on weekdays. Come in.", ["We open at 9 a.m. on weekdays.", "Come in."]),
        ("We open at 9 a.m. The desk is closed.", ["We open at 9 a.m.", "The desk is closed."]),
        ("It costs 20. Children pay half.", ["It costs 20.", "Children pay half."]),
        ("Am 3. Mai ist zu. Am 4. Juni nicht.", ["Am 3. Mai ist zu.", "Am 4. Juni nicht."]),
        ("Siehe z.B. Nr. 4 bzw. Abs. 2. Gut.", ["Siehe z.B. Nr. 4 bzw. Abs. 2.", "Gut."]),
        (
            "See www.example.org/a.b or v1.2.3 today. Yes.",
            ["See www.example.org/a.b or v1.2.3 today.", "Yes."],
        ),
        ('"Really?" she asked. "Yes." He left.', ['"Really?" she asked.', '"Yes."', "He left."]),
        ("Wait... what? No!", ["Wait... what?", "No!"]),
        ("営業は九時です。日曜は休み！はい？", ["営業は九時です。", "日曜は休み！", "はい？"]),
        ("他说：“好的。”然后走了。", ["他说：“好的。”", "然后走了。"]),
        ("متى تفتحون؟ نفتح في التاسعة.", ["متى تفتحون؟", "نفتح في التاسعة."]),
        ("हम नौ बजे खुलते हैं। रविवार को बंद।", ["हम नौ बजे खुलते हैं।", "रविवार को बंद।"]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_sentences_end_where_a_reader_sees_it(text, sentences):
    assert split_sentences(text) == sentences


def test_a_sentence_without_end_is_cut_at_a_pause():
    text = "and then another word, " * 100
    pieces = split_sentences(text)
    assert max(map(len, pieces)) <= CHARS_MAX
    assert all(piece.endswith(",") for piece in pieces)
    assert " ".join(pieces) == text.strip()


@pytest.mark.parametrize("unit", [".", "! ", '."', "a. ", "。", "(", "x", "? (", "…"])
def test_splitting_takes_linear_time(unit):
    text = (unit * 100_000)[:100_000]
    began = time.perf_counter()
    pieces = split_sentences(text)
    assert time.perf_counter() - began < 3
    assert "".join("".join(pieces).split()) == "".join(text.split())
