"""What an agent without a model says in its own words, by language. `{name}` is the agent, `{topics}` a list of titles.

Everything else it says stands in its articles.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language. `about` follows greeting, who and help where there are topics, `nothing` where there are none."""

    source: str
    maybe: str
    unknown: str
    greeting: str
    about: str
    nothing: str
    thanks: str
    bye: str
    ok: str
    how: str
    who: str
    help: str


PHRASES: dict[str, Phrases] = {
    "en": Phrases(
        source="Source: {title}",
        maybe="I am not sure that I understand. Is it about one of these?\n{topics}\n\n"
        "You can ask me about it in other words. Or shall I pass your question on to a person?",
        unknown="I do not know that: I find nothing about it in my articles. Shall I pass your question on to a person?",
        greeting="Hello! I am {name}.",
        about="You can ask me about:\n{topics}",
        nothing="I have no articles to answer from yet, but I can pass a question on to a person.",
        thanks="You are welcome! If you have another question, {name} is here.",
        bye="Goodbye! {name} is here whenever you have another question.",
        ok="All right. If there is anything else you would like to know, just ask me.",
        how="Thank you for asking! I am {name}, an automated assistant, so I am always well.",
        who="I am {name}, an automated assistant and not a human being. I answer from my articles, and what I do not "
        "find there I can pass on to a person.",
        help="I am {name}. I answer from my articles, and what I do not find there I can pass on to a person.",
    ),
    "de": Phrases(
        source="Quelle: {title}",
        maybe="Ich bin nicht sicher, ob ich das richtig verstehe. Geht es um eines davon?\n{topics}\n\n"
        "Fragen Sie gern noch einmal mit anderen Worten. Oder soll ich Ihre Frage an einen Menschen weitergeben?",
        unknown="Das weiß ich nicht: In meinen Artikeln finde ich nichts darüber. Soll ich Ihre Frage an einen Menschen "
        "weitergeben?",
        greeting="Hallo! Ich bin {name}.",
        about="Sie können mich fragen nach:\n{topics}",
        nothing="Ich habe noch keine Artikel, aus denen ich antworten könnte, kann aber eine Frage an einen Menschen "
        "weitergeben.",
        thanks="Gern geschehen! Wenn Sie noch eine Frage haben, ist {name} für Sie da.",
        bye="Auf Wiedersehen! {name} ist da, wenn Sie wieder eine Frage haben.",
        ok="In Ordnung. Wenn Sie noch etwas wissen möchten, fragen Sie mich einfach.",
        how="Danke der Nachfrage! Ich bin {name}, ein automatischer Assistent, mir geht es also immer gut.",
        who="Ich bin {name}, ein automatischer Assistent und kein Mensch. Ich antworte aus meinen Artikeln; was dort nicht "
        "steht, kann ich an einen Menschen weitergeben.",
        help="Ich bin {name}. Ich antworte aus meinen Artikeln; was dort nicht steht, kann ich an einen Menschen "
        "weitergeben.",
    ),
    "fr": Phrases(
        source="Source : {title}",
        maybe="Je ne suis pas sûr de bien comprendre. S'agit-il de l'un de ces sujets ?\n{topics}\n\n"
        "Vous pouvez reformuler votre question. Ou dois-je la transmettre à une personne ?",
        unknown="Je ne le sais pas : mes articles n'en parlent pas. Dois-je transmettre votre question à une personne ?",
        greeting="Bonjour ! Je suis {name}.",
        about="Vous pouvez m'interroger sur :\n{topics}",
        nothing="Je n'ai pas encore d'articles pour répondre, mais je peux transmettre une question à une personne.",
        thanks="Avec plaisir ! Si vous avez une autre question, {name} est là.",
        bye="Au revoir ! {name} est là dès que vous avez une autre question.",
        ok="Très bien. Si vous voulez savoir autre chose, demandez-moi.",
        how="Merci de demander ! Je suis {name}, un assistant automatique, alors je vais toujours bien.",
        who="Je suis {name}, un assistant automatique et non un être humain. Je réponds à partir de mes articles ; ce que "
        "je n'y trouve pas, je peux le transmettre à une personne.",
        help="Je suis {name}. Je réponds à partir de mes articles ; ce que je n'y trouve pas, je peux le transmettre à "
        "une personne.",
    ),
    "es": Phrases(
        source="Fuente: {title}",
        maybe="No estoy seguro de haber entendido. ¿Se trata de uno de estos temas?\n{topics}\n\n"
        "Puede preguntármelo con otras palabras. ¿O prefiere que pase su pregunta a una persona?",
        unknown="No lo sé: en mis artículos no encuentro nada sobre eso. ¿Quiere que pase su pregunta a una persona?",
        greeting="¡Hola! Soy {name}.",
        about="Puede preguntarme sobre:\n{topics}",
        nothing="Todavía no tengo artículos con los que responder, pero puedo pasar una pregunta a una persona.",
        thanks="¡De nada! Si tiene otra pregunta, {name} está aquí.",
        bye="¡Hasta pronto! {name} está aquí cuando tenga otra pregunta.",
        ok="De acuerdo. Si quiere saber algo más, pregúnteme.",
        how="¡Gracias por preguntar! Soy {name}, un asistente automático, así que siempre estoy bien.",
        who="Soy {name}, un asistente automático y no un ser humano. Respondo a partir de mis artículos; lo que no "
        "encuentro en ellos puedo pasarlo a una persona.",
        help="Soy {name}. Respondo a partir de mis artículos; lo que no encuentro en ellos puedo pasarlo a una persona.",
    ),
    "pt": Phrases(
        source="Fonte: {title}",
        maybe="Não tenho a certeza de ter entendido. Trata-se de um destes temas?\n{topics}\n\n"
        "Pode perguntar com outras palavras. Ou quer que eu passe a sua pergunta a uma pessoa?",
        unknown="Isso não sei: não encontro nada sobre o assunto nos meus artigos. Quer que eu passe a sua pergunta a uma "
        "pessoa?",
        greeting="Olá! Sou {name}.",
        about="Pode perguntar-me sobre:\n{topics}",
        nothing="Ainda não tenho artigos para responder, mas posso passar uma pergunta a uma pessoa.",
        thanks="De nada! Se tiver outra pergunta, {name} está aqui.",
        bye="Até logo! {name} está aqui quando tiver outra pergunta.",
        ok="Está bem. Se quiser saber mais alguma coisa, é só perguntar.",
        how="Obrigado por perguntar! Sou {name}, um assistente automático, por isso estou sempre bem.",
        who="Sou {name}, um assistente automático e não um ser humano. Respondo a partir dos meus artigos; o que não "
        "encontro neles posso passar a uma pessoa.",
        help="Sou {name}. Respondo a partir dos meus artigos; o que não encontro neles posso passar a uma pessoa.",
    ),
    "it": Phrases(
        source="Fonte: {title}",
        maybe="Non sono sicuro di aver capito. Si tratta di uno di questi argomenti?\n{topics}\n\n"
        "Può chiedermelo con altre parole. Oppure devo inoltrare la Sua domanda a una persona?",
        unknown="Questo non lo so: nei miei articoli non trovo nulla al riguardo. Devo inoltrare la Sua domanda a una "
        "persona?",
        greeting="Salve! Sono {name}.",
        about="Può chiedermi di:\n{topics}",
        nothing="Non ho ancora articoli da cui rispondere, ma posso inoltrare una domanda a una persona.",
        thanks="Prego! Se ha un'altra domanda, {name} è qui.",
        bye="Arrivederci! {name} è qui quando avrà un'altra domanda.",
        ok="Va bene. Se vuole sapere altro, chieda pure.",
        how="Grazie di averlo chiesto! Sono {name}, un assistente automatico, quindi sto sempre bene.",
        who="Sono {name}, un assistente automatico e non un essere umano. Rispondo in base ai miei articoli; ciò che non "
        "vi trovo posso inoltrarlo a una persona.",
        help="Sono {name}. Rispondo in base ai miei articoli; ciò che non vi trovo posso inoltrarlo a una persona.",
    ),
    "nl": Phrases(
        source="Bron: {title}",
        maybe="Ik weet niet zeker of ik het goed begrijp. Gaat het over een van deze onderwerpen?\n{topics}\n\n"
        "U kunt het met andere woorden vragen. Of zal ik uw vraag aan een mens doorgeven?",
        unknown="Dat weet ik niet: ik vind er niets over in mijn artikelen. Zal ik uw vraag aan een mens doorgeven?",
        greeting="Hallo! Ik ben {name}.",
        about="U kunt mij vragen naar:\n{topics}",
        nothing="Ik heb nog geen artikelen om uit te antwoorden, maar ik kan een vraag aan een mens doorgeven.",
        thanks="Graag gedaan! Als u nog een vraag hebt, is {name} er voor u.",
        bye="Tot ziens! {name} is er als u weer een vraag hebt.",
        ok="Goed. Als u nog iets wilt weten, vraag het gerust.",
        how="Bedankt voor het vragen! Ik ben {name}, een automatische assistent, dus het gaat altijd goed met mij.",
        who="Ik ben {name}, een automatische assistent en geen mens. Ik antwoord uit mijn artikelen; wat daar niet in "
        "staat, kan ik aan een mens doorgeven.",
        help="Ik ben {name}. Ik antwoord uit mijn artikelen; wat daar niet in staat, kan ik aan een mens doorgeven.",
    ),
    "ar": Phrases(
        source="المصدر: {title}",
        maybe="لست متأكدًا من أنني فهمت سؤالك. هل يتعلق بأحد هذه المواضيع؟\n{topics}\n\n"
        "يمكنك طرح السؤال بكلمات أخرى، أو هل أحيل سؤالك إلى شخص؟",
        unknown="لا أعرف ذلك، فلم أجد شيئًا عنه في مقالاتي. هل أحيل سؤالك إلى شخص؟",
        greeting="مرحبًا! أنا {name}.",
        about="يمكنك أن تسألني عن:\n{topics}",
        nothing="ليست لدي مقالات أجيب منها بعد، لكن يمكنني إحالة سؤالك إلى شخص.",
        thanks="على الرحب والسعة! إذا كان لديك سؤال آخر فإن {name} هنا.",
        bye="إلى اللقاء! {name} هنا متى كان لديك سؤال آخر.",
        ok="حسنًا. إذا أردت معرفة شيء آخر فاسألني.",
        how="شكرًا على سؤالك! أنا {name}، مساعد آلي، لذلك أنا دائمًا بخير.",
        who="أنا {name}، مساعد آلي ولست إنسانًا. أجيب من مقالاتي، وما لا أجده فيها يمكنني إحالته إلى شخص.",
        help="أنا {name}. أجيب من مقالاتي، وما لا أجده فيها يمكنني إحالته إلى شخص.",
    ),
    "hi": Phrases(
        source="स्रोत: {title}",
        maybe="मुझे यकीन नहीं है कि मैंने सही समझा। क्या यह इनमें से किसी के बारे में है?\n{topics}\n\n"
        "आप दूसरे शब्दों में पूछ सकते हैं। या क्या मैं आपका प्रश्न किसी व्यक्ति तक पहुँचा दूँ?",
        unknown="यह मुझे नहीं पता: मेरे लेखों में इसके बारे में कुछ नहीं है। क्या मैं आपका प्रश्न किसी व्यक्ति तक पहुँचा दूँ?",
        greeting="नमस्ते! मैं {name} हूँ।",
        about="आप मुझसे इनके बारे में पूछ सकते हैं:\n{topics}",
        nothing="मेरे पास अभी उत्तर देने के लिए लेख नहीं हैं, पर मैं प्रश्न किसी व्यक्ति तक पहुँचा सकता हूँ।",
        thanks="आपका स्वागत है! कोई और प्रश्न हो तो {name} यहाँ है।",
        bye="नमस्ते! जब भी कोई और प्रश्न हो, {name} यहाँ है।",
        ok="ठीक है। कुछ और जानना हो तो मुझसे पूछिए।",
        how="पूछने के लिए धन्यवाद! मैं {name} हूँ, एक स्वचालित सहायक, इसलिए हमेशा ठीक रहता हूँ।",
        who="मैं {name} हूँ, एक स्वचालित सहायक, कोई इंसान नहीं। मैं अपने लेखों से उत्तर देता हूँ; जो उनमें नहीं है, उसे किसी व्यक्ति तक पहुँचा सकता हूँ।",
        help="मैं {name} हूँ। मैं अपने लेखों से उत्तर देता हूँ; जो उनमें नहीं है, उसे किसी व्यक्ति तक पहुँचा सकता हूँ।",
    ),
    "zh": Phrases(
        source="来源：{title}",
        maybe="我不确定是否理解了您的问题。是关于以下哪一项吗？\n{topics}\n\n您可以换一种说法再问，或者需要我把问题转给工作人员吗？",
        unknown="这个我不知道，我的文章里没有相关内容。需要我把您的问题转给工作人员吗？",
        greeting="您好！我是{name}。",
        about="您可以问我：\n{topics}",
        nothing="我还没有可以用来回答的文章，但可以把问题转给工作人员。",
        thanks="不客气！如果还有其他问题，{name}随时都在。",
        bye="再见！您有问题时，{name}随时都在。",
        ok="好的。如果还想了解什么，请随时问我。",
        how="谢谢关心！我是{name}，是自动助手，所以一直都很好。",
        who="我是{name}，是自动助手，不是真人。我根据自己的文章回答；文章里没有的，可以转给工作人员。",
        help="我是{name}。我根据自己的文章回答；文章里没有的，可以转给工作人员。",
    ),
    "ja": Phrases(
        source="出典：{title}",
        maybe="ご質問を正しく理解できたか自信がありません。次のどれかについてでしょうか。\n{topics}\n\n"
        "別の言い方で聞いていただくか、担当者におつなぎすることもできます。おつなぎしましょうか。",
        unknown="申し訳ありませんが、わかりません。私の記事には記載がありません。ご質問を担当者に伝えましょうか。",
        greeting="こんにちは！{name}です。",
        about="次のことについてお答えできます。\n{topics}",
        nothing="まだお答えに使える記事がありませんが、ご質問を担当者に伝えることはできます。",
        thanks="どういたしまして。ほかにもご質問があれば、{name}がお答えします。",
        bye="さようなら。ご質問があれば、{name}はいつでもこちらにいます。",
        ok="承知しました。ほかに知りたいことがあればお尋ねください。",
        how="お気遣いありがとうございます。{name}は自動応答アシスタントですので、いつも元気です。",
        who="私は{name}、人間ではなく自動応答アシスタントです。記事をもとにお答えし、記事にないことは担当者に伝えることができます。",
        help="{name}です。記事をもとにお答えし、記事にないことは担当者に伝えることができます。",
    ),
}
