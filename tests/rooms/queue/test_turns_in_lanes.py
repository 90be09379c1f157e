"""When a chat's turn comes, and what becomes of it when something happens meanwhile; with a real worker."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from tests.api.talk import ModelOnStrings, until
from tests.conftest import MakeHouse, TestHouse

from a1zap.agents.create_agent import create_agent
from a1zap.intake.say import Saying, say
from a1zap.turns.take_over import release, take_over


@dataclass
class Talk:
    """One agent's chat page: what people write in it, and what became of it in the tables."""

    house: TestHouse
    owner_id: UUID
    agent_id: UUID
    model: ModelOnStrings
    chat_id: UUID | None = None

    async def say(self, text: str) -> None:
        saying = Saying(
            owner_id=self.owner_id,
            agent_id=self.agent_id,
            kind="web",
            text=text,
            default_address="visitor-1",
            chat_id=self.chat_id,
            began_s=self.house.clock.monotonic_s(),
        )
        said = await say(self.house.house, saying)
        self.chat_id = said.message.chat_id

    async def turns(self) -> list[tuple[str, int, int]]:
        rows = await self.house.as_admin(
            "SELECT status, from_seq, to_seq FROM turns WHERE owner_id = $1 ORDER BY finished_at",
            self.owner_id,
        )
        return [tuple(r) for r in rows]

    async def replies(self) -> int:
        rows = await self.house.as_admin(
            "SELECT count(*) FROM messages WHERE owner_id = $1 AND direction = 'outbound'", self.owner_id
        )
        return rows[0][0]

    async def until_turns(self, count: int) -> list[tuple[str, int, int]]:
        async def enough() -> Any:
            found = await self.turns()
            return found if len(found) >= count else None

        return await until(enough)

    async def until_thinking(self, asked: int = 1) -> None:
        async def is_thinking() -> bool:
            return self.model.asked >= asked

        await until(is_thinking)

    async def as_owner(self, act: Any, **more: Any) -> None:
        async with self.house.db.owned(self.owner_id) as tx:
            await act(tx, self.house.wakeups, self.chat_id, actor="test", **more)


@pytest.fixture
async def talk_with(make_house: MakeHouse) -> Any:
    async def make(settle_s: float, *, hold: bool = False) -> Talk:
        model = ModelOnStrings(pieces=("Well.",), hold=hold)
        house = await make_house(work=True, **model.wiring())
        owner = await house.owner()
        agent = await create_agent(
            house.db,
            house.keyring,
            owner_id=owner.owner_id,
            actor="test",
            name="Ada",
            message_settings={"settle_s": settle_s},
        )
        return Talk(house, owner.owner_id, agent.id, model)

    return make


async def test_three_quick_messages_get_one_answer(talk_with: Any):
    talk: Talk = await talk_with(0.4)
    began_s = time.monotonic()
    for text in ("Hello", "are you there?", "I have a question"):
        await talk.say(text)
    assert await talk.until_turns(1) == [("answered", 1, 3)]
    assert time.monotonic() - began_s >= 0.4
    assert (talk.model.asked, await talk.replies()) == (1, 1)


async def test_a_steady_writer_is_answered_within_five_settle_times(talk_with: Any):
    talk: Talk = await talk_with(0.2)
    began_s = time.monotonic()
    while not await talk.turns():
        await talk.say("and another thing")
        await asyncio.sleep(0.05)  # never a quiet settle time
        assert time.monotonic() - began_s < 2, "whoever keeps writing is never answered"
    assert time.monotonic() - began_s >= 0.9


async def test_without_a_settle_time_the_answer_begins_at_once(talk_with: Any):
    talk: Talk = await talk_with(0)
    began_s = time.monotonic()
    await talk.say("Hello")
    await talk.until_turns(1)
    assert time.monotonic() - began_s < 0.5  # the next look would come after half a second


