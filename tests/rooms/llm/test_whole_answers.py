"""Servers that answer whole, though a stream was asked for."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestServer

from a1zap.kit.egress import Egress
from a1zap.llm.catalog import ProviderKeys, model_from_name
from a1zap.llm.contract import Finished, ModelRequest, Said, Text


async def test_a_compatible_server_that_cannot_stream_is_understood_as_well():
    async def answer_whole(_request: web.Request) -> web.Response:
        message = {"role": "assistant", "content": "All at once."}
        return web.json_response(
            {
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 3},
            }
        )

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer_whole)
    async with TestServer(app) as server, Egress() as egress:
        keys = ProviderKeys(openai_api_key="k", openai_base_url=str(server.make_url("/v1")))
        model = model_from_name("openai:anything", keys=keys, egress=egress)
        events = [event async for event in model.stream(ModelRequest("", [Said("user", "hello")]))]
    assert events == [Text("All at once."), Finished("stop", 5, 3)]
