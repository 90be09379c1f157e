"""The door for the own mail server: listens for SMTP and LMTP where the operator says so. Not for the bare Internet.

A mail server in front (Postfix, Exim, OpenSMTPD) has the queue, the spam filter and the patience; here each mail is made
durable and then answered with 250. What cannot be kept now is answered with 451, and comes again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from a1zap.doors.smtp_session import Door, Limits, LmtpSession, MailSession, Protocol, Room
from a1zap.intake.desk import Desk
from a1zap.kit.addresses import Network
from a1zap.kit.errors import Conflict, Invalid
from a1zap.kit.settings import Settings

log = structlog.get_logger()

_LINGER_S = 5.0  # for mails that are just being kept when we are told to stop


@dataclass(frozen=True, slots=True)
class Listening:
    """A door that is open. `port` is None where it is a socket file."""

    door: Door
    place: str
    port: int | None


@asynccontextmanager
async def opened_smtp_doors(
    desk: Desk, settings: Settings, *, limits: Limits | None = None
) -> AsyncGenerator[list[Listening]]:
    """Listen where the settings say, for SMTP, LMTP, both or nothing; closed politely at the end.

    Raises:
        Conflict: a port or path cannot be had.
        Invalid: a setting is not what it should be, by name.
    """
    # aiosmtpd logs addresses, and at a lower level whole mails.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
    limits = limits or Limits()
    room = Room(limits.room_bytes)
    tls = _tls(settings)
    wanted: list[tuple[Protocol, str]] = [("smtp", settings.smtp_listen), ("lmtp", settings.lmtp_listen)]
    async with AsyncExitStack() as stack:
        opened: list[Listening] = []
        for protocol, place in wanted:
            if not place.strip():
                continue
            door = Door(
                desk=desk,
                protocol=protocol,
                hostname=socket.gethostname(),
                trusted=_trusted(settings),
                authserv_id=settings.mail_authserv_id.strip(),
                limits=limits,
                room=room,
                tls=tls,
            )
            opened.append(await stack.enter_async_context(_opened(door, place.strip())))
        yield opened


@asynccontextmanager
async def _opened(door: Door, place: str) -> AsyncGenerator[Listening]:
    make = MailSession if door.protocol == "smtp" else LmtpSession
    loop = asyncio.get_running_loop()
    path = Path(place) if "/" in place else None
    try:
        if path is not None:
            server = await loop.create_unix_server(lambda: make(door), str(path))
            path.chmod(0o660)  # the folder's group decides which mail server gets in
        else:
            host, port = _host_and_port(door.protocol, place)
            server = await loop.create_server(lambda: make(door), host, port)
    except OSError as error:
        raise Conflict(
            f"cannot listen for {door.protocol.upper()} on {place}: {error.strerror}. "
            f"Choose another with A1ZAP_{door.protocol.upper()}_LISTEN"
        ) from None
    port = None if path is not None else int(server.sockets[0].getsockname()[1])
    log.info("mail_door_open", kind=door.protocol, port=port)
    try:
        yield Listening(door, place, port)
    finally:
        server.close()
        await _let_go(door)
        if path is not None:
            path.unlink(missing_ok=True)


async def _let_go(door: Door) -> None:
    """End every session; a mail that is just being kept gets its answer first, if it comes soon."""
    for session in list(door.sessions):
        if not session.is_keeping:
            session.hang_up()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            # Once, at the end; an event for it would have to be set at every mail.
            while any(session.is_keeping for session in door.sessions):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.sleep(0)  # the answers leave
    for session in list(door.sessions):
        session.hang_up()
    await asyncio.sleep(0)


def _host_and_port(protocol: Protocol, place: str) -> tuple[str, int]:
    host, colon, port = place.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise Invalid(
            f"A1ZAP_{protocol.upper()}_LISTEN is '{place}'; write host:port, such as 127.0.0.1:2525, "
            "or the path of a socket, such as /run/a1zap/mail.sock"
        )
    return host.strip("[]"), int(port)


def _trusted(settings: Settings) -> tuple[Network, ...]:
    try:
        return settings.smtp_networks
    except ValueError as error:
        raise Invalid(f"A1ZAP_SMTP_TRUSTED: {error}; write ranges such as 127.0.0.0/8,::1") from None


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.smtp_tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.smtp_tls_cert, settings.smtp_tls_key)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(
            f"A1ZAP_SMTP_TLS_CERT '{settings.smtp_tls_cert}' cannot be used: {type(error).__name__}"
        ) from None
    return context
