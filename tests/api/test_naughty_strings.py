"""Text that breaks things: stored and given back unharmed, or refused by name; never a 500, never somebody else's."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import orjson
import pytest
from tests.api.talk import ModelOnStrings, client, new_agent, whole_stream
from tests.conftest import MakeHouse, TestHouse

from a1zap.api.build import describe_api

NAUGHTY = (
    "undefined",
    "null",
    "NaN",
    "-1E02",
    "0x0",
    "١٢٣",
    "½⅓",
    ",./;'[]\\-=<>?:\"{}|_+!@#$%^&*()`~",
    "\t\v\f\x85\u200b\u200c\u200d\u2060\ufeff a",
    "Ω≈ç√∫˜µ≤≥÷åß∂ƒ©˙∆˚¬…æœ∑´®†¥¨ˆøπ“‘",
    "田中さんにあげて下さい",
    "和製漢語 部落格 사회과학원 찦차를 타고 온 펲시맨과",
    "ﾟ･✿ヾ╲(｡◕‿◕｡)╱✿･ﾟ",
    "😍 👩🏽 👾 🙇 💁 🙅 🙆 🙋 🙎 🙍 👨‍👩‍👦 🇺🇸🇷🇺🇸 1️⃣",
    "בְּרֵאשִׁית, בָּרָא אֱלֹהִים",
    "مُنَاقَشَةُ سُبُلِ اِسْتِخْدَامِ اللُّغَةِ",
    "\u202etest\u202c \u2066test\u2069",
    "Ṱ̺̺̕o͞ ̷i̲̬͇̪͙n̝̗͕v̟̜̘̦͟o̶̙̰̠kè͚̮̺̪̹̱̤ ̖t̝͕̳̣̻̪͞h̼͓̲̦̳̘̲e͇̣̰̦̬͎ ̢̼̻̱̘h͚͎͙̜̣̲ͅi̦̲̣̰̤v̻͍e̺̭̳̪̰-m̢iͅn̖̺̞̲̯̰d̵̼̟͙̩̼̘̳",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "1; DROP TABLE messages--",
    "' OR 1=1 -- ",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}} {% raw %} %s %d %n $HOME `id` $(id)",
    "../../../../etc/passwd\\..\\..",
    "%00 %0d%0a \\u0000 \\x00",
    "\r\nSet-Cookie: a=b\r\n\r\n",
    "data: fake\nevent: turn.completed\nid: 9\n\n",
    "a\u2028b\u2029c",
    "\U0010ffff\ufffe\uffff",
    "a" * 10_000,
    "𝕋𝕙𝕖 𝓺𝓾𝓲𝓬𝓴 ꜰᴏx",
    "power لُلُصّبُلُلصّبُررً ॣ ॣh ॣ ॣ 冗",
    "If you're reading this, you've been in a coma",
)


@pytest.fixture
async def talking(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True, work=True, **ModelOnStrings().wiring())


async def test_naughty_strings_are_stored_and_shown_unharmed(talking: TestHouse):
    async with client(talking, await talking.owner()) as http:
        agent_id = await new_agent(http)
        first = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": NAUGHTY[0]})).json()
        chat_id = first["chat_id"]
        for text in NAUGHTY[1:]:
            said = await http.post(
                f"/api/agents/{agent_id}/chat",
                json={
                    "message": text,
                    "chat_id": chat_id,
                    "conversation_user": {"id": text[:200], "name": text[:200]},
                },
            )
            assert said.status_code == 200, (text, said.text)
            assert said.json()["userMessage"]["content"] == text
        stored = (await http.get(f"/api/chats/{chat_id}/messages?limit=100")).json()
    assert [m["content"] for m in reversed(stored) if m["direction"] == "inbound"] == list(NAUGHTY)


async def test_a_model_may_say_naughty_things_and_the_stream_holds(make_house: MakeHouse):
    model = ModelOnStrings(NAUGHTY)
    house = await make_house(serve=True, work=True, **model.wiring())
    async with client(house, await house.owner()) as http:
        agent_id = await new_agent(http)
        events = await whole_stream(http, agent_id, {"message": "hi"})
    assert [e.kind for e in events if e.kind != "token"] == [
        "message.accepted",
        "typing",
        "message.created",
        "turn.completed",
    ]
    assert events[-2].data["content"] == "".join(NAUGHTY)


async def test_nul_and_half_characters_become_the_replacement_character(talking: TestHouse):
    async with client(talking, await talking.owner()) as http:
        agent_id = await new_agent(http)
        raw = rb'{"message": "a\u0000b \ud83d \udc4d \ud83d\udc4d \\u0000"}'
        headers = {"content-type": "application/json"}
        said = await http.post(f"/api/agents/{agent_id}/chat", content=raw, headers=headers)
        named = await http.post("/api/agents", content=rb'{"name": "A\u0000da"}', headers=headers)
    assert said.json()["userMessage"]["content"] == "a\ufffdb \ufffd \ufffd 👍 \\u0000"
    assert named.status_code == 201 and named.json()["name"] == "A\ufffdda"


async def test_naughty_strings_in_every_place_of_an_agent(talking: TestHouse):
    async with client(talking, await talking.owner()) as http:
        for text in NAUGHTY:
            name, long_text = text[:100], text[:2_000]
            made = await http.post(
                "/api/agents", json={"name": name, "description": long_text, "system_prompt": text}
            )
            assert made.status_code == 201, (text, made.text)
            agent = (await http.get(f"/api/agents/{made.json()['id']}")).json()
            assert (agent["name"], agent["description"], agent["system_prompt"]) == (name, long_text, text)


async def test_naughty_strings_in_addresses_and_headers_are_404_or_422_and_never_500(talking: TestHouse):
    async with client(talking, await talking.owner()) as http:
        agent_id = await new_agent(http)
        for text in NAUGHTY:
            piece = httpx_quote(text[:300])
            for path in (
                f"/api/agents/{piece}",
                f"/api/chats/{piece}/messages",
                f"/api/turns/{piece}",
                f"/api/agents/{agent_id}/knowledge/{piece}",
                f"/api/agents?cursor={piece}",
                f"/api/agents?limit={piece}",
                f"/api/agents/{agent_id}/conversations?cursor={piece}",
                f"/sign-in/{piece}",
                f"/demo/{piece}",
                f"/assets/{piece}",
            ):
                answer = await http.get(path)
                assert answer.status_code in (200, 404, 422), (path, answer.status_code)


def httpx_quote(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63 - 1,
    2**64 - 1,
    -(2**63),
    0.1,
    1e308,
    "",
    " ",
    "\x00",
    "x" * 70_000,
    "😀",
    [],
    [[[[]]]],
    {},
    {"a": {"b": {"c": None}}},
    ["x"] * 1_000,
    {str(n): n for n in range(500)},
)


async def test_seeded_nonsense_in_every_body_is_refused_and_never_500(talking: TestHouse):
    """Every operation's example with some of it replaced by nonsense: a clear no, or a yes; never a crash."""
    dice = random.Random(20261123)
    bodies = [
        (m.upper(), p, o["requestBody"]["content"]["application/json"]["example"])
        for p, ms in describe_api()["paths"].items()
        for m, o in ms.items()
        if "application/json" in o.get("requestBody", {}).get("content", {})
        and not p.startswith(("/api/webhooks", "/api/auth"))
    ]
    async with client(talking, await talking.owner()) as http:
        agent_id = await new_agent(http)
        chat_id = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()["chat_id"]
        ids = defaultdict(lambda: agent_id, agent_id=agent_id, chat_id=chat_id)
        for method, path, example in bodies:
            for _ in range(40):
                body = _nonsense(example, dice)
                answer = await http.request(
                    method,
                    path.format_map(ids),
                    content=orjson.dumps(body),
                    headers={"content-type": "application/json", "prefer": "wait=0"},
                )
                assert answer.status_code < 500, (method, path, str(body)[:300])
                if answer.status_code >= 400:
                    problem = answer.json()
                    assert {"type", "title", "status", "detail"} <= set(problem)
                    assert len(answer.content) < 10_000


def _nonsense(example: Any, dice: random.Random) -> Any:
    if not isinstance(example, dict) or dice.random() < 0.05:
        return dice.choice(VALUES)
    body = {**example}
    for _ in range(dice.randint(1, 3)):
        body[dice.choice([*body, "surprise"])] = dice.choice(VALUES)
    if dice.random() < 0.3:
        body.pop(dice.choice(list(body)))
    return body
