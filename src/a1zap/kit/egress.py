"""The only way out to the network.

Owners hand us URLs (webhook targets, media, model servers), and a URL can point back into our own house. So every
request names its door:

* trusted     the operator set the URL: any address, http or https
* https       somebody else did: every address its name resolves to must be public, or opened by A1ZAP_EGRESS_ALLOW
* plain http  somebody else did: every address must be opened by A1ZAP_EGRESS_ALLOW

What is no HTTP asks for an address by the last two rules (`checked_address`) and connects to that.

The name is resolved once, inside the connector; all addresses of that answer are checked there and only those are
connected to, so a name that changes its mind between check and connection (DNS rebinding) gains nothing.
Each door has its own connections: one that was opened for the operator is never used for an owner.
Redirects are answers like any other and never followed. No cookies, no proxies, no settings from the environment.
"""

from __future__ import annotations

import asyncio
import io
import re
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from a1zap.kit.addresses import Network, parse_address, why_forbidden
from a1zap.kit.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from types import TracebackType

Door = Literal["trusted", "https", "allowed"]
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Turns a host name and a port into all its addresses, as text; raises OSError where there are none."""

READ_MAX_BYTES: Final = 25 * 1024 * 1024

# The connection decides these; a caller (or an owner's header settings) that sets them could smuggle a second request.
_FRAMING_HEADERS: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer")
)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_IPV6_TEXT: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
# How the last label of a host looks when C libraries read the host as an IPv4 address: 127.1, 2130706433, 0x7f.1, 0177.1
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class EgressRefused(Rejected):
    """We will not make this request: its address, its URL or a header of it is not allowed."""

    title = "Outbound request refused"


class EgressTimedOut(Unavailable):
    """No answer, or no whole answer, in time. `was_sent`: the other side may have got the request."""

    title = "Outbound request timed out"

    def __init__(self, detail: str, *, was_sent: bool) -> None:
        super().__init__(detail)
        self.was_sent = was_sent


class EgressFailed(Unavailable):
    """No connection, or one that broke. `was_sent`: the other side may have got the request; True when unsure."""

    title = "Outbound request failed"

    def __init__(self, detail: str, *, was_sent: bool) -> None:
        super().__init__(detail)
        self.was_sent = was_sent


class EgressTooLarge(EgressFailed):
    """The answer is larger than the caller reads; `answer_status` is the HTTP status it came with."""

    title = "Answer too large"

    def __init__(self, detail: str, *, answer_status: int) -> None:
        super().__init__(detail, was_sent=True)
        self.answer_status = answer_status


@dataclass(frozen=True, slots=True)
class EgressResponse:
    """A whole answer, whatever its status; header names in lower case, the body decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _refuse_address(host: str, address: str, door: Door, allow: Sequence[Network]) -> None:
    """Raise EgressRefused unless `address` may be connected to through `door`."""
    ip = parse_address(address)
    if door == "trusted" or any(ip.version == network.version and ip in network for network in allow):
        return
    # The range and not the address: an owner could otherwise read our inner name service through our errors.
    forbidden = why_forbidden(ip)
    if forbidden is not None:
        raise EgressRefused(
            f"request to '{host}' refused: an address of it is in {forbidden}; "
            "the operator can open a range with A1ZAP_EGRESS_ALLOW",
            field="url",
        )
    if door == "allowed":
        raise EgressRefused(
            f"request to '{host}' refused: plain http only goes to ranges the operator opened "
            "with A1ZAP_EGRESS_ALLOW; use https",
            field="url",
        )


async def _system_lookup(threads: ThreadPoolExecutor, host: str, port: int) -> Sequence[str]:
    """All addresses of `host` by the system's resolver, on threads of the door, not on those of the event loop.

    A hostile name server that answers slowly can hold these threads; it must not hold anybody else's.
    """
    found = await asyncio.get_running_loop().run_in_executor(
        threads,
        lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG),
    )
    return [str(entry[4][0]) for entry in found]


