"""/api/keys: what programs show instead of a password."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from a1zap.accounts import store
from a1zap.accounts.model import ALL_SCOPES, Scope
from a1zap.accounts.sign_in import add_api_key
from a1zap.api.auth import House, KeysWriter
from a1zap.api.reading import new_router
from a1zap.api.shapes import Shape, Wanted
from a1zap.api.sight import refuse_bound_key, see_agent
from a1zap.audit.store import record_act
from a1zap.kit.errors import NotAllowed, NotFound
from a1zap.kit.ids import parse_id

router: APIRouter = new_router("keys")

_EXAMPLE: dict[str, Any] = {
    "id": "0193b1a2-9e01-7c22-8b3c-4d5e6f7a8b9c",
    "name": "my program",
    "prefix": "a1z_Qm5v",
    "scopes": ["agents:read", "chats:write"],
    "agent_id": None,
    "created_at": "2026-11-23T09:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
}


class KeyWanted(Wanted):
    """A new key: what it is for, what it may do, and whether for one agent only."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "my program", "scopes": ["agents:read", "chats:write"]}]}
    )

    name: str = Field(min_length=1, max_length=100)
    scopes: list[Scope] = Field(default=list(ALL_SCOPES), min_length=1, max_length=len(ALL_SCOPES))
    agent_id: str | None = Field(None, description="With it, the key sees this agent and no other.")


class KeyShape(Shape):
    """A key, without its secret."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    name: str
    prefix: str = Field(description="How the key begins, to tell it from others.")
    scopes: Sequence[Scope]
    agent_id: UUID | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewKeyShape(KeyShape):
    """A key with its secret, which is shown this once and kept nowhere."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [{**_EXAMPLE, "key": "a1z_Qm5v…"}]},
    )

    key: str


@router.post("/api/keys", status_code=201)
async def create_a_key(wanted: KeyWanted, house: House, who: KeysWriter) -> NewKeyShape:
    """Make a key. It cannot do more than what you make it with."""
    refuse_bound_key(who)
    beyond = sorted(set(wanted.scopes) - who.scopes)
    if beyond:
        raise NotAllowed(
            f"your own key does not have the scope '{beyond[0]}'", field="scopes", value=beyond[0]
        )
    agent_id = None
    if wanted.agent_id is not None:
        async with house.db.owned(who.owner_id) as tx:
            agent_id = (await see_agent(tx, who, wanted.agent_id)).id
    key, text = await add_api_key(
        house.db,
        who.owner_id,
        name=wanted.name,
        scopes=list(dict.fromkeys(wanted.scopes)),
        actor=who.actor,
        agent_id=agent_id,
    )
    return NewKeyShape(**KeyShape.model_validate(key).model_dump(), key=text)


@router.get("/api/keys")
async def list_keys(house: House, who: KeysWriter) -> Sequence[KeyShape]:
    """The owner's keys, newest first, revoked ones too."""
    refuse_bound_key(who)
    async with house.db.owned(who.owner_id) as tx:
        return [KeyShape.model_validate(key) for key in await store.list_api_keys(tx)]


@router.delete("/api/keys/{key_id}", status_code=204)
async def revoke_a_key(key_id: str, house: House, who: KeysWriter) -> None:
    """Revoke a key: nothing can be done with it from here on, and what it watches ends within seconds."""
    refuse_bound_key(who)
    found = parse_id(key_id)
    async with house.db.owned(who.owner_id) as tx:
        key = None if found is None else await store.revoke_api_key(tx, found, house.clock.now())
        if key is None:
            raise NotFound("there is no such key")
        await record_act(tx, actor=who.actor, action="key.revoked", subject_kind="api_key", subject_id=key.id)
