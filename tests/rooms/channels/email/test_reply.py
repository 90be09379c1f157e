from __future__ import annotations

import time
from pathlib import Path

import pytest

from a1zap.channels.email.reply import extract_reply
from a1zap.channels.email.reply_lines import classify_lines

HERE = Path(__file__).parent
ANSWER = "Fine, see you then."


def listed(name: str) -> list[str]:
    lines = (HERE / name).read_text(encoding="utf-8").split("\n")
    return [line.replace("|", "\n") for line in lines if line.strip() and not line.startswith("# ")]


def words(text: str) -> list[str]:
    return text.split()


# --- what mail programs write --------------------------------------------------------------------------------------
@pytest.mark.parametrize("intro", listed("reply_intros.txt"))
def test_an_announced_quote_is_cut_off_in_every_language(intro):
    assert extract_reply(f"{ANSWER}\n\n{intro}\n\n> Shall we meet?\n> Ann\n").reply == ANSWER
    assert extract_reply(f"{ANSWER}\n{intro}\n> Shall we meet?\n").reply == ANSWER


# Forms that only programs of people use who mark their quotes.
ONLY_WITH_MARKS = ("wrote in message", "* Ann")


@pytest.mark.parametrize(
    "intro", [i for i in listed("reply_intros.txt") if not any(form in i for form in ONLY_WITH_MARKS)]
)
def test_an_announced_mail_without_quote_marks_is_cut_off_too(intro):
    assert extract_reply(f"{ANSWER}\n\n{intro}\n\nShall we meet?\n\nAnn\n").reply == ANSWER


@pytest.mark.parametrize("intro", [i for i in listed("reply_intros.txt") if "Betreff" not in i])
def test_a_reply_below_the_quote_is_found(intro):
    assert extract_reply(f"{intro}\n> Shall we meet?\n>\n> Ann\n\n{ANSWER}\n").reply == ANSWER


@pytest.mark.parametrize("line", listed("reply_added_lines.txt"))
def test_what_a_program_adds_is_no_part_of_the_reply(line):
    assert extract_reply(f"{ANSWER}\n\n{line}\n").reply == ANSWER
    assert extract_reply(f"{ANSWER}\n\n{line}\n\nOn 2/8/21 9:12 AM, Ann wrote:\n\n> Hi\n").reply == ANSWER


@pytest.mark.parametrize(
    "line", (HERE / "reply_written_lines.txt").read_text(encoding="utf-8").splitlines()[1:]
)
def test_what_a_person_wrote_stays(line):
    assert extract_reply(f"{ANSWER}\n\n{line}\n\nThanks!").reply == f"{ANSWER}\n\n{line}\n\nThanks!"
    assert extract_reply(f"{ANSWER}\n\n{line}").reply == f"{ANSWER}\n\n{line}"


@pytest.mark.parametrize("block", listed("reply_header_blocks.txt"))
def test_a_block_of_headers_ends_the_reply(block):
    assert extract_reply(f"{ANSWER}\n\n{block}\n\nShall we meet?\n").reply == ANSWER
    assert (
        extract_reply(f"{ANSWER}\n________________________________\n{block}\n\nShall we?\n").reply == ANSWER
    )


@pytest.mark.parametrize("line", listed("reply_mail_below.txt"))
def test_a_line_that_announces_a_mail_ends_the_reply(line):
    assert extract_reply(f"{ANSWER}\n\n{line}\n\nShall we meet?\n").reply == ANSWER


