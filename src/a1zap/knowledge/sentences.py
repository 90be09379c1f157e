"""Where a sentence ends, in the scripts people write to us in."""

from __future__ import annotations

import re

CHARS_MAX = 400
"""A sentence longer than this is cut at a comma or a space: nobody reads it as one, and the encoder does not either."""

_CLOSERS = "\"'”’»›)\\]』」）】》"
# Western marks end a sentence before white space; the others anywhere.
_END = re.compile(rf"(?:(?<![.!?…])[.!?…]+|[؟۔।॥])[{_CLOSERS}]*(?=\s)|[。！？｡]+[{_CLOSERS}]*")
_ABBREVIATIONS = re.compile(
    r"mr|mrs|ms|dr|prof|st|jr|sr|vs|no|nos|fig|approx|dept|est|inc|ltd|co|corp|tel|ext|max|min|incl|excl|e\.g|i\.e|cf"
    r"|z\.b|d\.h|u\.a|o\.ä|bzw|ca|nr|str|inkl|exkl|zzgl|evtl|ggf|sog|vgl|abs|art|mind|gem|geb"
    r"|mme|mlle|p\.ex|env|av|bd|sra|srta|dra|ud|uds|ee\.uu|aprox|núm|pág|tlf|avda|exmo|sig|dott|ing|pag|dhr|mevr|bijv|blz"
    r"|jan|feb|apr|jun|jul|aug|sept?|oct|nov|dec|okt|dez|[^\W\d_]",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(r"[^\s(\[„“\"'«]+$")
_ORDINAL = re.compile(r"\d{1,2}")
_MONTHS = re.compile(
    r"(?:januar|jänner|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember|jahrhundert|stock"
    r"|etage|klasse)",
    re.IGNORECASE,
)
_PAUSE = re.compile(r".*(?:[,;:]\s|[；：，、،]\s?)", re.DOTALL)
_SPACE = re.compile(r".*\s", re.DOTALL)


def split_sentences(text: str) -> list[str]:
    """Sentences of one paragraph, stripped, in order, none longer than `CHARS_MAX` characters."""
    found: list[str] = []
    begin = 0
    for match in _END.finditer(text):
        if _ends_sentence(text, match):
            found.append(text[begin : match.end()])
            begin = match.end()
    found.append(text[begin:])
    return [piece for sentence in found if sentence.strip() for piece in _cut(sentence.strip())]


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    mark = match.group()
    if not mark.startswith("."):
        # "Really?" she asked.
        return not _next_char(text, match.end()).islower()
    following = _next_char(text, match.end())
    if following.islower():
        return False
    if mark != ".":
        return True
    found = _LAST_WORD.search(text, max(0, match.start() - 40), match.start())
    last = found.group() if found else ""
    if _ABBREVIATIONS.fullmatch(last):
        return False
    # "am 3. Mai", "im 2. Stock": an ordinal, unlike "It costs 20. Children pay half."
    return not (_ORDINAL.fullmatch(last) and _MONTHS.match(text[match.end() :].lstrip()))


def _next_char(text: str, at: int) -> str:
    while at < len(text) and (text[at].isspace() or text[at] in "\"'“”‘’«»„([*_"):
        at += 1
    return text[at : at + 1]


def _cut(sentence: str) -> list[str]:
    pieces: list[str] = []
    while len(sentence) > CHARS_MAX:
        where = (CHARS_MAX // 2, CHARS_MAX)
        found = _PAUSE.match(sentence, *where) or _SPACE.match(sentence, *where)
        at = found.end() if found else CHARS_MAX
        pieces.append(sentence[:at].strip())
        sentence = sentence[at:].strip()
    return [*pieces, sentence] if sentence else pieces
