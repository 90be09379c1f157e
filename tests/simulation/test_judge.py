"""Each broken promise is called by its name, and a clean run by none."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from tests.fakes.weather import SendCall
from tests.simulation.judge import Evidence, Inbound, Outbound, Said, Told, TurnRow, judge


def inbound(n: int, seq: int) -> Inbound:
    return Inbound("c1", seq, f"in-c1#{n}", (f"c1#{n}",))


def outbound(n: int, seq: int, **more: object) -> Outbound:
    made = Outbound(UUID(int=seq), "c1", seq, f"re c1#{n} ~{n}", "sent", False, "agent", 0, None)
    return replace(made, **more)


def call(n: int, at_s: float, **more: object) -> SendCall:
    made = SendCall("acc", "thread", f"re c1#{n} ~{n}", at_s, "w1", "taken", at_s + 0.01, at_s + 0.02, "out")
    return replace(made, **more)


# Two messages, each in a turn of its own, answered and sent in order.
CLEAN = Evidence(
    said=[Said("in-c1#1", "c1", "c1#1", 1.0), Said("in-c1#2", "c1", "c1#2", 2.0)],
    inbound=[inbound(1, 1), inbound(2, 3)],
    turns=[TurnRow("c1", 1, 1, "answered"), TurnRow("c1", 3, 3, "answered")],
    outbound=[outbound(1, 2), outbound(2, 4)],
    calls=[call(1, 1.5), call(2, 2.5)],
    calls_since=[call(1, 1.5), call(2, 2.5)],
    steps=[(UUID(int=2), "queued", "sent"), (UUID(int=4), "queued", "sent")],
    left={"turns": 0, "deliveries": 0},
)
TWICE = [call(1, 1.5), call(1, 3.0, caller="w2"), call(2, 4.0)]
FLAGGED = [outbound(1, 2, is_flagged=True), outbound(2, 4)]


def with_calls(calls: list[SendCall], **more: object) -> Evidence:
    return replace(CLEAN, calls=calls, calls_since=calls, **more)


CASES: dict[str, tuple[Evidence, set[str]]] = {
    "clean": (CLEAN, set()),
    "not stored": (
        replace(CLEAN, said=[*CLEAN.said, Said("in-c1#9", "c1", "c1#9", 9.0)]),
        {"lost"},
    ),
    "not acknowledged": (replace(CLEAN, said=[*CLEAN.said, Said("in-c1#9", "c1", "c1#9")]), set()),
    "stored twice": (
        replace(
            CLEAN,
            inbound=[*CLEAN.inbound, inbound(2, 5)],
            turns=[*CLEAN.turns, TurnRow("c1", 5, 5, "answered")],
        ),
        {"stored_twice"},
    ),
    "no turn": (replace(CLEAN, turns=CLEAN.turns[:1]), {"no_turn"}),
    "two turns": (replace(CLEAN, turns=[*CLEAN.turns, TurnRow("c1", 1, 3, "answered")]), {"two_turns"}),
    "a turn that failed": (
        replace(CLEAN, turns=[CLEAN.turns[0], TurnRow("c1", 3, 3, "failed")]),
        {"turn_not_answered"},
    ),
    "unanswered": (with_calls([call(1, 1.5)], outbound=[outbound(1, 2)]), {"unanswered"}),
    "answered twice": (
        with_calls(
            [call(1, 1.5), call(2, 2.5), call(2, 3.5, text="re c1#2 ~3")],
            outbound=[outbound(1, 2), outbound(2, 4), outbound(2, 5, text="re c1#2 ~3")],
        ),
        {"answered_twice", "turns_out_of_order"},
    ),
    "answered in the wrong order": (
        with_calls(
            [call(2, 1.5), call(1, 2.5)],
            outbound=[outbound(2, 2), outbound(1, 4)],
        ),
        {"turns_out_of_order"},
    ),
    "sent in the wrong order": (with_calls([call(2, 1.5), call(1, 2.5)]), {"sent_out_of_order"}),
    "never sent": (with_calls([call(1, 1.5)]), {"never_sent"}),
    "sent, and nobody wrote it": (with_calls([*CLEAN.calls, call(7, 3.0)]), {"sent_unknown"}),
    "called again after a death": (with_calls(TWICE, outbound=FLAGGED, deaths={"w1": 2.0}), set()),
    "called again after a restart": (
        with_calls(TWICE, outbound=FLAGGED, restarts=[(1.4, 1.6)]),
        set(),
    ),
    "called again after a lost answer": (
        with_calls([call(1, 1.5, outcome="reset_after"), *TWICE[1:]], outbound=FLAGGED),
        set(),
    ),
    "called again while the first lived": (with_calls(TWICE, outbound=FLAGGED), {"extra_unexplained"}),
    "called again before the first died": (
        with_calls(TWICE, outbound=FLAGGED, deaths={"w1": 3.5}),
        {"extra_unexplained"},
    ),
    "called again without the flag": (with_calls(TWICE, deaths={"w1": 2.0}), {"extra_unflagged"}),
    "called again after the next had left": (
        with_calls([TWICE[0], call(2, 2.0), call(1, 3.0, caller="w2")], outbound=FLAGGED, deaths={"w1": 1.9}),
        {"sent_out_of_order"},
    ),
    "a status that went back": (
        replace(CLEAN, steps=[(UUID(int=2), "delivered", "sent")]),
        {"status_backwards"},
    ),
    "a status that went round": (
        replace(CLEAN, steps=[(UUID(int=2), "unknown", "sending"), (UUID(int=2), "sending", "queued")]),
        set(),
    ),
    "a status that stayed": (
        replace(CLEAN, outbound=[outbound(1, 2), outbound(2, 4, status="queued")]),
        {"not_sent"},
    ),
    "given up without a reason": (
        replace(CLEAN, outbound=[outbound(1, 2), outbound(2, 4, status="failed", error="no")]),
        {"not_sent"},
    ),
    "an echo taken for somebody's words": (
        replace(CLEAN, outbound=[*CLEAN.outbound, outbound(2, 5, sender_kind="owner")]),
        {"echo_stored"},
    ),
    "left over": (replace(CLEAN, left={"turns": 0, "deliveries": 1}), {"stuck"}),
    "refused": (replace(CLEAN, refused=[401]), {"refused"}),
    "called in a way nobody understands": (replace(CLEAN, complaints=["no"]), {"odd_call"}),
    "one conversation in two chats": (
        replace(
            CLEAN,
            inbound=[inbound(1, 1), replace(inbound(2, 3), chat="other")],
            turns=[CLEAN.turns[0], replace(CLEAN.turns[1], chat="other")],
        ),
        {"split"},
    ),
    "two conversations in one chat": (
        replace(
            CLEAN,
            said=[*CLEAN.said, Said("in-c2#1", "c2", "c2#1", 3.0)],
            inbound=[*CLEAN.inbound, Inbound("c1", 5, "in-c2#1", ("c2#1",))],
            turns=[*CLEAN.turns, TurnRow("c1", 5, 5, "answered")],
            outbound=[*CLEAN.outbound, outbound(1, 6, text="re c2#1 ~3")],
            calls=[*CLEAN.calls, call(1, 3.5, text="re c2#1 ~3")],
            calls_since=[*CLEAN.calls, call(1, 3.5, text="re c2#1 ~3")],
        ),
        {"mixed"},
    ),
    "news that was told and is not known": (
        replace(CLEAN, told=[Told("x", str(UUID(int=2)), "delivered", 3.0)]),
        {"status_behind"},
    ),
    "news that nobody acknowledged": (replace(CLEAN, told=[Told("x", str(UUID(int=2)), "read")]), set()),
    "news of a message that nobody knows": (replace(CLEAN, told=[Told("x", None, "read", 3.0)]), set()),
    "refused by the provider, and said so": (
        with_calls(
            [call(1, 1.5, taken_s=None, outcome="refused"), call(2, 2.5)],
            outbound=[outbound(1, 2, status="failed", error="550"), outbound(2, 4)],
        ),
        set(),
    ),
    "sent again under another name": (
        with_calls(
            [call(1, 1.5, key=f"{UUID(int=2)}"), call(1, 3.0, caller="w2", key="new"), call(2, 4.0)],
            outbound=FLAGGED,
            deaths={"w1": 2.0},
        ),
        {"renamed"},
    ),
    "sent under somebody else's name": (
        with_calls([call(1, 1.5, key="<not-ours@acme.test>"), call(2, 2.5)]),
        {"renamed"},
    ),
    "called again where a repeat is known as one": (
        with_calls(
            [
                call(1, 1.5, outcome="reset_after"),
                call(1, 3.0, is_known_again=True, taken_s=None),
                call(2, 4.0),
            ],
        ),
        set(),
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_the_judge_says_of_a_run(name: str):
    evidence, broken = CASES[name]
    assert set(judge(evidence, is_over=True).broken) == broken


def test_what_is_kept_to_be_read_may_be_stored_later_and_must_be_in_the_end():
    late = replace(CLEAN, said=[*CLEAN.said, Said("in-c1#9", "c1", "c1#9", 9.0, is_read_later=True)])
    assert judge(late, is_over=False).is_clean
    assert set(judge(late, is_over=True).broken) == {"lost"}


@pytest.mark.parametrize("name", ["no turn", "unanswered", "left over", "a status that stayed"])
def test_what_may_still_come_is_not_blamed_while_the_run_goes_on(name: str):
    assert judge(CASES[name][0], is_over=False).is_clean
