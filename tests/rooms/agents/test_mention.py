"""A name counts where it is a word of its own: in every script, with what people hang on it, and in none of the traps."""

from __future__ import annotations

import time
import unicodedata

import pytest

from a1zap.agents.mention import fold, is_mentioned

# (text, name, handle)
MENTIONS = [
    # Latin, its punctuation and its forms
    ("Ada, when do you open?", "Ada", "ada_bot"),
    ("ADA!!!", "Ada", "x"),
    ("hey ada", "Ada", "x"),
    ("(Ada)", "Ada", "x"),
    ("is that Ada's?", "Ada", "x"),
    ("l'Ada del bar", "Ada", "x"),
    ("*Ada* _Ada_ ~Ada~", "Ada", "x"),
    ("_Ada_ please", "Ada", "x"),
    ("ask Ada.", "Ada", "x"),
    ("Ada-san!", "Ada", "x"),
    ("hi🙂Ada🙂", "Ada", "x"),
    ("Ａｄａ", "Ada", "x"),
    ("\U0001d400\U0001d41d\U0001d41a, hello", "Ada", "x"),
    ("Zoe\u0308, hi", "Zoë", "x"),
    ("frag mal STRASSE", "Straße", "x"),
    ("\u2068Ada\u2069 hi", "Ada", "x"),
    ("A\u200dda\ufeff?", "Ada", "x"),
    ("first\nAda\nlast", "Ada", "x"),
    ("Ada\u00a0Lovelace", "Ada Lovelace", "x"),
    ("ada   lovelace, please", "Ada Lovelace", "x"),
    ("Ada\nLovelace", "Ada Lovelace", "x"),
    ("Jean-Luc?", "Jean-Luc", "x"),
    ("so is C++ here?", "C++", "x"),
    ("R2-D2 are you there", "R2-D2", "x"),
    ("🤖 help", "🤖", "x"),
    ("Adam and Ada", "Ada", "x"),
    # handles
    ("@ada_bot hello", "Nobody", "ada_bot"),
    ("hello @ADA_BOT.", "Nobody", "ada_bot"),
    ("(@ada_bot)", "Nobody", "ada_bot"),
    ("@ada_bot, @eve", "Nobody", "Ada_Bot"),
    ("＠ada_bot please", "Nobody", "ada_bot"),
    ("@\u2068ada_bot\u2069", "Nobody", "ada_bot"),
    ("_@ada_ hello", "Nobody", "ada"),
    ("你好@ada_bot在吗", "Nobody", "ada_bot"),
    ("สวัสดี@ada_botครับ", "Nobody", "ada_bot"),
    ("مرحبا @ada_bot", "Nobody", "ada_bot"),
    ("@ada_botさん", "Nobody", "ada_bot"),
    ("hi. @ada_bot?", "Nobody", "@ada_bot"),
    ("@ada1 @ada", "Nobody", "ada"),
    # Cyrillic, Greek, Armenian, Georgian
    ("Привет, АДА!", "Ада", "x"),
    ("Γεια σου ΝΊΚΟΣ", "Νίκος", "x"),
    ("Բարև Անի", "Անի", "x"),
    ("გამარჯობა, ნინო", "ნინო", "x"),
    # right to left
    ("يا سارة، كيف الحال؟", "سارة", "x"),
    ("سارة؟", "سارة", "x"),
    ("שלום עדה, מה שלומך", "עדה", "x"),
    ("\u202bעדה\u202c", "עדה", "x"),
    # Indic
    ("राम, तुम कहाँ हो?", "राम", "x"),
    ("नमस्ते राम।", "राम", "x"),
    ("வணக்கம் கவிதா", "கவிதா", "x"),
    ("হ্যালো আদা", "আদা", "x"),
    # Turkish dots
    ("IRMAK nerede", "Irmak", "x"),
    ("İREM!", "İrem", "x"),
    ("irem?", "İrem", "x"),
    # no spaces
    ("小明你好", "小明", "x"),
    ("请问小明，几点开门", "小明", "x"),
    ("你好Ada在吗", "Ada", "x"),
    ("Adaさん、おはよう", "Ada", "x"),
    ("田中さんは", "田中", "x"),
    ("すみませんアダさん", "アダ", "x"),
    ("アダ、いますか", "アダ", "x"),
    ("ｱﾀﾞさん", "アダ", "x"),
    ("はなちゃん、元気？", "はな", "x"),
    ("ねえはな、聞いて", "はな", "x"),
    ("สวัสดีอาดาครับ", "อาดา", "x"),
    ("คุณนกครับ", "นก", "x"),
    ("ສະບາຍດີສົມຊາຍ", "ສົມຊາຍ", "x"),
    ("សួស្តីសុភា", "សុភា", "x"),
    ("민수야, 안녕", "민수", "x"),
    ("민수님은 어디에", "민수", "x"),
    ("안녕하세요 민수 씨", "민수", "x"),
    ("Ada는 어때요", "Ada", "x"),
]
TRAPS = [
    ("Adam is here", "Ada", "x"),
    ("Canada is large", "Ada", "x"),
    ("adapt", "Ada", "x"),
    ("Ada2 is another", "Ada", "x"),
    ("my_ada and ada_two", "Ada", "ada"),
    ("write to ada@example.com", "Ada", "example"),
    ("write to jane@ada.com", "Ada", "ada"),
    ("jane@ada", "Nobody", "ada"),
    ("jane.doe-@ada", "Nobody", "ada"),
    ("@adam", "Nobody", "ada"),
    ("@ada-bot", "Nobody", "ada"),
    ("@ada_bot", "Nobody", "ada"),
    ("@ada.example.com", "Nobody", "ada"),
    ("ada without the sign", "Nobody", "ada"),
    ("Adá is another", "Ada", "x"),
    ("Ada\u0301", "Ada", "x"),
    ("Аda with a Cyrillic letter", "Ada", "x"),
    ("Ada and Lovelace", "Ada Lovelace", "x"),
    ("AdaLovelace", "Ada Lovelace", "x"),
    ("Ada, Lovelace", "Ada Lovelace", "x"),
    ("C+ only", "C++", "x"),
    ("", "Ada", "ada"),
    ("anything", "", ""),
    ("what???", "???", "!!!"),
    ("@ hello", "", ""),
    ("Адам пришёл", "Ада", "x"),
    ("подада", "Ада", "x"),
    ("ساراه", "سارا", "x"),
    ("وسام هنا", "سام", "x"),
    ("ياسين", "سين", "x"),
    ("עדהלה", "עדה", "x"),
    ("रामायण", "राम", "x"),
    ("रामा", "राम", "x"),
    ("கவிதாவின்", "கவிதா", "x"),
    ("明天见", "明", "x"),
    ("アダムです", "アダ", "x"),
    ("アダー", "アダ", "x"),
    ("サアダ", "アダ", "x"),
    ("はなしを聞く", "はな", "x"),
    ("おはなし", "はな", "x"),
    ("กานดามาแล้ว", "กา", "x"),
    ("ก่า", "ก", "x"),
    ("นกะ", "นก", "x"),
    ("มากมาย", "มา", "x"),
    ("เอดา", "อดา", "x"),
    ("김민수 씨", "민수", "x"),
    ("민수기를 읽다", "민수", "x"),
    ("하나투어", "하나", "x"),
]


