"""Words as the search counts them, and the language they are probably in. Plain rules, no dictionary."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

# Function words: they tell the language, and they tell nothing about the topic. A word may stand in several lists.
FUNCTION_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": """a about an and any are as at be been but by can could did do does doing for from get got had has have
            he her here him his how i if in into is it its just like me much many my no not of on or our out please
            she should so some than that the their them then there these they this those to too up us was we were
            what when where which who whom whose why will with would you your am also let may might must shall tell
            want know need wondering wonder there's i'm i've i'd it's what's don't doesn't isn't can't id im ive whats""",
        "de": """aber alle als am an auch auf aus bei bin bis bist da dann das dass dem den der des die dir dich doch du
            ein eine einem einen einer es für gibt haben habe hat hier ich ihr ihre ihren ihm ihn im in ist ja kann
            kannst können könnte man mein meine meinen mich mir mit nach nicht noch nur oder ob sein sich sie sind so
            über um und uns unser unsere vom von vor war was wann warum welche welcher welches wenn wer wie wird wo
            wohin würde zu zum zur bitte möchte muss müssen soll darf viel viele euch eure ihnen werden""",
        "fr": """à ai as au aux avec avez ça ce ces cette c'est comment combien dans de des du elle en est et être
            fait faut il ils j'ai je l'on la le les leur leurs lui ma mais me mes moi mon ne nos notre nous on ou où
            par pas peut peux plus pour pourquoi puis-je qu'est-ce quand que quel quelle quelles quels qui quoi sa se
            ses si son sont sur ta te tes toi ton tu un une vos votre vous y est-ce d'un d'une puis avoir faire""",
        "es": """a al algo como cómo con cuál cuáles cuándo cuánto cuánta cuántos de del desde dónde e el ella en entre
            es esta está están este esto estoy hay hacer la las le les lo los más me mi mis mucho muy no nos o para
            pero por porque puede puedo que qué quién quiero se ser si sí sin sobre son soy su sus también te tengo
            tiene tienen tu un una uno unos y ya yo usted ustedes hola favor""",
        "pt": """a ao aos as até com como da das de do dos e é ela ele em entre essa esse esta está este eu foi há isso
            já lhe mais mas me meu minha muito na não nas no nos nós o onde os ou para pela pelo pode posso por porque
            qual quais quando quanto quanta quantos que quem quero se sem ser seu sua são só também te tem tenho um
            uma você vocês vou olá obrigado obrigada à às""",
        "it": """a ai al alla anche avete che chi ci come con cosa cui da dal dalla dei del della delle di dove e è
            ed gli ha hai hanno ho i il in io la le lei lo loro ma mi mia mio molto ne nel nella no noi non o per
            perché più può posso possibile qual quale quali quando quanto quanta quanti questa questo se sei si sono
            sta su sua suo sul sulla ti tra tu un una uno vi voi vorrei c'è dov'è quant'è""",
        "nl": """aan al als bij ben dan dat de deze die dit door een en er geen had hebben heb hebt heeft het hier hij
            hoe hoeveel ik in is ja je jij jouw jullie kan kun kunnen maar me met mij mijn naar niet nog nu of om
            onze ons ook op over te tot u uit uw van veel voor waar waarom wanneer wat we welke wie wij wil worden
            wordt ze zich zij zijn zo zou graag mag moet moeten alstublieft""",
        "hi": """का की के को में से पर है हैं था थी थे और या कि यह वह ये वे मैं हम आप मेरा मेरी मेरे हमारा आपका आपकी आपके क्या कब
            कहाँ कहां कैसे क्यों कौन कितना कितनी कितने कौनसा नहीं भी तो ही हो होता होती होते कर करना करने करते सकता सकते सकती
            मुझे हमें लिए तक एक इस उस जो""",
        "ar": """في من على إلى الى عن مع هل ما ماذا متى أين اين كيف كم لماذا من أي اي هذا هذه ذلك تلك التي الذي أن ان إن
            لا لم لن و أو او ثم قد كان كانت يكون هو هي هم أنا انا نحن أنت انت لي لك لكم لديكم عندكم يمكن يمكنني""",
    }.items()
}
_LATIN = ("en", "de", "fr", "es", "pt", "it", "nl")

