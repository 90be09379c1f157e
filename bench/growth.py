"""Part `growth`: what a message costs on an empty instance, in a chat of 1,000 messages, among 1,000,000 messages.

The same load each time: 5 messages in each of 128 chats, 32 at once, closed loop. The measured chats are real: made by webhooks, and filled
with messages that are sealed as the stores seal them, because every turn opens the newest of them. The million around
them is dummy bytes in 10,000 chats of the same owner and agent, with their people and turns; nobody opens those.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from a1zap.kit.crypto import Sealer, load_or_create_master_key
from a1zap.kit.ids import new_id
from bench.load import Person, Provider, all_talk
from bench.measure import Say, Tally, percentile
from bench.plan import CHATS, Plan
from bench.rig import Agent, Rig
from bench.whole_job import whole_house

PEOPLE = 128
LONG_CHAT = 1_000
FILLER_CHATS = 10_000

_FILLER_CHATS = """
    INSERT INTO chats (owner_id, id, agent_id, channel_account_id, channel_kind, service, external_index, external_id_sealed,
                       last_seq, answered_seq, last_message_at)
    SELECT c.owner_id, gen_random_uuid(), c.agent_id, c.channel_account_id, c.channel_kind, c.service, sha256(n::text::bytea),
           c.external_id_sealed, $2, $2, now() - interval '1 day'
    FROM (SELECT * FROM chats WHERE agent_id = $1 LIMIT 1) c, generate_series(1, $3) n
"""
_FILLER_PEOPLE = """
    WITH owner AS (SELECT owner_id FROM a1_agents WHERE id = $1),
    person AS (
        INSERT INTO conversation_users (owner_id, id, name_sealed)
        SELECT owner_id, gen_random_uuid(), decode(repeat('5a', 50), 'hex') FROM owner, generate_series(1, $2)
        RETURNING owner_id, id),
    address AS (
        INSERT INTO user_addresses (owner_id, id, user_id, channel_kind, address_index, address_sealed)
        SELECT owner_id, gen_random_uuid(), id, 'a1base', sha256(id::text::bytea), decode(repeat('5a', 57), 'hex')
        FROM person),
    lonely AS (
        SELECT c.id, row_number() OVER () AS n FROM chats c WHERE c.agent_id = $1
        AND NOT EXISTS (SELECT 1 FROM chat_participants p WHERE p.owner_id = c.owner_id AND p.chat_id = c.id))
    INSERT INTO chat_participants (owner_id, chat_id, user_id)
    SELECT p.owner_id, lonely.id, p.id FROM (SELECT *, row_number() OVER () AS n FROM person) p JOIN lonely USING (n)
"""
_FILLER_MESSAGES = """
    INSERT INTO messages (owner_id, id, chat_id, seq, direction, sender_kind, channel_account_id, content_sealed,
                          raw_sealed, external_id, status, said_at, created_at)
    SELECT c.owner_id, gen_random_uuid(), c.id, s,
           CASE WHEN s % 2 = 1 THEN 'inbound' ELSE 'outbound' END, CASE WHEN s % 2 = 1 THEN 'user' ELSE 'agent' END,
           c.channel_account_id, decode(repeat('5a', 110), 'hex'),
           CASE WHEN s % 2 = 1 THEN decode(repeat('5a', 460), 'hex') END,
           CASE WHEN s % 2 = 1 THEN c.id || '-' || s END,
           CASE WHEN s % 2 = 1 THEN 'received' ELSE 'sent' END,
           now() - interval '2 days', now() - interval '2 days'
    FROM chats c, generate_series(1, $2::int) s WHERE c.agent_id = $1 AND c.waiting_since IS NULL
    AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.owner_id = c.owner_id AND m.chat_id = c.id)