# --- whole mails ---------------------------------------------------------------------------------------------------
INTRO = "On Mon, Feb 8, 2021 at 9:12 AM Ann Field <ann@field.example> wrote:"
MAILS = {
    "a signature below two dashes": (
        "Yes, please.\n\n-- \nBob Stone\nStone & Sons\n+44 20 7946 0000\n",
        "Yes, please.",
    ),
    "a signature between reply and quote": (f"Yes.\n\n--\nBob\n\n{INTRO}\n> Two?\n", "Yes."),
    "a signature below the quote": (f"Yes.\n\n{INTRO}\n\n> Two?\n\n\n-- \nBob\n", "Yes."),
    "a name behind a dash": ("Yes, two of them.\n\n-Bob\n", "Yes, two of them."),
    "a greeting at the end is the sender's own": (
        "Yes, two.\n\nBest regards\nBob",
        "Yes, two.\n\nBest regards\nBob",
    ),
    "a mailing list's foot": (
        "That works for me.\n\n_______________________________________________\nkayaks mailing list\nkayaks@lists.example\n",
        "That works for me.",
    ),
    "answers between quotes": (
        f"Hi Ann,\n\n{INTRO}\n> Which size?\n\nMedium.\n\n> Which colour?\n\nRed.\n\n> Bye\n> Ann\n",
        f"Hi Ann,\n\n{INTRO}\n> Which size?\n\nMedium.\n\n> Which colour?\n\nRed.",
    ),
    "answers between quotes from the first line": (
        f"{INTRO}\n> Which size?\nMedium.\n> Which colour?\nRed.\n",
        "> Which size?\nMedium.\n> Which colour?\nRed.",
    ),
    "a quote nobody announced stays with its answer": (
        "> Which size?\n\nMedium.\n",
        "> Which size?\n\nMedium.",
    ),
    "a quote at the end goes": ("Medium.\n\n> Which size?\n", "Medium."),
    "only a greeting above a quote": (
        f"Hello Ann,\n\n{INTRO}\n> Two?\n\nYes, two.\n",
        f"Hello Ann,\n\n{INTRO}\n> Two?\n\nYes, two.",
    ),
    "a foot below the quote": (
        f"We would like two of the red ones.\n\n{INTRO}\n> Two?\n\nThis mail is confidential.\n",
        "We would like two of the red ones.",
    ),
    "an embedded mail and one in it": (
        f"Third.\n\n{INTRO}\n\nSecond.\n\nOn Sun, Feb 7, 2021 at 9:12 AM Bob <bob@stone.example> wrote:\n\nFirst.\n",
        "Third.",
    ),
    "a quote that was broken without marks": (
        f"Yes.\n\n{INTRO}\n> We have got them in red, in blue and in a very light green that many\n> like, and then there are others that we have to order from the maker first\nalone.\n> Which?\n",
        "Yes.",
    ),
    "code keeps what looks like a mail's parts": (
        f"Run this:\n\n```\n# ---\n--\n> out.txt\nFrom: here\n```\n\nThen tell me.\n\n{INTRO}\n> How?\n",
        "Run this:\n\n```\n# ---\n--\n> out.txt\nFrom: here\n```\n\nThen tell me.",
    ),
    "an underlined heading is no signature": (
        "Our order\n=========\n\ntwo kayaks\n\nOur address\n-----------\n\nPier 4\n",
        "Our order\n=========\n\ntwo kayaks\n\nOur address\n-----------\n\nPier 4",
    ),
    "a list of points": ("- red\n- blue\n\n* one\n* two", "- red\n- blue\n\n* one\n* two"),
    "a table": ("| size | price |\n| --- | --- |\n| M | 5 |", "| size | price |\n| --- | --- |\n| M | 5 |"),
    "bars as quote marks": (
        "Medium.\n\n2021/2/8 Ann <ann@field.example>\n\n| Which size?\n| Ann\n",
        "Medium.",
    ),
    "a journey is no mail": (
        "Please book:\n\nFrom: Paris\nTo: London\nDate: 5 May 2021\n\nThanks",
        "Please book:\n\nFrom: Paris\nTo: London\nDate: 5 May 2021\n\nThanks",
    ),
    "prose about writing": (
        "On Monday I wrote to you.\n\nYou wrote back on 5 May 2021 that it is fine.\n\nHe said: no.",
        "On Monday I wrote to you.\n\nYou wrote back on 5 May 2021 that it is fine.\n\nHe said: no.",
    ),
    "an address in paragraphs of its own": (
        "Yes.\n\nOn Mon, 8 Feb 2021 at 9:12 Ann Field\n\n<\nmailto:ann@field.example\n> wrote:\n\nTwo?\n",
        "Yes.",
    ),
    "an intro glued to the text": (f"Yes, two. {INTRO} Two?", "Yes, two."),
    "a rule above the headers": (
        "Yes.\n\n  ------------------------------\n\n*From:* Ann <ann@field.example>\n*Sent:* Monday\n*To:* Bob\n*Subject:* Two?\n\nTwo?\n",
        "Yes.",
    ),
    "the line of a help desk": (
        "Yes.\n\n##- Please type your reply above this line -##\n\nYour request (5) has been updated.\n",
        "Yes.",
    ),
    "a web mail's quoted headers": (
        "Yes.\n\n> Subject: Two?\n> From: ann@field.example\n> Date: Mon\n>\n> Two?\n",
        "Yes.",
    ),
    "Notes": (
        "Yes.\n\n-----Ann Field/Field wrote: -----\nTo: Bob\nFrom: Ann Field/Field\nDate: 02/08/2021 09:12\nSubject: Two?\n\nTwo?",
        "Yes.",
    ),
    "a quoted intro": (f"Yes.\n\n> {INTRO}\n>\n> Two?\n", "Yes."),
    "an intro above indented text": (
        f"{INTRO}\n\n    two + two\n\nMust be four.",
        "two + two\n\nMust be four.",
    ),
    "lines of Windows": (f"Yes.\r\n\r\n{INTRO}\r\n\r\n> Two?\r\n", "Yes."),
    "lines of old Macs": (f"Yes.\r\r{INTRO}\r\r> Two?\r", "Yes."),
    "escaped marks": (
        "Yes.\n\nOn Mon, Feb 8, 2021 at 9:12 AM Ann &lt;ann@field.example&gt; wrote:\n&gt; Two?\n",
        "Yes.",
    ),
    "spaces that do not break": (
        "Oui.\n\nLe\xa0lun. 8\xa0févr. 2021 à 09:12, Ann\xa0<ann@field.example> a écrit\xa0:\n\n> Deux\xa0?",
        "Oui.",
    ),
    "two programs' lines": ("Yes.\n\nSent from my iPhone\n\nGet Outlook for iOS\n", "Yes."),
    "a rule and a program's line": (f"Yes.\n—\nSent from Mailbox\n\n{INTRO}\n> Two?", "Yes."),
    "who and when, and no more": (
        "Yes.\n\nFrom: Ann Field\nSent: Monday, 8 February 2021 9:12\n\nTwo?",
        "Yes.",
    ),
    "ruled intros without marks": (
        "Yes.\n\n---- Am Mo., 08 Feb. 2021 09:12:33 +0000 schrieb Ann <a@b.example> ----\n\nTwo?",
        "Yes.",
    ),
    "a reply below a quote that holds its intro": (f"> {INTRO}\n>\n> Two?\n\nYes.", "Yes."),
    "only text": ("Yes, two of the red ones.", "Yes, two of the red ones."),
    "one word": ("Yes", "Yes"),
}


