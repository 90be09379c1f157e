"""The line breaks, the server goes away, says "not now" or "no": nothing that a person wrote is lost or said twice."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import expect
from tests.browser.line import Line
from tests.fakes.model_providers import KEY, ModelProviders, Reply

pytestmark = pytest.mark.browser

NETWORK_TROUBLE = ("net::ERR_",)


async def seqs(demo: Any) -> list[int]:
    """The places of all inbound messages in their chat: with one chat, as many as were said."""
    rows = await demo.as_admin("SELECT seq FROM messages WHERE direction = 'inbound' ORDER BY seq")
    return [row["seq"] for row in rows]


async def test_what_is_written_offline_goes_out_once_and_in_order_when_the_network_is_back(demo, visit):
    person = await visit(demo)
    person.expected.extend(NETWORK_TROUBLE)
    await person.go("/demo#harbor/new")
    await person.write("hello")
    await expect(person.answers).to_have_count(1)

    await person.context.set_offline(True)
    for text in ("first", "second", "third"):
        await person.write(text)
    await expect(person.page.locator(".message.own.waiting, .message.own.sending")).to_have_count(3)
    await expect(person.page.get_by_text("You are offline")).to_be_visible()
    assert await seqs(demo) == [1]

    await person.context.set_offline(False)
    await person.until_sent(4)
    await expect(person.page.locator("#notice")).to_be_hidden()
    await expect(person.own).to_have_text(["hello", "first", "second", "third"])
    assert len(await seqs(demo)) == 4
    assert await person.page.evaluate("Object.keys(localStorage).filter(k => k.includes('outbox'))") == []


async def test_a_message_whose_acceptance_got_lost_is_sent_again_and_stored_once(demo, visit):
    person = await visit(demo)
    person.expected.extend(NETWORK_TROUBLE)
    lost: list[str] = []

    async def lose_the_answer(route: Any) -> None:
        if len(lost) < 2:
            lost.append(route.request.headers["idempotency-key"])
            await demo_has_it(route)
            await route.abort()
        else:
            await route.continue_()

    async def demo_has_it(route: Any) -> None:
        """Hand the message to the server by ourselves, and keep what it says."""
        headers = {**await route.request.all_headers(), "accept": "application/json", "prefer": "wait=0"}
        answer = await person.context.request.post(
            route.request.url, headers=headers, data=route.request.post_data
        )
        assert answer.ok, await answer.text()

    await person.page.route(re.compile(r"/chat\?"), lose_the_answer)
    await person.go("/demo#byte/new")
    await person.write("What does the Family plan cost?")
    await expect(person.answers).to_contain_text("€4.90")
    assert len(lost) == 2
    assert len(set(lost)) == 1, "a repeat carries the same key"
    assert await seqs(demo) == [1]
    await expect(person.own).to_have_count(1)


async def test_a_message_written_while_the_server_was_away_outlives_a_reload(demo, visit):
    person = await visit(demo)
    person.expected.extend(NETWORK_TROUBLE)
    await person.page.route("**/api/agents/*/chat*", lambda route: route.abort())
    await person.go("/demo#harbor/new")
    await person.write("hello")
    await expect(person.page.get_by_text("The server does not answer")).to_be_visible()
    await person.page.reload()
    await expect(person.own).to_have_text("hello")
    await expect(person.page.get_by_role("button", name="Try now")).to_be_visible()
    assert await seqs(demo) == []
    await person.page.unroute("**/api/agents/*/chat*")
    await expect(person.answers).to_have_count(1)
    await expect(person.page.locator("#notice")).to_be_hidden()
    assert await seqs(demo) == [1]


async def test_an_answer_goes_on_where_the_line_broke(make_demo, visit):
    words = [f"word{n} " for n in range(60)]
    async with ModelProviders() as models:
        models.always(Reply(*words, each_after_s=0.05))
        demo = await make_demo(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=models.base_url_openai)
        async with Line(demo.url) as line:
            person = await visit(demo, url=line.url)
            person.expected.extend(NETWORK_TROUBLE)
            await person.go("/demo#harbor/new")
            await person.write("Tell me a story")
            await expect(person.page.locator(".message.writing .text")).to_contain_text("word5")
            await line.cut()
            await person.write("Are you still there?")
            await line.mend()
            await expect(person.answers.first.locator(".text")).to_have_text("".join(words).strip())
            await person.until_sent(2)
        places = [r.headers["last-event-id"] for r in person.requests if "last-event-id" in r.headers]
        assert any(re.fullmatch(r"\d+-[0-9a-f]{32}-\d+-[0-9a-f]{8}", place) for place in places), places
        assert len(await seqs(demo)) == 2


async def test_a_person_who_writes_too_fast_is_told_for_how_long_and_everything_goes_out(demo, visit):
    person = await visit(demo)
    person.expected.append("429")
    not_now = {"title": "Over the limit", "status": 429, "detail": "too many tries: again in 2 s"}
    await person.page.route(
        re.compile(r"/chat\?"),
        lambda route: route.fulfill(status=429, headers={"retry-after": "2"}, json=not_now),
        times=1,
    )
    await person.go("/demo#harbor/new")
    await person.write("first")
    await person.write("second")
    await expect(person.page.locator("#notice")).to_have_text(
        re.compile(r"Too many messages at once. The next one goes out in [12] s.")
    )
    await person.until_sent(2)
    await expect(person.own).to_have_text(["first", "second"])
    await expect(person.page.locator("#notice")).to_be_hidden()
    assert len(await seqs(demo)) == 2


async def test_a_refused_message_says_why_and_can_be_tried_again_or_removed(demo, visit):
    person = await visit(demo)
    person.expected.append("422")
    refusal = {"title": "Invalid", "status": 422, "detail": "the moon is in the wrong house"}
    await person.page.route(re.compile(r"/chat\?"), lambda route: route.fulfill(status=422, json=refusal))
    await person.go("/demo#harbor/new")
    await person.write("hello")
    failed = person.page.locator(".message.own.failed")
    await expect(failed).to_contain_text("Not sent: the moon is in the wrong house")
    await person.page.unroute(re.compile(r"/chat\?"))
    await person.page.get_by_role("button", name="Try again").click()
    await expect(person.answers).to_have_count(1)
    await expect(failed).to_have_count(0)


async def test_a_paused_agent_a_long_message_and_an_absent_server_are_explained(demo, visit):
    person = await visit(demo)
    person.expected.extend(NETWORK_TROUBLE)
    await person.page.route("**/api/public-agents", lambda route: route.abort())
    await person.go("/demo#harbor/new")
    await expect(person.page.get_by_text("This page tries again by itself")).to_be_visible()
    await person.page.unroute("**/api/public-agents")
    await expect(person.page.locator("#title")).to_have_text("Harbor")
    await person.page.locator("#composer").fill("é" * 8_001)
    await expect(person.page.locator("#hint")).to_have_text("Too long by 2 bytes: one message holds 16,000.")
    await expect(person.page.locator("#send")).to_be_disabled()
    await demo.as_admin("UPDATE a1_agents SET status = 'paused' WHERE handle = 'harbor'")
    await person.write("é" * 8_000)
    await expect(person.page.locator(".held")).to_contain_text("Harbor is paused. Your message is stored")
    assert await seqs(demo) == [1]