"""
_FILLER_TURNS = """
    INSERT INTO turns (owner_id, id, chat_id, agent_id, agent_version, status, from_seq, to_seq, started_at, finished_at)
    SELECT c.owner_id, gen_random_uuid(), c.id, c.agent_id, 1, 'answered', s * 2 - 1, s * 2 - 1,
           now() - interval '2 days', now() - interval '2 days'
    FROM chats c, generate_series(1, $2::int / 2) s WHERE c.agent_id = $1 AND c.waiting_since IS NULL
    AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.owner_id = c.owner_id AND t.chat_id = c.id)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """One state's, medians over the rounds; ratios are to the empty instance in the same round."""

    state: str
    cpu_ms: float
    p50_ms: float
    cpu_ratio: float
    p50_ratio: float

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


async def measure_growth(plan: Plan, say: Say) -> list[Cost]:
    """Three instances take turns, so that a noisy minute falls on all of them."""
    around = f"{plan.filler_messages:,} messages around"
    async with AsyncExitStack() as stack:
        empty, long, full = [await _Bench.open(stack, plan, say) for _ in range(3)]
        await long.people_with_long_chats()
        await full.people_with_long_chats()
        say(f"filling in {plan.filler_messages:,} messages")
        await full.fill()
        states = {
            "empty": (empty, empty.new_people),
            "chat of 1,000 messages": (long, long.people_with_long_chats),
            around: (full, full.new_people),
            f"chat of 1,000 messages, {around}": (full, full.people_with_long_chats),
        }
        rounds: list[dict[str, tuple[float, float]]] = []
        for number in range(plan.growth_rounds):
            rounds.append(
                {state: await bench.cost(await people()) for state, (bench, people) in states.items()}
            )
            said = ", ".join(f"{state} {cpu_ms:.1f} ms" for state, (cpu_ms, _) in rounds[-1].items())
            say(f"round {number + 1}/{plan.growth_rounds}, CPU a message: {said}")
    return [_median_cost(state, rounds) for state in states]


def _median_cost(state: str, rounds: Sequence[dict[str, tuple[float, float]]]) -> Cost:
    return Cost(
        state,
        statistics.median(r[state][0] for r in rounds),
        statistics.median(r[state][1] for r in rounds),
        statistics.median(r[state][0] / r["empty"][0] for r in rounds),
        statistics.median(r[state][1] / r["empty"][1] for r in rounds),
    )


