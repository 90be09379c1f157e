"""Greetings, thanks and the like: what is said without anything being asked."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from a1zap.knowledge.sentences import split_sentences
from a1zap.knowledge.words import guess_language

Kind = Literal["who", "help", "how", "bye", "thanks", "greeting", "ok"]


@dataclass(frozen=True, slots=True)
class SmallTalk:
    """What a message amounts to; of several things the one that wants an answer most."""

    kind: Kind
    language: str


CHARS_MAX = 160
# In the order of what wants an answer most; phrases by commas, without accents and marks, as `_plain` leaves a message.
_SAID: dict[Kind, dict[str, str]] = {
    "who": {
        "en": """who are you, what are you, whats your name, what is your name, are you a bot, are you a robot, are you human,
            are you a human, are you a real person, are you real, is this a bot, are you an ai, am i talking to a bot,
            am i talking to a human, am i talking to a real person, are you a person, are you chatgpt, is anybody there,
            is anyone there, anyone there, who is this, who am i talking to""",
        "de": """wer bist du, wer sind sie, wie heisst du, wie heissen sie, bist du ein bot, sind sie ein bot, bist du ein mensch,
            sind sie ein mensch, bist du echt, ist da jemand, bist du ein roboter, bist du eine ki""",
        "fr": """qui es tu, qui etes vous, comment tu t appelles, comment vous appelez vous, es tu un robot, etes vous un robot,
            es tu humain, etes vous humain, il y a quelqu un""",
        "es": """quien eres, quien es usted, como te llamas, como se llama, eres un bot, eres un robot, eres humano,
            eres una persona, hay alguien""",
        "pt": "quem es tu, quem e voce, como te chamas, como se chama, voce e um robo, es um robo, voce e humano, tem alguem ai",
        "it": "chi sei, chi e lei, come ti chiami, sei un bot, sei un robot, sei umano, sei una persona, c e qualcuno",
        "nl": "wie ben je, wie ben jij, wie bent u, hoe heet je, ben je een bot, ben je een robot, ben je een mens, is daar iemand",
        "ar": "من انت, من أنت, ما اسمك, هل أنت إنسان, هل انت انسان, هل أنت روبوت, هل انت روبوت",
        "hi": "आप कौन हैं, तुम कौन हो, आपका नाम क्या है, क्या आप इंसान हैं, क्या आप रोबोट हैं",
        "zh": "你是谁, 您是谁, 你叫什么, 你叫什么名字, 你是机器人吗, 你是人吗, 你是真人吗, 有人吗",
        "ja": "あなたは誰ですか, あなたは誰, 誰ですか, お名前は, あなたは人間ですか, 人間ですか, ロボットですか, 誰かいますか",
    },
    "help": {
        "en": """help, help me, i need help, can you help me, could you help me, can you help, i have a question, question, quick question,
            can i ask you something, can i ask a question, may i ask something, what can you do, what can i ask you,
            what can i ask, what do you know, how can you help me, how can you help, what do you do, how does this work,
            menu, start, options, get started, test, testing""",
        "de": """hilfe, hilf mir, ich brauche hilfe, kannst du mir helfen, konnen sie mir helfen, ich habe eine frage, eine frage,
            was kannst du, was konnen sie, was weisst du, kann ich etwas fragen, kann ich was fragen, wie funktioniert das""",
        "fr": """aide, aidez moi, j ai besoin d aide, pouvez vous m aider, tu peux m aider, j ai une question, une question,
            que peux tu faire, que pouvez vous faire, que sais tu""",
        "es": """ayuda, necesito ayuda, me puedes ayudar, puedes ayudarme, me puede ayudar, puede ayudarme, tengo una pregunta,
            una pregunta, que puedes hacer, que sabes""",
        "pt": "ajuda, preciso de ajuda, pode me ajudar, podes ajudar me, pode ajudar me, tenho uma pergunta, uma pergunta, o que voce faz",
        "it": "aiuto, ho bisogno di aiuto, mi puoi aiutare, puoi aiutarmi, mi puo aiutare, ho una domanda, una domanda, cosa sai fare",
        "nl": "help me, ik heb hulp nodig, kun je me helpen, kunt u mij helpen, ik heb een vraag, een vraag, wat kun je",
        "ar": "مساعدة, ساعدني, أحتاج مساعدة, احتاج مساعدة, لدي سؤال, عندي سؤال, ماذا يمكنك أن تفعل, هل يمكنك مساعدتي",
        "hi": "मदद, मेरी मदद करें, मुझे मदद चाहिए, एक सवाल है, मेरा एक सवाल है, आप क्या कर सकते हैं, क्या आप मेरी मदद कर सकते हैं",
        "zh": "帮助, 帮帮我, 帮我, 我需要帮助, 我有一个问题, 我有个问题, 请问, 你会什么, 你能做什么, 你可以做什么",
        "ja": "助けて, ヘルプ, 質問があります, 質問です, 聞きたいことがあります, 何ができますか, 何ができるの",
    },
    "how": {
        "en": """how are you, how are you doing, how are you today, how are you doing today, hows it going, how is it going, whats up,
            what s up, sup, how do you do, hope you are well, i hope you are well, hope youre well, i hope youre well,
            i hope you are doing well, hope you are doing well""",
        "de": "wie geht es dir, wie geht es ihnen, wie gehts, wie geht s, wie gehts dir, alles gut, alles klar bei dir, na",
        "fr": "ca va, comment ca va, comment vas tu, comment allez vous, vous allez bien, tu vas bien",
        "es": "como estas, como esta, como esta usted, que tal, como te va, como va",
        "pt": "tudo bem, como vai, como estas, como esta, como voce esta, tudo bom",
        "it": "come stai, come sta, come va, tutto bene",
        "nl": "hoe gaat het, hoe gaat het met je, hoe gaat het met u, alles goed",
        "ar": "كيف حالك, كيف الحال, كيفك, شلونك",
        "hi": "आप कैसे हैं, कैसे हैं, कैसे हो, क्या हाल है",
        "zh": "你好吗, 您好吗, 最近怎么样",
        "ja": "元気ですか, お元気ですか, 元気, 調子はどう",
    },
    "bye": {
        "en": """bye, bye bye, byebye, goodbye, good bye, see you, see you later, see ya, cya, cu, take care, have a nice day,
            have a good day, have a great day, have a nice weekend, have a good evening, good night, that is all, thats all,
            talk to you later, ttyl, until next time""",
        "de": """tschuss, tschuess, auf wiedersehen, bis bald, bis dann, bis spater, schonen tag, schonen tag noch, schonen abend,
            gute nacht, machs gut, ade, das war s, das wars, bis morgen""",
        "fr": "au revoir, a bientot, bonne journee, bonne soiree, bonne nuit, a plus, a plus tard, salut a bientot, a demain, c est tout",
        "es": "adios, hasta luego, hasta pronto, chao, chau, nos vemos, buen dia, que tenga un buen dia, hasta manana, eso es todo",
        "pt": "tchau, adeus, ate logo, ate breve, ate mais, ate amanha, tenha um bom dia, e so isso",
        "it": "arrivederci, a presto, addio, buona giornata, buona serata, buona notte, buonanotte, ci vediamo, a domani, e tutto",
        "nl": "doei, tot ziens, tot straks, tot later, fijne dag, fijne avond, goede nacht, welterusten, dat was het",
        "ar": "مع السلامة, إلى اللقاء, الى اللقاء, وداعا, تصبح على خير, باي",
        "hi": "अलविदा, फिर मिलेंगे, शुभ रात्रि, बाय",
        "zh": "再见, 拜拜, 晚安, 回头见",
        "ja": "さようなら, さよなら, バイバイ, おやすみ, おやすみなさい, またね, では また, 失礼します",
    },
    "thanks": {
        "en": """thanks, thank you, thank u, thankyou, thx, tnx, ty, tysm, cheers, many thanks, thanks a lot, thanks a million,
            thank you so much, thank you very much, thanks so much, thanks very much, much appreciated, i appreciate it,
            appreciate it, thanks for your help, thank you for your help, thanks for the help, thanks for the info,
            thank you for the information, thanks anyway, thats helpful, that is helpful, thats very helpful, that is very helpful, that was very helpful, that helps, that helped, very helpful,
            youre the best, you are great, great help, that was helpful, thank you kindly""",
        "de": """danke, dankeschon, danke schon, vielen dank, danke dir, danke ihnen, besten dank, herzlichen dank, danke sehr, merci dir,
            danke fur die hilfe, danke fur ihre hilfe, danke fur deine hilfe, danke fur die info, tausend dank, lieben dank""",
        "fr": "merci, merci beaucoup, mille mercis, merci bien, je vous remercie, merci a vous, merci pour votre aide, merci pour ton aide",
        "es": "gracias, muchas gracias, mil gracias, gracias por su ayuda, gracias por tu ayuda, te lo agradezco, muy amable",
        "pt": "obrigado, obrigada, muito obrigado, muito obrigada, brigado, brigada, valeu, obrigado pela ajuda, obrigada pela ajuda",
        "it": "grazie, grazie mille, molte grazie, tante grazie, grazie tante, ti ringrazio, la ringrazio, grazie per l aiuto",
        "nl": "bedankt, dank je, dank u, dankjewel, dankuwel, dank je wel, dank u wel, hartelijk dank, bedankt voor je hulp",
        "ar": "شكرا, شكرا جزيلا, شكرا لك, شكرا لكم, أشكرك, مشكور, شكرا كثيرا",
        "hi": "धन्यवाद, शुक्रिया, बहुत धन्यवाद, बहुत बहुत धन्यवाद, बहुत शुक्रिया, थैंक यू",
        "zh": "谢谢, 谢谢你, 谢谢您, 多谢, 非常感谢, 感谢, 太感谢了",
        "ja": "ありがとう, ありがとうございます, ありがとうございました, どうもありがとう, どうもありがとうございます, どうも, 感謝します, サンキュー",
    },
    "greeting": {
        "en": """hi, hello, hey, hiya, heya, howdy, yo, hi there, hello there, hey there, good morning, good afternoon, good evening,
            good day, morning, evening, greetings, hullo, helo, hallo, gday, dear sir or madam, nice to meet you, welcome""",
        "de": """hallo, guten tag, guten morgen, guten abend, moin, moin moin, servus, gruss gott, hallihallo, gruezi, hey du, hallo zusammen,
            guten tag zusammen, sehr geehrte damen und herren, tag, mahlzeit""",
        "fr": "bonjour, bonsoir, salut, coucou, bonjour a tous, allo",
        "es": "hola, buenos dias, buenas tardes, buenas noches, buenas, muy buenas, que hay",
        "pt": "ola, oi, bom dia, boa tarde, boa noite, e ai, alo",
        "it": "ciao, buongiorno, buonasera, salve, buon giorno, buona sera, pronto",
        "nl": "hoi, goedemorgen, goedemiddag, goedenavond, goedendag, hallo daar, dag",
        "ar": "مرحبا, السلام عليكم, سلام, أهلا, اهلا, أهلا وسهلا, صباح الخير, مساء الخير, هاي, هلا",
        "hi": "नमस्ते, नमस्कार, हैलो, हेलो, हाय, सुप्रभात, प्रणाम",
        "zh": "你好, 您好, 嗨, 哈喽, 早上好, 下午好, 晚上好, 大家好, 早",
        "ja": "こんにちは, こんばんは, おはよう, おはようございます, もしもし, やあ, はじめまして, ハロー, お世話になっております",
    },
    "ok": {
        "en": """ok, okay, okey, k, kk, alright, all right, got it, i see, i understand, understood, fine, great, perfect, cool, nice,
            awesome, good, very good, sounds good, sure, yes, yep, yeah, yup, no, nope, nah, no thanks, no thank you, not now,
            never mind, nevermind, nvm, right, wonderful, excellent, super, lovely, amazing, wow, haha, hahaha, lol, hm, hmm,
            aha, ah, oh, ah ok, oh ok, no worries, no problem, that is fine, thats fine, yes please, please,
            makes sense, interesting, sorry, my bad, oops, well""",
        "de": """alles klar, gut, verstanden, verstehe, ja, nein, nein danke, prima, super, toll, klasse, genau, in ordnung, passt, ach so,
            achso, sehr gut, schon, ja bitte, bitte, jo, nee, egal, entschuldigung, na gut""",
        "fr": "d accord, bien, tres bien, parfait, oui, non, non merci, entendu, compris, super, genial, oui s il vous plait, pardon",
        "es": "vale, de acuerdo, bien, muy bien, perfecto, entendido, si, no gracias, claro, genial, si por favor, por favor, listo, perdon",
        "pt": "esta bem, ta bom, tudo certo, certo, perfeito, entendi, sim, nao, nao obrigado, nao obrigada, otimo, sim por favor, beleza",
        "it": "va bene, bene, benissimo, perfetto, capito, ho capito, si, no grazie, certo, si grazie, ottimo, d accordo",
        "nl": "oke, prima, goed, begrepen, duidelijk, ja, nee, nee bedankt, nee dank je, top, mooi, ja graag, is goed",
        "ar": "حسنا, تمام, طيب, نعم, لا, لا شكرا, مفهوم, جيد, ممتاز, أوكي, اوكي, نعم من فضلك",
        "hi": "ठीक है, ठीक, अच्छा, हाँ, हां, जी, जी हाँ, नहीं, समझ गया, समझ गई, बढ़िया, ओके",
        "zh": "好的, 好, 是, 是的, 不, 不用了, 不用, 明白, 明白了, 知道了, 可以, 行, 嗯, 没问题, 不客气",
        "ja": "はい, いいえ, わかりました, 分かりました, 了解, 了解です, 大丈夫です, オーケー, なるほど, いいですね, うん, 結構です, お願いします",
    },
}  # fmt: skip
_FILLERS = """there, you, so much, very much, a lot, again, everyone, everybody, all, team, guys, sir, madam, mate, friend, my friend, bot,
    dear, then, and, but, for now, now, today, really, just, i, im, good, for your time, in advance, im good, im fine, und, auch,
    dann, noch, dir, ihnen, et, alors, y, e, en, also, zusammen, sehr, schon, mal, please, bitte, 啊, 呀, 了, 吧, ね, よ, です"""  # fmt: skip


def _plain(text: str) -> str:
    """Lower case, no accents on Latin letters, no marks and pictures, "hiiii" as "hi", one space between words."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("’", "")
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFD", text) if not "\u0300" <= c <= "\u036f")
        text = unicodedata.normalize("NFC", text)
    return _RUN.sub(r"\1", _NOT_WORDS.sub(" ", text)).strip()


