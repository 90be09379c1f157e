"""What an owner sees at the root: signing in, their agents, their month, a key, and a line to try."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.async_api import expect
from tests.browser.test_looks import look

from a1zap.accounts.create_owner import create_owner
from a1zap.accounts.sign_in import add_sign_in_link, find_owner
from a1zap.first_run import FIRST_OWNER

pytestmark = pytest.mark.browser


async def sign_in_link(demo) -> str:
    owner_id = await find_owner(demo.house.db, demo.house.keyring, FIRST_OWNER)
    assert owner_id is not None
    token = await add_sign_in_link(demo.house.db, owner_id, now=demo.house.clock.now())
    return f"/sign-in/{token}"


async def test_a_link_signs_in_once_and_the_key_made_there_opens_the_api(demo, visit, tmp_path):
    owner = await visit(demo)
    owner.expected.extend(("401", "410"))
    await owner.go("/")
    await expect(owner.page.get_by_role("heading", name="Sign in")).to_be_visible()
    await look(owner, "signed-out", tmp_path)
    link = await sign_in_link(demo)
    await owner.go(link)
    await expect(owner.page.locator(".agents tbody tr")).to_have_count(2)
    await expect(owner.page.locator("#plan")).to_contain_text("Enterprise")

    await owner.page.get_by_role("button", name="Create key").click()
    key = await owner.page.locator("#new-key code").inner_text()
    await expect(owner.page.locator("#try code")).to_contain_text(key)
    await look(owner, "signed-in", tmp_path)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=demo.url, headers=headers) as program:
        assert [a["handle"] for a in (await program.get("/api/agents")).json()] == ["byte", "harbor"]
        await owner.page.get_by_role("button", name="Revoke").click()
        await owner.page.get_by_role("button", name="Revoke for good").click()
        await expect(owner.page.locator(".keys li")).to_have_count(0)
        assert (await program.get("/api/agents")).status_code == 401

    await owner.page.get_by_role("button", name="Sign out").click()
    await expect(owner.page.get_by_role("heading", name="Sign in")).to_be_visible()
    await owner.go(link)
    await expect(owner.page.get_by_role("heading", name="This link does not work any more")).to_be_visible()


async def test_a_password_signs_in_and_a_wrong_one_is_said_to_be_wrong(demo, visit):
    await create_owner(
        demo.house.db,
        demo.house.keyring,
        demo.house.passwords,
        email="maria@example.com",
        password="a boat on the sea",
        plan_id="free",
    )
    owner = await visit(demo)
    owner.expected.append("401")
    await owner.go("/")
    await owner.page.get_by_label("Email address").fill("maria@example.com")
    await owner.page.get_by_label("Password").fill("a boat on the lake")
    await owner.page.get_by_label("Password").press("Enter")
    await expect(owner.page.get_by_role("alert").filter(has_text="wrong")).to_be_visible()
    await owner.page.get_by_label("Password").fill("a boat on the sea")
    await owner.page.get_by_label("Password").press("Enter")
    await expect(owner.page.locator("#agents")).to_contain_text("None yet")
    await expect(owner.page.locator("#usage")).to_contain_text(re.compile(r"0 of \d+"))
    await expect(owner.page.locator("#try code")).to_contain_text("/api/agents")


async def test_an_owner_who_is_signed_in_is_a_visitor_on_the_demo_page(demo, visit):
    owner = await visit(demo)
    await owner.go(await sign_in_link(demo))
    await owner.page.get_by_role("link", name="Open the chat page of Harbor").click()
    await owner.write("hello")
    await expect(owner.answers).to_have_count(1)
    assert [r["service"] for r in await demo.as_admin("SELECT service FROM chats")] == ["web"]
    (agent,) = await demo.as_admin("SELECT id FROM a1_agents WHERE handle = 'harbor'")
    await owner.go(f"/demo/{agent['id']}")
    await expect(owner.own).to_have_text("hello")
