"""A page of another site in a real browser: it shows the chat where it may, and gets nothing where it may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.api.test_web_chat_api import Site, open_site

pytestmark = pytest.mark.browser

TALK = """async ([house, agent]) => {
  const call = (method, path, token, body, more = {}) => fetch(house + path, {
    method,
    headers: { ...(body instanceof FormData ? {} : { "Content-Type": "application/json" }), ...(token && { Authorization: `Bearer ${token}` }), ...more },
    body: body instanceof FormData ? body : body && JSON.stringify(body),
  });
  try {
    const { token } = await (await call("POST", `/api/agents/${agent}/visitors`, null, {})).json();
    const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
    const form = new FormData();
    form.append("file", await new Promise((done) => canvas.toBlob(done)), "a.png");
    const file = await (await call("POST", `/api/agents/${agent}/files`, token, form)).json();
    const said = await (await call("POST", `/api/agents/${agent}/chat`, token, { message: "hello", attachments: [file.id] }, { "Idempotency-Key": "1" })).json();
    const chat = `/api/chats/${said.chat_id}`;
    const events = await call("GET", `${chat}/events`, token, undefined, { "Last-Event-ID": "0" });
    const { value } = await events.body.getReader().read();
    const picture = new Image();
    const shown = new Promise((done, fail) => { picture.onload = () => done(picture.naturalWidth); picture.onerror = fail; });
    picture.src = house + said.userMessage.attachments[0].url;
    const refused = await call("POST", `/api/agents/${agent}/chat`, token, { message: "" });
    return {
      answer: said.agentResponse.content,
      stream: new TextDecoder().decode(value).slice(0, 5),
      width: await shown,
      typing: (await call("POST", `${chat}/typing`, token, {})).status,
      read: (await call("POST", `${chat}/read`, token, { seq: 2 })).status,
      refused: (await refused.json()).field,
      owners: await call("GET", "/api/agents", token).then((r) => r.status, () => "blocked"),
      out: (await call("POST", `/api/agents/${agent}/visitors/sign-out`, token)).status,
    };
  } catch (error) {
    return { blocked: String(error) };
  }
}"""


@asynccontextmanager
async def a_site() -> AsyncIterator[str]:
    """Somebody's web server with one empty page."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = b"<!doctype html><link rel=icon href=data:,><title>Shop</title>"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n")
        writer.write(b"content-length: %d\r\n\r\n%b" % (len(page), page))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _talk_from(chromium: Any, url: str, site: Site) -> dict[str, Any]:
    context = await chromium.new_context()
    try:
        page = await context.new_page()
        await page.goto(url)
        return await page.evaluate(TALK, [site.house.url, site.agent_id])
    finally:
        await context.close()


async def test_a_page_that_may_shows_the_chat_and_one_that_may_not_gets_nothing(chromium, running):
    site = await open_site(running)
    async with a_site() as shop, a_site() as evil:
        await site.change(allowed_origins=shop)
        talked = await _talk_from(chromium, shop, site)
        assert talked.pop("answer")
        assert talked == {
            "stream": ": you",
            "width": 8,
            "typing": 204,
            "read": 204,
            "refused": "message",
            "owners": "blocked",
            "out": 204,
        }
        before = await running.as_admin("SELECT count(*) FROM messages")
        assert "Failed to fetch" in (await _talk_from(chromium, evil, site))["blocked"]
        assert await running.as_admin("SELECT count(*) FROM messages") == before
