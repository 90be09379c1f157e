"""What an agent without a model says; the articles are real, the vectors come from the embedded model."""

from __future__ import annotations

import dataclasses
from uuid import UUID

import pytest
from tests.rooms.knowledge.cases import BYTE, FIT, GERMAN, HARBOR, HOLD_OUT, Desk
from tests.rooms.knowledge.fit_gate import ask_desk, index_articles

from a1zap.embeddings.embedded import EmbeddedMiniLM
from a1zap.knowledge.extract import Extracted, extract_answer
from a1zap.knowledge.gate import SHIPPED_GATE, Features, Gate, read_features
from a1zap.knowledge.passages import Passage
from a1zap.knowledge.phrases import PHRASES, Phrases
from a1zap.knowledge.rank import Ranked, rank_passages


@pytest.fixture(scope="module")
def minilm():
    embedder = EmbeddedMiniLM(cache_texts=5_000)
    yield embedder
    embedder.close()


async def answer(minilm, desk: Desk, question: str, **more) -> Extracted:
    index = await index_articles(minilm, desk.articles)
    ranked = rank_passages(question, (await minilm.embed([question]))[0], index)
    return extract_answer(
        question, ranked, agent_name="Harbor", topics=[title for title, _ in desk.articles], **more
    )


def ranked(
    text: str, *, article: int = 1, score: float = 0.9, cosine: float = 0.9, position: int = 1
) -> Ranked:
    passage = Passage(UUID(int=article), f"Article {article}", position, text)
    return Ranked(passage, "", score, score, cosine, cosine, score, 1.0)


async def test_an_answer_is_word_for_word_in_the_article_it_names(minilm):
    said = await answer(minilm, HARBOR, "can I cancel my booking?")
    assert said.kind == "answer" and not said.offers_person
    quoted, source = said.text.rsplit("\n\n", 1)
    assert source == "Source: Cancelling, moving a booking and bad weather"
    article = dict(HARBOR.articles)["Cancelling, moving a booking and bad weather"]
    assert all(" ".join(part.split()) in " ".join(article.split()) for part in quoted.split("\n\n"))
    assert [title for _, title in said.sources] == ["Cancelling, moving a booking and bad weather"]
    assert said.confidence >= SHIPPED_GATE.assert_from


@pytest.mark.parametrize(
    "question", ["Do you rent jet skis?", "What is the capital of Peru?", "who painted the Mona Lisa"]
)
async def test_what_the_articles_do_not_say_is_not_said(minilm, question):
    said = await answer(minilm, HARBOR, question)
    assert said.kind in ("unknown", "maybe") and said.offers_person
    if said.kind == "unknown":
        assert said.text == PHRASES["en"].unknown and not said.sources


async def test_in_doubt_likely_articles_are_named_and_nothing_is_asserted(minilm):
    said = await answer(minilm, HARBOR, "is the water cold in april?")
    assert said.kind == "maybe" and said.offers_person
    assert "What to bring, and safety on the water" in said.text
    assert 1 <= len(said.sources) <= 3
    assert all(title in said.text for _, title in said.sources)
    assert "cold: we lend" not in said.text


async def test_the_words_around_an_answer_are_in_the_language_of_the_question(minilm):
    said = await answer(minilm, GERMAN, "Was kostet eine Inspektion?")
    assert (
        said.kind == "answer"
        and "69 Euro" in said.text
        and said.text.endswith("Quelle: Inspektion und Preise")
    )
    said = await answer(minilm, GERMAN, "Verkauft ihr auch Surfbretter?")
    assert said.text == PHRASES["de"].unknown


async def test_a_question_in_another_language_than_the_articles_asserts_nothing(minilm):
    for question in (
        "Wie viel kostet die Fahrt mit dem Bus?",
        "¿Puedo pagar la fianza?",
        "営業時間は何時ですか",
    ):
        said = await answer(minilm, HARBOR, question)
        assert said.kind in ("maybe", "unknown")


async def test_a_greeting_names_the_agent_and_what_it_can_answer(minilm):
    said = await answer(minilm, HARBOR, "Hello!")
    assert said.kind == "chat" and not said.offers_person and not said.sources
    assert said.text.startswith("Hello! I am Harbor.")
    assert all(title in said.text for title, _ in HARBOR.articles)


async def test_thanks_are_answered_and_a_bot_says_what_it_is(minilm):
    assert (
        await answer(minilm, HARBOR, "thank you!")
    ).text == "You are welcome! If you have another question, Harbor is here."
    who = await answer(minilm, HARBOR, "are you human?")
    assert "not a human being" in who.text and "Harbor" in who.text


async def test_a_yes_after_small_talk_cannot_be_taken_for_a_yes_to_an_offer(minilm):
    for message in ("hi", "ok", "yes", "thanks", "bye"):
        assert not (await answer(minilm, HARBOR, message)).offers_person


def test_an_agent_without_articles_says_so_and_offers_a_person():
    hello = extract_answer("hi", [], agent_name="Nova", topics=[])
    assert hello.text == f"Hello! I am Nova.\n{PHRASES['en'].nothing}"
    asked = extract_answer("When do you open?", [], agent_name="Nova", topics=[])
    assert (asked.kind, asked.confidence, asked.offers_person) == ("unknown", 0.0, True)


