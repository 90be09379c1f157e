"""A real Chromium on a real server. What a page may never do is checked after every test, whatever the test is about.

`demo`        a house with the two demo agents, served, with a worker; no model key
`make_demo`   the same with settings of your own
`visit`       `await visit(demo, …)` opens a fresh browser profile; its `expected` names what may go wrong on purpose
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from a1zap.first_run import prepare_first_run

ARGUMENTS = [
    "--no-sandbox",  # Chromium refuses to run as root with one
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 10_000

expect.set_options(timeout=PATIENCE_MS)


def find_chromium() -> str:
    for name in (os.environ.get("A1ZAP_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name) if name else None
        if found:
            return found
    pytest.fail(
        "the browser tests need Chromium: apt-get install chromium, or set A1ZAP_CHROMIUM=/path/to/it"
    )


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        yield browser
        await browser.close()


MakeDemo = Callable[..., Awaitable[Any]]


@pytest.fixture
async def make_demo(make_house) -> MakeDemo:
    async def make(*, is_quick: bool = True, **settings: Any) -> Any:
        demo = await make_house(serve=True, work=True, settings={"is_demo_wanted": True, **settings})
        await prepare_first_run(demo.house)
        if is_quick:
            # A tenth of the second that agents wait by default for what else is being written.
            await demo.as_admin("""UPDATE a1_agents SET message_settings = '{"settle_s": 0.1}'""")
        return demo

    return make


@pytest.fixture
async def demo(make_demo: MakeDemo) -> Any:
    return await make_demo()


@dataclass
class Visit:
    """One person's browser. `trouble` is what no page of ours may ever cause."""

    context: BrowserContext
    page: Page
    url: str
    expected: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)

    async def watch(self) -> None:
        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not any(e in message.text for e in self.expected):
                self.trouble.append(f"console {message.type}: {message.text}")

        def on_request(request: Any) -> None:
            self.requests.append(request)
            if not request.url.startswith(self.url):
                self.trouble.append(f"a request left for {request.url[:100]}")

        async def on_dialog(dialog: Any) -> None:
            self.trouble.append(f"a dialog: {dialog.message}")
            await dialog.dismiss()

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.trouble.append(f"uncaught: {error}"))
        self.page.on("request", on_request)
        self.page.on("dialog", on_dialog)

    async def until_sent(self, count: int) -> None:
        """Until the server has so many of the person's messages, and none waits."""
        await expect(self.page.locator(".message.own:not(.waiting):not(.sending)")).to_have_count(count)
        await expect(self.own).to_have_count(count)

    async def go(self, path: str = "/demo") -> None:
        await self.page.goto(self.url + path)

    async def write(self, text: str) -> None:
        await self.page.locator("#composer").fill(text)
        await self.page.locator("#composer").press("Enter")

    @property
    def own(self) -> Any:
        """What the person said, as the page shows it."""
        return self.page.locator(".message.own .text")

    @property
    def answers(self) -> Any:
        """The agent's messages that are complete."""
        return self.page.locator(".message.theirs:not(.writing)")


@pytest.fixture
async def visit(chromium: Browser) -> AsyncIterator[Callable[..., Awaitable[Visit]]]:
    visits: list[Visit] = []
    async with AsyncExitStack() as stack:

        async def open_visit(house: Any, *, url: str | None = None, **options: Any) -> Visit:
            wanted = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce", **options}
            context = await chromium.new_context(**wanted)
            stack.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            made = Visit(context, await context.new_page(), url or house.url)
            await made.watch()
            visits.append(made)
            return made

        yield open_visit
    assert [v.trouble for v in visits if v.trouble] == []
