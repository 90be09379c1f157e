from __future__ import annotations

import pytest

from a1zap.knowledge.words import asked_words, count_words, guess_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How much is a kayak?", "en"),
        ("kayak", "en"),
        ("12345 !!", "en"),
        ("", "en"),
        ("Was kostet der Versand nach Österreich?", "de"),
        ("Où est votre magasin et quand ouvrez-vous ?", "fr"),
        ("¿Cuánto cuesta el envío a España?", "es"),
        ("Quanto custa o envio para você?", "pt"),
        ("Quanto costa la spedizione in Italia?", "it"),
        ("Hoeveel kost het verzenden naar België?", "nl"),
        ("كم تكلفة الشحن؟", "ar"),
        ("डिलीवरी में कितना समय लगता है?", "hi"),
        ("运费是多少？", "zh"),
        ("送料はいくらですか？", "ja"),
        ("Iphoneの料金は？", "ja"),
        ("Сколько стоит доставка?", "other"),
    ],
)
def test_the_language_is_guessed_by_script_and_function_words(text, language):
    assert guess_language(text) == language


def test_forms_of_a_word_meet():
    assert count_words("cancelling cancelled cancels Cancel") == ["cancel"] * 4
    assert count_words("price PRICES cost fee") == ["cost"] * 4
    assert count_words("deliveries") == count_words("delivery")
    assert count_words("Café café") == ["caf", "caf"]


def test_names_figures_and_codes_stay_whole():
    assert count_words("iPhone 15, KF-2031, 4.90") == ["iphon", "15", "kf", "2031", "4", "90"]


def test_function_words_are_no_part_of_a_question():
    assert asked_words("What is the price of it, and is the price high?") == ["cost", "high"]
    assert asked_words("Was kostet der Versand?") == ["kostet", "versand"]


def test_a_function_word_of_one_language_may_be_the_point_in_another():
    assert "hat" in asked_words("Do you sell a sun hat?")


def test_scripts_without_spaces_come_in_pairs():
    assert count_words("運費は無料") == ["運費", "費は", "は無", "無料"]
    assert set(asked_words("運費")) <= set(count_words("運費は無料"))


def test_vowel_signs_belong_to_their_word_and_the_danda_does_not():
    assert count_words("हम खुले हैं।") == ["हम", "खुले", "हैं"]
