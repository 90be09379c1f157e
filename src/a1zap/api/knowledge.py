"""/api/agents/{id}/knowledge: the articles that an agent answers from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from a1zap.api.auth import AgentsReader, AgentsWriter, House
from a1zap.api.paging import Cursor, Limit, page_of, read_id_cursor, spell_cursor
from a1zap.api.reading import new_router
from a1zap.api.shapes import AGENT_ID, Shape, Wanted
from a1zap.api.sight import see_agent
from a1zap.audit.store import record_act
from a1zap.kit.errors import Invalid, NotFound
from a1zap.kit.ids import parse_id
from a1zap.knowledge import store
from a1zap.knowledge.add_article import add_article

CONTENT_CHARACTERS_MAX = 500_000

router: APIRouter = new_router("knowledge")

_EXAMPLE_WANTED: dict[str, Any] = {
    "title": "Opening hours",
    "content": "We are open Monday to Friday from 9 to 18, on Saturdays from 9 to 13.",
    "source_url": "https://shop.example.com/hours",
}
_EXAMPLE_BRIEF: dict[str, Any] = {
    "id": "0193b1a2-7d00-7c11-8a2b-3c4d5e6f7a8b",
    "agent_id": AGENT_ID,
    "title": "Opening hours",
    "source_url": "https://shop.example.com/hours",
    "version": 1,
    "created_at": "2026-11-23T09:05:00Z",
    "updated_at": "2026-11-23T09:05:00Z",
}


class ArticleWanted(Wanted):
    """Something that an agent should know, as you would write it for a new colleague."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_WANTED]})

    title: str = Field(min_length=1, max_length=300)
    content: str = Field(min_length=1, max_length=CONTENT_CHARACTERS_MAX)
    source_url: str | None = Field(None, max_length=2_000, pattern=r"^https?://\S+$")


class ArticleBriefShape(Shape):
    """An article, without what it says."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE_BRIEF]})

    id: UUID
    agent_id: UUID
    title: str
    source_url: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class ArticleShape(ArticleBriefShape):
    """An article."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [{**_EXAMPLE_BRIEF, "content": _EXAMPLE_WANTED["content"]}]},
    )

    content: str


@router.post("/api/agents/{agent_id}/knowledge", status_code=201)
async def add_an_article(
    agent_id: str,
    wanted: ArticleWanted,
    request: Request,
    response: Response,
    house: House,
    who: AgentsWriter,
) -> ArticleShape:
    """Teach an agent something; its next answer may rest on it."""
    async with house.db.owned(who.owner_id) as tx:
        agent = await see_agent(tx, who, agent_id)
    for field in ("title", "content"):
        if not getattr(wanted, field).strip():
            raise Invalid(f"the {field} says nothing", field=field)
    article = await add_article(
        house.db,
        house.shelf.embedder,
        owner_id=who.owner_id,
        agent_id=agent.id,
        title=wanted.title,
        content=wanted.content,
        source_url=wanted.source_url,
    )
    async with house.db.owned(who.owner_id) as tx:
        await record_act(
            tx, actor=who.actor, action="article.added", subject_kind="article", subject_id=article.id
        )
    response.headers["location"] = f"{request.url.path}/{article.id}"
    return ArticleShape.model_validate(article)


@router.get("/api/agents/{agent_id}/knowledge")
async def list_articles(
    agent_id: str,
    request: Request,
    response: Response,
    house: House,
    who: AgentsReader,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Sequence[ArticleBriefShape]:
    """An agent's articles, newest first, without what they say."""
    before = read_id_cursor(cursor)
    async with house.db.owned(who.owner_id) as tx:
        agent = await see_agent(tx, who, agent_id)
        found = await store.list_articles(tx, agent.id, before=before, count=limit + 1)
    last = spell_cursor(found[limit - 1].id) if len(found) > limit else None
    return [ArticleBriefShape.model_validate(a) for a in page_of(request, response, found, limit, last)]


@router.get("/api/agents/{agent_id}/knowledge/{article_id}")
async def read_article(agent_id: str, article_id: str, house: House, who: AgentsReader) -> ArticleShape:
    """One article."""
    async with house.db.owned(who.owner_id) as tx:
        agent = await see_agent(tx, who, agent_id)
        article = await store.read_article(tx, agent.id, _parse_article_id(article_id))
    if article is None:
        raise _no_article()
    return ArticleShape.model_validate(article)


@router.delete("/api/agents/{agent_id}/knowledge/{article_id}", status_code=204)
async def delete_article(agent_id: str, article_id: str, house: House, who: AgentsWriter) -> None:
    """Have an agent forget an article."""
    async with house.db.owned(who.owner_id) as tx:
        agent = await see_agent(tx, who, agent_id)
        found = _parse_article_id(article_id)
        if not await store.delete_article(tx, agent.id, found):
            raise _no_article()
        await record_act(
            tx, actor=who.actor, action="article.deleted", subject_kind="article", subject_id=found
        )


def _parse_article_id(article_id: str) -> UUID:
    found = parse_id(article_id)
    if found is None:
        raise _no_article()
    return found


def _no_article() -> NotFound:
    return NotFound("there is no such article")
