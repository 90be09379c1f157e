from __future__ import annotations

import pytest

from a1zap.knowledge.smalltalk import SmallTalk, question_of, read_smalltalk


@pytest.mark.parametrize(
    ("message", "kind", "language"),
    [
        ("hi", "greeting", "en"),
        ("Hiiii!!! 😀", "greeting", "en"),
        ("hey there", "greeting", "en"),
        ("Hello Harbor", "greeting", "en"),
        ("Hi, I'm Anna", "greeting", "en"),
        ("Good morning! How are you today?", "how", "en"),
        ("thanks", "thanks", "en"),
        ("ok thx a lot!", "thanks", "en"),
        ("that's very helpful, thank you so much", "thanks", "en"),
        ("Thank you for your help, have a nice day", "bye", "en"),
        ("ok", "ok", "en"),
        ("👍", "ok", "en"),
        ("no thanks", "ok", "en"),
        ("?", "help", "en"),
        ("Harbor?", "help", "en"),
        ("what can you do?", "help", "en"),
        ("I have a question", "help", "en"),
        ("who are you", "who", "en"),
        ("Are you a real person?", "who", "en"),
        ("Guten Tag, wie geht's?", "how", "de"),
        ("Danke schön!", "thanks", "de"),
        ("Bist du ein Mensch?", "who", "de"),
        ("Merci beaucoup", "thanks", "fr"),
        ("¡Hola!", "greeting", "es"),
        ("Olá, tudo bem?", "how", "pt"),
        ("Buongiorno", "greeting", "it"),
        ("Hoi", "greeting", "nl"),
        ("مرحبا", "greeting", "ar"),
        ("شكراً جزيلاً", "thanks", "ar"),
        ("नमस्ते", "greeting", "hi"),
        ("धन्यवाद", "thanks", "hi"),
        ("你好！", "greeting", "zh"),
        ("好的，谢谢你", "thanks", "zh"),
        ("こんにちは", "greeting", "ja"),
        ("ありがとうございます！", "thanks", "ja"),
    ],
)
def test_what_asks_nothing_is_known_in_every_language(message, kind, language):
    assert read_smalltalk(message, agent_name="Harbor") == SmallTalk(kind, language)


@pytest.mark.parametrize(
    "message",
    [
        "hi, do you rent kayaks?",
        "opening hours",
        "thanks, but my parcel is still missing",
        "ok and how much is it",
        "no hot water in my cabin",
        "hello my parcel is broken",
        "history",
        "today",
        "are you open today",
        "good boats?",
        "",
        " \n",
        "你好，营业时间是几点？",
        "Danke, aber wann öffnet ihr?",
        "hi " * 100,
    ],
)
def test_what_asks_something_is_no_small_talk(message):
    assert read_smalltalk(message, agent_name="Harbor") is None


@pytest.mark.parametrize(
    ("message", "question"),
    [
        ("Hi there! Hope you are well. What does a kayak cost? Thanks!", "What does a kayak cost?"),
        ("Hello Harbor, what does it cost", "what does it cost"),
        ("hi do you rent kayaks", "do you rent kayaks"),
        ("Hallo\nwas kostet das?", "was kostet das?"),
        ("Thanks. And when do you open?", "And when do you open?"),
        ("Hi!", ""),
        ("My boat, the Hi, leaks", "My boat, the Hi, leaks"),
    ],
)
def test_the_question_is_what_remains(message, question):
    assert question_of(message, agent_name="Harbor") == question