async def test_what_comes_while_the_model_thinks_joins_the_next_turn(talk_with: Any):
    talk: Talk = await talk_with(0, hold=True)
    await talk.say("one")
    await talk.until_thinking()
    await talk.say("two")
    await talk.say("three")
    talk.model.go(2)
    assert await talk.until_turns(2) == [("answered", 1, 1), ("answered", 2, 3)]
    assert (talk.model.asked, await talk.replies()) == (2, 2)


async def test_the_next_turn_follows_the_one_before_it_at_once(talk_with: Any):
    talk: Talk = await talk_with(0, hold=True)
    await talk.say("one")
    await talk.until_thinking()
    await talk.say("two")
    talk.model.go(1)
    began_s = time.monotonic()
    await talk.until_thinking(2)
    assert time.monotonic() - began_s < 0.4, "it waited for the next look"
    talk.model.go(1)
    await talk.until_turns(2)


async def test_a_reply_is_dropped_unsent_when_a_person_took_over_and_the_model_is_not_asked_again(
    talk_with: Any,
):
    talk: Talk = await talk_with(0, hold=True)
    await talk.say("one")
    await talk.until_thinking()
    await talk.as_owner(take_over, clock=talk.house.clock)
    talk.model.go(1)
    assert await talk.until_turns(1) == [("dropped", 1, 1)]
    await talk.say("to the person")
    await asyncio.sleep(0.1)
    assert (talk.model.asked, await talk.replies(), len(await talk.turns())) == (1, 0, 1)


async def test_a_reply_is_dropped_as_well_when_the_person_has_given_the_chat_back_already(talk_with: Any):
    """What was unanswered was the person's; the agent answers what is written from then on."""
    talk: Talk = await talk_with(0, hold=True)
    await talk.say("one")
    await talk.until_thinking()
    await talk.as_owner(take_over, clock=talk.house.clock)
    await talk.as_owner(release)
    talk.model.go(1)
    assert await talk.until_turns(1) == [("dropped", 1, 1)]
    await talk.say("two")
    talk.model.go(1)
    assert (await talk.until_turns(2))[1][0] == "answered"
    assert (talk.model.asked, await talk.replies()) == (2, 1)


async def test_a_turn_that_somebody_else_has_taken_meanwhile_answers_nothing_twice(talk_with: Any):
    """Two entries of one lane at a time must not be; if ever they are, the second finds it answered."""
    talk: Talk = await talk_with(0, hold=True)
    await talk.say("one")
    await talk.until_thinking()
    await talk.house.as_admin(
        """INSERT INTO pgmq.q_turns (vt, message, headers)
           SELECT now(), message, headers || '{"x-pgmq-group": "another lane"}' FROM pgmq.q_turns"""
    )
    await talk.until_thinking(2)
    talk.model.go(2)
    statuses = sorted(status for status, _, _ in await talk.until_turns(2))
    assert statuses == ["answered", "dropped"]
    assert await talk.replies() == 1


async def test_a_flood_of_messages_is_one_turn_that_covers_them_all(talk_with: Any):
    talk: Talk = await talk_with(0, hold=True)
    await talk.say("one")
    await talk.until_thinking()
    for n in range(45):
        await talk.say(f"message {n}")
    talk.model.go(2)
    assert await talk.until_turns(2) == [("answered", 1, 1), ("answered", 2, 46)]
    (row,) = await talk.house.as_admin("SELECT answered_seq, waiting_since FROM chats")
    assert tuple(row) == (46, None)


async def test_a_turn_of_a_chat_without_anything_unanswered_asks_no_model(talk_with: Any):
    talk: Talk = await talk_with(0)
    await talk.say("one")
    await talk.until_turns(1)
    await talk.house.as_admin(
        "INSERT INTO pgmq.q_turns (vt, message, headers) VALUES (now(), $1::text::jsonb, $2::text::jsonb)",
        f'{{"o": "{talk.owner_id}", "c": "{talk.chat_id}"}}',
        f'{{"x-pgmq-group": "{talk.chat_id}"}}',
    )

    async def is_empty() -> bool:
        return (await talk.house.as_admin("SELECT count(*) FROM pgmq.q_turns"))[0][0] == 0

    await until(is_empty)
    assert (talk.model.asked, len(await talk.turns())) == (1, 1)
