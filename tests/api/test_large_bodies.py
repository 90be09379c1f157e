"""Large bodies are counted as long as anybody has them in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from a1zap.api.bodies import BodiesHeld, read_body
from a1zap.api.problems import Refused

MIB = 1 << 20


def posting(held: BodiesHeld, size: int) -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * size, "more_body": False}

    app = SimpleNamespace(state=SimpleNamespace(bodies_held=held))
    return Request({"type": "http", "headers": [], "app": app, "method": "POST"}, receive)


async def test_a_body_that_is_being_worked_on_still_counts():
    held = BodiesHeld(most=10 * MIB)
    async with read_body(posting(held, 6 * MIB), 8 * MIB) as raw:
        assert len(raw) == 6 * MIB
        with pytest.raises(Refused):
            async with read_body(posting(held, 6 * MIB), 8 * MIB):
                pass
    for _ in range(3):  # what was refused, or is done, counts no more
        async with read_body(posting(held, 6 * MIB), 8 * MIB) as raw:
            assert len(raw) == 6 * MIB


async def test_a_body_whose_work_fails_is_given_back():
    held = BodiesHeld(most=10 * MIB)
    for _ in range(3):
        with pytest.raises(LookupError):
            async with read_body(posting(held, 6 * MIB), 8 * MIB):
                raise LookupError