# The vowel signs of Indian scripts are no letters to `re`, and the full stop among them (danda) is none of the word.
_LETTERS = r"(?:[^\W_]|[\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e\u064b-\u0652])+"
_WORD = re.compile(rf"{_LETTERS}(?:['’]{_LETTERS})*")
_SCRIPT = re.compile(
    r"(?P<ja>[\u3040-\u30ff])|(?P<han>[\u3400-\u9fff\uf900-\ufaff])|(?P<ko>[\uac00-\ud7af\u1100-\u11ff])"
    r"|(?P<ar>[\u0600-\u06ff\u0750-\u077f])|(?P<hi>[\u0900-\u097f])|(?P<th>[\u0e00-\u0e7f])"
    r"|(?P<latin>[A-Za-z\u00c0-\u024f])|(?P<other>[^\W\d_])"
)
# Written without spaces between words: counted in pairs of characters.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]+")
# Letters of one language, each worth as much as a function word.
_TELLING = {
    "de": re.compile(r"[äöüß]"),
    "es": re.compile(r"[¿¡ñ]"),
    "pt": re.compile(r"[ãõ]|ção|ções"),
    "fr": re.compile(r"[çœèêëîïûù]|\b[cdjlmnqst]['’]"),
    "it": re.compile(r"[òì]|\b(?:un|dell|nell|all|dall|sull|quest)['’]"),
}
_LANGUAGE_CHARS_MAX = 2_000
# English words (their searchable forms) that people use for each other when they ask; the first stands for all.
_SAME = {
    word: group.split()[0]
    for group in (
        "cost price fee expensiv pric cheap",
        "photo photograph pictur imag",
        "buy purchas",
        "repair fix mend",
        "licenc licens",
        "refund reimburs",
        "send ship deliv delivery",
        "swap exchang",
        "phon telephon mobil",
        "wifi wlan wireless",
        "tv television",
        "kid child children",
        "los loss lost",
        "break brok broke broken",
        "forget forgot forgotten",
        "delet remov eras",
        "start begin",
        "end finish stop",
        "sign log",
        "cancel quit",
        "chang modify",
        "hir rent",
    )
    for word in group.split()
}


def count_words(text: str) -> list[str]:
    """Words of `text` in their searchable form, in order: case and accents folded, endings cut.

    Chinese, Japanese and Thai have no spaces: they come in overlapping pairs of characters.
    """
    return [form for word in _words(text) for form in _forms(word)]


def asked_words(question: str) -> list[str]:
    """The searchable words of a question, each once, without the function words of its language."""
    dull = FUNCTION_WORDS.get(guess_language(question), frozenset())
    return list(dict.fromkeys(form for word in _words(question) if word not in dull for form in _forms(word)))


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return [match.group() for match in _WORD.finditer(folded)]


def _forms(word: str) -> list[str]:
    if not word.isascii() and _UNSPACED.search(word):
        return _pairs(word)
    form = _stem(_without_accents(word.removesuffix("'s")))
    return [_SAME.get(form, form)]


def _pairs(word: str) -> list[str]:
    pairs: list[str] = []
    at = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > at:
            pairs.append(word[at : run.start()])
        text = run.group()
        pairs += [text[i : i + 2] for i in range(len(text) - 1)] or [text]
        at = run.end()
    if at < len(word):
        pairs.append(word[at:])
    return pairs


def _without_accents(word: str) -> str:
    if word.isascii():
        return word
    # Only Latin letters: in Arabic and Devanagari the marks carry the vowels.
    return "".join(
        letter for letter in unicodedata.normalize("NFD", word) if not "\u0300" <= letter <= "\u036f"
    )


def _stem(word: str) -> str:
    """Plurals and verb endings off, so that "cancelling" meets "cancel"; never a word shorter than three letters."""
    if not word.isascii() or not word.isalpha() or len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ations", "ation", "ings", "ing", "ed", "ment", "er"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    # "cancelled" and "cancel", "stopping" and "stop", "price" and "pricing"
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "se":
        word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def guess_language(text: str) -> str:
    """ISO 639-1 code by script, then by function words; "en" where nothing tells, "other" for scripts we do not write.

    A guess for choosing our own phrases, not a finding: two words may be anything.
    """
    text = text[:_LANGUAGE_CHARS_MAX]
    signs = Counter(match.lastgroup or "other" for match in _SCRIPT.finditer(text))
    kana = signs.pop("ja", 0)
    # A sign stands for a whole syllable or word, where a letter does not.
    weights = Counter({"han": 3 * (signs.pop("han", 0) + kana), "ko": 2 * signs.pop("ko", 0)}) + signs
    if not weights:
        return "en"
    script = weights.most_common(1)[0][0]
    if script == "han":
        return "ja" if kana else "zh"
    if script in ("ar", "hi"):
        return script
    return _guess_latin(text.casefold()) if script == "latin" else "other"


def _guess_latin(text: str) -> str:
    words = _words(text)
    points = {language: float(sum(word in FUNCTION_WORDS[language] for word in words)) for language in _LATIN}
    for language, letters in _TELLING.items():
        points[language] += len(letters.findall(text))
    best = max(points.values())
    # Of equals the first: "en" unless another language has more to show for itself.
    return next(language for language in _LATIN if points[language] == best)
