"""What a person wrote, out of a mail that carries the conversation so far.

Each line becomes a letter (`reply_lines`), and a few patterns look at the string of letters: regular expressions over
some dozens of letters, in time linear in them. Nothing is thrown away: the full text is stored beside the reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from a1zap.channels.email.reply_intros import split_glued_intros
from a1zap.channels.email.reply_lines import Lined, classify_lines, says_a_mail_begins

_ANALYSED_CHARS = 24_576
_ANALYSED_LINES = 500
_LINE_END = re.compile(r"\r\n?|\n")

# The whole mail is an announced quote with text below it and no more quotes: the text is the reply.
_BELOW_THE_QUOTE = re.compile(r"[eds]*b[bqeh]*q[bqeh]*(?P<reply>[tsed]*)$")
_TRAILING = re.compile(r"[qeds]+$")
_GREETING = re.compile(
    r"\s*(?:[^\s,]+(?: [^\s,]+){0,4},|(?:hi|hello|hey|dear|hallo|guten tag|liebe[r]?|moin|bonjour|salut|hola|ciao|buongiorno|ol[áa]|hej|hei|beste|cześć|ahoj|привет|здравствуйте)(?: [^\s,]+){0,3}[!.]?)\s*$",
    re.IGNORECASE,
)
_DASHED_NAME = re.compile(
    r"\s{0,3}(?:-|--\s?|—\s?)[^\W\d_a-z][^\W\d_]{0,20}(?: [^\W\d_a-z][\w.]{0,20}){0,2}\s*$"
)
_ALTERNATION = re.compile(r"q[e]*t")


@dataclass(frozen=True, slots=True)
class Extracted:
    """The reply, the text as it came, and what of it is not the reply (quotes, headers, signatures)."""

    reply: str
    full: str
    quoted: str


def extract_reply(text: str) -> Extracted:
    """What the sender wrote; the full text where nothing of it looks written by the sender.

    The first 24 KiB and 500 lines are looked at, so that no text takes long: where the reply goes on to their end,
    all that follows belongs to it.
    """
    lines, looked_at = _head(text)
    lined = classify_lines(lines)
    kept = _kept(lined)
    chosen = set(kept)
    reply = "\n".join(lines[number] for number in kept).strip()
    if not reply:
        return Extracted(text.strip(), text, "")
    quoted = "\n".join(line for number, line in enumerate(lines) if number not in chosen).strip()
    if looked_at == len(text):
        return Extracted(reply, text, quoted)
    if kept[-1] == len(lines) - 1:
        return Extracted(f"{reply}\n{text[looked_at:]}", text, quoted)
    return Extracted(reply, text, f"{quoted}\n{text[looked_at:]}")


def _head(text: str) -> tuple[list[str], int]:
    """The lines that are looked at, and where in the text they end."""
    end = len(text)
    if end > _ANALYSED_CHARS:
        end = (
            max(text.rfind("\n", 0, _ANALYSED_CHARS), text.rfind("\r", 0, _ANALYSED_CHARS)) + 1
            or _ANALYSED_CHARS
        )
    for number, found in enumerate(_LINE_END.finditer(text, 0, end), start=1):
        if number == _ANALYSED_LINES:
            end = found.end()
            break
    head = text[:end].replace("\r\n", "\n").replace("\r", "\n")
    return split_glued_intros(head if end == len(text) else head.removesuffix("\n")).split("\n"), end


def _kept(lined: Lined) -> list[int]:
    """The numbers of the lines that are the reply; none where the mail is somebody else's from its first line on."""
    start, end = _span(lined)
    letters = lined.letters
    first_text = letters.find("t", start)
    # Among answers between quotes an intro says whose quotes they are; above the first of them it says nothing.
    kept = [n for n in range(start, end) if letters[n] != "s" and (letters[n] != "b" or n > first_text)]
    while kept and letters[kept[-1]] in "ed":
        kept.pop()
    return kept


def _span(lined: Lined) -> tuple[int, int]:
    """First line and the line behind the last of the part that holds the reply."""
    letters = lined.letters
    below = _BELOW_THE_QUOTE.match(letters)
    start = below.start("reply") if below and "t" in below["reply"] else 0
    first_text = letters.find("t", start)
    if first_text < 0 or _is_forward(lined, first_text):
        return 0, 0
    end = _end_at_mail(letters, first_text)
    end = _end_at_delimiter(lined, first_text, end)
    end = _end_at_intro(lined, first_text, end)
    end = _end_at_name(lined, first_text, end)
    trailing = _TRAILING.search(letters, first_text, end)
    return start, trailing.start() if trailing else end


def _is_forward(lined: Lined, first_text: int) -> bool:
    """Whether all the text stands below "Begin forwarded message:" or the like, so that nobody wrote anything here."""
    announced = lined.letters.find("h", 0, first_text)
    return announced >= 0 and says_a_mail_begins(lined.lines[announced])


def _end_at_name(lined: Lined, first_text: int, end: int) -> int:
    """A last paragraph of one line like "-Ann" is a signature."""
    last = len(lined.letters[:end].rstrip("qeds"))
    if last - 2 > first_text and lined.letters[last - 2] == "e" and _DASHED_NAME.match(lined.lines[last - 1]):
        return last - 1
    return end


def _end_at_mail(letters: str, first_text: int) -> int:
    found = letters.find("h", first_text)
    return found if found >= 0 else len(letters)


def _end_at_intro(lined: Lined, first_text: int, end: int) -> int:
    """Text, an intro, a mail: the mail begins at the intro. Answers between quotes belong to the reply.

    One answer below one quote is a footer or a line that lost its mark, unless nothing but a greeting stands above.
    """
    letters = lined.letters
    found = letters.find("b", first_text, end)
    if found < 0:
        return end
    below = letters[found:end].rstrip("eqds")
    if "t" not in below or "q" not in below or below.find("t") < below.find("q"):
        return found
    answers = len(_ALTERNATION.findall(below))
    above = letters[first_text:found].rstrip("eds")
    return end if answers > 1 or (above == "t" and _GREETING.match(lined.lines[first_text])) else found


def _end_at_delimiter(lined: Lined, first_text: int, end: int) -> int:
    letters = lined.letters
    found = letters.find("d", first_text, end)
    while found >= 0 and _is_underline(lined, found):
        found = letters.find("d", found + 1, end)
    return found if found >= 0 else end


def _is_underline(lined: Lined, number: int) -> bool:
    """A heading's underline: as long as the line above it, with text right below or after one empty line."""
    letters = lined.letters
    if number == 0 or letters[number - 1] != "t":
        return False
    line, above = lined.lines[number].strip(), lined.lines[number - 1].strip()
    if line[0] not in "-=" or len(line) < 3 or abs(len(line) - len(above)) > 2:
        return False
    return re.match(r"e?t", letters[number + 1 : number + 3]) is not None