@pytest.mark.parametrize(("text", "name", "handle"), MENTIONS)
def test_a_name_is_heard(text: str, name: str, handle: str):
    assert is_mentioned(text, name=name, handle=handle)


@pytest.mark.parametrize(("text", "name", "handle"), TRAPS)
def test_another_word_is_not_taken_for_the_name(text: str, name: str, handle: str):
    assert not is_mentioned(text, name=name, handle=handle)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_how_a_text_is_encoded_makes_no_difference(form: str):
    for text, name, handle in MENTIONS:
        assert is_mentioned(unicodedata.normalize(form, text), name=name, handle=handle), text
    for text, name, handle in TRAPS:
        assert not is_mentioned(unicodedata.normalize(form, text), name=name, handle=handle), text


@pytest.mark.parametrize(
    "naughty",
    [
        "a\u0315\u0300\u0316",  # marks that normalising sorts
        "\uff9e\u0301",  # a letter by its category that becomes a mark
        "ada",
        "@ada_",
        "_",
        "@ada" + "." * 50,
        "ﷺ",
        "민수가나다라마바사",
        "\u200d\u2068",
        "アダ",
    ],
)
def test_time_grows_with_the_text_and_not_faster(naughty: str):
    def took_s(text: str) -> float:
        began_s = time.perf_counter()
        is_mentioned(text + "x", name="아다", handle="ada")
        is_mentioned(text + "x", name="アダム", handle="adam")
        return time.perf_counter() - began_s

    one_row = naughty[0] + naughty[1:] * (20_000 // max(1, len(naughty) - 1))
    for text in (naughty * (20_000 // len(naughty)), one_row):
        assert min(took_s(text) for _ in range(2)) < 0.5


def test_folding_is_done_once_and_stays():
    for text, *_ in (*MENTIONS, *TRAPS):
        assert fold(fold(text)) == fold(text)
