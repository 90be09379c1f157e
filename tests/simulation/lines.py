"""What the simulation wants of a channel: people write through it, answers come out of it, and news of them goes in.

A line is the outside world of one channel: the fake provider with its weather, and the form of what it delivers. Who
writes when, how often a delivery is repeated and how late it comes is the traffic's business; whether all went well,
the judge's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self
from uuid import UUID

from tests.fakes.weather import SendCall, Weather
from tests.simulation.judge import Said, Told

from a1zap.agents.connect_channel import connect_channel
from a1zap.agents.create_agent import create_agent
from a1zap.app import House

ACCOUNTS = 2  # of each channel, with different habits


@dataclass
class Chat:
    """One conversation. `limit`: how many messages people write ahead of the answers; hot ones have a high one.

    `place` is what the provider calls it where an answer goes; `memory` is what the people in it remember.
    """

    name: str
    line: Line
    account: int
    place: str
    people: Sequence[str]
    limit: int
    weight: float
    is_group: bool = False
    spoken: int = 0
    spoken_max: int | None = None
    open: set[str] = field(default_factory=set)
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Post:
    """One delivery. It is signed at each attempt anew. `said` and `told` are what its 2xx acknowledges."""

    path: str
    body: bytes
    headers: Callable[[], Mapping[str, str]]
    said: Sequence[Said] = ()
    told: Sequence[Told] = ()


class Line(Protocol):
    """`complaints`: calls that no such provider would understand. `on_taken`: a message has left, or never will."""

    kind: str
    calls: list[SendCall]
    complaints: list[str]
    weather: Weather
    on_settled: Callable[[SendCall], None]

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def connect(self, house: House, owner_id: UUID) -> None:
        """An agent for each account."""
        ...

    def open_chat(self, name: str, number: int, *, is_hot: bool) -> Chat: ...

    def may_speak(self, chat: Chat) -> bool:
        """Is it somebody's turn to write, as people on this channel do?"""
        ...

    def say(self, chat: Chat, said: Said, text: str, dice: random.Random) -> Sequence[Post]:
        """The deliveries that bring one message: equal ones, or of other bytes for the same message."""
        ...

    def news_of(self, chat: Chat, call: SendCall, dice: random.Random) -> Sequence[tuple[float, Post]]:
        """What the provider tells of a message that it took, each after so many seconds."""
        ...


async def connect_agents(
    house: House, owner_id: UUID, kind: str, settings: Sequence[Mapping[str, str]]
) -> list[tuple[str, str]]:
    """An agent with a channel for each of the settings: (agent id, channel account id)."""
    found: list[tuple[str, str]] = []
    for n, one in enumerate(settings):
        agent = await create_agent(
            house.db,
            house.keyring,
            owner_id=owner_id,
            actor="test",
            name=f"Agent {kind} {n}",
            agent_type="work",
            message_settings={"settle_s": 0},
        )
        connected = await connect_channel(
            house.db,
            house.keyring,
            house.channels[kind],
            owner_id=owner_id,
            agent_id=agent.id,
            settings=one,
            actor="test",
        )
        found.append((str(agent.id), str(connected.seen.id)))
    return found