def test_many_topics_are_cut_short():
    hello = extract_answer("hi", [], agent_name="Nova", topics=[f"Topic {n}" for n in range(40)])
    assert "• Topic 9\n• …" in hello.text and "Topic 10" not in hello.text


def test_two_passages_of_one_article_that_fit_alike_are_both_quoted_in_reading_order():
    sure = dataclasses.replace(SHIPPED_GATE, assert_from=0.0)
    entries = [
        ranked("The second.", position=9),
        ranked("The first.", score=0.88, position=2),
        ranked("Another's.", article=2, score=0.89),
        ranked("A third.", score=0.8, position=4),
    ]
    said = extract_answer("which of them is it", entries, agent_name="Nova", topics=[], gate=sure)
    assert said.text == "The first.\n\nThe second.\n\nSource: Article 1"
    assert said.sources == [(UUID(int=1), "Article 1")]


def test_the_bounds_of_the_gate_are_settings():
    entries = [ranked("It is red."), ranked("It is blue.", article=2, score=0.85)]
    for assert_from, suggest_from, kind in ((0.0, 0.0, "answer"), (1.1, 0.0, "maybe"), (1.1, 1.1, "unknown")):
        gate = dataclasses.replace(SHIPPED_GATE, assert_from=assert_from, suggest_from=suggest_from)
        assert extract_answer("what colour is it", entries, agent_name="N", topics=[], gate=gate).kind == kind


@pytest.mark.parametrize(
    ("question", "text", "beyond"),
    [
        ("Do you deliver to Brazil?", "We deliver to Norway.", True),
        ("Do you deliver to Norway?", "We deliver to Norway.", False),
        ("Can I come on Sunday or in May?", "We are open daily.", False),
        ("Liefert ihr nach Norwegen im Winter?", "Wir liefern.", False),
        ("Where is parcel 00340434?", "Parcels take two days.", True),
        ("How much is it?", "It is red.", True),
        ("How much is it?", "It is free of charge.", False),
        ("How much is it?", "It costs €4.", False),
        ("Was kostet das?", "Das ist rot.", True),
        ("when do you open", "At nine.", False),
    ],
)
def test_a_question_may_ask_for_more_than_a_passage_holds(question, text, beyond):
    assert read_features(question, [ranked(text)]).asks_beyond is beyond


def test_the_gate_is_a_logistic_function_of_its_features():
    gate = Gate(
        bias=-1,
        dense=1,
        dense_body=2,
        margin=3,
        coverage=4,
        asks_beyond=-5,
        assert_from=0.5,
        suggest_from=0.1,
    )
    assert gate.probability(Features(0, 0, 0, 0, asks_beyond=False)) == pytest.approx(0.26894, abs=1e-5)
    assert gate.probability(Features(1, 0, 0, 0, asks_beyond=False)) == 0.5
    assert gate.probability(Features(1, 0.5, 1, 1, asks_beyond=True)) == pytest.approx(0.95257, abs=1e-5)


def test_every_language_has_every_phrase_with_its_places():
    for language, phrases in PHRASES.items():
        assert phrases.source.format(title="T") != phrases.source, language
        for name in ("maybe", "about"):
            assert "{topics}" in getattr(phrases, name), (language, name)
        for name in ("greeting", "thanks", "bye", "how", "who", "help"):
            assert "{name}" in getattr(phrases, name), (language, name)
    texts = [
        getattr(phrases, field.name) for phrases in PHRASES.values() for field in dataclasses.fields(Phrases)
    ]
    assert len(PHRASES) == 11 and all(texts)


async def test_what_is_asserted_on_businesses_never_seen_is_right(minilm):
    """The promise of the gate; `fit_gate.py` prints the figures (97.8 % right, 65 % answered when it was fitted)."""
    asked = [one for desk in HOLD_OUT for one in await ask_desk(minilm, desk, gone=False)]
    asserted = [
        one
        for one in asked
        if SHIPPED_GATE.probability(read_features(one.case.question, one.ranked)) >= SHIPPED_GATE.assert_from
    ]
    right = sum(one.is_right for one in asserted)
    assert right / len(asserted) >= 0.97
    assert right / sum(one.kind == "says" for one in asked) >= 0.6
    assert not [one.case.question for one in asserted if one.kind in ("near", "off")]


async def test_the_demo_agents_answer_what_a_visitor_asks_first(minilm):
    for desk, question, words in (
        (HARBOR, "How much is a kayak?", "€12"),
        (HARBOR, "when are you open?", "10 a.m. to 6 p.m."),
        (HARBOR, "how do I get there", "Pier 4"),
        (HARBOR, "can i cancel my booking", "48 hours"),
        (BYTE, "I forgot my master password", "recovery key"),
        (BYTE, "how much does it cost", "€2.90"),
        (BYTE, "how do I import from chrome", "Settings, Import"),
    ):
        said = await answer(minilm, desk, question)
        assert said.kind == "answer" and words in said.text, (question, said)


def test_the_desks_to_fit_on_and_to_measure_with_do_not_overlap():
    assert not {desk.name for desk in FIT} & {desk.name for desk in HOLD_OUT}
