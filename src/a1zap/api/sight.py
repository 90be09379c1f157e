"""What an asker may see. What they may not see and what is not there look the same, to the byte."""

from __future__ import annotations

from uuid import UUID

from a1zap.accounts.model import Principal
from a1zap.agents import store as agents
from a1zap.agents.model import Agent
from a1zap.chats import store as chats
from a1zap.chats import turn_store
from a1zap.chats.model import Chat, TurnRecord
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import NotAllowed, NotFound
from a1zap.kit.ids import parse_id
from a1zap.people import store as people

NO_AGENT = "there is no such agent"
NO_CHAT = "there is no such chat"
NO_TURN = "there is no such turn"


def agent_in_reach(who: Principal, agent_id: str) -> UUID:
    """The id, if it is one and the asker is not bound to another agent; whether there is one is not known yet.

    Raises:
        NotFound: no.
    """
    found = parse_id(agent_id)
    if found is None or (who.agent_id is not None and who.agent_id != found):
        raise NotFound(NO_AGENT)
    return found


async def see_agent(tx: Tx, who: Principal, agent_id: str) -> Agent:
    """The owner's agent of that id, if the asker may see it.

    Raises:
        NotFound: there is none, or it is not theirs.
    """
    agent = await agents.read_agent(tx, agent_in_reach(who, agent_id))
    if agent is None:
        raise NotFound(NO_AGENT)
    return agent


async def see_chat(tx: Tx, sealer: Sealer, who: Principal, chat_id: str) -> Chat:
    """The owner's chat of that id, if the asker may see it; a visitor sees only those they are part of.

    Raises:
        NotFound: there is none, or it is not theirs.
    """
    found = parse_id(chat_id)
    chat = None if found is None else await chats.read_chat(tx, sealer, found)
    if chat is None or (who.agent_id is not None and who.agent_id != chat.agent_id):
        raise NotFound(NO_CHAT)
    if who.visitor is not None:
        person = await person_of(tx, sealer, who)
        if person is None or not await chats.is_participant(tx, chat.id, person):
            raise NotFound(NO_CHAT)
    return chat


async def see_turn(tx: Tx, who: Principal, turn_id: str) -> TurnRecord:
    """The owner's turn of that id, if the asker may see it.

    Raises:
        NotFound: there is none, or it is not theirs.
    """
    found = parse_id(turn_id)
    turn = None if found is None else await turn_store.read_turn(tx, found)
    if turn is None or (who.agent_id is not None and who.agent_id != turn.agent_id):
        raise NotFound(NO_TURN)
    return turn


async def person_of(tx: Tx, sealer: Sealer, who: Principal) -> UUID | None:
    """Which conversation user a visitor is, once they have written something."""
    if who.visitor is None:
        return None
    person = await people.find_person(tx, sealer, channel_kind="web", address=who.visitor)
    return None if person is None else person.id


def refuse_bound_key(who: Principal) -> None:
    """For what belongs to the owner and to no single agent.

    Raises:
        NotAllowed: the key is bound to one agent.
    """
    if who.agent_id is not None:
        raise NotAllowed(
            "this key is bound to one agent: what belongs to the whole account needs one that is not"
        )
