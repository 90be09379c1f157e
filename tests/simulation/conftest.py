from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.simulation.forks import Forks

SEED = int(os.environ.get("A1ZAP_TEST_SEED", "20261123"))


@pytest.fixture(scope="session")
async def forks() -> AsyncIterator[Forks]:
    """One process that has imported everything, for all runs."""
    async with Forks() as made:
        yield made


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[dict[str, Any]], None]:
    """Seeds and counters come out as JSON lines, whether or not the test passes."""

    def say_json(line: dict[str, Any]) -> None:
        with capsys.disabled():
            print("\n" + json.dumps(line, default=str), flush=True)

    return say_json