class _CheckedResolver(AbstractResolver):
    """Looks a name up and gives the connector only addresses that it has checked, all of them or none."""

    def __init__(self, lookup: Lookup, door: Door, allow: Sequence[Network]) -> None:
        self._lookup = lookup
        self._door: Door = door
        self._allow = allow

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # aiohttp's form; we take both kinds
    ) -> list[ResolveResult]:
        addresses = list(dict.fromkeys(await self._lookup(host, port)))
        if not addresses:
            raise OSError(None, "the name has no address")
        for address in addresses:
            _refuse_address(host, address, self._door, self._allow)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held open."""


@dataclass(slots=True)
class _Attempt:
    """One request on its way: did it get a connection, so that bytes of it may have left?"""

    host: str
    has_connection: bool = False


_current: ContextVar[_Attempt] = ContextVar("a1zap_egress_attempt")


class _Connector(aiohttp.TCPConnector):
    """Marks the attempt once it holds a connection: before that, nothing of it can have been sent."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's form
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        _current.get().has_connection = True
        return connection


class Egress:
    """Makes requests through the doors above; one for the process, closed at its end.

    `connections_max` bounds each door; `tls` brings a private certificate authority; `lookup` replaces name
    resolution (tests). May be made before the event loop runs.
    """

    def __init__(
        self,
        *,
        allow: Sequence[Network] = (),
        https_only: bool = True,
        connections_max: int = 100,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._https_only = https_only
        self._connections_max = connections_max
        self._tls = tls
        self._lookup = lookup
        self._raw_lookup: Lookup | None = None
        self._raw_tls: ssl.SSLContext | None = None
        self._sessions: dict[Door, aiohttp.ClientSession] = {}
        self._threads: list[ThreadPoolExecutor] = []
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. For the end, when nobody calls any more: what is under way only ends by its time-out."""
        self._is_closed = True
        for session in self._sessions.values():
            await session.close()
        for threads in self._threads:
            threads.shutdown(wait=False, cancel_futures=True)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json: Any = None,
        total_s: float = 10,
        read_max_bytes: int = READ_MAX_BYTES,
        trusted: bool = False,
    ) -> EgressResponse:
        """Make one request and read the whole answer, redirects and error statuses included.

        Raises:
            EgressRefused: nothing was sent, and nothing will be however often you try.
            EgressTimedOut, EgressFailed: `was_sent` tells whether the other side may have acted on it.
            EgressTooLarge: the decompressed body has more than `read_max_bytes`.
        """
        session, target, sent_headers, payload = self._prepared(url, headers, body, json, trusted=trusted)
        attempt = _Attempt(str(target.raw_host))
        timeout = aiohttp.ClientTimeout(total=total_s)
        token = _current.set(attempt)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await session.request(
                method, target, headers=sent_headers, data=payload, timeout=timeout, allow_redirects=False
            )
            answer = await _read_whole(response, attempt.host, read_max_bytes)
            return EgressResponse(response.status, _lowered(response), answer)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _translated(error, attempt, total_s) from None
        finally:
            _current.reset(token)
            if response is not None and not response.content.at_eof():
                response.close()

    def tls_context(self) -> ssl.SSLContext:
        """What verifies the other side's certificate: the operator's authority if one was brought, else the system's."""
        if self._raw_tls is None:
            self._raw_tls = self._tls or ssl.create_default_context()
        return self._raw_tls

    async def checked_address(self, host: str, port: int, *, in_clear: bool = False) -> str:
        """An address of `host` that somebody who is not the operator may have us connect to, by the rules above.

        For what is no HTTP (SMTP, IMAP): connect to this very address, not to the name again, and have TLS verify the
        name. `in_clear`: the connection will not be encrypted, so it only goes to ranges the operator opened.

        Raises:
            EgressRefused: the host is no plain name or address, or one of its addresses is not allowed.
            EgressFailed: the name does not resolve; nothing was sent.
        """
        door: Door = "allowed" if in_clear and self._https_only else "https"
        if not (_HOST_NAME.fullmatch(host) or _is_ipv6(host)):
            raise EgressRefused(
                "connection refused: the host is not a plain name or address (without scheme, port or spaces)",
                field="host",
            )
        self._refuse_literal(host, door)
        if self._raw_lookup is None:
            self._raw_lookup = self._lookup or self._system_lookup("raw")
        try:
            found = await _CheckedResolver(self._raw_lookup, door, self._allow).resolve(host, port)
        except OSError:
            raise EgressFailed(
                f"connection to '{host}' failed: its name does not resolve", was_sent=False
            ) from None
        return found[0]["host"]

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json: Any = None,
        first_byte_s: float = 60,
        idle_s: float = 60,
        total_s: float = 600,
        read_max_bytes: int = READ_MAX_BYTES,
        trusted: bool = False,
    ) -> AsyncGenerator[EgressStream]:
        """Make one request and hand over its answer as it arrives; leaving the block early drops the connection.

        `first_byte_s` runs until the first byte of the body, `idle_s` between bytes, `total_s` over all of it.
        Raises the errors of `request`, on entry and while reading.
        """
        session, target, sent_headers, payload = self._prepared(url, headers, body, json, trusted=trusted)
        # A compressed stream arrives in lumps.
        sent_headers.setdefault("accept-encoding", "identity")
        attempt = _Attempt(str(target.raw_host))
        started_s = asyncio.get_running_loop().time()
        token = _current.set(attempt)
        try:
            async with asyncio.timeout(first_byte_s):
                response = await session.request(
                    method,
                    target,
                    headers=sent_headers,
                    data=payload,
                    timeout=aiohttp.ClientTimeout(total=total_s),
                    allow_redirects=False,
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _translated(error, attempt, min(first_byte_s, total_s)) from None
        finally:
            _current.reset(token)
        limits = _Limits(started_s + first_byte_s, idle_s, read_max_bytes)
        stream = EgressStream(response, attempt.host, limits)
        try:
            yield stream
        finally:
            stream.close()

    def _prepared(
        self, url: str, headers: Mapping[str, str] | None, body: bytes | None, json: Any, *, trusted: bool
    ) -> tuple[aiohttp.ClientSession, URL, dict[str, str], bytes | io.BytesIO | None]:
        """Check everything that can be checked before a name is resolved; pick the door."""
        target = _parsed(url)
        host = str(target.raw_host)
        door: Door = (
            "trusted" if trusted else "allowed" if target.scheme == "http" and self._https_only else "https"
        )
        if door != "trusted":
            self._refuse_literal(host, door)
        sent = _checked_headers(host, headers)
        if json is not None:
            body = orjson.dumps(json)
            sent.setdefault("content-type", "application/json")
        # aiohttp writes bytes in one piece, however large; from a file object it takes turns with the event loop.
        payload = io.BytesIO(body) if body is not None and len(body) > 2**20 else body
        return self._session(door), target, sent, payload

    def _refuse_literal(self, host: str, door: Door) -> None:
        """Check a host that is an address already: those never reach the resolver."""
        if ":" in host:
            _refuse_address(host, host, door, self._allow)
        elif _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
            try:
                ip_address(host)
            except ValueError:
                raise EgressRefused(
                    f"request to '{host}' refused: write an IPv4 address as four decimal numbers", field="url"
                ) from None
            _refuse_address(host, host, door, self._allow)

    def _session(self, door: Door) -> aiohttp.ClientSession:
        if self._is_closed:
            raise RuntimeError("this Egress is closed")
        session = self._sessions.get(door)
        if session is None:
            session = self._sessions[door] = self._opened(door)
        return session

    def _system_lookup(self, door: str) -> Lookup:
        """The system's resolver, on threads of this door's own."""
        threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix=f"egress-{door}")
        self._threads.append(threads)
        return _system_lookup_on(threads)

    def _opened(self, door: Door) -> aiohttp.ClientSession:
        lookup = self._lookup or self._system_lookup(door)
        connector = _Connector(
            resolver=_CheckedResolver(lookup, door, self._allow),
            limit=self._connections_max,
            # One slow host of one owner must leave room for everybody else's.
            limit_per_host=self._connections_max if door == "trusted" else max(1, self._connections_max // 2),
            # Common servers drop idle connections after 5 s. One that is dropped while we write to it leaves us
            # not knowing whether the request arrived, so we drop it first.
            keepalive_timeout=4,
            ssl=self._tls if self._tls is not None else True,
            socket_factory=_last_lock(door, self._allow),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "a1zap"},
            trust_env=False,
        )


