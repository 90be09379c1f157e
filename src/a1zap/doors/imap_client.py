"""A mailbox on somebody else's server, from a thread: what is read of it is bounded, and a cord ends it from outside.

The server belongs to an owner's choice, so it may be slow, broken or hostile: each step may read so much and no more,
and whoever waits for a step pulls the cord when it takes too long (`Leash.cut`). Nothing it says gets into our errors.
"""

from __future__ import annotations

import imaplib
import os
import re
import socket
import ssl
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any, Final, Literal, cast

from imap_tools import BaseMailBox, MailboxLoginError, MailMessageFlags
from imap_tools.idle import get_socket_poller

from a1zap.channels.contract import AccountBroken
from a1zap.kit.errors import ChannelUnavailable

Tls = Literal["tls", "starttls", "none"]

MAIL_MAX_BYTES: Final = 35 * 1024 * 1024
# Of a larger mail, its head and, nearly always, its text.
CUT_BYTES: Final = 1024 * 1024
_STEP_MAX_BYTES: Final = 1024 * 1024
_SEARCH_MAX_BYTES: Final = 8 * 1024 * 1024
_SILENT_S: Final = 30.0
# Answers to LOGIN that are about the server's day and not about the password (RFC 5530).
_PASSING: Final = (b"[UNAVAILABLE]", b"[INUSE]", b"[LIMIT]", b"[SERVERBUG]", b"[CONTACTADMIN]")


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where a mailbox is. `address` is what `host` resolved to and was checked: it alone is connected to."""

    host: str
    address: str
    port: int
    tls: Tls
    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it was when it was opened. `uid_next` is None where the server does not say it."""

    uid_validity: int
    uid_next: int | None


class Leash:
    """Holds a connection from outside its thread."""

    def __init__(self) -> None:
        self.left_bytes = 0
        self._lock = Lock()
        self._line: socket.socket | None = None
        self._is_cut = False

    def hold(self, connection: socket.socket) -> None:
        # A handle of its own: TLS takes the connection's over, and this one still ends it.
        with self._lock:
            if self._is_cut:
                raise OSError("cut")
            self._line = socket.socket(fileno=os.dup(connection.fileno()))

    def spend(self, count: int) -> None:
        self.left_bytes -= count
        if self.left_bytes < 0:
            raise OSError("the server says more than it was asked")

    def cut(self) -> None:
        """End the connection now; whatever its thread waits for comes to an end."""
        with self._lock:
            self._is_cut = True
            if self._line is not None:
                with suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        with self._lock:
            self._is_cut = True
            if self._line is not None:
                self._line.close()
                self._line = None


class _Client(imaplib.IMAP4):
    def __init__(self, server: MailServer, leash: Leash, tls: ssl.SSLContext) -> None:
        self._server, self._leash, self._tls = server, leash, tls
        super().__init__(server.host, server.port, _SILENT_S)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        connection = socket.create_connection((self._server.address, self._server.port), timeout)
        try:
            self._leash.hold(connection)
            if self._server.tls == "tls":
                return self._tls.wrap_socket(connection, server_hostname=self._server.host)
        except BaseException:
            connection.close()
            raise
        return connection

    def read(self, size: int) -> bytes:
        self._leash.spend(size)
        return super().read(size)

    def readline(self) -> bytes:
        line = cast("bytes", self.file.readline(max(0, self._leash.left_bytes) + 1))
        self._leash.spend(len(line))
        return line


class _Box(BaseMailBox):
    def __init__(self, client: _Client) -> None:
        self._given = client
        super().__init__()

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        return self._given


