"""Lines that announce a quoted mail: "On Monday, Ann wrote:", in the languages mail programs speak.

Programs wrap such a line at any word, so the last line is looked for first (it ends in a verb, an address or a colon,
which is cheap to see) and its beginning at most four lines above.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LINES_MAX = 5  # no program known to us breaks an intro into more lines
_TRIED_MAX = 80  # in one mail; where there are more, the first of them have said what there is to say
_CHARS_MAX = 400  # a name, an address written twice, a date; longer is prose

# Verbs as they end an intro ("Ann wrote:") or stand in its middle ("Den 3. mai skrev Ann <…>:").
_SPACED_VERBS = (
    r"wrote|writes|said|(?:has|have) written"
    r"|schrieb|schreibt|geschrieben|hat Folgendes geschrieben"
    r"|(?:a |à |ha )?(?:é|e)crit|va escriure|ha escrit"
    r"|escribi[óo]|escribe|escribiu|ha escrito|escreveu|escreveu o seguinte|ha scritto|scrisse|scrive"
    r"|schreef|geschreven|skrev|skreiv|skrifaði|kirjoitti|kirjutas"
    r"|nap(?:|i|í)sal(?:a|\(a\)|/a|o)?|pí[sš]e|napisa[łl](?:\(a\)|a|/a|/la|o/la|o)?|napisan[ae]|napisao(?:/la|/napisala| je|/la je)?|je pisal(?:a)?|pisze"
    r"|написал(?:\(а\)|а|/а)?|пишет|написа(?:в|ла|в\(ла\)|в\(-ла\)|в/ла|л/а)?|пише|написао(?:/ла)?|піша"
    r"|yazdı|yazmış|írta|a scris|rakstīja|parašė|rašė|idatzi du|έγραψε(?:ν)?|schrew"
    r"|đã viết|viết|menulis|nagsulat|sumulat|ஐ எழுதினார்|ने लिखा|লিখেছেন"
    r"|כתב(?:/ה|ה)?|كتب(?:ت)?|نوشت(?:ه)?"
)
_UNSPACED_VERBS = r"写道|寫道|写到|写信|撰寫|书写|のメール|のメッセージ|書きました|書いた|님이 작성|님의 말|작성|썼습니다|เขียน(?:ว่า)?"
_VERB = rf"(?:(?<![^\W_])(?:{_SPACED_VERBS})(?![^\W_])|(?:{_UNSPACED_VERBS}))"
_VERB_ANYWHERE = re.compile(_VERB, re.IGNORECASE)
_VERB_AT_END = re.compile(
    rf"{_VERB}(?: the following| o seguinte| lo siguiente| ce qui suit| Folgendes| het volgende| följande| følgende)?"
    r"(?:\s{0,3}\([^()]{0,60}\)| in (?:message|news)[:\s].{3,90})?[\s*_:：\-–—….]{0,12}$",
    re.IGNORECASE,
)
_COLON_AT_END = re.compile(r"[:：][\s*_\-]{0,6}$")
_ADDRESS_AT_END = re.compile(r"@[^\s<>]{1,120}[\s<>()\[\]*_\"'’”]{0,8}(?:mailto:\S{3,120})?[:：][\s*_]{0,4}$")
_FIGURE = re.compile(r"[\d@]")
_RULED = re.compile(r"\s*-{3,}\s[^\n]+\s-{3,}$")  # "---- On Mon, 8 Feb 2021 Ann wrote ----"
_ADDRESS_CLOSES = re.compile(r"@[^\s<>]{1,120}[>)\]]{1,3}$")
# An address that was broken before its closing bracket leaves a line that looks like a quote: "> wrote:", ">:"
_CLOSING_BRACKET = re.compile(
    rf"\s{{0,3}}>\s{{0,2}}(?:[,;]\s)?(?:{_VERB})?[^\w]{{0,3}}[:：]\s{{0,3}}$", re.IGNORECASE
)
_ADDRESS = re.compile(r"[^\s<>]@[^\s<>]|<mailto:|\[mailto:")

_DAYS = (
    "mon|tue|wed|thu|fri|sat|sun|die|mit|don|fre|sam|son|mo|di|mi|do|fr|sa|so"
    "|lun|mar|mer|mié|mie|jeu|ven|dim|jue|vie|sáb|sab|dom|seg|ter|qua|qui|sex|gio|maan|dins|woen|dond|vrij|zat|zon|ma|wo|vr|za|zo"
    "|mån|tis|ons|tor|lör|sön|man|tir|tors|lør|søn|tiis|kesk|tors|perj|lauan|sunnun|ti|ke|to|pe|la|su"
    "|pon|wto|śro|śr|czw|pią|pią|pt|sob|nie|niedz|po|út|st|čt|pá|ne|pond|úter|střed|čtv|pát|ned|uto|sri|čet|pet|sub"
    "|пн|вт|ср|чт|пт|сб|вс|нд|пон|вто|сре|чет|пет|съб|нед|суб|pzt|sal|çar|per|cum|paz|hét|kedd|sze|csüt|pén|szo|vas"
    "|luni|marți|mie|joi|vin|sâm|dum|δευ|τρί|τρι|τετ|πέμ|παρ|σάβ|κυρ|יום|يوم|الاثنين|الثلاثاء|الأربعاء|الخميس|الجمعة|السبت|الأحد"
)
_MONTHS = (
    "jan|feb|mar|mär|apr|may|mai|maj|maa|mei|jun|jul|aug|sep|oct|okt|nov|dec|dez|fév|fev|févr|avr|abr|mayo|juin|juil|août|aoû|aou"
    "|ene|ago|set|out|dic|déc|gen|mag|giu|lug|ott|mrt|tammi|helmi|maalis|huhti|touko|kesä|heinä|elo|syys|loka|marras|joulu"
    "|sty|lut|kwi|cze|lip|sie|wrz|paź|lis|gru|led|úno|bře|dub|kvě|čer|srp|zář|říj|pro|sij|velj|ožu|tra|svi|kol|ruj|stu"
    "|янв|фев|мар|апр|май|мая|июн|июл|авг|сен|окт|ноя|дек|січ|лют|бер|кві|тра|чер|лип|сер|вер|жов|лис|гру|юни|юли"
    "|oca|şub|nis|haz|tem|ağu|eyl|eki|kas|ara|febr|márc|ápr|máj|jún|júl|szept|ian|iun|iul|thg|tháng|th"
    "|ιαν|φεβ|μαρ|απρ|μαΐ|μαι|ιου|αυγ|σεπ|οκτ|νοε|δεκ|ינו|פבר|מרץ|אפר|מאי|יונ|יול|אוג|ספט|אוק|נוב|דצמ"
    "|يناير|فبراير|مارس|أبريل|مايو|يونيو|يوليو|أغسطس|سبتمبر|أكتوبر|نوفمبر|ديسمبر"
)
_DAY_OR_MONTH = rf"(?:{_DAYS}|{_MONTHS})[^\W\d_]{{0,10}}(?![^\W_])"
_NUMERIC_DATE = r"\d{1,4}\s?[./\-年년]\s?\d{1,2}(?:\s?[./\-月월]\s?\d{1,4})?"
_DATE = re.compile(
    rf"(?<!\d)(?:19|20)\d\d(?!\d)|{_NUMERIC_DATE}"
    rf"|\d{{1,2}}[:.h]\d\d|(?<!\w)(?:{_MONTHS})[^\W\d_]{{0,10}}\.?,?\s\d{{1,2}}(?!\d)"
    rf"|(?<!\d)\d{{1,2}}(?:st|nd|rd|th|\.)?\s(?:de\s|di\s)?(?:{_MONTHS})",
    re.IGNORECASE,
)

# Words that begin an intro, before a day or a date.
_OPENERS = (
    r"on|at|le|el|o|am|em|no dia|a|à|op|den|på|dne|dňa|dnia|w dniu|v|u|ob|il|il giorno|in data|data|dana|em data"
    r"|la|pe|în|in|στις|στην|в|на|у|від|от|vào|vào lúc|lúc|pada|pada tanggal|noong|kl\.?|kello|il-"
    r"|在|於|于|في|بتاريخ|در|در تاریخ|בתאריך|ב-?|เมื่อ|el dia|o dia|kuupäeval|mnamo"
)
_LEAD = r"^[\s>*_#\-–—\"'“(\[]{0,12}"
_OPENED = re.compile(
    rf"{_LEAD}(?:{_OPENERS})[\s,.:]{{1,3}}(?:(?:[^\W\d]{{1,12}}[\s,.:]{{1,3}}){{0,2}})(?:{_DAY_OR_MONTH}|\d)",
    re.IGNORECASE,
)
_DATE_FIRST = re.compile(
    rf"{_LEAD}(?:{_NUMERIC_DATE}|\d{{1,2}}[:.]\d\d|\d{{1,2}}\.?\s(?:de\s)?(?:{_MONTHS})|(?:{_DAYS})[^\W\d_]{{0,10}}[.,]{{0,2}}\s.{{0,16}}?\d"
    r"|(?:19|20)\d\d[\s.年년])",
    re.IGNORECASE,
)
_CJK_OPENED = re.compile(
    rf"{_LEAD}(?:在|於|于)\s?(?:(?:19|20)\d\d|\d{{1,2}}|[一-龥]{{2,3}}[，,]?\s?(?:19|20)\d\d)"
)
_NAMED_SOURCE = re.compile(
    rf"{_LEAD}(?:in article|in message|in news:|quoting|zitat von|zitiere|citando|citeren|citerar|citat från|selon|en réponse à)\s",
    re.IGNORECASE,
)
_DATED_VERB = re.compile(  # "Ann Field wrote on 8/2/2021 at 9:12:"
    rf"{_LEAD}(?:[^\s.:!?]{{1,30}}[ ]){{1,5}}?{_VERB}[ ](?:[^\W\d]{{1,10}}[., ]{{1,2}}){{0,3}}{_NUMERIC_DATE}.{{0,24}}[:：]$",
    re.IGNORECASE,
)
# Where the date comes first the verb comes before the name: "Am 8.2. um 9:12 schrieb Ann:"; never before "ich".
_VERB_THEN_NAME = re.compile(
    r"(?<![^\W_])(?:schrieb|schreef|geschreven|skrev|skreiv|skrifaði|kirjutas)(?![^\W_])"
    r"(?! (?:ich|du|er|sie|wir|ihr|man|ik|jij|je|hij|zij|wij|jag|jeg|du|han|hun|hon|vi|de)\b)[^:]{1,90}[:：]",
    re.IGNORECASE,
)
_DATE_NAME_ADDRESS = re.compile(
    rf"{_LEAD}{_NUMERIC_DATE}(?: \d{{1,2}}:\d\d(?: ?[ap]m)?)?(?: GMT\S{{0,6}})? [^<>@:]{{1,60}}<\s?[^\s<>]{{1,80}}@[^\s<>]{{1,120}}>:?$",
    re.IGNORECASE,
)
# "On 5 May I wrote:" is told by a person; programs name the writer.
_TOLD = re.compile(
    r"\b(?:i|you|we|he|she|they|who|it|ich|du|er|sie|wir|ihr|je|tu|il|elle|nous|vous|on|yo|tú|él|ella|eu|ele|ela|io|lui|lei|ik|jij|hij|zij|wij|я|ты|он|она|мы|вы)"
    r" (?:just |also |already |have |has |had |hat |habe |a |ha |hai |heb )?$",
    re.IGNORECASE,
)
# A program that flattens HTML glues the intro to what stands around it: "Thanks! On Mon, Feb 8, 2021 Ann <…> wrote: Hi"
_GLUED = re.compile(
    r"(?:(?<=[\w.!?)…,])[ ]{1,3}|^)"
    r"((?:On|Le|El|Am|Em|Op|Il|Den)\s(?:\w{2,12}[.,]{0,2}\s){0,2}\d{1,2}[^\n]{10,160}?<[^\s<>]{1,80}@[^\s<>]{1,120}>[^\n]{0,16}?"
    r"(?:wrote|écrit|escribió|schrieb|escreveu|schreef|scritto|skrev)\s?:)[ ]{0,3}",
    re.MULTILINE,
)


def split_glued_intros(text: str) -> str:
    """The text with each intro that shares its line with other text on a line of its own."""
    return _GLUED.sub(r"\n\1\n", text) if "@" in text else text


def closes_address(line: str) -> bool:
    """Whether this is the end of an intro, broken inside an address, and no quote though it begins with '>'."""
    return _CLOSING_BRACKET.match(line) is not None


def find_intros(lines: Sequence[str], letters: Sequence[str]) -> list[tuple[int, int]]:
    """First and last line of every intro, in order and apart; `lines` are clean and short enough to be searched."""
    found: list[tuple[int, int]] = []
    has_figure = [_FIGURE.search(line) is not None for line in lines]
    free_from = 0
    tried = 0
    for number, line in enumerate(lines):
        if letters[number] not in "ts" or number < free_from:
            continue
        before_quote = _is_before_quote(letters, number)
        if not before_quote and not (
            any(has_figure[max(0, number - _LINES_MAX) : number + 1]) and _may_end(line)
        ):
            continue
        tried += 1
        if tried > _TRIED_MAX:
            break
        first = _first_line(lines, letters, number, free_from, before_quote=before_quote)
        if first is not None:
            last = number + _is_rest(lines, letters, number)
            found.append((first, last))
            free_from = last + 1
    return found


def _may_end(line: str) -> bool:
    """Cheap, and never wrong about a no: an intro ends in a colon, in its verb, or in an address."""
    return (
        line[-1:] in ">:：-"
        or _COLON_AT_END.search(line, max(0, len(line) - 8)) is not None
        or _VERB_AT_END.search(line[-32:]) is not None
    )


def _is_rest(lines: Sequence[str], letters: Sequence[str], last: int) -> bool:
    """Whether the line below holds but the last word of the intro and the colon that was missing so far."""
    below = last + 1
    if below >= len(lines) or letters[below] != "t" or _COLON_AT_END.search(lines[last]):
        return False
    return len(lines[below]) <= 20 and _COLON_AT_END.search(lines[below]) is not None


def _first_line(
    lines: Sequence[str], letters: Sequence[str], last: int, free_from: int, *, before_quote: bool
) -> int | None:
    """Where the intro that ends at `last` begins; None if what ends there is no intro."""
    nearest: int | None = None
    joined = ""
    used = 0
    for first in range(last, max(free_from, last - _LINES_MAX - 3) - 1, -1):
        if letters[first] == "e" and joined and _is_apart(lines, first, joined):
            continue
        if letters[first] not in "ts" or used == _LINES_MAX:
            break
        used += 1
        line = lines[first]
        had_date = _DATE.search(joined) is not None
        joined = f"{line} {joined}"
        if len(joined) > _CHARS_MAX:
            break
        if not _is_intro(joined, before_quote=before_quote):
            continue
        if _OPENED.search(line) or _CJK_OPENED.search(line) or _NAMED_SOURCE.search(line):
            return first
        goes_on = line.endswith(("<", "(", ",", "[")) or (not had_date and line[-1:] not in ".!?:")
        if nearest is None or _DATE_FIRST.search(line) or (goes_on and _DATE.search(line)):
            nearest = first
    return nearest


def _is_apart(lines: Sequence[str], empty: int, joined: str) -> bool:
    """Whether the paragraph above goes on below: some programs give an address or a name a paragraph of its own."""
    if joined.lstrip()[:1] in {"<", ">"}:
        return True
    above = lines[empty - 1] if empty else ""
    return (
        len(above) <= 90
        and above[-1:] not in ".!?:"
        and _OPENED.match(above) is not None
        and _DATE.search(above) is not None
    )


def _is_before_quote(letters: Sequence[str], last: int) -> bool:
    for following in range(last + 1, min(last + 4, len(letters))):
        if letters[following] != "e":
            return letters[following] == "q"
    return False


def _is_intro(joined: str, *, before_quote: bool) -> bool:
    """Whether these lines, joined, announce a mail. A verb alone is prose; it takes a date, an address or a quote."""
    joined = joined.rstrip()
    ending = _VERB_AT_END.search(joined, max(0, len(joined) - 200))
    colon_ends = _COLON_AT_END.search(joined) is not None
    if _DATE_NAME_ADDRESS.match(joined) or (
        _RULED.match(joined) and _DATE.search(joined) and _VERB_ANYWHERE.search(joined)
    ):
        return True
    if ending is None and not colon_ends:
        return before_quote and bool(_ADDRESS_CLOSES.search(joined)) and bool(_DATE_FIRST.search(joined))
    has_address = _ADDRESS.search(joined) is not None
    if not before_quote and not has_address and _is_prose(joined, ending, colon_ends=colon_ends):
        return False
    if _DATE.search(joined):
        if _is_dated_intro(joined, ending, has_address=has_address):
            return True
        if has_address and _ADDRESS_AT_END.search(joined):
            return before_quote or _is_opened(joined)
    named = _NAMED_SOURCE.search(joined) is not None
    if has_address and (ending is not None or named or (before_quote and _DATE.search(joined) is not None)):
        return True
    if not before_quote or len(joined) > 160:
        return False
    return (ending is not None and colon_ends) or named or _ADDRESS_AT_END.search(joined) is not None


def _is_opened(joined: str) -> bool:
    return bool(_OPENED.search(joined) or _DATE_FIRST.search(joined) or _CJK_OPENED.search(joined))


def _is_prose(joined: str, ending: re.Match[str] | None, *, colon_ends: bool) -> bool:
    """A sentence that ends in a verb without a colon, or one that a person tells."""
    if ending is None:
        return False
    return not (colon_ends or joined.endswith("--")) or _TOLD.search(joined[: ending.start()]) is not None


def _is_dated_intro(joined: str, ending: re.Match[str] | None, *, has_address: bool) -> bool:
    if has_address:
        return ending is not None or _VERB_ANYWHERE.search(joined) is not None
    if ending is None and _VERB_THEN_NAME.search(joined) is None:
        return _DATED_VERB.match(joined) is not None
    return _is_opened(joined) or _DATED_VERB.match(joined) is not None