class LineCutter:
    r"""Cuts bytes that arrive in pieces into lines, without their end (`\n` or `\r\n`)."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def cut(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes."""
        self._pieces.append(chunk)
        if b"\n" not in chunk:
            return []  # joined once, when its end is here: a long line in small pieces is not copied over and over
        *lines, rest = b"".join(self._pieces).split(b"\n")
        self._pieces = [rest] if rest else []
        return [line.removesuffix(b"\r") for line in lines]

    @property
    def rest(self) -> bytes:
        """What has no end yet."""
        return b"".join(self._pieces)


@dataclass(frozen=True, slots=True)
class _Limits:
    """What bounds one streamed answer; `first_byte_at_s` in the event loop's time."""

    first_byte_at_s: float
    idle_s: float
    read_max_bytes: int


class EgressStream:
    """An answer that is still arriving; see `Egress.stream`."""

    def __init__(self, response: aiohttp.ClientResponse, host: str, limits: _Limits) -> None:
        self.status = response.status
        self.headers = _lowered(response)
        self._response = response
        self._host = host
        self._limits = limits
        self._read_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._due_s: float | None = limits.first_byte_at_s
        # One timer that looks at `_due_s` now and then: arming one per read would cost more than the read.
        first_look_s = min(limits.first_byte_at_s, self._loop.time() + limits.idle_s)
        self._watch = self._loop.call_at(first_look_s, self._on_watch)

    async def next_chunk(self) -> bytes:
        """The next piece of the decompressed body, b"" at its end."""
        try:
            if self._due_s is None:
                self._due_s = self._loop.time() + self._limits.idle_s
            chunk = await self._response.content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._response.close()
            raise _translated(error, _Attempt(self._host, has_connection=True), None) from None
        finally:
            self._due_s = None
        self._read_bytes += len(chunk)
        if self._read_bytes > self._limits.read_max_bytes:
            self._response.close()
            raise _too_large(self._host, self._limits.read_max_bytes, self.status)
        return chunk

    async def chunks(self) -> AsyncIterator[bytes]:
        """Pieces of the decompressed body as they arrive."""
        while chunk := await self.next_chunk():
            yield chunk

    async def lines(self) -> AsyncIterator[bytes]:
        r"""Lines without their end (`\n` or `\r\n`); what follows the last end is a line too, if it is not empty."""
        cutter = LineCutter()
        while chunk := await self.next_chunk():
            for line in cutter.cut(chunk):
                yield line
        if cutter.rest:
            yield cutter.rest

    async def read(self, max_bytes: int) -> bytes:
        """The next bytes until the end, at most about `max_bytes` of them: what lies beyond is left unread."""
        read = bytearray()
        while len(read) < max_bytes and (chunk := await self.next_chunk()):
            read += chunk
        return bytes(read[:max_bytes])

    async def drain(self, within_s: float = 0.25) -> None:
        """Read on to the end if it comes soon, so that the connection can be used again; never raises for the answer."""
        if self._response.content.at_eof():
            return
        try:
            async with asyncio.timeout(within_s):
                while await self.next_chunk():
                    pass
        except (TimeoutError, Unavailable):
            self.close()

    def close(self) -> None:
        """Let go of the connection: back to the pool if the answer was read to its end, else closed."""
        self._watch.cancel()
        if not self._response.content.at_eof():
            self._response.close()

    def _on_watch(self) -> None:
        now_s = self._loop.time()
        due_s = self._due_s if self._due_s is not None else now_s + self._limits.idle_s
        if due_s > now_s:
            self._watch = self._loop.call_at(min(due_s, now_s + self._limits.idle_s), self._on_watch)
        else:
            self._response.content.set_exception(TimeoutError())


