"""Looks at what is left when a run is over (or still going on) and says which promises were broken.

The judge believes three witnesses: the provider (what it delivered and was acknowledged, what it was handed, when),
the tables (messages, turns, each step of each status), and the log of deaths that the harness itself caused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.fakes.weather import AMBIGUOUS, SendCall
from tests.simulation.restating_model import SERIAL

# Where a status may go but forward: an attempt begins again, or came to nothing.
STATUS_RANK = (
    "received", "queued", "sending", "unknown", "sent", "delivered", "read", "played", "failed",
)  # fmt: skip
STATUS_LOOP = frozenset((("sending", "queued"), ("unknown", "sending"), ("sending", "unknown")))
LEFT = frozenset(("sent", "delivered", "read", "played"))

# A dead man's last call may still be on its way for a moment.
GRACE_S = 0.5


@dataclass
class Said:
    """One message from outside. `acknowledged_s`: when a delivery of it was first answered 2xx.

    `is_read_later`: the 2xx says that the delivery is kept; a worker stores the message a little later.
    """

    external_id: str
    chat: str
    serial: str
    acknowledged_s: float | None = None
    is_read_later: bool = False


@dataclass
class Told:
    """News of a message of ours: by the provider's id of it, and by our own where the provider gives that back."""

    external_id: str
    message_id: str | None
    status: str
    acknowledged_s: float | None = None


@dataclass(frozen=True)
class Inbound:
    chat: str
    seq: int
    external_id: str
    serials: tuple[str, ...]


@dataclass(frozen=True)
class Outbound:
    id: UUID
    chat: str
    seq: int
    text: str
    status: str
    is_flagged: bool
    sender_kind: str
    attempts: int
    error: str | None
    external_id: str | None = None

    @property
    def serials(self) -> list[str]:
        return SERIAL.findall(self.text)

    @property
    def is_answer(self) -> bool:
        """Not the echo of one, which nobody recognised."""
        return self.sender_kind == "agent"


@dataclass(frozen=True)
class TurnRow:
    chat: str
    from_seq: int
    to_seq: int
    status: str


@dataclass
class Evidence:
    """`deaths` and `restarts` in seconds of the monotonic clock, as the provider's times are.

    `said`, `told` and `calls` as they were before the tables were looked at, `calls_since` as they were afterwards: so
    a run can be judged while it goes on.
    """

    said: Sequence[Said] = ()
    told: Sequence[Told] = ()
    calls: Sequence[SendCall] = ()
    calls_since: Sequence[SendCall] = ()
    inbound: Sequence[Inbound] = ()
    outbound: Sequence[Outbound] = ()
    turns: Sequence[TurnRow] = ()
    steps: Sequence[tuple[UUID, str, str]] = ()
    left: dict[str, int] = field(default_factory=dict)
    deaths: dict[str, float] = field(default_factory=dict)
    restarts: Sequence[tuple[float, float]] = ()
    refused: Sequence[int] = ()
    complaints: Sequence[str] = ()


@dataclass
class Verdict:
    """Broken promises by kind, with a few examples each; `facts` are counters that are no fault."""

    broken: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    facts: Counter[str] = field(default_factory=Counter)

    def blame(self, kind: str, example: str) -> None:
        self.broken[kind] += 1
        if len(self.examples[kind]) < 5:
            self.examples[kind].append(example)

    @property
    def is_clean(self) -> bool:
        return not self.broken


def judge(evidence: Evidence, *, is_over: bool) -> Verdict:
    """With `is_over`, what has not happened yet will not happen any more, and counts."""
    verdict = Verdict()
    _judge_intake(evidence, verdict, is_over=is_over)
    _judge_places(evidence, verdict)
    _judge_turns(evidence, verdict, is_over=is_over)
    _judge_answers(evidence, verdict, is_over=is_over)
    _judge_sends(evidence, verdict, is_over=is_over)
    _judge_statuses(evidence, verdict, is_over=is_over)
    for status in evidence.refused:
        verdict.blame("refused", f"an authentic delivery was answered {status}")
    for complaint in evidence.complaints:
        verdict.blame("odd_call", complaint)
    if is_over:
        for place, count in evidence.left.items():
            if count:
                verdict.blame("stuck", f"{count} left in {place}")
    return verdict


def _judge_intake(evidence: Evidence, verdict: Verdict, *, is_over: bool) -> None:
    stored = Counter(serial for row in evidence.inbound for serial in row.serials)
    verdict.facts["messages"] = len(stored)
    for said in evidence.said:
        is_due = said.acknowledged_s is not None and (is_over or not said.is_read_later)
        if is_due and stored[said.serial] == 0:
            verdict.blame("lost", f"{said.serial} was answered 2xx and is not stored")
    for serial, count in stored.items():
        if count > 1:
            verdict.blame("stored_twice", f"{serial} is stored {count} times")


