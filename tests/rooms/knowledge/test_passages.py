from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1zap.kit.errors import Invalid
from a1zap.knowledge.passages import CONTENT_CHARS_MAX, HEADING_MARK, WINDOW_CHARS_MAX, split_passages


def headings(passages: list[str]) -> list[str]:
    return [text.removeprefix(HEADING_MARK) for text in passages if text.startswith(HEADING_MARK)]


def test_windows_are_one_to_three_sentences_that_follow_each_other():
    assert split_passages("Hours", "We open at 9. We close at 5. Sundays too. Never at night.") == [
        "Hours",
        "We open at 9.",
        "We open at 9. We close at 5.",
        "We open at 9. We close at 5. Sundays too.",
        "We close at 5.",
        "We close at 5. Sundays too.",
        "We close at 5. Sundays too. Never at night.",
        "Sundays too.",
        "Sundays too. Never at night.",
        "Never at night.",
    ]


def test_windows_do_not_cross_a_heading():
    passages = split_passages("T", "Before.\n\n# First\n\nOne.\n\nSecond\n------\nTwo.\n\n**Third:**\nThree.")
    assert passages == ["T", "Before.", "\nFirst", "One.", "\nSecond", "Two.", "\nThird", "Three."]


def test_a_paragraph_with_a_lead_has_a_heading_of_its_own_and_the_next_has_none():
    passages = split_passages("Plans", "**Refunds.** Within 30 days.\n\nAnother matter.")
    assert passages == ["Plans", "\nRefunds", "Within 30 days.", "\nPlans", "Another matter."]


def test_questions_that_stand_alone_are_headings():
    passages = split_passages(
        "FAQ", "Q: Do you ship abroad?\nA: Yes.\nQ: Where to?\nA: Europe.\n\nWhen?\nOn Monday."
    )
    assert passages == [
        "FAQ",
        "\nDo you ship abroad?",
        "Yes.",
        "\nWhere to?",
        "Europe.",
        "\nWhen?",
        "On Monday.",
    ]


def test_a_list_is_kept_with_its_lead_as_a_whole_and_item_by_item():
    passages = split_passages(
        "Bring", "Come early. You need:\n\n- a towel\n- shoes\n  that may get wet\n\nThat is all."
    )
    assert "You need:\n• a towel\n• shoes that may get wet" in passages
    assert "You need:\n• shoes that may get wet" in passages
    assert "Come early." in passages and "That is all." in passages
    assert not any(text.endswith("You need:") for text in passages)


def test_a_number_that_only_begins_a_line_is_no_list():
    assert (
        split_passages("T", "We are closed until\n3. Mai and open then.")[1]
        == "We are closed until 3. Mai and open then."
    )


def test_a_table_is_read_out_row_by_row():
    passages = split_passages(
        "Prices", "| Boat | One hour | Day |\n|:--|--:|---|\n| Kayak | €12 | €50 |\n| Raft | | €80 |"
    )
    assert passages[1:3] == ["Kayak, One hour: €12, Day: €50", "Raft, Day: €80"]


def test_marks_go_and_words_and_addresses_stay():
    content = (
        "See **our** *long* [terms](https://x.example/a_b) or `pip_install`, ~~not~~ ![logo](l.png) here. "
        "Mail [me@x.example](mailto:me@x.example). A snake_case_name, 2*3*4 and \\*stars\\* stay."
    )
    assert split_passages("T", content)[3] == (
        "See our long terms (https://x.example/a_b) or pip_install, not logo here. "
        "Mail me@x.example. A snake_case_name, 2*3*4 and *stars* stay."
    )


def test_html_is_left_out():
    content = "<p>Open <b>daily</b> &amp; late.<br>Come in.</p><!-- secret -->\n5 < 6 and 7 > 2."
    assert split_passages("T", content)[1] == "Open daily & late."
    assert not any("secret" in text or "<b>" in text for text in split_passages("T", content))


def test_code_stays_in_one_piece():
    assert "pip install keyfold. Then run." in split_passages(
        "T", "Do this:\n\n```sh\npip install keyfold.\nThen run.\n```"
    )


def test_lines_of_chinese_are_joined_without_a_space():
    assert split_passages("T", "我们九点\n开门。周日\n休息。")[1:3] == [
        "我们九点开门。",
        "我们九点开门。周日休息。",
    ]


@pytest.mark.parametrize(
    ("title", "content", "field"),
    [("", "x", "title"), (" \n", "x", "title"), ("t" * 301, "x", "title"), ("t", "x" * (CONTENT_CHARS_MAX + 1), "content"),
     ("t", "".join(f"Rule {n}. " for n in range(8_000)), "content")],
)  # fmt: skip
def test_too_much_for_one_article_is_refused_with_the_field(title, content, field):
    with pytest.raises(Invalid) as raised:
        split_passages(title, content)
    assert raised.value.field == field


def test_an_article_without_content_is_its_title():
    assert split_passages("  Two\n words ", "") == ["Two words"]


@given(st.text(alphabet="ab .!?\n#*-|`[]()<>&_>:。？Q1", max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_windows_that_can_be_shown(content):
    passages = split_passages("T", content)
    assert passages[0] == "T"
    for text in passages[1:]:
        assert text.strip() and len(text) <= max(WINDOW_CHARS_MAX * 2, 400)


@pytest.mark.parametrize(
    "unit",
    [
        "<!--",
        "**a",
        "`",
        "[",
        "[a](",
        "# ",
        "|",
        "- ",
        "<a",
        "|a|b\n",
        "- - ",
        "_a_ ",
        "~~",
        "\\*",
        "x:\n- a\n",
        "> ",
        "![",
    ],
)
def test_hostile_markdown_takes_linear_time(unit):
    began = time.perf_counter()
    with contextlib.suppress(Invalid):
        split_passages("T", (unit * CONTENT_CHARS_MAX)[:CONTENT_CHARS_MAX])
    assert time.perf_counter() - began < 3