def _parsed(url: str) -> URL:
    """The URL, if it is one we could call: http(s), a plain host, no user name or password."""
    try:
        target = URL(url)
    except (ValueError, TypeError):
        # Not shown: a URL that cannot be taken apart may hold a password anywhere.
        raise EgressRefused("request refused: the URL is malformed", field="url") from None
    host = target.raw_host or ""
    if target.scheme not in ("http", "https") or not host:
        raise EgressRefused("request refused: the URL must begin with https:// and a host", field="url")
    if target.raw_user is not None or target.raw_password is not None:
        raise EgressRefused(
            f"request to '{target.host}' refused: no user name or password in a URL; send a header",
            field="url",
        )
    if _CONTROL.search(url) or not (_HOST_NAME.fullmatch(host) or _is_ipv6(host)):
        raise EgressRefused("request refused: the URL or its host holds characters it must not", field="url")
    return target


def _is_ipv6(host: str) -> bool:
    if not _IPV6_TEXT.fullmatch(host) or ":" not in host:
        return False
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _checked_headers(host: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers with names in lower case; refused are framing headers and anything that could end a header line."""
    checked: dict[str, str] = {}
    for name, value in (headers or {}).items():
        lowered = name.lower()
        if lowered in _FRAMING_HEADERS or not _HEADER_NAME.fullmatch(name):
            raise EgressRefused(
                f"request to '{host}' refused: header {name!r} may not be set", field="headers"
            )
        if "\r" in value or "\n" in value or "\0" in value:
            raise EgressRefused(
                f"request to '{host}' refused: the value of header {name!r} holds a line break or NUL",
                field="headers",
            )
        checked[lowered] = value
    return checked


def _system_lookup_on(threads: ThreadPoolExecutor) -> Lookup:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return await _system_lookup(threads, host, port)

    return lookup


def _last_lock(door: Door, allow: Sequence[Network]) -> Callable[[Any], socket.socket]:
    """Makes the socket for one address (a `getaddrinfo` entry), after checking that address once more.

    The resolver and `_refuse_literal` have checked it; this is for the way round them that nobody thought of.
    """

    def make(entry: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, target = entry
        _refuse_address(str(target[0]), str(target[0]), door, allow)
        return socket.socket(family, kind, protocol)

    return make


async def _read_whole(response: aiohttp.ClientResponse, host: str, max_bytes: int) -> bytes:
    """The decompressed body; inflated piece by piece, so that a bomb stops at the limit."""
    content = response.content
    first = await content.readany()
    if content.at_eof() and len(first) <= max_bytes:
        return first
    whole = bytearray(first)
    while len(whole) <= max_bytes and (chunk := await content.readany()):
        whole += chunk
    if len(whole) > max_bytes:
        raise _too_large(host, max_bytes, response.status)
    return bytes(whole)


def _lowered(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Header names in lower case; of a header that comes twice, the last."""
    return {name.lower(): value for name, value in response.headers.items()}


def _too_large(host: str, max_bytes: int, status: int) -> EgressTooLarge:
    return EgressTooLarge(f"the answer of '{host}' has more than {max_bytes} bytes", answer_status=status)


def _translated(error: Exception, attempt: _Attempt, limit_s: float | None) -> EgressTimedOut | EgressFailed:
    """Our words for what went wrong. Never `str(error)`: it may show the URL, and URLs hold tokens."""
    host, was_sent = attempt.host, attempt.has_connection
    if isinstance(error, TimeoutError):
        within = f" within {limit_s:g} s" if limit_s is not None else " in time"
        what = "did not answer" if was_sent else "could not be connected to"
        return EgressTimedOut(f"'{host}' {what}{within}", was_sent=was_sent)
    reason = next((words for kind, words in _REASONS if isinstance(error, kind)), "the connection was lost")
    return EgressFailed(f"request to '{host}' failed: {reason}", was_sent=was_sent)


_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorDNSError, "its name does not resolve"),
    (aiohttp.ClientConnectorCertificateError, "its certificate does not hold"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection"),
    (aiohttp.ClientConnectorError, "no connection"),
    (aiohttp.ServerDisconnectedError, "it closed the connection"),
    (aiohttp.ClientPayloadError, "its answer broke off or cannot be decoded"),
    (aiohttp.ClientResponseError, "its answer is not HTTP"),
)