@pytest.mark.parametrize("name", MAILS)
def test_the_reply_is_what_a_person_would_cut_out(name):
    mail, expected = MAILS[name]
    assert words(extract_reply(mail).reply) == words(expected)


WHOLE = {
    "only a quote": "> Which size?\n> Ann",
    "only a signature": "-- \nBob Stone\nStone & Sons",
    "only a program's line": "Sent from my iPhone",
    "only an intro and a quote": f"{INTRO}\n\n> Two?",
    "a mail handed on without a word": (
        "---------- Forwarded message ---------\nFrom: Ann <ann@field.example>\nDate: Mon\nSubject: Two?\n\nTwo?"
    ),
    "handed on by another program": "Begin forwarded message:\n\nFrom: Ann <ann@field.example>\nSubject: Two?\n\nTwo?",
}


@pytest.mark.parametrize("name", WHOLE)
def test_where_nothing_looks_written_by_the_sender_the_whole_text_is_the_reply(name):
    found = extract_reply(WHOLE[name])
    assert found.reply == WHOLE[name]
    assert found.quoted == ""


def test_nothing_is_lost():
    mail = f"Yes, two.\n\n--\nBob\n\n{INTRO}\n> Two?\n"
    found = extract_reply(mail)
    assert found.full == mail
    assert sorted(words(f"{found.reply} {found.quoted}")) == sorted(words(mail))


