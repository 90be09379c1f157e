"""One conversation with the own mail server, in SMTP or LMTP.

The commands are aiosmtpd's; the mail itself is read here, because a mail must never be cut in two, nor a long line fill
the memory, and because LMTP wants one answer for each recipient.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException

from a1zap.doors.take_mail import Recipient, find_recipient, keep_mail
from a1zap.intake.desk import Desk
from a1zap.kit.addresses import Network, parse_address
from a1zap.kit.errors import Unavailable

log = structlog.get_logger()

Protocol = Literal["smtp", "lmtp"]

_OK = "250 2.0.0 kept"
_LATER = "451 4.3.0 not kept: try again later"
_TOO_LARGE = "552 5.3.4 the mail is too large"
_NO_ROOM = "452 4.3.1 too much mail at once: try again later"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one mail server may ask of us."""

    mail_max_bytes: int = 35 * 1024 * 1024
    recipients_max: int = 100
    sessions_max: int = 100
    room_bytes: int = 256 * 1024 * 1024  # of mails that are being read and kept, all sessions together
    idle_s: float = 120  # between commands
    data_s: float = 300  # for one mail, from DATA to our answer
    keep_s: float = 60  # for one account's part of that
    session_s: float = 3600


@dataclass(slots=True)
class Room:
    """The memory that mails on their way in may take, all together."""

    free_bytes: int

    @contextmanager
    def held(self) -> Generator[Held]:
        held = Held(self)
        try:
            yield held
        finally:
            self.free_bytes += held.bytes


@dataclass(slots=True)
class Held:
    room: Room
    bytes: int = 0

    def grow(self, by: int) -> bool:
        """Take more of the room; False where it is full."""
        if by > self.room.free_bytes:
            return False
        self.room.free_bytes -= by
        self.bytes += by
        return True


class MailEnvelope(Envelope):
    """What the mail server said of the mail that comes next. `asked` counts the recipients it asked us about."""

    def __init__(self) -> None:
        super().__init__()
        self.recipients: list[Recipient] = []
        self.asked = 0


@dataclass(frozen=True, slots=True)
class Door:
    """What all sessions of one listening door share; also the hooks that aiosmtpd calls."""

    desk: Desk
    protocol: Protocol
    hostname: str
    trusted: Sequence[Network]
    authserv_id: str
    limits: Limits
    room: Room
    tls: ssl.SSLContext | None = None
    sessions: set[MailSession] = field(default_factory=set["MailSession"])

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        offered = [line for line in responses if not line.startswith("250-AUTH")]
        return [*offered[:-1], "250-PIPELINING", offered[-1]]

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: MailEnvelope, address: str, options: list[str]
    ) -> str:
        envelope.asked += 1
        if envelope.asked > self.limits.recipients_max:
            return "452 4.5.3 too many recipients at once"
        recipient = await find_recipient(self.desk.db, address)
        if recipient is None:
            return "550 5.1.1 no agent has this address"
        envelope.recipients.append(recipient)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_exception(self, error: Exception) -> str:
        if not isinstance(error, (Unavailable, TLSSetupException)):
            log.error("mail_session_failed", exc_info=error)
        return "451 4.3.0 not now: try again later"

    def refusal(self, peer: object) -> str | None:
        """Why this peer is sent away, if it is. Who may open our socket file is the file's own affair."""
        if len(self.sessions) > self.limits.sessions_max:
            return "421 4.3.2 too many connections: try again later"
        if not isinstance(peer, tuple):
            return None
        address = parse_address(str(peer[0]))  # pyright: ignore[reportUnknownArgumentType]
        if any(address.version == network.version and address in network for network in self.trusted):
            return None
        return "554 5.7.1 this door is for the own mail server (A1ZAP_SMTP_TRUSTED)"


