"""The child that reads mail: it may be killed, hung, starved or left alone, and a Mail comes back all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a1zap.channels.email.bounded import MailReader
from a1zap.channels.email.parse_mail import parse_mail

MAILS = Path(__file__).parents[3] / "contracts" / "payloads" / "email"
HEAD = b"From: ada@example.com\r\nSubject: Hello\r\nMessage-ID: <1@example.com>\r\n"
# Three million header fields in one part: twenty times more objects than bytes.
GREEDY = (
    HEAD
    + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    + b"a: b\r\n" * 3_000_000
    + b"\r\n\r\n--b--"
)


@pytest.fixture
async def reader() -> AsyncIterator[MailReader]:
    reader = MailReader()
    yield reader
    await reader.close()


async def pid_of(reader: MailReader) -> int:
    await reader.read(HEAD + b"\r\n")
    assert reader._child is not None
    return reader._child.pid


async def test_every_sample_is_read_through_the_pipe_as_without_it(reader: MailReader):
    for path in sorted(MAILS.glob("*.eml")):
        raw = path.read_bytes()
        assert await reader.read(raw) == parse_mail(raw), path.name


async def test_the_child_is_kept_and_started_again_after_it_was_killed(reader: MailReader):
    first = await pid_of(reader)
    assert await pid_of(reader) == first
    os.kill(first, signal.SIGKILL)
    mail = await reader.read(HEAD + b"\r\nstill read")
    assert (mail.reply, mail.problems) == ("still read", ())
    assert await pid_of(reader) != first


async def test_a_mail_that_takes_too_long_comes_back_with_its_headers():
    reader = MailReader(limit_s=0.3)
    try:
        pid = await pid_of(reader)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        mail = await reader.read(HEAD + b"\r\nnever read")
        assert time.monotonic() - began < 5
        assert (mail.from_address, mail.subject, mail.message_id) == (
            "ada@example.com",
            "Hello",
            "1@example.com",
        )
        assert mail.problems == ("took longer than 0.3 s to read",)
        assert (await reader.read(HEAD + b"\r\nthe next")).reply == "the next"
    finally:
        await reader.close()


async def test_a_mail_that_wants_too_much_memory_ends_the_child_and_nothing_else():
    reader = MailReader(limit_s=30, memory_bytes=64 * 1024 * 1024)
    try:
        mail = await reader.read(GREEDY)
        assert mail.subject == "Hello"
        assert mail.problems == ("ended the process that read it",)
        assert (await reader.read(HEAD + b"\r\nthe next")).reply == "the next"
    finally:
        await reader.close()


async def test_a_mail_beyond_all_size_is_only_glanced_at(reader: MailReader):
    mail = await reader.read(HEAD + b"\r\n" + b"x" * (36 * 1024 * 1024))
    assert mail.subject == "Hello" and mail.problems[0].startswith("too large")


async def test_large_files_come_through(reader: MailReader):
    raw = (
        HEAD
        + b"Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + (b"QUFB" * 19 + b"\r\n") * 100_000
    )
    (file,) = (await reader.read(raw)).attachments
    assert file.content == b"A" * (57 * 100_000)


async def test_many_callers_take_turns(reader: MailReader):
    mails = await asyncio.gather(*(reader.read(HEAD + b"\r\nmail %d" % n) for n in range(50)))
    assert [mail.reply for mail in mails] == [f"mail {n}" for n in range(50)]


async def test_a_caller_that_gives_up_does_not_get_its_answer_delivered_to_the_next(reader: MailReader):
    pid = await pid_of(reader)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(HEAD + b"\r\nfirst")
    assert (await reader.read(HEAD + b"\r\nsecond")).reply == "second"


async def test_signals_to_the_whole_group_do_not_cost_a_mail(reader: MailReader):
    pid = await pid_of(reader)
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, sent)
    assert (await reader.read(HEAD + b"\r\nread")).reply == "read"
    assert await pid_of(reader) == pid


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_child_can_open_nothing_and_has_little_to_fill(reader: MailReader):
    pid = await pid_of(reader)
    limits = Path(f"/proc/{pid}/limits").read_text()
    held = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert held["Max open files"] == "3"
    assert held["Max file size"] == held["Max core file size"] == "0"
    assert held["Max address space"] != "unlimited" and held["Max cpu time"] != "unlimited"
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PYTEST" not in environment and b"A1ZAP" not in environment
    assert sorted(entry.name for entry in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_child_dies_with_its_parent():
    program = textwrap.dedent(
        """
        import asyncio, os, signal
        from a1zap.channels.email.bounded import MailReader

        async def main():
            reader = MailReader()
            await reader.read(b"Subject: x")
            print(reader._child.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """
    )
    parent = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    child = int(parent.stdout)
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "zombie" in Path(f"/proc/{child}/status").read_text():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the child outlived its parent")


async def test_a_closed_reader_leaves_no_process_and_can_be_used_again(reader: MailReader):
    pid = await pid_of(reader)
    await reader.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await reader.close()
    assert (await reader.read(HEAD + b"\r\nagain")).reply == "again"
