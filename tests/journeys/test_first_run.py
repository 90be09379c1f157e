"""The first run makes what a first look needs, once, however often it is cut short."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import MakeHouse, TestHouse

from a1zap import first_run
from a1zap.agents.delete_agent import delete_agent
from a1zap.first_run import prepare_first_run


async def _made(house: TestHouse) -> tuple[int, int]:
    [row] = await house.as_admin(
        "SELECT (SELECT count(*) FROM a1_agents WHERE deleted_at IS NULL) AS agents, count(*) AS articles FROM knowledge_articles"
    )
    return row["agents"], row["articles"]


@pytest.mark.parametrize("plan", ["free", "enterprise"])
async def test_a_first_run_that_was_cut_short_is_gone_on_with(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, plan: str
):
    house = await make_house(settings={"is_demo_wanted": True, "plan": plan})
    add_article, added = first_run.add_article, list[str]()

    async def add_four_and_die(*args: Any, **named: Any) -> Any:
        if len(added) == 4:
            raise ConnectionResetError
        added.append(named["title"])
        return await add_article(*args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(first_run, "add_article", add_four_and_die)
        with pytest.raises(ConnectionResetError):
            await prepare_first_run(house.house)
    assert await _made(house) == (1, 4)
    lines = await prepare_first_run(house.house)
    assert await _made(house) == (2, 18)
    assert any("/sign-in/" in line for line in lines) and any("/demo" in line for line in lines)


async def test_what_the_owner_deleted_of_the_demo_stays_deleted(make_house: MakeHouse):
    house = await make_house(settings={"is_demo_wanted": True})
    await prepare_first_run(house.house)
    [agent] = await house.as_admin("SELECT owner_id, id FROM a1_agents WHERE handle = 'byte'")
    await delete_agent(house.db, owner_id=agent["owner_id"], actor="test", agent_id=agent["id"])
    await prepare_first_run(house.house)
    assert (await _made(house))[0] == 1
