"""What each line of a plain-text mail is: one letter a line.

    d  delimiter     "-- ", "_____", "=====", a dash alone
    b  intro         "On Monday, Ann wrote:" (all the lines it is wrapped into)
    e  empty
    h  mail header   a block of "From: … Sent: … To: …", or a line that says a mail begins below
    q  quote         "> …"
    s  signature     "Sent from my phone", in any language, and notices that programs add
    t  text

Names and words of many languages stand here as data; the shape of the rules is the same for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from a1zap.channels.email.reply_intros import closes_address, find_intros

_SEARCHED_CHARS = 500  # of a line; what a program wrote is recognised well before that

# Marks without a width (byte order, direction, joiners) stand inside dates and addresses of Hebrew and Arabic mail.
_INVISIBLE = re.compile("[\u0000\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_ODD_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\t\v\f]")

_QUOTE = re.compile(r"\s{0,8}[>＞]")
_BAR_QUOTE = re.compile(r"\s{0,3}\|(?:\s[^|]*)?$")  # a table has more bars than one
_DELIMITER = re.compile(r"\s*(?:[-_=+–—ᐧ]{2,}|[*#~·•.]{3,}|[—–―ᐧ])[-_=+*#~–—\s]*$")
_SPACED_RULE = re.compile(r"\s*(?:[-_=*–—]\s+){3,}[-_=*–—]?\s*$")
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")

# --- headers -------------------------------------------------------------------------------------------------------
_HEADER_NAMES = {
    "from": (
        "from|sender|von|absender|de|desde|da|van|afzender|från|fra|avsändare|avsender|afsender|lähettäjä|lähettänyt|od|odesílatel"
        "|odosielateľ|nadawca|от|от кого|від|від кого|отправитель|kimden|gönderen|feladó|de la|expéditeur|remitente|remetente|mittente"
        "|από|αποστολέας|מאת|من|המשך|المرسل|发件人|寄件者|寄件人|發件人|差出人|送信者|送信元|보낸 사람|보낸사람|보낸이|từ|người gửi|dari|pengirim|จาก"
        "|pošiljatelj|šalje|nuo|no|saatja|sendandi|frá|از|فرستنده|de|remitent|发信人"
    ),
    "date": (
        "sent|date|date sent|sent on|gesendet|datum|envoyé|envoyé le|date d’envoi|date d'envoi|enviado|enviada|enviado el|enviado em"
        "|enviada em|enviat|data|fecha|fecha de envío|inviato|data invio|inviata|verzonden|verstuurd|verzonden op|skickat|datum|sendt|dato"
        "|lähetetty|päiväys|päivämäärä|pvm|wysłano|data wysłania|odesláno|odoslané|odoslaná|dátum|отправлено|дата|дата отправки|надіслано|надiслано"
        "|відправлено|изпратено|послато|gönderme tarihi|gönderildi|gönderilme tarihi|tarih|elküldve|küldve|dátum|küldés dátuma|trimis|dată|data trimiterii"
        "|στάλθηκε|ημερομηνία|נשלח|תאריך|تاريخ الإرسال|تم الإرسال|التاريخ|أرسلت|تاریخ|发送时间|发送日期|時間|傳送時間|傳送日期|寄件日期|日期|時間|日付|日時|送信日時|送信日"
        "|보낸 날짜|날짜|보낸날짜|보낸 시간|đã gửi|ngày|ngày gửi|vào lúc|terkirim|tanggal|dikirim|ส่ง|ส่งเมื่อ|วันที่|poslano|poslato|išsiųsta|data|nosūtīts|saadetud|kuupäev|sent at"
    ),
    "to": (
        "to|an|à|a|ao|para|destinatario|destinatário|destinataire|aan|till|til|vastaanottaja|do|pro|komu|adresat|кому|до|kime|alıcı|címzett|către|catre|la"
        "|προς|אל|إلى|الى|به|收件人|收件者|宛先|받는 사람|받는사람|받는이|đến|tới|kepada|ถึง|za|prima|kam|kellele|saaja"
        "|cc|copie|copia|kopie|kopia|kopi|kopio|копия|копія|bilgi|másolat|κοιν|κοινοποίηση|עותק|نسخة|抄送|副本|ｃｃ|참조|dw|kopija|bcc|cci|cco|ccn"
    ),
    "subject": (
        "subject|betreff|betr|objet|sujet|asunto|assunto|oggetto|onderwerp|ämne|emne|aihe|temat|předmět|predmet|тема|konu|tárgy|subiect|θέμα"
        "|נושא|הנדון|الموضوع|موضوع|主题|主旨|主題|件名|제목|chủ đề|tiêu đề|perihal|subjek|judul|เรื่อง|naslov|tema|tēma|teema|assumpte|gaia|efni"
    ),
    "other": (
        "reply-to|reply to|antwort an|antworten an|répondre à|responder a|rispondi a|svar til|svara till|importance|priority|wichtigkeit|priorität|priorité|importancia"
        "|attachments|anlagen|anhänge|organization|organisation|message-id|x-mailer|newsgroups|mailing-list|list-id|in-reply-to|references|mime-version|content-type|risposta|вложения|附件|添付ファイル"
    ),
}
# Names of a date that stand on other papers than mails, too; the other names of dates ("Sent") stand only on mails.
_PLAIN_DATES = frozenset(
    [
        "date",
        "datum",
        "data",
        "fecha",
        "dato",
        "дата",
        "tarih",
        "dátum",
        "dată",
        "ημερομηνία",
        "תאריך",
        "التاريخ",
        "تاریخ",
        "日期",
        "時間",
        "日付",
        "日時",
        "날짜",
        "ngày",
        "tanggal",
        "วันที่",
        "päiväys",
        "päivämäärä",
        "pvm",
        "kuupäev",
        "vào lúc",
    ]
)
_KIND_OF_NAME = {name: kind for kind, names in _HEADER_NAMES.items() for name in names.split("|")}
_HEADER = re.compile(r"[\s>*_#|•]{0,8}([^\W\d_][\w'’.\- ]{0,24}?)[\s*_]{0,4}[:：]")
_FLAT_HEADER = re.compile(
    r"(?:^|[\s*_>])([^\W\d_][\w'’\-]{0,16}(?: [^\W\d_]{1,12})?)[ *_]{0,3}[:：](?=[\s*_])"
)
_BLOCK_LINES_MAX = 24
_QUOTED_INTRO_LINES = 4
_BLOCKS_MAX = 40  # tried in one mail; the first of them ends the reply anyway
_STRAY_LINES_MAX = (
    3  # lines of a block that are no header we know: a wrapped list of addresses, a header of some program
)

# --- lines that say that a mail begins below -----------------------------------------------------------------------
_MESSAGE_WORD = (
    r"messag|nachricht|e-?mail|mensaje|mensagem|messaggio|bericht|meddel|besked|melding|viesti|wiadomo|zpráv|zprav|správ|сообщени|повідомлен"
    r"|письм|съобщени|порук|ileti|mesaj|üzenet|poruk|sporočil|μήνυμα|הודעה|رسالة|الرسالة|پیام|邮件|郵件|メッセージ|メール|메시지|메일|원본|thư|tin nhắn|pesan|ข้อความ|brev|kiri|laišk|missatge"
)
_FORWARD_WORD = (
    r"forward|fwd|original|origin|ursprüngl|weitergeleit|transfér|réexpédi|transmis|reenv|reencaminh|encaminh|inoltrat|doorgestuur|oorspronkelijk|vidarebe|videresend|vidaresen"
    r"|ursprung|oprindelig|opprinnelig|alkuperäi|välitet|lähetetty edelleen|przekaz|oryginaln|původní|pôvodn|přeposlan|preposlan|исходн|пересыл|переслан|переадрес|оригинальн"
    r"|оригінальн|початков|пересл|препрат|оригинал|iletilen|özgün|orijinal|továbbít|eredeti|redirec|inițial|προωθ|αρχικ|הועבר|מקור|مُعاد|معاد|أصلية|الأصلية|المحولة|转发|轉寄|原始|转寄"
    r"|転送|元の|오리지널|전달|원본|chuyển tiếp|gốc|diteruskan|asli|ส่งต่อ|ต้นฉบับ|izvorn|prosljeđ|posredov|sākotnēj|originaal"
)
_FORWARD_LINE = re.compile(
    rf"^[\s>]*[-_=*]{{2,}}\s?[^\n]{{0,60}}?(?:{_MESSAGE_WORD}|{_FORWARD_WORD})[^\n]{{0,60}}?\s?[-_=*]{{2,}}[\s:]*$",
    re.IGNORECASE,
)
_NOTES_LINE = re.compile(
    r"^-{3,}[^\n]{2,90}?(?:wrote|schrieb|écrit|escribió|escreveu|scritto|schreef|skrev)\s?:\s?-{3,}$"
)
_FORWARDED = re.compile(_FORWARD_WORD, re.IGNORECASE)
_MESSAGE = re.compile(_MESSAGE_WORD, re.IGNORECASE)
_FORWARD_PLAIN = re.compile(
    r"^\s*[*_]{0,2}(?:original message|forwarded message|originalnachricht|ursprüngliche nachricht|message d'origine|message original|mensaje original|mensagem original"
    r"|messaggio originale|oorspronkelijk bericht|originalmeddelande|исходное сообщение)[*_]{0,2}\s*:?\s*$",
    re.IGNORECASE,
)
_ABOVE_THIS_LINE = re.compile(
    r"above this line|over this line|au-dessus de cette ligne|(?:über|oberhalb) (?:dieser|diese) (?:linie|zeile)|(?:encima|arriba) de esta línea"
    r"|acima desta linha|sopra (?:di )?questa (?:riga|linea)|boven deze (?:lijn|regel)|(?:ovanför|över) (?:denna|den här) (?:rad|linje)|over denne linj"
    r"|nad tą linią|nad tento řádek|nad tímto řádkem|выше этой (?:линии|строки|черты)|вище цієї лінії|bu satırın üstün|この行より上|在此行上方|tämän rivin yläpuolelle",
    re.IGNORECASE,
)

# --- lines that programs add ---------------------------------------------------------------------------------------
_SENT = (
    r"sent|send|written|typed|composed|posted|gesendet|versendet|verschickt|geschickt|geschrieben|gesandt|envoy[ée]e?|écrit|rédigé|enviad[oa]s?|mandad[oa]|escrit[oa]|enviat|inviat[oa]|spedit[oa]|scritt[oa]"
    r"|verzonden|verstuurd|gestuurd|skickat|skickades|skickad|sendt|sende|sent|skrevet|lähetetty|wysłan[oaey]|wysłane|napisane|odeslán[oa]|posláno|odoslan[éo]|poslané|отправлено|послано|написано"
    r"|надіслано|відправлено|изпратен[оа]|послато|poslano|poslato|gönderildi|gönderilmiştir|elküldve|küldve|küldte|trimis|expediat|στάλθηκε|εστάλη|נשלח[ה]?|أ?ُ?رسلت|أرسل[ت]?|مرسل[ة]?|ارسال شده"
    r"|được gửi|gửi|dikirim|dihantar|enviado|saadetud|nosūtīts|išsiųsta|bidalia|sendur"
)
_SENT_UNSPACED = r"من الـ|发自|發自|发送自|發送自|发送|傳送|传送|來自|来自|寄自|傳自|传自|寄件|送信|から送|보냄|보낸|보내|에서 보|ส่งจาก"
_VIA = r"from|via|with|using|by|on|through"
_DEVICE = (
    r"i\s?phon|ipad|ipod|apple watch|android|blackberry|galaxy|samsung|huawei|honor|xiaomi|redmi|oneplus|oppo|pixel|nexus|nokia|lumia|htc|\blg\b|sony|xperia|motorola|\bmoto\b|palm|treo"
    r"|windows (?:mail|phone|live|\d)|\bwindows\b|outlook|yahoo|gmail|(?:application|app) mail|mail app|proton|mailbox|airmail|sparrow|\bspark\b|thunderbird|k-9|aquamail|bluemail|typeapp|newton|gmx|web\.de|mail\.ru|hotmail|zoho|superhuman|hey\.com|postbox"
    r"|mobile?\b|mobil|smart\s?phone|\bphones?\b|tablet|handheld|\bcell\b|cell\s?phone|wireless|handy|téléphone|portable|móvil|celular|telemóvel|cellulare|telefon|puheli[nm]|telefoon|älypuhel|matkapuhel|mobiel|mobilgerät|laite"
    r"|телефон|смартфон|планшет|айфон|андроид|мобил|κινητό|手机|手機|携帯|スマートフォン|アイフォン|휴대|스마트폰|điện thoại|ponsel|โทรศัพท์|הנייד|הסלולר|الهاتف|هاتفي|جوال"
)
_POLITE = re.compile(
    r"[\s,.;:!–—-]{1,4}(?:so |and )?(?:please |kindly )?(?:excuse|pardon|forgive|apolog|sorry|ignore|bitte|entschuldig|désolé|veuillez|merci d|disculp|perdon|scus|excus|apologies|my apologies|typos|brevity).*$",
    re.IGNORECASE,
)
_SENT_LINE = re.compile(rf"(?:{_SENT})(?![^\W_])|(?:{_SENT_UNSPACED})", re.IGNORECASE)
_SENT_AT_END = re.compile(rf"(?:(?<![^\W_])(?:{_SENT})|(?:{_SENT_UNSPACED}))[^\w]*$", re.IGNORECASE)
_FROM_DEVICE = re.compile(
    rf"(?:\w+ )?(?:{_VIA})\b(?: my| a| an| the)?\b.{{0,24}}?(?:{_DEVICE})", re.IGNORECASE
)
_DEVICE_ANYWHERE = re.compile(_DEVICE, re.IGNORECASE)
_SENT_FROM_MY = re.compile(r"(?:sent|written|typed|composed) (?:from|via|with|using|by|on) ", re.IGNORECASE)
_SENT_FROM_DEVICE = re.compile(
    rf"sent (?:from|via) (?:my |a |an )?(?:[^\s,]{{1,16}} ){{0,2}}(?:{_DEVICE})[^,;]*$", re.IGNORECASE
)
_THIS_MESSAGE = re.compile(
    r"(?:this|diese|dieses|ce|cet|este|esta|questo|questa|dit|deze|detta|det här|denne|dette|tämä|ta|tato|это|этот|це|bu|ez az?|acest) (?:e-?mail|mail|email|message|nachricht|courriel|correo|mensaje|mensagem"
    r"|messaggio|bericht|meddelande|besked|melding|viesti|wiadomość|zpráva|сообщение|письмо|лист|повідомлення|ileti|üzenet|mesaj)",
    re.IGNORECASE,
)
_MESSAGE_SENT = re.compile(
    r"(?:message|mail|e-mail|email|nachricht|mensaje|mensagem|messaggio|bericht|meddelande) ", re.IGNORECASE
)
_GET_OUTLOOK = re.compile(
    r"(?:get|download|obtenir|obtenez|télécharger|téléchargez|holen|laden|obtener|obtén|descargar|descarga|obter|obtenha|baixar|scarica|ottieni|scaricare|downloaden?|hämta|hent|få|lataa|hanki|pobierz|získat|stáhnout"
    r"|получить|скачать|отримати|завантажити|edinin|indirin|letöltés|obțineți|descărcați|λήψη|获取|下载|取得|下載|入手|다운로드|tải|dapatkan|outlook)\b.{0,30}(?:\bwindows\b|outlook|yahoo|gmail|(?:application|app) mail|mail app|mail|bluemail)"
    r".{0,40}(?:ios|android|mobile|iphone|windows)",
    re.IGNORECASE,
)
_OUTLOOK_FOR = re.compile(
    r"outlook (?:for|für|pour|para|per|voor|för|til|till|dla|для|pro|for) (?:ios|android|mac|windows)|(?:ios|android) (?:用|版)",
    re.IGNORECASE,
)
_NOTICE = re.compile(
    r"(?:virus-free\.|(?:virenfrei|sans virus|libre de virus|livre de vírus|virus-free)\b.{0,12}www|this (?:e-?mail|message) (?:has been|was) (?:checked|scanned)|no virus found in this"
    r"|diese e-mail wurde von .{2,30} auf viren|you (?:received|are receiving|got) this (?:message|e-?mail|notification)? ?because you|to unsubscribe from this (?:group|list)"
    r"|reply to this e-?mail directly or view|to respond, reply to this|visit (?:topic|message|the topic)\b.{0,90}reply to this|mit freundlicher unterstützung von gmx)",
    re.IGNORECASE,
)
_URL = re.compile(r"[<(\[]*(?:https?://|www\.|mailto:)[^\s>)\]]*[>)\]]*")
_WRAP = re.compile(r"^[\s*_~<>(\[{«\"'“|·•-]+|[\s*_~>)\]}»\"'”|·•.!。]+$")
_WORDS_MAX = 8


@dataclass(frozen=True, slots=True)
class Lined:
    """The lines of a text as they are, and their letters, one for each."""

    lines: tuple[str, ...]
    letters: str


def classify_lines(lines: Sequence[str]) -> Lined:
    """A letter for each line; see the top of this file. Linear in the number of lines."""
    clean = [_clean(line) for line in lines]
    letters = [_letter(line) for line in clean]
    in_code = _fenced(clean)
    for number in in_code:
        letters[number] = "t"
    _mark_intros(clean, letters, in_code)
    _mark_header_blocks(clean, letters)
    _mark_wrapped_quotes(clean, letters)
    return Lined(tuple(lines), "".join(letters))


def _clean(line: str) -> str:
    """What rules look at: no marks without width, plain spaces, not longer than a rule needs."""
    line = line[:_SEARCHED_CHARS]
    if not line.isascii():
        line = _ODD_SPACE.sub(" ", _INVISIBLE.sub("", line))
    elif "\t" in line or "\x00" in line:
        line = line.replace("\x00", "").replace("\t", " ")
    if "&" in line:
        line = line.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&nbsp;", " ")
    return line.rstrip()


def _letter(line: str) -> str:
    """The letter a line has by itself; intros and blocks of headers need their neighbours."""
    if not line:
        return "e"
    if _BAR_QUOTE.match(line) or (_QUOTE.match(line) and not closes_address(line)):
        return "q"
    if _DELIMITER.match(line) or _SPACED_RULE.match(line):
        return "d"
    if len(line) <= 200 and says_a_mail_begins(line):
        return "h"
    if len(line) <= 260 and _is_added(line):
        return "s"
    return "t"


def _fenced(clean: Sequence[str]) -> set[int]:
    """The lines between (and of) ``` fences that are closed: code, whatever it looks like."""
    inside: set[int] = set()
    opened: int | None = None
    for number, line in enumerate(clean):
        if _FENCE.match(line):
            if opened is None:
                opened = number
            else:
                inside.update(range(opened, number + 1))
                opened = None
    return inside


def says_a_mail_begins(line: str) -> bool:
    """Whether the line announces a mail: "-----Original Message-----", "Please reply above this line"."""
    text = line.strip()
    if text[0] in "-_=*" and text[-1] in "-_=*:" and (_FORWARD_LINE.match(text) or _NOTES_LINE.match(text)):
        return True
    if (
        text[-1] in ":："
        and len(text) <= 80
        and len(text.split()) <= 9
        and _FORWARDED.search(text)
        and _MESSAGE.search(text)
    ):
        return True
    return len(text) <= 140 and (bool(_ABOVE_THIS_LINE.search(text)) or bool(_FORWARD_PLAIN.match(text)))


def _is_added(line: str) -> bool:
    """Whether a program added the line: what it was sent with, or a notice."""
    line = _WRAP.sub("", line.strip())
    if _NOTICE.match(line):
        return True
    if "http" in line or "www." in line or "mailto:" in line:
        line = _URL.sub(" ", line)
    bare = _WRAP.sub("", _POLITE.sub("", line).replace("[", " ").replace("]", " "))
    words = bare.split()
    if not words or len(bare) > 110:
        return False
    if _GET_OUTLOOK.match(bare) or (len(words) <= 7 and _OUTLOOK_FOR.search(bare)):
        return True
    has_device = _DEVICE_ANYWHERE.search(bare) is not None
    sent_first = _SENT_LINE.match(bare) is not None
    if sent_first and len(words) <= _WORDS_MAX and (has_device or _SENT_FROM_MY.match(bare)):
        return True
    if len(words) <= 14 and _SENT_FROM_DEVICE.match(bare):
        return True
    if not has_device or len(words) > 14:
        return False
    if len(words) <= 7 and _FROM_DEVICE.match(bare):
        return True
    sent_last = _SENT_AT_END.search(bare) is not None
    if _THIS_MESSAGE.match(bare) or _MESSAGE_SENT.match(bare):
        return _SENT_LINE.search(bare) is not None
    return (
        sent_last
        and len(words) <= _WORDS_MAX
        and not re.match(
            r"(?:ich|i|wir|we|je|yo|eu|jag|jeg|er|sie|he|she|the|der|die|das|was|has)\b", bare, re.IGNORECASE
        )
    )


def _mark_intros(clean: Sequence[str], letters: list[str], in_code: set[int]) -> None:
    visible = ["c" if number in in_code else letter for number, letter in enumerate(letters)]
    for first, last in [*find_intros(clean, visible), *_quoted_intro(clean, visible)]:
        for number in range(first, last + 1):
            letters[number] = "b"


def _quoted_intro(clean: Sequence[str], letters: Sequence[str]) -> list[tuple[int, int]]:
    """The intro above a quote that begins the mail, where the program put it into the quote."""
    first = next((number for number, letter in enumerate(letters) if letter != "e"), 0)
    if "".join(letters[first : first + 1]) != "q":
        return []
    quoted = [line.lstrip(" >") for line in clean[first : first + _QUOTED_INTRO_LINES]]
    found = find_intros(quoted, ["t" if line else "e" for line in quoted])
    return [
        (first, first + last)
        for start, last in found
        if start == 0 and set(letters[first : first + last + 1]) == {"q"}
    ]


def _mark_wrapped_quotes(clean: Sequence[str], letters: list[str]) -> None:
    """The rest of a quoted line that was too long and was broken without a new mark is quote as well."""
    for number in range(1, len(clean) - 1):
        if letters[number - 1 : number + 2] != ["q", "t", "q"]:
            continue
        before, line = clean[number - 1], clean[number]
        if len(line) <= 40 and len(before) + len(line.split(maxsplit=1)[0]) >= 70:
            letters[number] = "q"


def _mark_header_blocks(clean: Sequence[str], letters: list[str]) -> None:
    kinds = [
        _header_kind(line) if letter in "tsb" else None for line, letter in zip(clean, letters, strict=True)
    ]
    number = 0
    tried = 0
    while number < len(clean) and tried < _BLOCKS_MAX:
        if letters[number] == "t" and (
            kinds[number] in {"from", "sent", "date", "to", "subject"} or _may_be_flat(clean[number])
        ):
            tried += 1
            end, is_block = _block(clean, letters, kinds, number)
            if is_block:
                letters[number : end + 1] = "h" * (end + 1 - number)
            number = end
        number += 1


def _may_be_flat(line: str) -> bool:
    return line.count(":") + line.count("：") >= 3


def _header_kind(line: str) -> str | None:
    match = _HEADER.match(line)
    if match is None:
        return None
    name = match[1].strip().lower()
    kind = _KIND_OF_NAME.get(name)
    return "sent" if kind == "date" and name not in _PLAIN_DATES else kind


def _block(
    clean: Sequence[str], letters: Sequence[str], kinds: Sequence[str | None], first: int
) -> tuple[int, bool]:
    """Where the lines like headers that begin at `first` end, and whether they are the headers of a mail."""
    if _is_flat_block(clean[first]):
        return first, True
    if kinds[first] in {None, "other"}:
        return first, False
    seen: set[str] = set()
    end = first
    strays = 0
    for number in range(first, min(first + _BLOCK_LINES_MAX, len(clean))):
        kind = kinds[number]
        if kind is not None:
            seen.add(kind)
            end, strays = number, 0
        elif letters[number] not in "te" or strays == _STRAY_LINES_MAX:
            break
        elif letters[number] == "t":
            strays += 1
    return end, _is_evidence(clean, letters, seen, first, end)


_NAMED_ADDRESS = re.compile(r"\w[\w.\"' ]{0,80}[<\[](?:mailto:)?[^\s<>@]{1,80}@[^\s<>@]{1,120}[>\]]")


def _is_evidence(clean: Sequence[str], letters: Sequence[str], seen: set[str], first: int, end: int) -> bool:
    """Whether these kinds of header make a mail.

    "From" and "Sent" do, or three kinds; one does with a name and its address ("From: Ann <…>"), two do below a
    delimiter, or where an address stands with them. "From: Paris, to: London, date: 5 May" is no mail: it has no
    subject and no address.
    """
    if {"from", "sent"} <= seen:
        return True
    kinds = {"date" if kind == "sent" else kind for kind in seen} - {"other"}
    if not kinds & {"from", "subject"} or kinds == {"subject"}:
        return False
    block = "\n".join(clean[first : end + 1])
    if len(kinds) >= 3:
        return "subject" in kinds or "@" in block or _is_below_rule(letters, first)
    if len(kinds) == 1:
        return _NAMED_ADDRESS.search(block) is not None
    return _is_below_rule(letters, first) or ("from" in kinds and "@" in block and end - first <= 4)


def _is_below_rule(letters: Sequence[str], number: int) -> bool:
    above = number - 1
    while above >= 0 and letters[above] == "e":
        above -= 1
    return above >= 0 and letters[above] in "dh"


def _is_flat_block(line: str) -> bool:
    """A whole block in one line, as programs write it that flatten HTML: "From: … Sent: … To: … Subject: …"."""
    if not _may_be_flat(line):
        return False
    kinds = [_KIND_OF_NAME.get(name.strip().lower()) for name in _FLAT_HEADER.findall(line)]
    return (
        bool(kinds)
        and kinds[0] in {"from", "date"}
        and len({kind for kind in kinds if kind not in (None, "other")}) >= 3
    )
