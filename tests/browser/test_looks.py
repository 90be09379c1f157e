"""How the pages look: light and dark, wide and narrow, empty and full; and what must be so however they look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from a1zap.chats.model import NewMessage
from a1zap.chats.turn_store import append_message
from a1zap.kit.ids import new_id

pytestmark = pytest.mark.browser

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

# Contrast of WCAG 2.2 between the colours that a text and what lies behind it are computed to.
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (colour) => {
    const [r, g, b] = rgb(colour).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "white";
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const says = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!says || !element.checkVisibility({ visibilityProperty: true }) || element.closest(":disabled, .unseen, .skip")) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) poor.push(`${element.tagName}.${element.className} ${contrast.toFixed(2)}: ${element.textContent.slice(0, 40)}`);
  }
  return poor;
}"""
# Everything that one can press and find: it has a name, and room for a finger.
NAMELESS = """() => [...document.querySelectorAll("button, a[href], input, textarea")]
  .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest(".skip, [inert]"))
  .filter((e) => !(e.getAttribute("aria-label") || e.innerText || e.labels?.length) || e.getBoundingClientRect().height < 16)
  .map((e) => e.outerHTML.slice(0, 100))"""


async def look(person: Any, name: str, folder: Path) -> None:
    """Take a picture in each look, and check what must hold in all of them."""
    papers = set()
    for scheme in ("light", "dark"):
        for size in (WIDE, NARROW):
            await person.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await person.page.set_viewport_size(size)
            picture = folder / f"{name}-{scheme}-{size['width']}.png"
            await person.page.screenshot(path=picture)
            assert picture.stat().st_size > 5_000, picture
            assert await person.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), picture
            assert await person.page.evaluate(CONTRASTS) == [], picture
            assert await person.page.evaluate(NAMELESS) == [], picture
        papers.add(await person.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2, "dark is to look different from light"


async def test_the_demo_page_in_every_look_empty_and_full(demo, visit, tmp_path):
    person = await visit(demo)
    await person.go()
    await expect(person.page.locator(".card")).to_have_count(2)
    await look(person, "choose", tmp_path)
    await expect(person.page.get_by_role("heading", name="Who would you like to talk to?")).to_be_in_viewport(
        ratio=1
    )
    await person.page.set_viewport_size(WIDE)
    await person.go("/demo#harbor/new")
    await expect(person.page.locator("#teach h2")).to_be_visible()
    await look(person, "empty", tmp_path)
    await person.write("What does a double kayak cost for half a day?")
    await expect(person.answers).to_have_count(1)
    await person.write("سؤال: من هو ملك فرنسا؟ " + "W" + "o" * 300 + "rd 👨‍👩‍👧")
    await expect(person.answers).to_have_count(2)
    await look(person, "full", tmp_path)
    await person.page.locator("#open-side").click()
    await expect(person.page.locator("#close-side")).to_be_focused()
    assert await person.page.evaluate("document.getElementById('main').inert")
    await look(person, "side", tmp_path)


async def test_the_theme_that_was_chosen_stays_chosen(demo, visit):
    person = await visit(demo, color_scheme="light")
    await person.go()
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await person.page.evaluate(paper)
    await person.page.get_by_role("button", name="Dark").click()
    dark = await person.page.evaluate(paper)
    assert dark != light
    await person.page.reload()
    await expect(person.page.get_by_role("button", name="Light")).to_be_visible()
    assert await person.page.evaluate(paper) == dark


async def test_a_long_chat_opens_at_its_end_and_shows_what_was_earlier_on_demand(demo, visit):
    person = await visit(demo)
    await person.go("/demo#harbor/new")
    await person.write("hello")
    await expect(person.answers).to_have_count(1)
    await _fill(demo, 70)
    await person.page.reload()
    await expect(person.answers.last).to_contain_text("Note 69")
    await expect(person.answers.last).to_be_in_viewport()
    await expect(person.page.locator(".message")).to_have_count(50)
    await person.page.locator("#scroll").evaluate("e => e.scrollTop = 0")
    first = person.answers.first
    before = await first.bounding_box()
    await person.page.get_by_role("button", name="Show earlier messages").click()
    await expect(person.page.locator(".message")).to_have_count(72)
    await expect(person.page.get_by_role("button", name="Show earlier messages")).to_be_hidden()
    was_first = person.answers.filter(has_text="Note 20.")
    after = await was_first.bounding_box()
    assert before and after and abs(after["y"] - before["y"]) < 80, "what is being read stays where it is"
    await person.page.get_by_role("button", name="Newest message").click()
    await expect(person.answers.last).to_be_in_viewport()


async def _fill(demo: Any, count: int) -> None:
    """Messages as a person on the owner's side might have written them over a month."""
    (chat,) = await demo.as_admin("SELECT owner_id, id FROM chats")
    began = datetime.now(UTC) - timedelta(days=30)
    async with demo.house.db.owned(chat["owner_id"]) as tx:
        sealer = await demo.house.keyring.sealer(tx)
        for n in range(count):
            at = began + timedelta(hours=n)
            message = NewMessage(
                id=new_id(),
                direction="outbound",
                sender_kind="owner",
                sender_id=None,
                agent_id=None,
                content=f"Note {n}. " + "And some more of it. " * (n % 7),
                status="delivered",
                said_at=at,
            )
            await append_message(tx, sealer, chat["id"], message, at)