def _judge_places(evidence: Evidence, verdict: Verdict) -> None:
    """Each conversation is one chat, and each chat one conversation."""
    chats_of: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    conversations_in: dict[str, set[str]] = defaultdict(set)
    for row in evidence.inbound:
        for serial in row.serials:
            conversation = serial.partition("#")[0]
            chats_of[conversation][row.chat].append(serial)
            conversations_in[row.chat].add(conversation)
    for conversation, chats in chats_of.items():
        if len(chats) > 1:
            verdict.blame("split", f"{conversation} is in {len(chats)} chats: {dict(chats)}")
    for chat, conversations in conversations_in.items():
        if len(conversations) > 1:
            verdict.blame("mixed", f"chat {chat} holds {sorted(conversations)}")


def _judge_turns(evidence: Evidence, verdict: Verdict, *, is_over: bool) -> None:
    verdict.facts["turns"] = len(evidence.turns)
    by_chat: dict[str, list[TurnRow]] = defaultdict(list)
    for turn in evidence.turns:
        by_chat[turn.chat].append(turn)
        if turn.status != "answered":
            verdict.blame("turn_not_answered", f"{turn}")
    for row in evidence.inbound:
        covering = [t for t in by_chat[row.chat] if t.from_seq <= row.seq <= t.to_seq]
        if len(covering) > 1:
            verdict.blame("two_turns", f"{row.chat} seq {row.seq} was in {len(covering)} turns")
        elif not covering and is_over:
            verdict.blame("no_turn", f"{row.chat} seq {row.seq} {row.serials} was in no turn")


def _judge_answers(evidence: Evidence, verdict: Verdict, *, is_over: bool) -> None:
    answers: Counter[str] = Counter(s for row in evidence.outbound if row.is_answer for s in set(row.serials))
    verdict.facts["answers"] = sum(row.is_answer for row in evidence.outbound)
    for serial, count in answers.items():
        if count > 1:
            verdict.blame("answered_twice", f"{serial} was answered {count} times")
    for row in evidence.inbound:
        for serial in row.serials:
            if is_over and answers[serial] == 0:
                verdict.blame("unanswered", f"{serial} (seq {row.seq}) was never answered")
    _judge_order_of_turns(evidence, verdict)


def _judge_order_of_turns(evidence: Evidence, verdict: Verdict) -> None:
    """Later answers are about later messages, and each names its own in order."""
    seq_of = {serial: row.seq for row in evidence.inbound for serial in row.serials}
    newest: dict[str, int] = defaultdict(int)
    for row in sorted(evidence.outbound, key=lambda r: (r.chat, r.seq)):
        if not row.is_answer:
            continue
        seqs = [seq_of.get(serial, 0) for serial in row.serials]
        if not seqs or seqs != sorted(seqs) or seqs[0] <= newest[row.chat]:
            verdict.blame(
                "turns_out_of_order", f"{row.chat} seq {row.seq}: {row.text!r} after {newest[row.chat]}"
            )
        newest[row.chat] = max([newest[row.chat], *seqs])


def _judge_sends(evidence: Evidence, verdict: Verdict, *, is_over: bool) -> None:
    row_of = {row.text: row for row in evidence.outbound if row.is_answer}
    calls_of = _by_text(evidence.calls)
    taken = [c for c in evidence.calls if c.taken_s is not None]
    verdict.facts["provider_calls"] = len(evidence.calls)
    verdict.facts["taken"] = len(taken)
    _judge_order_of_sends(taken, row_of, verdict)
    for text, calls in calls_of.items():
        row = row_of.get(text)
        if row is None:
            verdict.blame("sent_unknown", f"{text!r} was sent and is not in the tables")
        else:
            _judge_extra_calls(evidence, row, calls, verdict)
            _judge_names(row, calls, verdict)
    calls_since = _by_text(evidence.calls_since)
    for row in row_of.values():
        verdict.facts["flagged"] += row.is_flagged
        if _was_refused(row, calls_since[row.text]):
            verdict.facts["refused_by_provider"] += 1
        elif _was_given_up(row, calls_since[row.text]):
            verdict.facts["given_up"] += 1
            verdict.facts["given_up_unsent"] += not any(c.taken_s for c in calls_since[row.text])
        elif (is_over or row.status in LEFT) and not any(c.taken_s for c in calls_since[row.text]):
            verdict.blame("never_sent", f"{row.text!r} ({row.status}) never reached the provider")


def _judge_order_of_sends(taken: Iterable[SendCall], row_of: dict[str, Outbound], verdict: Verdict) -> None:
    newest: dict[str, int] = defaultdict(int)
    for call in sorted(taken, key=lambda c: c.taken_s or 0.0):
        row = row_of.get(call.text)
        if row is None:
            continue
        if row.seq < newest[row.chat]:
            verdict.blame("sent_out_of_order", f"{row.chat} seq {row.seq} left after seq {newest[row.chat]}")
        newest[row.chat] = max(newest[row.chat], row.seq)


