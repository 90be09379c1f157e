"""Files, typing and reading on the chat page: attached, dropped or pasted; seen by the other side; in every look."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw
from playwright.async_api import expect
from tests.api.talk import until
from tests.browser.test_looks import WIDE, look

from a1zap.accounts.model import ALL_SCOPES
from a1zap.accounts.sign_in import add_api_key

pytestmark = pytest.mark.browser

# As the clipboard and a dragged file come: built in the page, because no browser lets a program do it with its own.
CARRY = """([kind, place, name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type }));
  const target = document.querySelector(place);
  if (kind === "paste") return target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true }));
  for (const step of kind === "drop" ? ["dragenter", "dragover", "drop"] : ["dragenter"])
    target.dispatchEvent(new DragEvent(step, { dataTransfer: files, bubbles: true, cancelable: true }));
}"""


def a_photo(width: int = 900, height: int = 600) -> bytes:
    picture = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    drawing = ImageDraw.Draw(picture)
    drawing.rectangle((0, height // 2, width, height), fill=(20, 90, 110))
    drawing.polygon(
        [(width // 3, height // 2), (width // 2, height // 6), (width * 2 // 3, height // 2)], fill="white"
    )
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def a_file(name: str, mime_type: str, content: bytes) -> Any:
    return {"name": name, "mimeType": mime_type, "buffer": content}


async def carry(person: Any, kind: str, place: str, name: str, mime_type: str, content: bytes) -> None:
    spelled = base64.b64encode(content).decode()
    await person.page.evaluate(CARRY, [kind, place, name, mime_type, spelled])


async def as_owner(demo: Any) -> httpx.AsyncClient:
    [owner] = await demo.as_admin("SELECT DISTINCT owner_id FROM a1_agents")
    _, key = await add_api_key(demo.house.db, owner["owner_id"], name="desk", scopes=ALL_SCOPES, actor="test")
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=demo.url, headers=headers, timeout=20, trust_env=False)


async def test_files_are_attached_dropped_and_pasted_shown_with_size_and_sent(demo, visit, tmp_path):
    person = await visit(demo)
    await person.go("/demo#harbor/new")
    await expect(person.page.locator("#attach")).to_be_visible()
    await person.page.locator("#file-field").set_input_files(a_file("harbour.png", "image/png", a_photo()))
    await carry(person, "drag", "#scroll", "x.pdf", "application/pdf", b"%PDF-1.7\nx")
    await expect(person.page.locator("#veil")).to_be_visible()
    await carry(person, "drop", "#scroll", "A very long name of a rental agreement, signed.pdf", "application/pdf", b"%PDF-1.7\n" + bytes(48_000))  # fmt: skip
    await expect(person.page.locator("#veil")).to_be_hidden()
    await carry(person, "paste", "#composer", "notes.txt", "text/plain", b"plain words")
    chips = person.page.locator("#tray .file")
    await expect(chips).to_have_count(3)
    await expect(chips.locator(".meta")).to_have_text([re.compile(r"^\d\.\d KB$"), "47 KB", "11 B"])
    await expect(chips.first.locator("canvas")).to_be_visible()
    await expect(person.page.locator("#send")).to_be_enabled()
    await look(person, "tray", tmp_path)
    await person.page.set_viewport_size(WIDE)
    await chips.nth(2).get_by_role("button", name="Remove notes.txt").click()
    await expect(chips).to_have_count(2)
    await person.write("Is this one of your boats?")
    await expect(person.answers).to_have_count(1)
    sent = person.page.locator(".message.own")
    await expect(sent.locator(".picture img")).to_be_visible()
    assert await sent.locator(".picture img").evaluate("i => i.complete && i.naturalWidth") == 900
    await expect(sent.locator(".file .meta")).to_have_text("47 KB")
    await look(person, "sent", tmp_path)
    await person.page.set_viewport_size(WIDE)
    async with person.page.expect_download() as downloading:
        await sent.locator("a.file").evaluate("a => { a.target = ''; a.click(); }")
    assert (await downloading.value).suggested_filename.endswith("signed.pdf")
    await person.page.reload()
    await expect(sent.locator(".picture img")).to_be_visible()
    await expect(sent.locator(".text")).to_have_text("Is this one of your boats?")


async def test_a_file_alone_is_a_message_and_what_is_refused_says_why(demo, visit):
    person = await visit(demo)
    person.expected.append("422")
    await person.go("/demo#harbor/new")
    await expect(person.page.locator("#attach")).to_be_visible()
    field = person.page.locator("#file-field")
    await field.set_input_files(a_file("broken.png", "image/png", a_photo()[:900]))
    chip = person.page.locator("#tray .file")
    await expect(chip).to_have_class("file failed")
    await expect(person.page.locator("#send")).to_be_disabled()
    assert await chip.locator(".meta").inner_text()
    await chip.get_by_role("button").click()
    await field.set_input_files(a_file("note.txt", "text/plain", b"hello there"))
    await expect(person.page.locator("#send")).to_be_enabled()
    await person.page.locator("#send").click()
    await expect(person.page.locator(".message.own .file .name")).to_have_text("note.txt")
    await expect(person.page.locator(".message.own.waiting, .message.own.sending")).to_have_count(0)


async def test_a_page_whose_owner_takes_no_files_offers_none(demo, visit):
    http = await as_owner(demo)
    async with http:
        [harbor] = [a for a in (await http.get("/api/agents")).json() if a["handle"] == "harbor"]
        channels = (await http.get(f"/api/agents/{harbor['id']}/channels")).json()
        [web] = [c["id"] for c in channels if c["kind"] == "web"]
        body = {"settings": {"accepts_files": "false", "greeting": "Ahoy! Ask me about boats."}}
        changed = await http.patch(f"/api/agents/{harbor['id']}/channels/{web}", json=body)
        assert changed.status_code == 200, changed.text
    person = await visit(demo)
    await person.go("/demo#harbor/new")
    await expect(person.page.locator("#greeting")).to_have_text("Ahoy! Ask me about boats.")
    await expect(person.page.locator("#attach")).to_be_hidden()
    await carry(person, "paste", "#composer", "a.txt", "text/plain", b"words")
    await carry(person, "drag", "#scroll", "a.txt", "text/plain", b"words")
    await expect(person.page.locator("#tray .file")).to_have_count(0)
    await expect(person.page.locator("#veil")).to_be_hidden()


async def test_a_person_on_the_other_side_is_seen_typing_and_reading_and_sees_both(demo, visit, tmp_path):
    person = await visit(demo)
    await person.go("/demo#harbor/new")
    await person.write("What does a double kayak cost for half a day?")
    await expect(person.answers).to_have_count(1)
    chat_id = person.page.url.rpartition("/")[2]
    http = await as_owner(demo)
    async with http:
        path = f"/api/chats/{chat_id}"
        await expect_status(demo, "read", 1)  # the answer is on the screen
        assert (await http.get(path)).json()["other_read_seq"] == 2
        assert (await http.post(f"{path}/takeover")).status_code == 200
        typing: list[str] = []
        person.page.on(
            "request",
            lambda r: typing.append(r.post_data) if r.url.split("?")[0].endswith("/typing") else None,
        )
        await person.page.locator("#composer").press_sequentially("Is a person there?")
        assert len(typing) == 1, "typing is said once in three seconds"
        await person.page.locator("#composer").press("Enter")
        tick = person.page.locator(".message.own .tick")
        await expect(tick).to_have_text("Sent")
        await http.post(f"{path}/read", json={"seq": 3})
        await expect(tick).to_have_text("Read")
        await http.post(f"{path}/typing", json={"is_typing": True})
        await expect(person.page.locator(".typing-person")).to_be_visible()
        await look(person, "typing", tmp_path)
        await http.post(f"{path}/typing", json={"is_typing": False})
        await expect(person.page.locator(".typing-person")).to_have_count(0)
        await http.post(f"{path}/messages", json={"text": "Yes: Maria speaking."})
        await expect(person.answers.last).to_contain_text("Maria speaking")
        await expect_status(demo, "read", 2)


async def expect_status(demo: Any, status: str, count: int) -> None:
    async def reached() -> bool:
        rows = await demo.as_admin(
            "SELECT count(*) FROM messages WHERE direction = 'outbound' AND status = $1", status
        )
        return rows[0]["count"] == count

    await until(reached)
