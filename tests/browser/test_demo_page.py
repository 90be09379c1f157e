"""Whoever comes to the demo page: they write, see typing, see the answer grow, reload and find the chat."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import expect
from tests.fakes.model_providers import KEY, ModelProviders, Reply

pytestmark = pytest.mark.browser

# Records what is to be seen of an answer while it is being written, one entry a change.
WATCH_WRITING = """() => {
  window.seen = [];
  new MutationObserver(() => {
    const text = document.querySelector(".message.writing .text");
    if (text && window.seen.at(-1) !== text.innerText) window.seen.push(text.innerText);
  }).observe(document.getElementById("log"), { childList: true, subtree: true, characterData: true });
}"""


def bare(text: str) -> str:
    """A text without the marks that become lists, tables and bold."""
    return re.sub(r"[*`|#\s-]", "", text)


async def count_of(demo: Any, direction: str) -> int:
    rows = await demo.as_admin("SELECT count(*) FROM messages WHERE direction = $1", direction)
    return rows[0]["count"]


async def test_a_person_writes_sees_typing_sees_the_answer_grow_reloads_and_finds_the_chat(make_demo, visit):
    demo = await make_demo(is_quick=False)
    person = await visit(demo, reduced_motion="no-preference")
    await person.go()
    await person.page.get_by_role("link", name="Harbor").first.click()
    await person.page.evaluate(WATCH_WRITING)
    await person.write("What does a double kayak cost for half a day?")
    await expect(person.own).to_have_text("What does a double kayak cost for half a day?")
    await expect(person.answers).to_have_count(1)
    answer = await person.answers.locator(".text").inner_text()
    assert "€45" in answer
    await expect(person.answers.locator(".sources li")).to_have_text("Boats and prices")

    seen = await person.page.evaluate("window.seen")
    assert seen[0] == "", "the agent was to be seen typing before it said anything"
    grown = [text for text in seen if text and len(text) < len(answer)]
    assert grown, f"the answer was to be seen growing, not {seen}"
    assert all(later.startswith(earlier[:-1]) for earlier, later in pairwise(grown))

    await expect(person.page).to_have_url(re.compile(r"/demo#harbor/[0-9a-f-]{36}$"))
    await person.page.reload()
    await expect(person.own).to_have_text("What does a double kayak cost for half a day?")
    assert await person.answers.locator(".text").inner_text() == answer
    await expect(person.page.locator(".side .chats .name")).to_have_text(
        "What does a double kayak cost for half a day?"
    )


async def test_half_an_answer_stands_on_the_page_while_the_model_is_still_writing(make_demo, visit):
    async with ModelProviders() as models:
        models.always(Reply("Boats ", "are ", "rented ", "by ", "the ", "**hour**.", each_after_s=0.15))
        demo = await make_demo(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=models.base_url_openai)
        person = await visit(demo)
        await person.go("/demo#harbor/new")
        await person.write("How are boats rented?")
        writing = person.page.locator(".message.writing .text")
        await expect(writing).to_have_text(re.compile(r"^Boats are\b"))
        assert await count_of(demo, "outbound") == 0, "the answer is not to be there yet"
        await expect(person.answers.locator(".text")).to_have_text("Boats are rented by the hour.")
        await expect(person.answers.locator("strong")).to_have_text("hour")
        assert await count_of(demo, "outbound") == 1


async def test_each_agent_has_its_own_chats_and_each_browser_its_own_visitor(demo, visit):
    person = await visit(demo)
    await person.go("/demo#harbor/new")
    await person.write("Do I need a licence to sail the keelboat?")
    await expect(person.answers).to_have_count(1)
    await person.page.get_by_role("link", name="Byte").click()
    await expect(person.page.locator("#teach h2")).to_have_text("Ask Byte something")
    await person.page.get_by_role("button", name="I forgot my main password").click()
    await expect(person.answers).to_contain_text("reset your main password")
    await person.page.get_by_role("link", name="Harbor").click()
    await expect(person.own).to_have_text("Do I need a licence to sail the keelboat?")
    address = person.page.url

    stranger = await visit(demo)
    stranger.expected.append("404")
    await stranger.page.goto(address)
    await expect(stranger.page.locator("#notice")).to_contain_text("not yours")
    await expect(stranger.own).to_have_count(0)


async def test_an_unknown_question_gets_an_honest_answer_and_a_yes_passes_it_on(demo, visit):
    person = await visit(demo)
    await person.go("/demo#byte/new")
    await person.write("What is the capital of France?")
    await expect(person.answers.last).to_contain_text("I do not know")
    await person.page.get_by_role("button", name="Yes, pass it on").click()
    await expect(person.answers.last).to_contain_text("passed your message on to a person")
    await expect(person.page.get_by_role("button", name="Yes, pass it on")).to_have_count(0)
    await expect(person.page.locator(".note")).to_have_text("A person has been asked to look at this chat.")
    assert [r["status"] for r in await demo.as_admin("SELECT status FROM chats")] == ["escalated"]
    assert len(await demo.as_admin("SELECT 1 FROM escalations")) == 1


async def test_enter_sends_shift_enter_does_not_and_everything_can_be_done_with_keys(demo, visit):
    person = await visit(demo, viewport={"width": 390, "height": 844})
    keys = person.page.keyboard
    await person.go("/demo")
    await expect(person.page.locator(".card")).to_have_count(2)
    await keys.press("Tab")
    await expect(person.page.locator("#skip")).to_be_focused()
    await keys.press("Tab")
    await expect(person.page.locator("#open-side")).to_be_focused()
    await keys.press("Enter")
    await expect(person.page.locator("#close-side")).to_be_focused()
    await keys.press("Escape")
    await expect(person.page.locator("#open-side")).to_be_focused()
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(person.page.locator("#title")).to_have_text("Harbor")
    await person.page.locator("#composer").focus()
    await keys.type("one")
    await keys.press("Shift+Enter")
    await keys.type("two")
    await expect(person.own).to_have_count(0)
    await keys.press("Enter")
    await expect(person.own).to_have_text("one\ntwo", use_inner_text=True)
    await expect(person.page.locator("#composer")).to_be_focused()
    await expect(person.answers).to_have_count(1)
    await expect(person.page.locator("#announce")).to_contain_text("Harbor: ")


async def test_what_a_text_holds_neither_runs_nor_fetches_nor_changes(make_demo, visit, naughty_texts):
    evil = "\n\n".join(naughty_texts)
    async with ModelProviders() as models:
        models.always(Reply(*[piece for text in naughty_texts for piece in (text, "\n\n")]))
        demo = await make_demo(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=models.base_url_openai)
        person = await visit(demo)
        await person.go("/demo#harbor/new")
        for _ in range(2):
            await person.write(evil)
            await expect(person.answers.last.locator(".text")).to_contain_text("the end of it")
            await person.page.reload()  # stored and read again it must be as harmless, and the same
            await expect(person.own.last).to_have_text(evil, use_inner_text=False)
        assert await person.own.last.evaluate("e => e.textContent") == evil
        shown = bare(await person.answers.last.evaluate("e => e.textContent"))
        assert [text for text in naughty_texts if bare(text) not in shown] == []
        tags = await person.page.locator("#log .text *").evaluate_all(
            "all => [...new Set(all.map(e => e.tagName))]"
        )
        assert set(tags) <= {
            "P",
            "UL",
            "OL",
            "LI",
            "STRONG",
            "CODE",
            "PRE",
            "H4",
            "DIV",
            "TABLE",
            "THEAD",
            "TBODY",
            "TR",
            "TH",
            "TD",
        }
        assert await person.page.evaluate("window.ran === undefined")
        assert await person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_what_no_page_may_do_is_noticed_when_one_does(demo, visit):
    person = await visit(demo)
    await person.go()
    for crime in (
        "console.error('oh')",
        "alert('hello')",
        "fetch('https://evil.example/').catch(() => {})",
        "void setTimeout(() => { throw new Error('uncaught') })",
        "void Promise.reject(new Error('unhandled'))",
    ):
        person.trouble.clear()
        await person.page.evaluate(crime)
        await person.page.wait_for_timeout(50)
        assert person.trouble, crime
    person.trouble.clear()


@pytest.fixture
def naughty_texts() -> list[str]:
    return [
        "<script>window.ran = 1</script>",
        '<img src=x onerror="window.ran = 1">',
        '<img src="https://evil.example/pixel.png">',
        "![pixel](https://evil.example/pixel.png)",
        "[click](javascript:window.ran=1) https://evil.example/",
        "<svg/onload=alert(1)><iframe src=https://evil.example></iframe>",
        "<style>body{display:none}</style><base href=https://evil.example/>",
        "**bold <b onmouseover=alert(1)>not</b>**",
        "- one <u>item</u>\n- another",
        "| a | b |\n|---|---|\n| <i>1</i> | 2 |",
        "'; DROP TABLE messages; --",
        "${alert(1)} {{constructor.constructor('alert(1)')()}}",
        "مرحبا بالعالم، كم سعر القارب؟ שלום",
        "👨‍👩‍👧‍👦 🏴‍☠️ é ñ ﷽ Z̷̧͖a̸l̴g̶o̵",
        "\ufeffzero\u200bwidth\u202eoverride\u202c",
        "W" + "o" * 700 + "rd",
        "the end of it",
    ]
