"""Starts real a1zap processes in a few milliseconds: one process imports everything, and each further one is its fork.

What runs in a fork is the command line itself (`a1zap serve`, `a1zap worker`), after the fork has read its own
environment, been given its instruments (instruments.py) and, in tests of the harness, its mutant (mutants.py).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Order:
    """One process to be: `argv` is what stands behind `a1zap` on the command line; `env` is all of its environment."""

    name: str
    argv: Sequence[str]
    env: dict[str, str]
    log: str
    slot: int = 0
    busy_file: str = ""
    doom: tuple[str, int] | None = None
    mutant: str = ""


@dataclass
class Child:
    """A running process; `ended` is set to its wait status once it is gone."""

    pid: int
    order: Order
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def is_alive(self) -> bool:
        return not self.ended.done()

    def kill(self) -> None:
        """kill -9, whatever it is doing."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Forks:
    """The near end: `spawn` in the test's process, the forking in one of its own."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._early: dict[int, int] = {}  # wait statuses of those who died before we knew their number
        self._n = 0

    async def __aenter__(self) -> Self:
        near, far = socket.socketpair()
        with far:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.simulation.forks", str(far.fileno()), pass_fds=(far.fileno(),)
            )
        self._reader, self._writer = await asyncio.open_connection(sock=near)
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()  # the far end kills its children when nobody is there any more
        with suppress(OSError):
            await self._writer.wait_closed()
        self._listening.cancel()
        with suppress(asyncio.CancelledError):
            await self._listening
        await self._process.wait()

    async def spawn(self, order: Order) -> Child:
        self._n += 1
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[self._n] = answer
        self._writer.write(json.dumps({"id": self._n, **asdict(order)}).encode() + b"\n")
        pid = await answer
        child = Child(pid, order)
        self._children[pid] = child
        if pid in self._early:
            child.ended.set_result(self._early.pop(pid))
        return child

    @staticmethod
    def _begun(asked: asyncio.Future[int], pid: int) -> None:
        if not asked.cancelled():
            asked.set_result(pid)
            return
        with suppress(ProcessLookupError):  # nobody wants it any more
            os.kill(pid, signal.SIGKILL)

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            said = json.loads(line)
            if "id" in said:
                self._begun(self._asked.pop(said["id"]), said["pid"])
                continue
            child = self._children.pop(said["pid"], None)
            if child is None:
                self._early[said["pid"]] = said["status"]
            else:
                child.ended.set_result(said["status"])


# ── the far end ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _import_everything() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    import a1zap.cli
    import a1zap.db.embedded
    import a1zap.serving

    with suppress(ImportError):
        import a1zap.api.server_protocol  # noqa: F401
    gc.collect()
    gc.freeze()


def serve_forks(fd: int) -> None:
    """Fork on demand until the other end closes; then kill whatever still runs."""
    channel = socket.socket(fileno=fd)
    _import_everything()
    woken_read, woken_write = os.pipe()
    os.set_blocking(woken_write, False)
    os.set_blocking(woken_read, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # meant for the test; when that ends, we end, and ours with us
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(woken_write, warn_on_full_buffer=False)
    living: set[int] = set()
    unread = b""
    while True:
        ready, _, _ = select.select([channel, woken_read], [], [])
        if woken_read in ready:
            with suppress(BlockingIOError):
                os.read(woken_read, 4096)
            _bury(channel, living)
        if channel in ready:
            got = channel.recv(1 << 16)
            if not got:
                break
            *lines, unread = (unread + got).split(b"\n")
            for line in lines:
                pid = _fork(json.loads(line), channel)
                living.add(pid)
                _say(channel, {"id": json.loads(line)["id"], "pid": pid})
    for pid in living:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _bury(channel: socket.socket, living: set[int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        living.discard(pid)
        _say(channel, {"pid": pid, "status": status})


def _say(channel: socket.socket, what: dict[str, Any]) -> None:
    with suppress(OSError):
        channel.sendall(json.dumps(what).encode() + b"\n")


def _fork(order: dict[str, Any], channel: socket.socket) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        channel.close()
        _become(order)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(order: dict[str, Any]) -> None:
    """In the fork: a process of its own with that environment, running that command."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(order["env"])
    from tests.simulation import instruments, mutants

    instruments.install(order["name"], Path(order["busy_file"]), order["slot"], order["doom"])
    mutants.install(order["mutant"])
    from a1zap.cli import main

    sys.argv = ["a1zap", *order["argv"]]
    main()


if __name__ == "__main__":
    serve_forks(int(sys.argv[1]))
