"""Process trees: what they cost and hold, from /proc; and children of ours that never outlive us."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(*roots: int) -> list[int]:
    """The roots that live, and all their descendants."""
    parents: dict[int, list[int]] = {}
    for pid in _all_pids():
        fields = _stat(pid)
        if fields is not None:
            parents.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    todo = [pid for pid in roots if _stat(pid) is not None]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.append(pid)
            todo += parents.get(pid, [])
    return found


def cpu_s(*roots: int, without: Sequence[int] = ()) -> float:
    """CPU seconds of the trees since they began, but for the trees in `without`.

    A process's own counters hold what its dead and waited-for children took, so the sum over those that live loses
    nobody: neither PostgreSQL's short-lived workers nor a restarted worker of ours.
    """
    ticks = 0
    left_out = tree(*without) if without else ()
    for pid in tree(*roots):
        fields = None if pid in left_out else _stat(pid)
        if fields is not None:
            ticks += sum(int(fields[n]) for n in (11, 12, 13, 14))  # utime, stime, cutime, cstime
    return ticks / _TICKS


def machine_busy_s() -> float:
    """CPU seconds that all processes of the machine took since it began."""
    numbers = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = numbers
    return (user + nice + system + irq + softirq) / _TICKS


@dataclass(frozen=True, slots=True)
class Memory:
    rss_mb: float
    pss_mb: float
    processes: int


def memory(pids: Sequence[int]) -> Memory:
    """What processes hold: RSS counts shared pages in each, PSS divides them."""
    rss = pss = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
    return Memory(rss / 1024, pss / 1024, len(pids))


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _all_pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


# ── starting and stopping ───────────────────────────────────────────────────────────────────────────────────────────


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(
    command: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of the block; asked politely to end, then made to. Its output goes to `log`."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            list(command), env=dict(env), stdin=subprocess.PIPE, stdout=out, stderr=out, cwd=cwd
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], patience_s: float = 30.0) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


@contextlib.contextmanager
def stub_model(python: str, root: Path) -> Iterator[tuple[str, int]]:
    """The model stub in a process of its own; gives its base URL and its process id."""
    process = subprocess.Popen(
        [python, "-m", "bench.stub_model"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/v1", process.pid
    finally:
        stop(process)


def wait_until_ready(
    url: str, process: subprocess.Popen[bytes], log: Path, patience_s: float = 120.0
) -> float:
    """Seconds until `url` answers 200."""
    began = time.monotonic()
    while time.monotonic() - began < patience_s:
        if process.poll() is not None:
            raise RuntimeError(
                f"the process ended with code {process.returncode}; the end of {log}:\n{tail(log)}"
            )
        if _answers(url):
            return time.monotonic() - began
        time.sleep(0.02)
    raise RuntimeError(f"{url} was not ready in {patience_s:.0f} s; the end of {log}:\n{tail(log)}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - an address of ours
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