def _judge_extra_calls(
    evidence: Evidence, row: Outbound, calls: Sequence[SendCall], verdict: Verdict
) -> None:
    """A message that was taken may be sent again only by who could not know, and then it bears the flag."""
    known_taken: list[SendCall] = []
    for call in calls:
        if known_taken:
            verdict.facts["extra_calls"] += 1
            verdict.facts[f"extra_calls_{call.account_id}"] += 1
            if not any(_end_was_unknown(evidence, earlier, call.came_s) for earlier in known_taken):
                verdict.blame(
                    "extra_unexplained",
                    f"{row.text!r}: {known_taken[-1].caller} at {known_taken[-1].came_s:.3f} lived, "
                    f"{call.caller} called at {call.came_s:.3f}",
                )
            if not row.is_flagged and not call.is_known_again:
                verdict.blame(
                    "extra_unflagged", f"{row.text!r} was taken {len(known_taken) + 1} times, no flag"
                )
        if call.taken_s is not None:
            known_taken.append(call)
    if len(known_taken) > 1:
        verdict.facts["visible_duplicates"] += len(known_taken) - 1


def _judge_names(row: Outbound, calls: Sequence[SendCall], verdict: Verdict) -> None:
    """By the name that a message leaves under, whoever gets it twice can tell: so it has one, and its own."""
    keys = {call.key for call in calls}
    if len(keys) > 1:
        verdict.blame("renamed", f"{row.text!r} left under {len(keys)} names")
    elif keys != {""} and str(row.id) not in keys.pop():
        verdict.blame("renamed", f"{row.text!r} left under a name that is not its own")


def _end_was_unknown(evidence: Evidence, call: SendCall, until_s: float) -> bool:
    """Did the caller die, lose its answer, or lose its database before it could write down that the call went well?"""
    if call.outcome in AMBIGUOUS:
        return True
    died_s = evidence.deaths.get(call.caller)
    if died_s is not None and died_s < until_s:
        return True
    return any(
        began_s < until_s and ended_s + GRACE_S > call.came_s for began_s, ended_s in evidence.restarts
    )


def _was_refused(row: Outbound, calls: Sequence[SendCall]) -> bool:
    """The provider took it never, or told later that it did not arrive: it has failed, and says why."""
    is_no = any(call.outcome == "refused" or call.is_told_failed for call in calls)
    return row.status == "failed" and bool(row.error) and is_no


def _was_given_up(row: Outbound, calls: Sequence[SendCall]) -> bool:
    """Twice nobody could say whether it was taken, and the provider cannot be asked: a person is told, and decides."""
    is_said = row.status == "failed" and (row.error or "").startswith("nobody knows whether it was sent")
    return is_said and bool(calls) and calls[-1].outcome in (*AMBIGUOUS, "reset_before", "deaf")


def _by_text(calls: Sequence[SendCall]) -> dict[str, list[SendCall]]:
    found: dict[str, list[SendCall]] = defaultdict(list)
    for call in sorted(calls, key=lambda c: c.came_s):
        found[call.text].append(call)
    return found


def _judge_statuses(evidence: Evidence, verdict: Verdict, *, is_over: bool) -> None:
    for message_id, old, new in evidence.steps:
        if (old, new) not in STATUS_LOOP and STATUS_RANK.index(new) < STATUS_RANK.index(old):
            verdict.blame("status_backwards", f"message {message_id}: {old} -> {new}")
    echoes = Counter(row.text for row in evidence.outbound if not row.is_answer)
    times_taken = Counter(c.text for c in evidence.calls if c.taken_s is not None)
    for text, count in echoes.items():
        verdict.facts["echoes_unmatched"] += count
        if count > times_taken[text] - 1:
            verdict.blame("echo_stored", f"{text!r}: our own words were stored as somebody else's")
    if is_over:
        calls_of = _by_text(evidence.calls)
        for row in evidence.outbound:
            calls = calls_of[row.text]
            if row.status not in LEFT and not _was_given_up(row, calls) and not _was_refused(row, calls):
                verdict.blame("not_sent", f"{row.text!r} ended as {row.status}: {row.error}")
        _judge_news(evidence, calls_of, verdict)


def _judge_news(evidence: Evidence, calls_of: dict[str, list[SendCall]], verdict: Verdict) -> None:
    """What was told of a message of ours, and answered 2xx, is known of it: whenever it came."""
    row_of = {key: row for row in evidence.outbound for key in (row.external_id, str(row.id)) if key}
    for told in evidence.told:
        row = row_of.get(told.message_id or told.external_id)
        if row is None or told.acknowledged_s is None:
            continue
        verdict.facts["told"] += 1
        if STATUS_RANK.index(row.status) < STATUS_RANK.index(told.status):
            verdict.blame("status_behind", f"{row.text!r} is {row.status}, and {told.status} was told")
        if row.status == "failed" and told.status != "failed" and _was_given_up(row, calls_of[row.text]):
            verdict.facts["given_up_and_told"] += 1


def serials_of(text: str) -> tuple[str, ...]:
    return tuple(SERIAL.findall(text))


def shown(verdict: Verdict) -> dict[str, Any]:
    """As JSON wants it."""
    return {
        "broken": dict(verdict.broken),
        "examples": dict(verdict.examples),
        **dict(sorted(verdict.facts.items())),
    }
