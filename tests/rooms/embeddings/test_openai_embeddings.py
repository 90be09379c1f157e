"""Embeddings over the wire, against a loopback server that speaks OpenAI's format."""

from __future__ import annotations

from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import web

from a1zap.embeddings.openai import OpenAIEmbedder
from a1zap.kit.egress import Egress, EgressFailed, EgressRefused
from a1zap.kit.errors import ModelUnavailable, NotConfigured


@asynccontextmanager
async def provider(answer):
    """A server whose `/v1/embeddings` gives `answer(request's JSON)`: a status, a body and headers; and what it was sent."""
    seen: list[tuple[dict, dict]] = []

    async def embeddings(request: web.Request) -> web.Response:
        asked = await request.json()
        seen.append(({name.lower(): value for name, value in request.headers.items()}, asked))
        status, body, headers = answer(asked)
        return web.json_response(body, status=status, headers=headers)

    app = web.Application()
    app.router.add_post("/v1/embeddings", embeddings)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with Egress() as egress:
        try:
            yield egress, f"http://127.0.0.1:{port}/v1", seen
        finally:
            await runner.cleanup()


def vectors_of(asked):
    """Each text's length and its place, listed backwards: the order of an answer is in its `index`."""
    data = [
        {"object": "embedding", "index": n, "embedding": [3.0 * len(text), 4.0 * len(text), 0.0]}
        for n, text in enumerate(asked["input"])
    ]
    return 200, {"object": "list", "data": data[::-1], "model": asked["model"], "usage": {}}, {}


async def test_vectors_come_in_the_order_of_the_texts_and_with_length_one():
    def answer(asked):
        data = [{"index": n, "embedding": [float(n + 1), 0.0, 2.0]} for n in range(len(asked["input"]))]
        return 200, {"data": data[::-1]}, {}

    async with provider(answer) as (egress, url, seen):
        embedder = OpenAIEmbedder(
            egress, base_url=url + "/", model="small-3", dimensions=3, api_key="k-123", trusted=True
        )
        found = await embedder.embed(["a", "", "c"])
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array([[1, 0, 2], [2, 0, 2], [3, 0, 2]]) / np.sqrt([[5], [8], [13]]))
    headers, asked = seen[0]
    assert headers["authorization"] == "Bearer k-123"
    assert asked == {"model": "small-3", "input": ["a", " ", "c"]}
    assert embedder.name == f"openai:small-3@{url}/"


async def test_many_texts_go_out_in_several_requests_and_long_ones_are_cut():
    async with provider(vectors_of) as (egress, url, seen):
        embedder = OpenAIEmbedder(egress, base_url=url, model="m", dimensions=3, trusted=True)
        found = await embedder.embed(["x" * 50_000, *("y" for _ in range(200))])
        assert (await embedder.embed([])).shape == (0, 3)
    assert found.shape == (201, 3)
    assert [len(asked["input"]) for _, asked in seen] == [128, 73]
    assert len(seen[0][1]["input"][0]) == 4_000
    assert "authorization" not in seen[0][0]


@pytest.mark.parametrize(
    ("status", "headers", "error", "retry_after_s"),
    [
        (429, {"retry-after": "7"}, ModelUnavailable, 7.0),
        (429, {"retry-after": "Fri, 31 Dec 2027 23:59:59 GMT"}, ModelUnavailable, None),
        (503, {}, ModelUnavailable, None),
        (401, {}, NotConfigured, None),
        (404, {}, NotConfigured, None),
        (302, {"location": "http://127.0.0.1/"}, NotConfigured, None),
    ],
)
async def test_a_refusal_says_whether_trying_again_helps(status, headers, error, retry_after_s):
    async with provider(lambda _: (status, {"error": {"message": "secret text"}}, headers)) as (
        egress,
        url,
        _,
    ):
        embedder = OpenAIEmbedder(
            egress, base_url=url, model="m", dimensions=3, api_key="k-secret", trusted=True
        )
        with pytest.raises(error) as raised:
            await embedder.embed(["private words"])
    assert type(raised.value) is error and raised.value.retry_after_s == retry_after_s
    assert str(status) in str(raised.value)
    assert "secret" not in str(raised.value) and "private" not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"data": []},
        {"data": [{"index": 1, "embedding": [1, 2, 3]}]},
        {"data": [{"index": 0}]},
        {"data": [{"index": 0, "embedding": "AAAA"}]},
        {"data": [{"index": 0, "embedding": [0.0, 0.0, 0.0]}]},
        {"data": [{"index": 0, "embedding": [None, 0.0, 0.0]}]},
        {"data": "no"},
    ],
)
async def test_an_answer_that_is_not_vectors_is_an_unavailable_model(body):
    async with provider(lambda _: (200, body, {})) as (egress, url, _):
        with pytest.raises(ModelUnavailable):
            await OpenAIEmbedder(egress, base_url=url, model="m", dimensions=3, trusted=True).embed(["hello"])


async def test_another_number_of_dimensions_is_named():
    async with provider(vectors_of) as (egress, url, _):
        with pytest.raises(NotConfigured, match="gives 3 dimensions, and 1536 are configured"):
            await OpenAIEmbedder(egress, base_url=url, model="m", dimensions=1536, trusted=True).embed(
                ["hello"]
            )


async def test_a_url_that_an_owner_set_cannot_point_into_the_house():
    async with provider(vectors_of) as (egress, url, seen):
        with pytest.raises(EgressRefused):
            await OpenAIEmbedder(egress, base_url=url, model="m", dimensions=3).embed(["hello"])
        assert not seen


async def test_a_provider_that_is_down_is_unavailable():
    async with Egress() as egress:
        embedder = OpenAIEmbedder(
            egress, base_url="http://127.0.0.1:9/v1", model="m", dimensions=3, trusted=True
        )
        with pytest.raises(EgressFailed):
            await embedder.embed(["hello"])