def test_a_reply_longer_than_what_is_looked_at_is_whole():
    mail = "".join(f"Point {number} of our long list.\n" for number in range(20_000))
    assert extract_reply(mail).reply.rstrip() == mail.rstrip()


def test_a_short_reply_above_a_very_long_quote_is_short():
    assert extract_reply("Yes.\n\n" + INTRO + "\n" + "> line\n" * 200_000).reply == "Yes."


def test_each_line_has_one_letter():
    mail = f"Yes.\n\n--\nBob\n{INTRO}\n> Two?\nSent from my iPhone\nFrom: Ann <a@b.example>\n"
    assert classify_lines(mail.split("\n")).letters == "tedtbqshe"


# --- texts made to harm --------------------------------------------------------------------------------------------
HOSTILE = {
    "intros and quotes": f"{INTRO}\n> q\n",
    "text, intros and quotes": f"text\n{INTRO}\n> q\n",
    "marks in one line": ">",
    "lines of marks": ">\n",
    "one long line": "a",
    "one long line of words": "a ",
    "short lines": "x\n",
    "empty lines": "\n",
    "carriage returns": "\r",
    "nested quotes": "".join(">" * depth + " x\n" for depth in range(200)),
    "headers": "From: a\nTo: b\n",
    "headers that go on": "To: a@b,\n",
    "names with addresses": "From: Ann <a@b.example>\nfoo\n",
    "stars": "**From:** **\n",
    "colons": "a:\n",
    "dates": "8 feb 2021 9:12 Ann <a@b\n",
    "openers": "On Mon, Feb 8, 2021 \n",
    "openers in one line": "On ",
    "verbs": "wrote: ",
    "lines of verbs": "wrote:\n",
    "rules": "--\n",
    "a long rule": "-",
    "spaced rules": "- ",
    "program lines": "Sent from my a b c d e f\n",
    "fences": "```\n",
    "NULs": "\0",
    "halves of characters": "\ud800",
    "directions": "\u202b\u200f\u2066",
    "addresses": "a@b ",
    "brackets": "<\n\n",
    "glued intros": "x. On Mon, Feb 8 2021 a <a@b> ",
    "flat headers": "From: a Sent: b To: c ",
    "words of forwarding": "forward message " * 5 + ":\n",
    "entities": "&lt;",
    "spaces": " " * 300 + "x\n",
}


def cpu_s(text: str) -> float:
    """The least CPU time of three runs: other programs on the machine do not count."""
    took: list[float] = []
    for _ in range(3):
        start = time.process_time()
        extract_reply(text)
        took.append(time.process_time() - start)
    return min(took)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_long(name):
    unit = HOSTILE[name]
    small = unit * max(1, 4_000 // len(unit))
    large = unit * max(1, 1_000_000 // len(unit))
    assert extract_reply(large).full == large
    # 250 times the text, and not 25 times the time: what is looked at is bounded. 4 ms are a clock's grain.
    assert cpu_s(large) <= max(0.004, cpu_s(small)) * 25
    assert cpu_s(large) < 0.1


@pytest.mark.parametrize("name", HOSTILE)
def test_time_grows_no_faster_than_the_text(name):
    unit = HOSTILE[name]
    part, whole = unit * max(1, 5_000 // len(unit)), unit * max(1, 20_000 // len(unit))
    # Four times the text: linear is 4, quadratic 16.
    assert cpu_s(whole) <= max(0.002, cpu_s(part)) * 10


@pytest.mark.parametrize("odd", ["\0", "\ud800", "\u202e", "\u2028", "\x85", "\x1c", "\ufeff", "😀", "é"])
def test_odd_characters_do_not_hide_a_quote(odd):
    found = extract_reply(f"Yes{odd}.\n\n{INTRO}\n> Two?{odd}\n")
    assert found.reply == f"Yes{odd}."


@pytest.mark.parametrize("mark", ["\u200f", "\u202a", "\ufeff", "\u2069", "\0"])
def test_marks_without_width_do_not_hide_an_intro(mark):
    intro = INTRO.replace("Ann", f"{mark}Ann{mark}").replace("On ", f"{mark}On ") + mark
    assert extract_reply(f"Yes.\n\n{intro}\n> Two?\n").reply == "Yes."
