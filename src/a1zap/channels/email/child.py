"""The process in which strangers' bytes are parsed: little memory, little time, and nothing it can open.

Reads `length (8, big-endian), raw mail` on stdin and answers `length (8), packed mail` on stdout, one after the other,
until stdin ends: so it ends with its parent, however that ends. Its first answer, of length 0, says that it is ready.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from math import ceil
from typing import BinaryIO

from a1zap.channels.email.charsets import load_charsets
from a1zap.channels.email.mail import pack_mail
from a1zap.channels.email.parse_mail import parse_mail

_WARM_UP = (
    b"From: a@example.org\r\nSubject: =?utf-8?q?a?=\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n'
    b"<p>a</p>\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: b\r\n\r\nb\r\n--x--\r\n"
)


def main() -> None:
    limit_s, memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)  # they come to the whole group; the end of stdin is our end
    load_charsets()
    parse_mail(_WARM_UP)  # what is imported late is imported now
    _confine(memory_bytes)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _answer(answers, b"")
    while (raw := _request(requests)) is not None:
        _allow_cpu(limit_s)
        _answer(answers, pack_mail(parse_mail(raw)))


def _request(requests: BinaryIO) -> bytes | None:
    head = requests.read(8)
    if len(head) < 8:
        return None
    raw = requests.read(int.from_bytes(head))
    return raw if len(raw) == int.from_bytes(head) else None


def _answer(answers: BinaryIO, packed: bytes) -> None:
    answers.write(len(packed).to_bytes(8))
    answers.write(packed)
    answers.flush()


def _confine(memory_bytes: int) -> None:
    """From here on: so much more memory, no new file, socket or pipe, no file growth, no core, a lower priority."""
    limits = [
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, _virtual_bytes() + memory_bytes),
    ]
    for kind, most in limits:
        with contextlib.suppress(ValueError, OSError):  # macOS knows the limits and keeps not all of them
            resource.setrlimit(kind, (most, most))
    with contextlib.suppress(OSError):
        os.nice(5)


def _virtual_bytes() -> int:
    """What this process has mapped already; 1 GiB where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - pathlib is not worth its import
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


def _allow_cpu(limit_s: float) -> None:
    """Another `limit_s` of CPU, then the kernel ends us: the parent's clock does this sooner, if there is a parent."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = ceil(used.ru_utime + used.ru_stime + limit_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
