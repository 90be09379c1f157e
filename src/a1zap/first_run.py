"""The first run: an owner to sign in as, two demo agents to talk to, and the lines that say so."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from a1zap.accounts.create_owner import create_owner
from a1zap.accounts.sign_in import add_sign_in_link, find_owner, is_set_up
from a1zap.agents.create_agent import create_agent
from a1zap.agents.model import Agent, AgentType
from a1zap.agents.store import list_agents
from a1zap.app import House
from a1zap.audit.store import has_act, record_act
from a1zap.knowledge.add_article import add_article
from a1zap.knowledge.demo_articles import load_demo_articles
from a1zap.knowledge.store import list_articles

FIRST_OWNER = "owner@localhost"
DEMO_MADE = "first_run.demo_made"


@dataclass(frozen=True, slots=True)
class DemoAgent:
    handle: str
    name: str
    description: str
    agent_type: AgentType  # one of each, so that even the free plan has room for both


DEMO_AGENTS = (
    DemoAgent("harbor", "Harbor", "Help desk of a small boat rental and sailing school.", "work"),
    DemoAgent(
        "byte", "Byte", "Support for Keyfold, a password manager that exists only in this demo.", "personal"
    ),
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
    if owner_id is None:
        if await is_set_up(house.db):
            return None
        owner_id = await create_owner(
            house.db,
            house.keyring,
            house.passwords,
            email=FIRST_OWNER,
            password=None,
            plan_id=house.settings.plan,
        )
    if house.settings.is_demo_wanted:
        await _make_demo(house, owner_id)
    return owner_id


async def _make_demo(house: House, owner_id: UUID) -> None:
    """The demo agents with their articles, once.

    A first run that was cut short is gone on with where it stopped. One that was finished is never repeated, so that
    what the owner has deleted since stays deleted.
    """
    async with house.db.owned(owner_id) as tx:
        if await has_act(tx, DEMO_MADE):
            return
        known = {agent.handle: agent for agent in await list_agents(tx, before=None, count=100)}
    for demo in DEMO_AGENTS:
        agent = known.get(demo.handle) or await _make_demo_agent(house, owner_id, demo)
        async with house.db.owned(owner_id) as tx:
            titles = {article.title for article in await list_articles(tx, agent.id, before=None, count=100)}
        for title, content in load_demo_articles(demo.handle):
            if title not in titles:
                await add_article(
                    house.db,
                    house.shelf.embedder,
                    owner_id=owner_id,
                    agent_id=agent.id,
                    title=title,
                    content=content,
                )
    async with house.db.owned(owner_id) as tx:
        await record_act(tx, actor="first_run", action=DEMO_MADE, subject_kind="owner", subject_id=owner_id)


async def _make_demo_agent(house: House, owner_id: UUID, demo: DemoAgent) -> Agent:
    return await create_agent(
        house.db,
        house.keyring,
        owner_id=owner_id,
        actor="first_run",
        name=demo.name,
        handle=demo.handle,
        description=demo.description,
        agent_type=demo.agent_type,
        is_public=True,
    )
