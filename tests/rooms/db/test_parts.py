"""Several statements in one round trip: each keeps its own arguments, and gives its own result."""

from __future__ import annotations

from tests.conftest import TestHouse

from a1zap.db.parts import Part, put_together


async def test_parts_keep_their_own_arguments_and_results(house: TestHouse):
    async with house.db.standalone() as tx:
        got = await tx.together(
            Part("a AS (SELECT $1::int + $2::int AS n)", "(SELECT n FROM a)", (1, 2)),
            Part("b AS (SELECT $1::text || $2::text AS t)", "(SELECT t || $1 FROM b)", ("x", "y")),
            Part("c AS (SELECT $1::int AS n WHERE EXISTS (SELECT 1 FROM a))", "(SELECT n FROM c)", (7,)),
        )
    assert list(got) == [3, "xyx", 7]


def test_twelve_places_are_shifted_whole():
    one = Part(
        "a AS (SELECT " + ", ".join(f"${n}::int" for n in range(1, 13)) + ")", "true", tuple(range(12))
    )
    text, args = put_together([one, Part("b AS (SELECT $1::int, $12::int)", "$2", tuple(range(12)))])
    assert "$13::int, $24::int" in text and text.endswith("SELECT true, $14") and len(args) == 24
