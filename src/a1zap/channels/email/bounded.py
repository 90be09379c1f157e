"""Parsing of raw mail in a child process that may be killed: no mail can take our time, our memory or our life."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from typing import Final

from a1zap.channels.email.mail import Mail, unpack_mail
from a1zap.channels.email.mime_tree import RAW_MAX
from a1zap.channels.email.read_head import glance

_START_S: Final = 30.0
_ANSWER_MAX: Final = 2 * RAW_MAX
# Our environment holds keys; the child needs to find its libraries and nothing else.
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL")


class _Broken(Exception):
    """The child died, or says what we do not understand."""


class MailReader:
    """Reads mails one after the other in one child, which is started at the first and replaced when it had to die."""

    def __init__(self, *, limit_s: float = 5.0, memory_bytes: int = 512 * 1024 * 1024) -> None:
        self._limit_s = limit_s
        self._memory_bytes = memory_bytes
        self._turn = asyncio.Lock()
        self._child: Process | None = None

    async def read(self, raw: bytes) -> Mail:
        """The mail that `raw` says; never fails for what is in it.

        One that takes more than `limit_s`, or kills the child twice, comes back with its header fields, without text
        and files, and with the reason in `problems`.
        """
        if len(raw) > RAW_MAX:
            return glance(raw, f"too large: {len(raw)} bytes, at most {RAW_MAX} are read")
        async with self._turn:
            for _ in range(
                2
            ):  # the first death may have been meant for another (a restart, the machine's memory)
                try:
                    return await self._read_once(raw)
                except TimeoutError:
                    return glance(raw, f"took longer than {self._limit_s:g} s to read")
                except _Broken:
                    pass
            return glance(raw, "ended the process that read it")

    async def close(self) -> None:
        """End the child; the next mail would start another."""
        async with self._turn:
            await self._end()

    async def _read_once(self, raw: bytes) -> Mail:
        try:
            child = await self._started()
            async with asyncio.timeout(self._limit_s):
                return unpack_mail(await self._ask(child, raw))
        except TimeoutError:
            await self._end()
            raise
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            await self._end()
            raise _Broken from error
        except (
            BaseException
        ):  # cancelled between question and answer: the next question would get this answer
            await self._end()
            raise

    async def _started(self) -> Process:
        if self._child is not None and self._child.returncode is None:
            return self._child
        await self._end()
        self._child = child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-m",
            "a1zap.channels.email.child",
            str(self._limit_s),
            str(self._memory_bytes),
            stdin=PIPE,
            stdout=PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        try:
            async with asyncio.timeout(_START_S):
                await self._answer(child)
        except TimeoutError as error:
            raise _Broken from error
        return child

    async def _ask(self, child: Process, raw: bytes) -> bytes:
        if child.stdin is None:
            raise EOFError
        child.stdin.write(len(raw).to_bytes(8))
        child.stdin.write(raw)
        await child.stdin.drain()
        return await self._answer(child)

    async def _answer(self, child: Process) -> bytes:
        if child.stdout is None:
            raise EOFError
        length = int.from_bytes(await child.stdout.readexactly(8))
        if length > _ANSWER_MAX:
            raise ValueError(f"an answer of {length} bytes")
        return await child.stdout.readexactly(length)

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
