"""Pictures are drawn anew, each in a child process with limits: what comes out of it is pixels, whatever went in."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

_CHILD: Final = str(Path(__file__).with_name("redraw_child.py"))
_TIME_MAX_S: Final = 30.0


class NotAPicture(Exception):
    """It cannot be drawn; the text is for its owner."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of our own drawing. `seen` is the smaller one for models; None: this one is small enough."""

    content: bytes = field(repr=False)
    mime_type: str
    width: int
    height: int
    seen: bytes | None = field(repr=False)
    seen_mime: str


class Redrawer:
    """Draws pictures anew, a few at once in this process."""

    def __init__(self, at_once: int = 2) -> None:
        self._hands = asyncio.Semaphore(at_once)

    async def redraw(self, content: bytes) -> Picture:
        """The same picture without anything but its pixels, upright, at most 4,096 on a side.

        Raises:
            NotAPicture: broken, too large, or it takes more memory or time than a picture may.
        """
        async with self._hands:
            output = await _run(content)
        head, newline, rest = output.partition(b"\n")
        if not newline:
            raise NotAPicture("the picture takes more memory or time than a picture may")
        told: dict[str, Any] = orjson.loads(head)
        if "refused" in told:
            raise NotAPicture(str(told["refused"]))
        drawn, seen = rest[: told["bytes"]], rest[told["bytes"] :]
        return Picture(
            drawn, told["mime_type"], told["width"], told["height"], seen or None, told["seen_mime"]
        )


async def _run(content: bytes) -> bytes:
    """What the child wrote; nothing where it was stopped."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        _CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"},  # none of our secrets
        cwd="/",
    )
    try:
        async with asyncio.timeout(_TIME_MAX_S):
            output, _ = await child.communicate(content)
    except TimeoutError:
        return b""
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return output if child.returncode == 0 else b""