class OpenMailbox:
    """A signed-in connection. Every method blocks: call them from a thread, one at a time.

    All raise ChannelUnavailable where the server cannot be reached, breaks off, or is not understood.
    """

    def __init__(self, server: MailServer, leash: Leash, tls: ssl.SSLContext) -> None:
        """Connect and sign in.

        Raises:
            AccountBroken: the server does not take the user name and password.
        """
        self._host = server.host
        self._leash = leash
        with self._understood(_STEP_MAX_BYTES):
            self._client = _Client(server, leash, tls)
        try:
            self._sign_in(server, tls)
        except BaseException:
            self.close()
            raise

    def _sign_in(self, server: MailServer, tls: ssl.SSLContext) -> None:
        with self._understood(_STEP_MAX_BYTES):
            if server.tls == "starttls":
                self._client.starttls(tls)
            self._box = _Box(self._client)
            try:
                if (server.user + server.password).isascii():
                    self._box.login(server.user, server.password, None)
                else:
                    self._box.login_utf8(server.user, server.password, None)
            except (MailboxLoginError, imaplib.IMAP4.error) as error:
                if isinstance(error, imaplib.IMAP4.abort) or _is_passing(error):
                    raise
                raise AccountBroken(
                    f"the mail server '{self._host}' does not take the user name and password"
                ) from None
            self._client._get_capabilities()  # type: ignore[attr-defined]  # noqa: SLF001  # more than before signing in

    @property
    def can_idle(self) -> bool:
        return "IDLE" in self._client.capabilities

    def open_folder(self, name: str, *, to_change: bool) -> Folder:
        """Open a folder, afresh; nothing is marked as read by it unless `to_change`."""
        with self._understood(_STEP_MAX_BYTES):
            self._box.folder.set(name, readonly=not to_change)
            answers = self._client.untagged_responses
            return Folder(_number(answers.get("UIDVALIDITY")) or 0, _number(answers.get("UIDNEXT")))

    def uids_between(self, first: int, last: int | None) -> list[int]:
        """UIDs in the open folder from `first` to `last` (None: to the end), in order."""
        with self._understood(_SEARCH_MAX_BYTES):
            found = self._search(f"UID {first}:{'*' if last is None else last}")
            # `n:*` always has the last mail in it, however small its UID.
            return [uid for uid in found if uid >= first and (last is None or uid <= last)]

    def uids_since(self, day: datetime) -> list[int]:
        """UIDs of what arrived on that day or later, in order."""
        months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
        with self._understood(_SEARCH_MAX_BYTES):
            return self._search(f"SINCE {day.day}-{months[day.month - 1]}-{day.year}")

    def _search(self, wanted: str) -> list[int]:
        answer, lines = self._client.uid("SEARCH", wanted)
        if answer != "OK":
            raise OSError("SEARCH refused")
        return sorted({int(uid) for line in lines if line for uid in line.split()})

    def size_of(self, uid: int) -> int | None:
        """Bytes of a mail as the server says, which may be wrong by a little; None where the mail is gone."""
        with self._understood(_STEP_MAX_BYTES):
            return _size_in(self._ask_for(uid, "(UID RFC822.SIZE)"))

    def fetch(self, uid: int, size: int) -> bytes | None:
        """A mail of that size, byte for byte, without marking it as read; None where it is gone.

        Of one over `MAIL_MAX_BYTES` only the first `CUT_BYTES`.
        """
        part = f"BODY.PEEK[]<0.{CUT_BYTES}>" if size > MAIL_MAX_BYTES else "BODY.PEEK[]"
        with self._understood(2 * min(size, MAIL_MAX_BYTES) + _STEP_MAX_BYTES):
            return _body_in(self._ask_for(uid, f"(UID {part})"))

    def _ask_for(self, uid: int, parts: str) -> list[Any]:
        answer, data = self._client.uid("FETCH", str(uid), parts)
        if answer != "OK":
            raise OSError("FETCH refused")
        return data

    def settle(self, uid: int, after: str) -> bool:
        """Do with a mail that is kept what its owner wants (`leave`, `seen`, `move:Folder`); False where it is refused."""
        if after == "leave":
            return True
        try:
            with self._understood(_STEP_MAX_BYTES):
                if after == "seen":
                    self._box.flag(str(uid), MailMessageFlags.SEEN, True)
                else:
                    self._box.move(str(uid), after.removeprefix("move:").strip())
        except ChannelUnavailable:
            return False
        return True

    def wait_for_news(self, within_s: float) -> None:
        """Until the server says anything (IDLE), at most `within_s`."""
        with self._understood(_STEP_MAX_BYTES):
            if len(self._client.untagged_responses.get("EXISTS", [])) > 1:
                return  # something has come since the folder was opened
            tag = self._begin_idle()
            if not self._has_heard():
                get_socket_poller(self._client.sock, within_s)  # type: ignore[arg-type]
            self._client.send(b"DONE\r\n")
            self._box.consume_until_tagged_response(tag)

    def _begin_idle(self) -> bytes:
        tag: bytes = self._client._command("IDLE")  # type: ignore[attr-defined]  # noqa: SLF001
        while self._client._get_response() is not None:  # type: ignore[attr-defined]  # noqa: SLF001
            if self._client.tagged_commands[tag]:
                raise OSError("IDLE refused")
        return tag

    def _has_heard(self) -> bool:
        """Is there anything that came in one piece with what we have read? The system does not tell of it again."""
        self._client.sock.settimeout(0)
        try:
            return bool(self._client.file.peek(1))  # type: ignore[attr-defined]
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        finally:
            self._client.sock.settimeout(_SILENT_S)

    def close(self) -> None:
        """Say goodbye if the server still listens, and let go."""
        self._leash.left_bytes = _STEP_MAX_BYTES
        with suppress(Exception):
            self._client.sock.settimeout(2)
            self._client.logout()
        with suppress(Exception):
            self._client.shutdown()
        self._leash.let_go()

    @contextmanager
    def _understood(self, max_bytes: int) -> Generator[None]:
        """One step: so much may be read, and what goes wrong is said in our words."""
        self._leash.left_bytes = max_bytes
        try:
            yield
        except AccountBroken:
            raise
        except Exception as error:  # noqa: BLE001  # imaplib falls over nonsense in every way there is
            raise ChannelUnavailable(f"the mail server '{self._host}' {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "shows a certificate that does not hold"
    if isinstance(error, ssl.SSLError):
        return "does not speak TLS as it should"
    if isinstance(error, TimeoutError):
        return f"did not answer within {_SILENT_S:g} s"
    if isinstance(error, OSError | imaplib.IMAP4.abort):
        return "cannot be reached, or broke off"
    return "refused a command, or answers what is not understood"


def _is_passing(error: Exception) -> bool:
    said = str(getattr(error, "command_result", error)).encode().upper()
    return any(code in said for code in _PASSING)


def _number(said: Sequence[object] | None) -> int | None:
    """The last number said, of those that UIDs are: 32 bits."""
    last = said[-1] if said else None
    if not isinstance(last, bytes):
        return None
    number = int(last)
    if number >= 1 << 32:
        raise OSError("a number that is none")
    return number


def _size_in(data: list[Any]) -> int | None:
    for item in data:
        found = re.search(rb"RFC822\.SIZE (\d{1,18})", item if isinstance(item, bytes) else b"")
        if found:
            return int(found[1])
    return None


def _body_in(data: list[Any]) -> bytes | None:
    for item in data:
        if isinstance(item, tuple):
            head, body = cast("tuple[bytes, bytes]", item)
            if b"BODY[" in head.upper():
                return body
        # A short body may come in quotes.
        found = re.search(rb'BODY\[\](?:<0>)? "((?:[^"\\]|\\.)*)"', item if isinstance(item, bytes) else b"")
        if found:
            return re.sub(rb"\\(.)", rb"\1", found[1])
    return None