@dataclass(slots=True)
class _Bench:
    rig: Rig
    provider: Provider
    stub_pid: int
    plan: Plan
    agent: Agent
    people_so_far: int = 0
    long_chats: list[Person] = field(default_factory=list)

    @classmethod
    async def open(cls, stack: AsyncExitStack, plan: Plan, say: Say) -> _Bench:
        say("starting an instance")
        rig, provider, stub_pid = await stack.enter_async_context(whole_house("growth"))
        return cls(rig, provider, stub_pid, plan, rig.add_agent("growth", settle_s=0))

    async def cost(self, people: list[Person]) -> tuple[float, float]:
        """CPU milliseconds a message, and the median latency in milliseconds."""
        meter, tally = self.rig.meter(self.stub_pid), Tally()
        before = meter.read()
        await self._say(people, tally, self.plan.growth_messages)
        taken_s = sum(meter.read().values()) - sum(before.values())
        return taken_s / tally.done * 1000, percentile(tally.latencies_s, 0.5) * 1000

    async def _say(self, people: list[Person], tally: Tally, messages: int) -> None:
        await all_talk(people, self.rig.port, self.provider, tally, at_once=CHATS, messages=messages)
        if tally.lost or tally.out_of_order:
            raise RuntimeError(f"{tally.lost} messages lost, {tally.out_of_order} out of order")

    async def new_people(self) -> list[Person]:
        """People whose chat has just begun: two messages in it."""
        first = self.people_so_far
        self.people_so_far += PEOPLE
        people = [Person(self.agent, first + n) for n in range(PEOPLE)]
        await self._say(people, Tally(), 1)
        return people

    async def people_with_long_chats(self) -> list[Person]:
        if not self.long_chats:
            people = await self.new_people()
            keeper = await self._keeper()
            try:
                await _lengthen_newest_chats(keeper, self.rig, self.agent)
            finally:
                await keeper.close()
            self.long_chats = people
        return self.long_chats

    async def fill(self) -> None:
        """The messages around, as quickly as PostgreSQL takes them."""
        keeper = await self._keeper()
        try:
            # Foreign keys were checked a million times by nobody else either: the rows come from one another.
            await keeper.execute("SET session_replication_role = replica")
            a_chat = max(2, self.plan.filler_messages // FILLER_CHATS)
            agent_id = UUID(self.agent.id)
            chats = self.plan.filler_messages // a_chat
            await keeper.execute(_FILLER_CHATS, agent_id, a_chat, chats, timeout=600)
            await keeper.execute(_FILLER_PEOPLE, agent_id, chats, timeout=600)
            await keeper.execute(_FILLER_MESSAGES, agent_id, a_chat, timeout=900)
            await keeper.execute(_FILLER_TURNS, agent_id, a_chat, timeout=900)
            # What autovacuum does within the minute, so that no figure depends on when it comes.
            await keeper.execute("VACUUM ANALYZE", timeout=900)
            await keeper.execute("CHECKPOINT", timeout=900)
        finally:
            await keeper.close()

    async def _keeper(self) -> Any:
        return await asyncpg.connect(self.rig.postgres.url("a1zap"))


async def _lengthen_newest_chats(keeper: Any, rig: Rig, agent: Agent) -> None:
    """Give the newest chats of the agent 998 messages more, sealed with the owner's key."""
    chats = await keeper.fetch(
        "SELECT owner_id, id, channel_account_id, last_seq FROM chats WHERE agent_id = $1 ORDER BY created_at DESC LIMIT $2",
        UUID(agent.id),
        PEOPLE,
    )
    sealer = await _owner_sealer(keeper, rig, chats[0]["owner_id"])
    said_at = datetime.now(UTC) - timedelta(hours=1)
    for chat in chats:
        seqs = range(chat["last_seq"] + 1, LONG_CHAT + 1)
        await keeper.copy_records_to_table(
            "messages",
            columns=_COLUMNS,
            records=[_message(sealer, chat, seq, said_at) for seq in seqs],
        )
    await keeper.execute(
        "UPDATE chats SET last_seq = $2, answered_seq = $2 WHERE id = ANY($1::uuid[])",
        [chat["id"] for chat in chats],
        LONG_CHAT,
    )
    await keeper.execute("VACUUM ANALYZE messages, chats")


_COLUMNS = [
    "owner_id",
    "id",
    "chat_id",
    "seq",
    "direction",
    "sender_kind",
    "channel_account_id",
    "content_sealed",
    "status",
    "said_at",
    "created_at",
]


def _message(sealer: Sealer, chat: Any, seq: int, at: datetime) -> tuple[object, ...]:
    message_id = new_id()
    text = f"An earlier message, number {seq} of this long chat, of about the usual length."
    is_inbound = seq % 2 == 1
    return (
        chat["owner_id"],
        message_id,
        chat["id"],
        seq,
        "inbound" if is_inbound else "outbound",
        "user" if is_inbound else "agent",
        chat["channel_account_id"],
        sealer.seal(text, table="messages", column="content_sealed", row=message_id),
        "received" if is_inbound else "sent",
        at,
        at,
    )


async def _owner_sealer(keeper: Any, rig: Rig, owner_id: UUID) -> Sealer:
    key = await keeper.fetchrow("SELECT id, wrapped FROM data_keys WHERE owner_id = $1", owner_id)
    master = load_or_create_master_key(rig.postgres.server.data_dir.parent, None)
    return Sealer(master.unwrap(key["wrapped"], id=key["id"], owner_id=owner_id))