_RUN = re.compile(r"([a-z])\1{2,}")
_NOT_WORDS = re.compile(r"(?:[^\w\u0900-\u0963]|[_\u064b-\u0652])+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


def _phrases(said: str) -> list[str]:
    return [_plain(phrase) for phrase in said.split(",")]


# Of a phrase that several kinds or languages share, the first counts.
_MEANING: dict[str, SmallTalk] = {
    phrase: SmallTalk(kind, language)
    for kind, languages in reversed(_SAID.items())
    for language, said in reversed(languages.items())
    for phrase in _phrases(said)
}
_FILLER = frozenset(_phrases(_FILLERS))
# "Hi, I'm Anna": who writes is nothing to look up.
_INTRODUCED = re.compile(
    r"\b(?:[Mm]y name is|[Mm]y name's|I am|I['’]m|[Ii]ch bin|[Ii]ch heiße|[Jj]e suis|[Jj]e m['’]appelle|[Ss]oy|[Mm]e llamo"
    r"|[Ss]ono|[Mm]i chiamo|[Ii]k ben)\s+[A-Z]\w+(?:\s[A-Z]\w+)?\s*[.!]?\s*$"
)
_PHRASE_CHARS_MAX = max(map(len, _MEANING))


def read_smalltalk(message: str, *, agent_name: str = "") -> SmallTalk | None:
    """What a message says if it asks nothing; None where there is more in it. The agent's name may stand anywhere."""
    if len(message) > CHARS_MAX or not message.strip():
        return None
    whole = _plain(message)
    text = _plain(_INTRODUCED.sub("", message))
    for word in _plain(agent_name).split():
        text = re.sub(rf"\b{re.escape(word)}\b\s*", "", text).strip()
    if not text:
        # Only marks and pictures: a "?" wants help, a thumb says yes. Nothing but our name calls us.
        return SmallTalk("help" if "?" in message else "greeting" if whole else "ok", "en")
    found: list[SmallTalk] = []
    while text:
        phrase = _first_phrase(text)
        if phrase is None:
            return None
        found += [_MEANING[phrase]] if phrase in _MEANING else []
        text = text[len(phrase) :].lstrip()
    return _weightiest(found, guess_language(message)) if found else None


def _first_phrase(text: str) -> str | None:
    """The longest phrase that `text` begins with, to the end of a word."""
    for length in range(min(_PHRASE_CHARS_MAX, len(text)), 0, -1):
        phrase = text[:length]
        # Where words are written without spaces, phrases may touch.
        ends = (
            length == len(text)
            or text[length] == " "
            or _UNSPACED.match(text, length)
            or _UNSPACED.match(phrase[-1])
        )
        if ends and (phrase in _MEANING or phrase in _FILLER):
            return phrase
    return None


def _weightiest(found: list[SmallTalk], guessed: str) -> SmallTalk:
    best = next(said for kind in _SAID for said in found if said.kind == kind)
    languages = [said.language for said in found]
    # "ok" and "hallo" belong to many: the language of the rest decides.
    other = next((language for language in languages if language != "en"), "en")
    return SmallTalk(best.kind, guessed if guessed in languages and guessed != "en" else other)


def question_of(message: str, *, agent_name: str = "") -> str:
    """The message without the sentences and opening words that are only small talk; "" where nothing is left.

    "Hi there! Hope you are well. What does a kayak cost? Thanks!" asks what a kayak costs.
    """
    kept: list[str] = []
    for line in message.splitlines():
        for sentence in split_sentences(line):
            # A long sentence is looked at up to its first comma: "Hello Harbor, what ..."
            head, comma, rest = sentence.partition(",")
            if read_smalltalk(sentence, agent_name=agent_name) is None:
                opens = comma and rest.strip() and read_smalltalk(head, agent_name=agent_name) is not None
                kept.append(rest.strip() if opens else sentence)
    return _OPENING.sub("", " ".join(kept))


_OPENING = re.compile(
    r"^(?:hi|hello|hey|hallo|hola|bonjour|ciao|olá|oi|good (?:morning|afternoon|evening))(?: there)?[\s,!.–-]+(?=\w)",
    re.IGNORECASE,
)
