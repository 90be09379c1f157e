"""The way out, tried from the inside against real sockets on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network

import httpx
import pytest
import trustme

from a1zap.kit.addresses import why_forbidden
from a1zap.kit.egress import (
    Egress,
    EgressFailed,
    EgressRefused,
    EgressTimedOut,
    EgressTooLarge,
)
from a1zap.kit.errors import Rejected, Unavailable

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A real HTTP server of raw bytes on 127.0.0.1, 127.0.0.2 and ::1, one port; counts who came."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.n_connections = 0
        self.local_addresses: list[str] = []
        self.requests: list[bytes] = []
        self.port = 0

    async def _serve(self, reader, writer):
        self.n_connections += 1
        self.local_addresses.append(writer.get_extra_info("sockname")[0])
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (
                        int(line[15:])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ),
                    0,
                )
                self.requests.append(head + await reader.readexactly(length))
                await self.handler(reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def answers(raw: bytes) -> Handler:
    async def handler(_reader, writer):
        writer.write(raw)

    return handler


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(handler)
    listening = []
    try:
        for host in ("127.0.0.1", "127.0.0.2", "::1"):
            try:
                one = await asyncio.start_server(server._serve, host, server.port, ssl=tls)
            except OSError:
                assert host == "::1"  # a machine without IPv6
                continue
            listening.append(one)
            server.port = one.sockets[0].getsockname()[1]
        yield server
    finally:
        for one in listening:
            one.close()


async def read_stream(egress: Egress, url: str, *, into: bytearray | None = None, **limits) -> None:
    async with egress.stream("GET", url, **limits) as stream:
        async for chunk in stream.chunks():
            if into is not None:
                into += chunk


def fake_names(names: dict[str, list[str]]):
    """Name resolution that knows `names` and asks the system for the rest; counts its look-ups."""
    counted: Counter[str] = Counter()

    async def lookup(host: str, port: int):
        counted[host] += 1
        if host in names:
            return names[host]
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [entry[4][0] for entry in found]

    return lookup, counted


# -- who may be called -------------------------------------------------------------------------------------------

# ruff: noqa: S104 - these addresses are called, not bound to
INTO_THE_HOUSE = [
    "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1",
    "0x7F.0.0.1", "0177.0.0.1", "017700000001", "0.0.0.0", "0", "127.0.0.1.", "127.0.0.2", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[fe80::1%25lo]", "１２７.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛocalhost", "%31%32%37.0.0.1",
    "127.0.0.1%00.example.com", "private.test", "mixed.test", "mapped.test", "metadata.test", "169.254.169.254",
    "user:password@127.0.0.1", "example.com@127.0.0.1", "127.0.0.1:PORT@127.0.0.1",
]  # fmt: skip
NAMES = {
    "localhost.": ["127.0.0.1"],
    "private.test": ["127.0.0.1"],
    "mixed.test": ["8.8.8.8", "127.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
}


async def test_no_spelling_of_an_inner_address_reaches_the_house():
    lookup, _ = fake_names(NAMES)
    async with serving(answers(OK)) as server, Egress(https_only=False, lookup=lookup) as egress:
        for host in INTO_THE_HOUSE:
            for scheme in ("http", "https"):
                url = f"{scheme}://{host.replace('PORT', str(server.port))}:{server.port}/"
                with pytest.raises(EgressRefused):
                    await egress.request("GET", url, total_s=2)
                with pytest.raises(EgressRefused):
                    async with egress.stream("GET", url, total_s=2):
                        pytest.fail(url)
        assert server.n_connections == 0


async def test_the_same_spellings_do_reach_the_house_through_an_unguarded_client():
    """Else the battery above would prove nothing."""
    reached = 0
    async with serving(answers(OK)) as server, httpx.AsyncClient(trust_env=False, timeout=0.5) as client:
        for host in INTO_THE_HOUSE:
            try:
                await client.get(f"http://{host.replace('PORT', str(server.port))}:{server.port}/")
                reached += 1
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
                pass
    assert reached >= 12


async def test_an_unspoken_address_is_refused_by_the_system_resolver_path_too():
    async with serving(answers(OK)) as server, Egress(https_only=False) as egress:
        with pytest.raises(
            EgressRefused, match=r"'localhost' refused: an address of it is in .*A1ZAP_EGRESS_ALLOW"
        ):
            await egress.request("GET", f"http://localhost:{server.port}/")
        assert server.n_connections == 0


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254",
        "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.88.99.1", "192.168.1.1", "198.18.0.1", "224.0.0.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:0:a00:1",
        "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:a00:1::", "3fff::1", "5f00::1",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1",
    ],
)  # fmt: skip
async def test_no_special_range_is_public(address):
    lookup, _ = fake_names({"name.test": [address]})
    async with Egress(https_only=False, lookup=lookup) as egress:
        with pytest.raises(EgressRefused):
            await egress.request("GET", "https://name.test/", total_s=2)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(address):
    assert why_forbidden(ip_address(address)) is None


async def test_an_opened_range_can_be_called_over_plain_http():
    async with serving(answers(OK)) as server, Egress(allow=LOOPBACK) as egress:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            answer = await egress.request("GET", f"http://{host}:{server.port}/")
            assert (answer.status, answer.body) == (200, b"ok")


async def test_only_what_was_opened_is_open():
    lookup, _ = fake_names({"both.test": ["127.0.0.1", "127.0.0.2"]})
    async with (
        serving(answers(OK)) as server,
        Egress(allow=[ip_network("127.0.0.1/32")], lookup=lookup) as egress,
    ):
        for host in ("127.0.0.2", "both.test"):
            with pytest.raises(EgressRefused, match=r"127\.0\.0\.0/8"):
                await egress.request("GET", f"http://{host}:{server.port}/")
        assert server.n_connections == 0


async def test_plain_http_to_a_public_address_is_refused_unless_asked_for():
    lookup, _ = fake_names({"public.test": ["8.8.8.8"]})
    async with Egress(allow=LOOPBACK, lookup=lookup) as egress:
        for host in ("public.test", "8.8.8.8"):
            with pytest.raises(EgressRefused, match="use https"):
                await egress.request("GET", f"http://{host}/", total_s=2)


async def test_the_operators_own_address_is_trusted():
    async with serving(answers(OK)) as server, Egress() as egress:
        answer = await egress.request("GET", f"http://127.0.0.1:{server.port}/", trusted=True)
        assert answer.status == 200


async def test_a_connection_opened_for_the_operator_is_not_lent_to_an_owner():
    lookup, _ = fake_names({"models.test": ["127.0.0.1"]})
    async with serving(answers(OK)) as server, Egress(https_only=False, lookup=lookup) as egress:
        url = f"http://models.test:{server.port}/"
        assert (await egress.request("GET", url, trusted=True)).status == 200
        with pytest.raises(EgressRefused):
            await egress.request("GET", url)
        assert len(server.requests) == 1


async def test_a_name_that_changes_its_address_gains_nothing():
    """The connection goes to the answer that was checked; the name is not looked up again to connect."""
    answers_given = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]]
    asked = []

    async def lookup(host, _port):
        asked.append(host)
        return answers_given[len(asked) - 1]

    async with serving(answers(OK)) as server:
        async with Egress(allow=[ip_network("127.0.0.1/32")], lookup=lookup) as egress:
            assert (await egress.request("GET", f"http://rebind.test:{server.port}/")).status == 200
            assert (asked, server.local_addresses) == (["rebind.test"], ["127.0.0.1"])
        async with Egress(allow=[ip_network("127.0.0.1/32")], lookup=lookup) as egress:
            with pytest.raises(EgressRefused):
                await egress.request("GET", f"http://rebind.test:{server.port}/")
        assert server.local_addresses == ["127.0.0.1"]


async def test_a_redirect_into_the_house_is_an_answer_and_not_followed():
    async with serving(answers(OK)) as inner:
        location = f"http://127.0.0.2:{inner.port}/secrets"
        redirect = f"HTTP/1.1 307 Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
        async with (
            serving(answers(redirect)) as server,
            Egress(allow=LOOPBACK) as egress,
        ):
            answer = await egress.request("POST", f"http://127.0.0.1:{server.port}/", json={"a": 1})
            assert (answer.status, answer.headers["location"]) == (307, location)
            async with egress.stream("GET", f"http://127.0.0.1:{server.port}/") as stream:
                assert stream.status == 307
        assert inner.n_connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "/path", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1/",
        "https://", "https:///path", "https://a b.com/", "https://a.com/\r\nx: y", "https://a.com/\0", "https://a%2eb/",
        "https://[127.0.0.1]/", "https://example.com:99999/", "https://evil\\@example.com/",
        "https://user@example.com/", "https://:secret@example.com/", "unix:///var/run/docker.sock",
    ],
)  # fmt: skip
async def test_urls_that_are_not_plain_are_refused_even_to_the_operator(url):
    async with Egress(https_only=False) as egress:
        for trusted in (True, False):
            with pytest.raises(EgressRefused) as caught:
                await egress.request("GET", url, trusted=trusted, total_s=2)
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", "1\r\nx-b: 2"), ("x-a", "1\n2"), ("x-a", "1\0"), ("x a", "1"), ("x-a:", "1"), ("", "1"),
        ("Host", "internal"), ("Content-Length", "0"), ("Transfer-Encoding", "chunked"), ("Connection", "upgrade"),
    ],
)  # fmt: skip
async def test_headers_that_could_smuggle_are_refused_and_their_value_is_not_shown(name, value):
    async with serving(answers(OK)) as server, Egress(allow=LOOPBACK) as egress:
        with pytest.raises(EgressRefused) as caught:
            await egress.request("GET", f"http://127.0.0.1:{server.port}/", headers={name: value})
        assert repr(name) in str(caught.value) and repr(value) not in str(caught.value)
        assert server.n_connections == 0


async def test_what_is_sent_is_what_was_asked_for(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    cookie = b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nX-Thing: Yes\r\ncontent-length: 2\r\n\r\nok"
    async with serving(answers(cookie)) as server, Egress(allow=LOOPBACK) as egress:
        url = f"http://localhost:{server.port}/a%2Fb?c=d"
        answer = await egress.request("POST", url, headers={"X-Key": "k"}, json={"é": 1})
        await egress.request("POST", url, body=b"x" * (2**20 + 1))
        assert answer.headers["x-thing"] == "Yes"
        first, second = server.requests
        assert first.startswith(b"POST /a%2Fb?c=d HTTP/1.1\r\n") and first.endswith('{"é":1}'.encode())
        assert b"content-type: application/json" in first.lower() and b"x-key: k" in first.lower()
        assert b"cookie" not in second.lower() and second.endswith(b"x" * (2**20 + 1))
        assert server.n_connections == 1  # kept alive between the two


# -- how much and how long ---------------------------------------------------------------------------------------


async def test_an_answer_over_the_limit_is_cut_and_one_at_the_limit_is_not():
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000
    async with serving(answers(big)) as server, Egress(allow=LOOPBACK) as egress:
        url = f"http://127.0.0.1:{server.port}/"
        assert len((await egress.request("GET", url, read_max_bytes=100_000)).body) == 100_000
        with pytest.raises(EgressTooLarge, match="more than 99999 bytes") as caught:
            await egress.request("GET", url, read_max_bytes=99_999)
        assert (
            caught.value.was_sent
            and caught.value.answer_status == 200
            and isinstance(caught.value, EgressFailed)
        )
        with pytest.raises(EgressTooLarge):
            await read_stream(egress, url, read_max_bytes=99_999)


async def test_an_endless_answer_is_cut_at_the_limit():
    async with serving(drip(0, b"x" * 65536)) as server, Egress(allow=LOOPBACK) as egress:
        with pytest.raises(EgressTooLarge):
            await egress.request("GET", f"http://127.0.0.1:{server.port}/", read_max_bytes=500_000, total_s=2)


async def test_a_decompression_bomb_is_cut_at_the_limit():
    inner = gzip.compress(b"\0" * 100_000_000)  # in about 100 kB
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(inner)}\r\n\r\n".encode()
    async with serving(answers(head + inner)) as server, Egress(allow=LOOPBACK) as egress:
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(EgressTooLarge):
            await egress.request("GET", f"http://127.0.0.1:{server.port}/", read_max_bytes=5_000_000)
        assert asyncio.get_running_loop().time() - started_s < 1


async def test_a_broken_encoding_is_a_failure_in_our_words():
    for raw in (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 4\r\n\r\nnope",
        b"220 smtp ready\r\n\r\n",
    ):
        async with serving(answers(raw)) as server, Egress(allow=LOOPBACK) as egress:
            with pytest.raises(EgressFailed) as caught:
                await egress.request("GET", f"http://127.0.0.1:{server.port}/secret-path?token=secret")
            assert caught.value.was_sent and "secret" not in str(caught.value)


def drip(every_s: float, piece: bytes = b"x") -> Handler:
    async def handler(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n")
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)

    return handler


async def test_a_slow_drip_is_cut_by_the_total_time():
    async with serving(drip(0.02)) as server, Egress(allow=LOOPBACK) as egress:
        url = f"http://127.0.0.1:{server.port}/"
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        with pytest.raises(EgressTimedOut) as caught:
            await egress.request("GET", url, total_s=0.3)
        assert 0.25 < loop.time() - started_s < 1 and caught.value.was_sent
        started_s = loop.time()
        with pytest.raises(EgressTimedOut):
            await read_stream(egress, url, total_s=0.3, idle_s=5)
        assert 0.25 < loop.time() - started_s < 1


async def test_a_stream_that_falls_silent_is_cut_by_the_idle_time():
    async with serving(drip(3)) as server, Egress(allow=LOOPBACK) as egress:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        received = bytearray()
        with pytest.raises(EgressTimedOut):
            await read_stream(egress, f"http://127.0.0.1:{server.port}/", into=received, idle_s=0.2)
        assert received == b"x" and 0.15 < loop.time() - started_s < 1


async def test_a_stream_may_think_long_before_its_first_byte():
    async def handler(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.4)
        writer.write(b"ok")

    async with serving(handler) as server, Egress(allow=LOOPBACK) as egress:
        url = f"http://127.0.0.1:{server.port}/"
        async with egress.stream("GET", url, idle_s=0.1, first_byte_s=2) as stream:
            assert await stream.read(100) == b"ok"
        with pytest.raises(EgressTimedOut):
            await read_stream(egress, url, idle_s=5, first_byte_s=0.1)


async def test_silence_after_a_late_first_byte_is_cut_by_the_idle_time():
    async def handler(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.25)
        writer.write(b"o")
        await writer.drain()
        await asyncio.sleep(2)

    async with serving(handler) as server, Egress(allow=LOOPBACK) as egress:
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(EgressTimedOut):
            await read_stream(egress, f"http://127.0.0.1:{server.port}/", idle_s=0.1, first_byte_s=5)
        assert 0.3 < asyncio.get_running_loop().time() - started_s < 1.5


async def test_a_slow_reader_is_not_a_silent_sender():
    body = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab"

    async def handler(_reader, writer):
        writer.write(body)
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.write(b"cd")

    async with serving(handler) as server, Egress(allow=LOOPBACK) as egress:
        received = []
        async with egress.stream(
            "GET", f"http://127.0.0.1:{server.port}/", idle_s=0.15, first_byte_s=1
        ) as stream:
            async for chunk in stream.chunks():
                received.append(chunk)
                await asyncio.sleep(0.3)
        assert b"".join(received) == b"abcd"


async def test_lines_come_whole_however_the_bytes_are_cut():
    pieces = [b"data: a\r\n\r", b"\ndata", b": b\n", b"\n\xc3", b"\xa9\nlast"]

    async def handler(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.write(b"0\r\n\r\n")

    async with serving(handler) as server, Egress(allow=LOOPBACK) as egress:
        url = f"http://127.0.0.1:{server.port}/"
        for _ in range(2):
            async with egress.stream("GET", url) as stream:
                lines = [line async for line in stream.lines()]
            assert lines == [b"data: a", b"", b"data: b", b"", "é".encode(), b"last"]
        assert server.n_connections == 1  # read to its end, the connection is used again


async def test_leaving_a_stream_early_closes_its_connection():
    async with serving(drip(0.01)) as server, Egress(allow=LOOPBACK, connections_max=1) as egress:
        for _ in range(3):  # with one connection allowed, a kept one would block the next
            async with egress.stream("GET", f"http://127.0.0.1:{server.port}/", total_s=2) as stream:
                async for _chunk in stream.chunks():
                    break
        assert server.n_connections == 3


async def test_a_closed_egress_opens_nothing():
    async with serving(answers(OK)) as server:
        async with Egress(allow=LOOPBACK) as egress:
            await egress.request("GET", f"http://127.0.0.1:{server.port}/")
        with pytest.raises(RuntimeError, match="closed"):
            await egress.request("GET", f"http://127.0.0.1:{server.port}/")
        assert server.n_connections == 1


# -- may it have arrived? ----------------------------------------------------------------------------------------


async def silent(_reader, _writer):
    await asyncio.sleep(2)


async def hang_up(_reader, writer):
    writer.transport.abort()


async def half_an_answer(_reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    ("handler", "error"), [(silent, EgressTimedOut), (hang_up, EgressFailed), (half_an_answer, EgressFailed)]
)
async def test_after_a_connection_the_request_may_have_arrived(handler, error):
    async with serving(handler) as server, Egress(allow=LOOPBACK) as egress:
        with pytest.raises(error) as caught:
            await egress.request("POST", f"http://127.0.0.1:{server.port}/", json={}, total_s=0.3)
        assert caught.value.was_sent is True and isinstance(caught.value, Unavailable)
        assert len(server.requests) == 1


async def test_a_server_that_hangs_up_unread_counts_as_may_have_arrived():
    async def accept_and_close(_reader, writer):
        writer.transport.abort()

    server = await asyncio.start_server(accept_and_close, "127.0.0.1", 0)
    async with server, Egress(allow=LOOPBACK) as egress:
        with pytest.raises(EgressFailed) as caught:
            await egress.request("POST", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", json={})
        assert caught.value.was_sent is True


async def test_a_refused_connection_was_not_sent():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    async with Egress(allow=LOOPBACK) as egress:
        with pytest.raises(EgressFailed, match="no connection") as caught:
            await egress.request("POST", f"http://127.0.0.1:{port}/", json={})
        assert caught.value.was_sent is False


async def test_a_name_that_does_not_resolve_was_not_sent():
    async def lookup(_host, _port):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async def nothing(_host, _port):
        return []

    for way in (lookup, nothing):
        async with Egress(lookup=way) as egress:
            with pytest.raises(
                EgressFailed, match=r"'nowhere\.test' failed: its name does not resolve"
            ) as caught:
                await egress.request("POST", "https://nowhere.test/", json={})
            assert caught.value.was_sent is False


async def test_a_name_server_that_hangs_was_not_sent():
    async def lookup(_host, _port):
        await asyncio.sleep(2)
        return ["127.0.0.1"]

    async with Egress(lookup=lookup) as egress:
        with pytest.raises(EgressTimedOut, match=r"could not be connected to within 0\.1 s") as caught:
            await egress.request("POST", "https://slow.test/", json={}, total_s=0.1)
        assert caught.value.was_sent is False
        with pytest.raises(EgressTimedOut) as caught:
            async with egress.stream("POST", "https://slow.test/", json={}, first_byte_s=0.1):
                pass
        assert caught.value.was_sent is False


async def test_a_host_that_drops_connections_was_not_sent():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        fillers = []
        try:
            for _ in range(4):  # fill its queue: the kernel then drops further attempts in silence
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listening.getsockname())
                fillers.append(filler)
            async with Egress(allow=LOOPBACK) as egress:
                with pytest.raises(EgressTimedOut) as caught:
                    await egress.request(
                        "POST", f"http://127.0.0.1:{listening.getsockname()[1]}/", json={}, total_s=0.3
                    )
                assert caught.value.was_sent is False
        finally:
            for filler in fillers:
                filler.close()


async def test_waiting_for_a_free_connection_was_not_sent():
    async with serving(drip(0.05)) as server, Egress(allow=LOOPBACK, connections_max=1) as egress:
        url = f"http://127.0.0.1:{server.port}/"
        async with egress.stream("GET", url):
            with pytest.raises(EgressTimedOut) as caught:
                await egress.request("POST", url, json={}, total_s=0.1)
            assert caught.value.was_sent is False


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_server(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def tls_client(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_over_tls_the_name_is_what_the_certificate_must_hold(authority):
    lookup, _ = fake_names({"hooks.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
    async with (
        serving(answers(OK), tls_server(authority, "hooks.test")) as server,
        Egress(allow=LOOPBACK, tls=tls_client(authority), lookup=lookup) as egress,
        Egress(allow=LOOPBACK, lookup=lookup) as knows_no_authority,
    ):
        assert (await egress.request("POST", f"https://hooks.test:{server.port}/", json={})).status == 200
        assert f"host: hooks.test:{server.port}".encode() in server.requests[0].lower()
        for refusing, host in ((egress, "other.test"), (knows_no_authority, "hooks.test")):
            with pytest.raises(EgressFailed, match="certificate") as caught:
                await refusing.request("POST", f"https://{host}:{server.port}/", json={})
            assert caught.value.was_sent is False
        assert len(server.requests) == 1


async def test_tls_to_a_server_without_it_was_not_sent():
    async def shout(_reader, writer):
        writer.write(b"220 this is no TLS\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server, Egress(allow=LOOPBACK) as egress:
        with pytest.raises(EgressFailed) as caught:
            await egress.request("POST", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", json={})
        assert caught.value.was_sent is False


async def test_a_refusal_says_whose_move_it_is():
    async with Egress() as egress:
        with pytest.raises(EgressRefused) as caught:
            await egress.request("GET", "https://10.0.0.5/")
        assert isinstance(caught.value, Rejected)
        assert "10.0.0.0/8 (private)" in str(caught.value) and "A1ZAP_EGRESS_ALLOW" in str(caught.value)


# -- connections that are no HTTP ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "localhost", "::1", "0x7f.1", "mixed.test", "mapped.test", "10.1.2.3"]
)
async def test_a_mail_server_inside_the_house_is_refused(host):
    lookup, _ = fake_names(NAMES)
    async with Egress(lookup=lookup) as egress:
        with pytest.raises(EgressRefused):
            await egress.checked_address(host, 25)


@pytest.mark.parametrize(
    "host", ["", "mail.example.com:25", "smtp://mail.example.com", "a b", "[::1]", "x\r\ny", "user@host"]
)
async def test_a_host_that_is_no_plain_name_is_refused(host):
    async with Egress() as egress:
        with pytest.raises(EgressRefused):
            await egress.checked_address(host, 25)


async def test_a_public_mail_server_is_reached_at_the_address_that_was_checked():
    lookup, counted = fake_names({"mail.test": ["8.8.8.8"]})
    async with Egress(lookup=lookup) as egress:
        assert await egress.checked_address("mail.test", 465) == "8.8.8.8"
        assert counted["mail.test"] == 1
        with pytest.raises(EgressRefused, match="plain"):
            await egress.checked_address("mail.test", 25, in_clear=True)


async def test_an_opened_range_is_reached_in_clear():
    async with Egress(allow=[ip_network("127.0.0.0/8")]) as egress:
        assert await egress.checked_address("127.0.0.1", 25, in_clear=True) == "127.0.0.1"


async def test_a_mail_server_without_an_address_is_an_outage_and_nothing_was_sent():
    async def lookup(_host, _port):
        raise OSError("no such name")

    async with Egress(lookup=lookup) as egress:
        with pytest.raises(EgressFailed) as caught:
            await egress.checked_address("nowhere.test", 25)
    assert not caught.value.was_sent