class MailSession(SMTP):
    """One connection of the own mail server's, in SMTP."""

    line_length_limit = 64 * 1024  # what is read at once; a line of a mail may be as long as the mail

    def __init__(self, door: Door) -> None:
        self.command_size_limits = defaultdict(lambda: 1024)
        self._door = door
        self._refusal: str | None = None
        self.is_keeping = False
        super().__init__(
            door,
            data_size_limit=door.limits.mail_max_bytes,
            enable_SMTPUTF8=True,
            hostname=door.hostname,
            ident="a1zap",
            tls_context=door.tls,
            timeout=door.limits.idle_s,
            loop=asyncio.get_running_loop(),
        )
        # Nobody signs in here: who may come in is known by the address it comes from.
        self._smtp_methods.pop("AUTH")

    def _create_envelope(self) -> MailEnvelope:
        return MailEnvelope()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.sessions.add(self)
        self._refusal = self._door.refusal(transport.get_extra_info("peername"))
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._door.sessions.discard(self)
        super().connection_lost(error)

    async def _handle_client(self) -> None:
        if self._refusal is not None:
            with suppress(OSError):
                await self.push(self._refusal)
            self.hang_up()
            return
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._door.limits.session_s):
                await super()._handle_client()
        self.hang_up()

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        # The standard library's parser of addresses falls over some of what it is given.
        try:
            return super()._getaddr(arg)
        except Exception:  # noqa: BLE001
            return None, None

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        if self._tls_protocol is not None:
            await self.push("503 5.5.1 TLS is on already")
            return
        await super().smtp_STARTTLS(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Read a mail whole, and say 250 when it is durable."""
        envelope = self._mail()
        if not envelope.recipients:
            await self.push("503 5.5.1 RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 DATA takes no arguments")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        self._reset_timeout(self._door.limits.data_s)
        with self._door.room.held() as held:
            raw = await self._read_mail(held)
            answers = [raw] if isinstance(raw, str) else await self._keep(envelope, raw)
        self._set_post_data_state()
        self._reset_timeout()
        for answer in self._one_each(envelope, answers):
            await self.push(answer)

    def _mail(self) -> MailEnvelope:
        if not isinstance(self.envelope, MailEnvelope):
            raise TypeError("an envelope that is none of ours")
        return self.envelope

    async def _read_mail(self, held: Held) -> bytes | str:
        """The mail as it was before it was made ready for the way, or why we do not take it.

        Only `CR LF . CR LF` ends it: what other servers take for an end (a lone LF) is a part of it. It is read to its
        end also when it is refused, or its rest would be taken for commands.
        """
        whole = bytearray()
        refused: str | None = None
        at_line_start = True
        while True:
            line, is_ended = await self._next_piece()
            if at_line_start and line == b".\r\n":
                return refused or bytes(whole)
            if at_line_start and line.startswith(b"."):
                line = line[1:]
            at_line_start = is_ended
            if refused is None:
                refused = (
                    _TOO_LARGE
                    if len(whole) + len(line) > self._door.limits.mail_max_bytes
                    else None
                    if held.grow(len(line))
                    else _NO_ROOM
                )
            if refused is None:
                whole += line
            else:
                whole.clear()

    async def _next_piece(self) -> tuple[bytes, bool]:
        """The next line, or a piece of one that is longer than what is read at once; True where the line ends."""
        try:
            return await self._reader.readuntil(b"\r\n"), True
        except asyncio.LimitOverrunError as error:
            return await self._reader.readexactly(error.consumed), False

    async def _keep(self, envelope: MailEnvelope, raw: bytes) -> list[str]:
        self.is_keeping = True
        try:
            kept = await keep_mail(
                self._door.desk,
                envelope.recipients,
                raw,
                self._meta(envelope),
                within_s=self._door.limits.keep_s,
            )
        finally:
            self.is_keeping = False
        return [_OK if kept[r.addressee.account_id] else _LATER for r in envelope.recipients]

    def _meta(self, envelope: MailEnvelope) -> dict[str, Any]:
        """What the door knows: who sent it (`""` where nobody wants an answer), and by which way."""
        session = self.session
        peer: object = session.peer if session is not None else None
        meta: dict[str, Any] = {
            "door": self._door.protocol,
            "envelope_from": _readable("" if envelope.mail_from == "<>" else envelope.mail_from),
            "helo": _readable(session.host_name if session is not None else None),
            "peer": str(peer[0]) if isinstance(peer, tuple) else "socket",  # pyright: ignore[reportUnknownArgumentType]
        }
        if self._door.authserv_id:
            meta["authserv_id"] = self._door.authserv_id
        return meta

    def _one_each(self, envelope: MailEnvelope, answers: Sequence[str]) -> Sequence[str]:
        """SMTP has one answer for all: unless everybody has the mail it comes again, and whoever has it knows it."""
        return [next((answer for answer in answers if answer != _OK), _OK)]


class LmtpSession(MailSession):
    """The same in LMTP: another greeting, and an answer for each recipient."""

    async def smtp_LHLO(self, arg: str) -> None:  # noqa: N802
        await super().smtp_EHLO(arg)

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        await self.push("500 5.5.1 this is LMTP: LHLO")

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        await self.push("500 5.5.1 this is LMTP: LHLO")

    def _one_each(self, envelope: MailEnvelope, answers: Sequence[str]) -> Sequence[str]:
        return (
            answers if len(answers) == len(envelope.recipients) else [answers[0]] * len(envelope.recipients)
        )


def _readable(text: str | None) -> str:
    """Bytes that are no UTF-8 came through as halves of characters; JSON has no room for those."""
    return (text or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
