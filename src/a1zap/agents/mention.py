"""Does a text call an agent by its name? In any script, and never inside another word.

A border of words is where one ends and the other begins; how that shows depends on the script:

* spaced     (Latin, Cyrillic, Arabic, Hebrew, Devanagari, …) where no letter, digit or mark stands next to it
* unspaced   (Han, Thai, Lao, Khmer, Myanmar, …) anywhere, unless the next sign cannot begin a word, or the one before must go on
* Hiragana   before and after a particle or a way of addressing people
* Hangul     before it as in spaced scripts; after it particles may hang on
* Katakana   is spaced in itself, and borders on every other script

and where two scripts meet, of which one is not spaced, there always is one. What cannot be told without a dictionary
is told strictly: then the @handle is there.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal

MARKS_MAX = 30  # in a row, as in Unicode's stream-safe text: normalising longer rows takes quadratic time

Script = Literal["none", "spaced", "digit", "unspaced", "hiragana", "katakana", "hangul"]

# Written beside letters and never seen: directions and isolates around mentions, joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_BLOCKS: tuple[tuple[int, int, Script], ...] = (
    (0x0E00, 0x0EFF, "unspaced"),  # Thai, Lao
    (0x0F00, 0x109F, "unspaced"),  # Tibetan, Myanmar
    (0x1780, 0x17FF, "unspaced"),  # Khmer
    (0x1950, 0x19DF, "unspaced"),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF, "unspaced"),  # Tai Tham
    (0x3005, 0x3007, "unspaced"),
    (0x3040, 0x309F, "hiragana"),
    (0x30A0, 0x30FF, "katakana"),
    (0x31F0, 0x31FF, "katakana"),
    (0x3100, 0x312F, "unspaced"),  # Bopomofo
    (0x3400, 0x9FFF, "unspaced"),  # Han
    (0xA000, 0xA4CF, "unspaced"),  # Yi
    (0xA980, 0xA9DF, "unspaced"),  # Javanese
    (0x1100, 0x11FF, "hangul"),
    (0xAC00, 0xD7FF, "hangul"),
    (0xF900, 0xFAFF, "unspaced"),
    (0x20000, 0x3FFFF, "unspaced"),
)
_CANNOT_BEGIN = frozenset("ะาำๆฯະາຳໆຯ々ー")
_MUST_GO_ON = frozenset("เแโใไເແໂໃໄ")  # written before the consonant that they follow in speech
_BECOMES_MARK = "\uff9e\uff9f"  # halfwidth voicing: letters that NFKC makes marks of
_SMALL_KANA = frozenset("ぁぃぅぇぉっゃゅょゎー")
_AFTER_HIRAGANA = re.compile(
    "さん|ちゃん|くん|さま|せんせい|って|から|まで|です|は|が|を|に|の|と|も|へ|で|や|よ|ね|、"
)
_BEFORE_HIRAGANA = re.compile("(?:ねえ|ねぇ|ねー|おい|やあ|は|が|を|に|の|と|も|へ|や|よ)$")
_AFTER_HANGUL = re.compile(
    "(?:님|씨|군|양|쌤|선생님)?(?:이|이는|이가)?"
    "(?:야|아|여|은|는|이|가|을|를|의|에|에게|께|께서|한테|와|과|랑|이랑|하고|도|만|로|으로|부터|까지|처럼|보다|요){0,3}"
)
_HANGUL_SUFFIX_MAX = 8
_ADDRESSED_BEFORE = ("คุณ", "พี่", "น้อง")  # Thai: what a short name is known by
_ADDRESSED_AFTER = ("ครับ", "ค่ะ", "คะ", "จ๋า", "จ้า")


def is_mentioned(text: str, *, name: str, handle: str) -> bool:
    """Is `name`, or `@handle`, in the text as a whole word? Case, width and invisible signs do not matter.

    Takes time in proportion to the text's length, whatever is in it.
    """
    said = fold(text)
    called, known_as = _folded_name(name), _folded_name(handle.lstrip("@"))
    return (known_as != "" and _has_handle(said, known_as)) or (called != "" and _has_name(said, called))


def fold(text: str) -> str:
    """The text as it is compared: NFKC, case folded, without invisible signs, one space where there is any."""
    if not text.isascii():
        text = _UNSEEN.sub("", _bounded(text))
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        # Turkish writes i and ı with and without their dots, and casefold keeps them apart.
        text = text.replace("i\u0307", "i").replace("ı", "i")
    return " ".join(text.casefold().split())


@lru_cache(maxsize=1024)
def _folded_name(name: str) -> str:
    """'' for a name that has nothing in it to call somebody by."""
    folded = fold(name)
    return folded if any(unicodedata.category(c)[0] in "LNS" for c in folded) else ""


def _bounded(text: str) -> str:
    """Without what goes beyond `MARKS_MAX` combining marks in a row: no word of any language does."""
    kept: list[str] = []
    row = 0
    for character in text:
        is_mark = unicodedata.category(character)[0] == "M" or character in _BECOMES_MARK
        row = row + 1 if is_mark else 0
        if row <= MARKS_MAX:
            kept.append(character)
    return "".join(kept)


# ── finding ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _has_handle(text: str, handle: str) -> bool:
    wanted = f"@{handle}"
    start = text.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        if _may_stand_before_at(text, start) and _ends_handle(text, end):
            return True
        start = text.find(wanted, start + 1)
    return False


def _may_stand_before_at(text: str, start: int) -> bool:
    """Not in the middle of a mail address; scripts that no mail address is written in may touch it."""
    before = text[start - 1] if start else " "
    return not (before.isascii() and (before.isalnum() or before in "._%+-@")) or _is_loose_mark(text, start)


def _is_loose_mark(text: str, start: int) -> bool:
    """A `_` or `-` that hangs on nothing (italics, a list), or a full stop that ends a sentence before."""
    at = start
    while at and text[at - 1] in "_-.":
        at -= 1
    return at < start and (at == 0 or text[at - 1].isspace())


def _ends_handle(text: str, end: int) -> bool:
    """Not a longer handle, nor the domain of a mail address."""
    at = end
    while at < len(text) and text[at] in "_-.":
        at += 1
    if at >= len(text) or not _is_word(text[at]):
        return True
    if at > end:  # `@ada-bot`, `@ada.example`: somebody else; `@ada...您好` is not
        return _script(text[at]) not in ("spaced", "digit")
    return _script(text[at]) not in ("spaced", "digit") and unicodedata.category(text[at])[0] != "M"


def _has_name(text: str, name: str) -> bool:
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        if _is_address(text, start, end):
            pass
        elif _begins(text, start, name) and _ends(text, end, name):
            return True
        start = text.find(name, start + 1)
    return False


def _is_address(text: str, start: int, end: int) -> bool:
    """Part of a mail address: `ada@…`, `…@ada`."""
    after = text[end : end + 2]
    if len(after) == 2 and after[0] == "@" and after[1].isascii() and after[1].isalnum():
        return True
    return start >= 2 and text[start - 1] == "@" and text[start - 2].isascii() and text[start - 2].isalnum()


def _begins(text: str, start: int, name: str) -> bool:
    """Does a word begin here?"""
    if not _is_word(name[0]):
        return True
    at = start
    while at and text[at - 1] == "_":  # italics; `my_name` is a word
        at -= 1
    before = text[at - 1] if at else " "
    if not _is_word(before):
        return True
    one, other = _script(before), _script(name[0])
    if at < start or "digit" in (one, other):
        return at == start and "unspaced" in (one, other)
    if one != other:
        return _meets(one, other)
    if one == "unspaced":
        if before in _MUST_GO_ON:
            return False
        return not _is_short(name) or text[max(0, start - 6) : start].endswith(_ADDRESSED_BEFORE)
    return one == "hiragana" and _BEFORE_HIRAGANA.search(text[max(0, start - 3) : start]) is not None


def _ends(text: str, end: int, name: str) -> bool:
    """Does a word end here?"""
    if not _is_word(name[-1]):
        return True
    at = end
    while at < len(text) and text[at] == "_":
        at += 1
    after = text[at] if at < len(text) else " "
    if not _is_word(after):
        return True
    if unicodedata.category(after)[0] == "M" or after in _SMALL_KANA or after in _CANNOT_BEGIN:
        return False
    one, other = _script(name[-1]), _script(after)
    if at > end or "digit" in (one, other):
        return at == end and "unspaced" in (one, other)
    if one != other:
        return _meets(one, other)
    match one:
        case "unspaced":
            return not _is_short(name) or text.startswith(_ADDRESSED_AFTER, end)
        case "hiragana":
            return _AFTER_HIRAGANA.match(text, end) is not None
        case "hangul":
            return _is_hangul_suffix(text, end)
        case _:
            return False


def _is_hangul_suffix(text: str, end: int) -> bool:
    """Is all that hangs on the name a way of addressing, or particles?"""
    at = end
    while at < len(text) and at - end <= _HANGUL_SUFFIX_MAX and _script(text[at]) == "hangul":
        at += 1
    return at - end <= _HANGUL_SUFFIX_MAX and _AFTER_HANGUL.fullmatch(text, end, at) is not None


def _meets(one: Script, other: Script) -> bool:
    """Two scripts touch: a border, unless both are spaced; in Korean a name may carry its particle in Hangul."""
    return {one, other} != {"spaced"} and "none" not in (one, other)


def _is_short(name: str) -> bool:
    """One sign of Han, or two of Thai and its like, begin too many words to be told apart from them."""
    if len(name) == 1:
        return True
    return len(name) == 2 and _script(name[0]) == "unspaced" and ord(name[0]) < 0x3000


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def _script(character: str) -> Script:
    code = ord(character)
    if code < 0x0E00:
        return "digit" if character.isdigit() else "spaced"
    for first, last, script in _BLOCKS:
        if first <= code <= last:
            return script
    return "digit" if character.isdigit() else "spaced"
