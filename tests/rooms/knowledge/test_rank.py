from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from a1zap.knowledge.passages import Passage, split_passages
from a1zap.knowledge.rank import PassageIndex, build_index, rank_passages

ARTICLES = [
    (
        "Opening hours",
        "We open at nine and close at five. On Sunday we rest.\n\n## Holidays\n\nAt Easter the desk is closed.",
    ),
    (
        "Kayaks",
        "A kayak costs ten euros. A paddle is included. The river is slow. Helmets are yellow. Bring a towel.",
    ),
    ("Courses", "Beginners learn in two days."),
]


def shelf(vectors: dict[str, list[float]] | None = None) -> PassageIndex:
    """The articles above, with vectors by text; what is not named points nowhere."""
    passages = [
        Passage(UUID(int=number), title, position, text)
        for number, (title, content) in enumerate(ARTICLES)
        for position, text in enumerate(split_passages(title, content))
    ]
    rows = [(vectors or {}).get(passage.text, [0.0, 0.0, 0.0]) for passage in passages]
    return build_index(passages, np.array(rows, np.float32))


NOWHERE = np.zeros(3, np.float32)
EAST = np.array([1, 0, 0], np.float32)


def test_words_alone_find_the_passage_and_say_how_many_of_them_it_has():
    best = rank_passages("what does a kayak cost on Mars", NOWHERE, shelf())[0]
    assert best.passage.title == "Kayaks" and "ten euros" in best.passage.text
    assert best.dense == 0 and 0 < best.bm25 < 1
    # Two of its words are in one article of three, and "Mars" in none.
    assert best.coverage == pytest.approx(0.485, abs=0.001)


def test_meaning_alone_finds_the_passage():
    best = rank_passages("craft?", EAST, shelf({"The river is slow.": [0.9, 0.1, 0.0]}))[0]
    assert "The river is slow." in best.passage.text
    assert best.dense == best.dense_body == pytest.approx(0.9)
    assert best.score == pytest.approx(0.63)


def test_a_title_leads_to_the_passages_below_it():
    best = rank_passages("craft?", EAST, shelf({"Courses": [0.8, 0, 0]}))[0]
    assert best.passage.text == "Beginners learn in two days."
    assert (best.dense, best.dense_body) == (pytest.approx(0.8), 0)


def test_a_heading_leads_to_its_own_section_alone():
    best = rank_passages("when?", EAST, shelf({"\nHolidays": [0.8, 0, 0]}))[0]
    assert (best.passage.text, best.heading) == ("At Easter the desk is closed.", "Holidays")


def test_a_found_sentence_comes_with_its_neighbours_and_no_sentence_twice():
    ranked = rank_passages("paddle and towel", NOWHERE, shelf())
    kayaks = [entry.passage.text for entry in ranked if entry.passage.title == "Kayaks"]
    assert kayaks[0].count(".") == 3 and "A paddle is included." in kayaks[0]
    sentences = ". ".join(text.rstrip(".") for text in kayaks).split(". ")
    assert len(sentences) == len(set(sentences))


def test_one_article_leaves_room_for_the_others():
    ranked = rank_passages("kayak paddle river helmet towel open beginners", NOWHERE, shelf())
    titles = [entry.passage.title for entry in ranked]
    assert set(titles) == {"Opening hours", "Kayaks", "Courses"}
    assert max(titles.count(title) for title in titles) <= 2


def test_the_order_goes_by_strength():
    ranked = rank_passages("kayak on sunday", EAST, shelf({"Courses": [0.3, 0, 0]}))
    strengths = [entry.strength for entry in ranked]
    assert strengths == sorted(strengths, reverse=True)


def test_a_rare_word_weighs_more_than_a_common_one():
    passages = [Passage(UUID(int=n), f"t{n}", 0, f"t{n}") for n in range(3)]
    bodies = ["boat boat", "boat heron", "boat rope"]
    both = [
        entry
        for n, text in enumerate(bodies)
        for entry in (passages[n], Passage(UUID(int=n), f"t{n}", 1, text))
    ]
    ranked = rank_passages("boat heron", NOWHERE, build_index(both, np.zeros((6, 3), np.float32)))
    assert ranked[0].passage.text == "boat heron"
    assert ranked[0].coverage == pytest.approx(1)


def test_greetings_do_not_count_as_words_of_the_question():
    plain, polite = (
        rank_passages(question, NOWHERE, shelf())[0]
        for question in (
            "what does a kayak cost",
            "Hi there! How are you? What does a kayak cost? Thanks a lot!",
        )
    )
    assert polite.coverage == plain.coverage


def test_no_articles_and_no_words_find_nothing_and_do_not_fail():
    assert rank_passages("anything", NOWHERE, build_index([], np.zeros((0, 3), np.float32))) == []
    assert len(rank_passages("", NOWHERE, shelf())) > 0
    only_title = [Passage(UUID(int=0), "Title", 0, "Title")]
    assert rank_passages("title", NOWHERE, build_index(only_title, np.zeros((1, 3), np.float32))) == []
