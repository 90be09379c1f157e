"""What stands between the open internet and everything else: size, time, form, and what browsers are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from tests.api.talk import ModelOnStrings, client, new_agent
from tests.conftest import MakeHouse, TestHouse

from a1zap.api import edge, events, server_protocol
from a1zap.api.server_protocol import HeadTimeoutProtocol


@pytest.fixture
async def served(make_house: MakeHouse) -> TestHouse:
    return await make_house(serve=True)


@asynccontextmanager
async def serving(house: TestHouse) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """The house's app behind the protocol that `a1zap serve` uses."""
    config = uvicorn.Config(
        house.api(),
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http=HeadTimeoutProtocol,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", server
    finally:
        server.should_exit = True
        await task


async def raw_exchange(url: str, *pieces: bytes, pause_s: float = 0.0) -> tuple[bytes, float]:
    """Send bytes as they are; what came back until the other side closed, and after how many seconds it did."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began_s = time.monotonic()
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        answer = await asyncio.wait_for(reader.read(), 15)
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    return answer, time.monotonic() - began_s


# ── size and form ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_body_over_one_mebibyte_is_413_told_or_not(served: TestHouse):
    owner = await served.owner()
    large = b'{"name": "' + b"x" * edge.JSON_BYTES_MAX + b'"}'

    async def dribble() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    headers = {"content-type": "application/json"}
    async with client(served, owner) as http:
        told = await http.post("/api/agents", content=large, headers=headers)
        chunked = await http.post("/api/agents", content=dribble(), headers=headers)
        fits = await http.post("/api/agents", content=large[:9] + b'"Ada"}', headers=headers)
    assert told.status_code == chunked.status_code == 413
    assert told.headers["content-type"] == chunked.headers["content-type"] == "application/problem+json"
    assert fits.status_code == 201


HOSTILE = (
    (b"{", 400),
    (b'{"name": "Ada",}', 400),
    (b'{"name": NaN}', 400),
    (b'{"name": Infinity}', 400),
    (b"{'name': 'Ada'}", 400),
    (b'\xef\xbb\xbf{"name": "Ada"}', 400),
    (b'{"name": "\xff\xfe"}', 400),
    ('{"name": "Ada"}'.encode("utf-16"), 400),
    (b'{"name": "a\x00b"}', 400),
    (b"[" * 100_000, 400),
    (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
    (b'{"name": "Ada", "name": "Eve"}', 201),
    (b"", 422),
    (b"null", 422),
    (b"[]", 422),
    (b"1e400", 400),
    (b'"Ada"', 422),
    (b'{"name": 1e999}', 400),
    (b'{"__proto__": {}, "name": "Ada"}', 422),
    (b'{"name": ' + b"1" * 5_000 + b"}", 400),
)


async def test_hostile_json_is_refused_and_nothing_breaks(served: TestHouse):
    headers = {"content-type": "application/json"}
    async with client(served, await served.owner()) as http:
        for raw, status in HOSTILE:
            answer = await http.post("/api/agents", content=raw, headers=headers)
            assert answer.status_code == status, (raw[:50], answer.text)
            if status >= 400:
                assert answer.headers["content-type"] == "application/problem+json"
                assert len(answer.content) < 2_000


async def test_what_does_not_say_that_it_is_json_is_415(served: TestHouse):
    kinds = (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        "application/jsonp",
        "json",
    )
    fine = (
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/merge-patch+json",
    )
    async with client(served, await served.owner()) as http:
        for kind in (*kinds, *fine):
            headers = {"content-type": kind}
            answer = await http.post("/api/agents", content=b'{"name": "Ada"}', headers=headers)
            assert answer.status_code == (201 if kind in fine else 415), (kind, answer.text)


async def test_every_error_is_a_problem(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        unknown = await http.get("/api/nothing/here")
        page = await http.get("/nothing")
        wrong_method = await http.put("/api/agents", json={})
        wrong_webhook = await http.get("/api/webhooks/messaging")
        asset = await http.get("/assets/nothing.js")
        escape = await http.get("/assets/..%2f..%2fbuild.py")
    for answer in (unknown, page, asset, escape):
        assert answer.status_code == 404
    assert wrong_method.status_code == wrong_webhook.status_code == 405
    assert "POST" in wrong_method.headers["allow"] and wrong_webhook.headers["allow"] == "POST"
    for answer in (unknown, page, wrong_method, wrong_webhook, asset, escape):
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail"} <= set(answer.json())
        assert answer.json()["status"] == answer.status_code


async def test_a_bug_says_nothing_of_itself(served: TestHouse, monkeypatch: pytest.MonkeyPatch, capsys):
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("canary: what somebody wrote")

    monkeypatch.setattr("a1zap.api.agents.store.list_agents", broken)
    owner = await served.owner()
    async with client(served, owner) as http:
        answer = await http.get("/api/agents", headers={"x-request-id": "my-request-1"})
        still = await http.get("/healthz")
    logged = capsys.readouterr().out
    assert answer.status_code == 500 and answer.headers["content-type"] == "application/problem+json"
    assert "canary" not in answer.text + logged and "Traceback" not in answer.text
    assert answer.headers["x-request-id"] == "my-request-1" and "my-request-1" in logged
    assert "RuntimeError" in logged and "list_agents" in logged
    assert still.status_code == 200


# ── what browsers are told ──────────────────────────────────────────────────────────────────────────────────────────


async def test_every_answer_tells_browsers_what_they_may_not_do(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        answers = [
            await http.get(path)
            for path in (
                "/",
                "/demo",
                "/assets/base.css",
                "/api/agents",
                "/nothing",
                "/healthz",
                "/sign-in/x",
            )
        ]
        answers.append(
            await http.post("/api/agents", content=b"{", headers={"content-type": "application/json"})
        )
        answers.append(await http.post("/api/agents", content=b"{", headers={"content-type": "text/plain"}))
        answers.append(await http.post("/api/webhooks/messaging", content=b"{}"))
    for answer in answers:
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"
        assert len(headers["x-request-id"]) >= 8
        assert "server" not in headers or headers["server"] == "uvicorn"
    assert answers[3].headers["cache-control"] == "no-store"
    assert answers[2].headers["cache-control"] == "no-cache"
    assert len({a.headers["x-request-id"] for a in answers}) == len(answers)


async def test_pages_hold_nothing_that_their_policy_forbids(served: TestHouse):
    async with client(served) as http:
        for path in ("/", "/demo", "/demo/abc", "/sign-in/x"):
            page = (await http.get(path)).text
            assert "<script>" not in page and " style=" not in page and "onclick" not in page
            assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


async def test_over_https_cookies_are_secure_and_browsers_are_told_to_stay(make_house: MakeHouse):
    house = await make_house(serve=True, settings={"public_url": "https://a1.example.com"})
    body = {"email": "ada@example.com", "password": "correct horse battery"}
    async with client(house) as http:
        await http.post("/api/auth/sign-up", json=body)
        signed_in = await http.post("/api/auth/sign-in", json=body)
    assert "; Secure" in signed_in.headers["set-cookie"]
    assert "max-age" in signed_in.headers["strict-transport-security"]


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_body_that_does_not_come_is_408(served: TestHouse, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(edge, "BODY_TIME_MAX_S", 0.4)
    head = (
        b"POST /api/webhooks/messaging HTTP/1.1\r\nhost: x\r\nx-agent-id: y\r\n"
        b"content-type: application/json\r\ncontent-length: 100\r\n\r\n"
    )
    answer, took_s = await raw_exchange(served.url, head, b"{", b"}", pause_s=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"application/problem+json" in answer
    assert b"connection: close" in answer.lower()
    assert took_s < 3


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"\r\n", b"\r\n", b"\r\n"),
        (b"GET / HT",),
        (b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n", b"c: d\r\n"),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /healthz HTTP/1.1\r\nhos"),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n"),
    ],
)
async def test_a_head_that_does_not_end_is_cut(
    house: TestHouse, monkeypatch: pytest.MonkeyPatch, pieces: tuple[bytes, ...]
):
    monkeypatch.setattr(server_protocol, "HEAD_TIME_MAX_S", 0.5)
    async with serving(house) as (url, _):
        answer, took_s = await raw_exchange(url, *pieces, pause_s=0.1)
    assert took_s < 3
    assert answer.count(b"HTTP/1.1") == sum(piece.endswith(b"x\r\n\r\n") for piece in pieces)


async def test_a_body_sent_after_the_answer_is_cut_as_well(house: TestHouse, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_protocol, "BODY_TIME_MAX_S", 0.5)
    head = b"POST /api/agents HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 999\r\n\r\n"
    async with serving(house) as (url, _):
        answer, took_s = await raw_exchange(url, head, b"x", b"x", pause_s=0.05)
    assert answer.startswith(b"HTTP/1.1 415 ") and 0.3 < took_s < 3


async def test_a_slow_answer_is_not_cut(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch):
    """The limits are for heads and bodies on their way in; a model may take its time."""
    monkeypatch.setattr(server_protocol, "HEAD_TIME_MAX_S", 0.2)
    monkeypatch.setattr(server_protocol, "BODY_TIME_MAX_S", 0.2)
    model = ModelOnStrings(hold=True)
    house = await make_house(work=True, **model.wiring())
    owner = await house.owner()
    async with serving(house) as (url, _), httpx.AsyncClient(base_url=url, headers=owner.headers) as http:
        agent_id = await new_agent(http)
        waiting = asyncio.create_task(
            http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"}, timeout=10)
        )
        await asyncio.sleep(0.6)
        model.go(3)
        answer = await waiting
    assert answer.status_code == 200 and answer.json()["agentResponse"]["content"] == "All is well."


async def test_a_head_without_measure_is_431(house: TestHouse):
    filler = b"a" * 70_000
    many = b"".join(b"h%d: %b\r\n" % (n, b"a" * 1_000) for n in range(80))
    async with serving(house) as (url, _):
        one, _ = await raw_exchange(url, b"GET / HTTP/1.1\r\nhost: x\r\nx: " + filler + b"\r\n\r\n")
        dribbled, _ = await raw_exchange(
            url, b"GET / HTTP/1.1\r\nhost: x\r\nx: ", *[filler[:7_000]] * 12, pause_s=0.01
        )
        several, _ = await raw_exchange(url, b"GET / HTTP/1.1\r\nhost: x\r\n" + many + b"\r\n")
        async with httpx.AsyncClient(base_url=url) as http:
            fine = await http.get("/healthz", headers={"x-much": "a" * 8_000})
    for answer in (one, dribbled, several):
        assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]
    assert fine.status_code == 200


async def test_live_streams_end_politely_when_the_server_stops(make_house: MakeHouse):
    house = await make_house(work=True, **ModelOnStrings().wiring())
    owner = await house.owner()
    async with (
        serving(house) as (url, server),
        httpx.AsyncClient(base_url=url, headers=owner.headers, timeout=10) as http,
    ):
        agent_id = await new_agent(http)
        said = (await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"})).json()
        async with http.stream("GET", f"/api/chats/{said['chat_id']}/events") as response:
            began_s = time.monotonic()
            asyncio.get_running_loop().call_later(0.2, setattr, server, "should_exit", True)
            whole = b"".join(
                [piece async for piece in response.aiter_raw()]
            )  # raises if it is not ended properly
    assert whole.startswith(b": you are watching")
    assert time.monotonic() - began_s < 2


async def test_a_watcher_who_leaves_is_let_go(served: TestHouse, monkeypatch: pytest.MonkeyPatch):
    """Nobody looks into the database for somebody who is gone."""
    looks = 0
    real = events.Watcher.look

    async def counted(self: events.Watcher) -> bytes:
        nonlocal looks
        looks += 1
        return await real(self)

    monkeypatch.setattr(events.Watcher, "look", counted)
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await new_agent(http)
        said = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "hi"}, headers={"prefer": "wait=0"}
        )
        path = f"/api/chats/{said.json()['chat_id']}/events"
        async with http.stream("GET", path) as response:
            async for _ in response.aiter_raw():
                break
        await asyncio.sleep(0.3)
        before = looks
        await asyncio.sleep(1.2)
        metrics = (await http.get("/metrics")).text
    assert looks == before
    assert "a1zap_live_streams_open 0.0" in metrics


# ── those who watch the instance ────────────────────────────────────────────────────────────────────────────────────


async def test_readiness_names_what_is_missing(served: TestHouse):
    async with client(served) as http:
        ready = await http.get("/readyz")
        await served.as_admin("DELETE FROM supabase_migrations.schema_migrations WHERE version LIKE '%3'")
        behind = await http.get("/readyz")
        alive = await http.get("/healthz")
    assert ready.status_code == alive.status_code == 200
    assert behind.status_code == 503 and "20261123000003" in behind.json()["detail"]


async def test_without_its_database_the_house_says_so_and_when_to_come_back(served: TestHouse):
    owner = await served.owner()
    async with client(served, owner) as http:
        agent_id = await new_agent(http)
        served.db.terminate()
        raw = b"{}"
        answers = [
            await http.get("/api/agents"),
            await http.post(f"/api/agents/{agent_id}/chat", json={"message": "hi"}),
            await http.post("/api/webhooks/messaging", content=raw, headers={"x-agent-id": agent_id}),
            await http.post("/api/auth/sign-in", json={"email": "a@b.c", "password": "x" * 12}),
            await http.get("/readyz"),
        ]
        alive = await http.get("/healthz")
        metrics = await http.get("/metrics")
    for answer in answers:
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"
    assert alive.status_code == metrics.status_code == 200


async def test_metrics_count_by_route_and_not_by_address(make_house: MakeHouse):
    house = await make_house(serve=True, settings={"metrics_token": "let me see"})
    owner = await house.owner()
    async with client(house, owner) as http:
        for n in range(3):
            await http.get(f"/api/agents/{n}")
            await http.get(f"/whatever/{n}")
        refused = await http.get("/metrics")
        shown = await http.get("/metrics", headers={"authorization": "Bearer let me see"})
    assert refused.status_code == 401
    assert (
        'a1zap_http_requests_total{method="GET",route="/api/agents/{agent_id}",status="404"} 3.0'
        in shown.text
    )
    assert 'a1zap_http_requests_total{method="GET",route="none",status="404"} 3.0' in shown.text
    assert "/whatever" not in shown.text
    assert 'a1zap_queue_waiting{queue="turns"} 0.0' in shown.text
