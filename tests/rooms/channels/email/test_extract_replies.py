from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

MAIL = "Fine.\n\nOn Mon, Feb 8, 2021 at 9:12 AM Ann <ann@field.example> wrote:\n> Two?\n"
PAGE = '<p>Gr\u00fc\u00dfe</p><blockquote type="cite">Two?</blockquote>'


def command(*arguments: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-m", "a1zap.cli", "email", "extract-reply", *arguments]
    return subprocess.run(program, input=given, capture_output=True, check=False, timeout=60)


def test_the_command_prints_the_reply_of_a_mail():
    done = command(given=MAIL.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Fine.\n", b"")


def test_the_command_reads_html():
    assert command("--html", given=PAGE.encode()).stdout.decode() == "Gr\u00fc\u00dfe\n"


def test_bytes_that_are_no_text_are_read_as_well_as_can_be():
    assert command(given=b"Fine \xff.\n").stdout.decode() == "Fine \ufffd.\n"


def test_the_command_answers_each_line_and_names_the_bad_ones():
    lines = [
        orjson.dumps({"text": MAIL}),
        b"{bad",
        b"",
        b'{"txt": "x"}',
        b'["x"]',
        b'{"text": 5}',
        b'{"text": "half \\ud800, none \\u0000"}',
        orjson.dumps({"text": ""}),
    ]
    done = command("--jsonl", given=b"\n".join(lines))
    assert done.returncode == 1
    replies = [orjson.loads(line)["reply"] for line in done.stdout.splitlines()]
    assert replies == ["Fine.", "half \ufffd, none \ufffd", ""]
    problems = done.stderr.decode().splitlines()
    assert [problem.split(" is ")[0] for problem in problems] == [f"a1zap: line {n}" for n in (2, 4, 5, 6)]
    assert "txt" not in done.stderr.decode()


def test_the_command_reads_lines_of_html():
    done = command("--jsonl", "--html", given=orjson.dumps({"text": PAGE}) + b"\n")
    assert (done.returncode, orjson.loads(done.stdout)) == (0, {"reply": "Gr\u00fc\u00dfe"})


@pytest.mark.parametrize("word", ["--html", "--jsonl", "stdin", "stderr"])
def test_help_teaches_the_command(word):
    assert word in command("--help", given=b"").stdout.decode()


def test_the_evaluation_says_what_it_found_and_what_is_missing(tmp_path):
    evaluate = [sys.executable, "-m", "evals.email_reply", "--data", str(tmp_path)]
    missing = subprocess.run(evaluate, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "no cases at" in missing.stderr
    cases = [
        {"text": MAIL, "expected": "Fine. "},
        {"text": "One two", "expected": "One", "source": "own", "name": "b"},
    ]
    (tmp_path / "cases.json").write_bytes(orjson.dumps(cases))
    done = subprocess.run(evaluate, capture_output=True, text=True, check=True)
    assert "in all: 1 of 2 exact (50.0%)" in done.stdout
    assert "not exact: own b (lost 0%, leaked 50%)" in done.stdout
