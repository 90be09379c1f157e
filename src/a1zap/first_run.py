"""The first run: an owner to sign in as, two demo agents to talk to, and the lines that say so."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from a1zap.accounts.create_owner import create_owner
from a1zap.accounts.sign_in import add_sign_in_link, find_owner, is_set_up
from a1zap.agents.create_agent import create_agent
from a1zap.app import House
from a1zap.knowledge.add_article import add_article
from a1zap.knowledge.demo_articles import load_demo_articles

FIRST_OWNER = "owner@localhost"


@dataclass(frozen=True, slots=True)
class DemoAgent:
    handle: str
    name: str
    description: str


DEMO_AGENTS = (
    DemoAgent("harbor", "Harbor", "Help desk of a small boat rental and sailing school."),
    DemoAgent("byte", "Byte", "Support for Keyfold, a password manager that exists only in this demo."),
)


async def prepare_first_run(house: House) -> list[str]:
    """Make what a first look needs, once; the lines to print at every start."""
    owner_id = await _first_owner(house)
    lines = ["", f"a1zap is ready on {house.settings.base_url}"]
    if owner_id is not None:
        token = await add_sign_in_link(house.db, owner_id, now=house.clock.now())
        lines.append(f"  sign in (this link works once): {house.settings.base_url}/sign-in/{token}")
    if house.settings.is_demo_wanted:
        lines.append(f"  demo chat page:                 {house.settings.base_url}/demo")
    if house.models.default is None:
        lines.append(
            "  no model key is set: agents answer from their articles (set OPENAI_API_KEY to change that)"
        )
    return [*lines, ""]


async def _first_owner(house: House) -> UUID | None:
    """The owner whom the first run made; made now where the instance has none. None where others set it up."""
    owner_id = await find_owner(house.db, house.keyring, FIRST_OWNER)
    if owner_id is not None or await is_set_up(house.db):
        return owner_id
    owner_id = await create_owner(
        house.db,
        house.keyring,
        house.passwords,
        email=FIRST_OWNER,
        password=None,
        plan_id=house.settings.plan,
    )
    if house.settings.is_demo_wanted:
        for demo in DEMO_AGENTS:
            await _make_demo_agent(house, owner_id, demo)
    return owner_id


async def _make_demo_agent(house: House, owner_id: UUID, demo: DemoAgent) -> None:
    agent = await create_agent(
        house.db,
        house.keyring,
        owner_id=owner_id,
        actor="first_run",
        name=demo.name,
        handle=demo.handle,
        description=demo.description,
        agent_type="work",
        is_public=True,
    )
    for title, content in load_demo_articles(demo.handle):
        await add_article(
            house.db, house.shelf.embedder, owner_id=owner_id, agent_id=agent.id, title=title, content=content
        )
