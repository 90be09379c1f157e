"""SMTP to a relay of the owner's: STARTTLS or TLS, AUTH, and what each answer means for the message.

The relay's name is the owner's word, so its address is checked like any other outside address, and that very address is
connected to. SMTP has no question whether a mail was taken: a second attempt has the same Message-ID, by which most
mailboxes show it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPConnectResponseError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from a1zap.channels.contract import AccountBroken, ChannelAccount, SendAmbiguous, SendRefused, Sent
from a1zap.channels.email.mailbox import ascii_domain
from a1zap.channels.email.out.compose import Letter, mail_bytes, needs_smtputf8
from a1zap.channels.email.out.contract import required
from a1zap.channels.email.providers.ses import rewritten_id
from a1zap.kit.egress import Egress, EgressFailed, EgressRefused
from a1zap.kit.errors import ChannelUnavailable, Invalid

_CONNECT_S: Final = 15.0
_COMMAND_S: Final = 30.0
_DATA_S: Final = 120.0  # a relay that scans before it answers takes its time; its answer is worth waiting for
_TLS: Final = ("starttls", "tls", "none")
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
# "Authentication required", "too weak", "bad credentials", "encryption required": the account's matter, not the mail's.
_AUTH_CODES: Final = frozenset((530, 534, 535, 538))
_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_SES_HOST = re.compile(r"email-smtp(?:-fips)?\.([a-z0-9-]{1,40})\.amazonaws\.com(?:\.cn)?")
_SES_OK = re.compile(r"Ok ([0-9a-zA-Z-]{20,80})")


class SmtpOut:
    needed: Sequence[str] = ("smtp_host",)
    known: Sequence[str] = ("smtp_port", "smtp_tls", "smtp_user", "smtp_password")

    def check_settings(self, settings: Mapping[str, str]) -> None:
        if settings.get("smtp_tls", "starttls") not in _TLS:
            raise Invalid(f"'smtp_tls' must be one of {', '.join(_TLS)}", field="smtp_tls")
        port = settings.get("smtp_port", "587")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise Invalid("'smtp_port' must be a port, such as 587", field="smtp_port")
        if bool(settings.get("smtp_user")) != bool(settings.get("smtp_password")):
            raise Invalid("'smtp_user' and 'smtp_password' come together", field="smtp_user")
        host = settings["smtp_host"]
        if not ascii_domain(host) and not _is_address(host):
            raise Invalid(
                "'smtp_host' must be a name such as smtp.example.com, without a port", field="smtp_host"
            )

    async def send(self, account: ChannelAccount, letter: Letter, egress: Egress) -> Sent:
        raw = mail_bytes(letter)
        async with _session(account, egress) as client:
            await _envelope(client, letter)
            said = await _hand_over(client, raw)
            with contextlib.suppress(SMTPException, OSError):
                await client.quit(timeout=5)
        return _sent(account, letter, said)

    async def was_sent(self, account: ChannelAccount, message_id: str, egress: Egress) -> bool | None:
        return None

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        async with _session(account, egress) as client:
            with contextlib.suppress(SMTPException, OSError):
                await client.quit(timeout=5)
        who = "takes the login" if account.credentials.get("smtp_user") else "answers"
        return f"{required(account, 'smtp_host')} {who}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@asynccontextmanager
async def _session(account: ChannelAccount, egress: Egress) -> AsyncGenerator[SMTP]:
    """A connection, encrypted and logged in as the settings want it.

    Raises:
        ChannelUnavailable: not now.
        AccountBroken: not with these settings.
    """
    security = account.credentials.get("smtp_tls") or "starttls"
    host = required(account, "smtp_host")
    sock = await _connect(
        host, int(account.credentials.get("smtp_port") or _PORTS[security]), security, egress
    )
    client = SMTP(
        hostname=host,
        sock=sock,
        use_tls=security == "tls",
        start_tls=False,
        tls_context=egress.tls_context(),
        timeout=_COMMAND_S,
        local_hostname=account.identity.rpartition("@")[2],
    )
    try:
        await _greet(client, account, security)
        yield client
    finally:
        client.close()  # and the socket with it, once the event loop has let go of that


async def _connect(host: str, port: int, security: str, egress: Egress) -> socket.socket:
    try:
        address = await egress.checked_address(host, port, in_clear=security == "none")
    except EgressRefused as error:
        raise AccountBroken(f"smtp_host: {error}") from None
    except EgressFailed as error:
        raise ChannelUnavailable(str(error)) from None
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(_CONNECT_S):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):  # TimeoutError among them
            raise ChannelUnavailable(f"'{host}' port {port} cannot be connected to") from None
        raise
    return sock


async def _greet(client: SMTP, account: ChannelAccount, security: str) -> None:
    host = client.hostname
    try:
        await client.connect(timeout=_CONNECT_S)
        await client.ehlo()
        if security == "starttls":
            if not client.supports_extension("starttls"):
                raise AccountBroken(
                    f"'{host}' offers no STARTTLS on this port: set smtp_tls to tls, or the right smtp_port"
                )
            await client.starttls(server_hostname=host)
            await client.ehlo()
        if user := account.credentials.get("smtp_user"):
            await _log_in(client, user, account.credentials.get("smtp_password", ""))
    except SMTPAuthenticationError as error:
        raise _of_login(host, error) from None
    except SMTPConnectResponseError as error:
        raise ChannelUnavailable(f"'{host}' takes no mail at the moment ({_code(error)})") from None
    except SMTPResponseException as error:
        raise _judged(error, f"'{host}' does not go on") from None
    except (SMTPTimeoutError, SMTPServerDisconnected, SMTPConnectError, ssl.SSLError, OSError) as error:
        raise ChannelUnavailable(_network(host, error)) from None
    except SMTPException as error:
        raise ChannelUnavailable(f"'{host}' does not speak SMTP as we know it") from error


async def _log_in(client: SMTP, user: str, password: str) -> None:
    """One try in one way: the library's own tries them all, and its last refusal hides what the first one said."""
    offered = client.supported_auth_methods
    if "plain" in offered:
        await client.auth_plain(user, password)
    elif "login" in offered:
        await client.auth_login(user, password)
    elif "cram-md5" in offered:
        await client.auth_crammd5(user, password)
    else:
        raise AccountBroken(
            f"'{client.hostname}' offers no way to log in that we know (PLAIN, LOGIN, CRAM-MD5)"
        )


def _of_login(host: str | None, error: SMTPAuthenticationError) -> Exception:
    if 400 <= error.code < 500:
        return ChannelUnavailable(f"'{host}' cannot check the login at the moment ({_code(error)})")
    return AccountBroken(f"'{host}' does not take smtp_user and smtp_password ({_code(error)})")


async def _envelope(client: SMTP, letter: Letter) -> None:
    options: list[str] = []
    if needs_smtputf8(letter):
        if not client.supports_extension("smtputf8"):
            raise SendRefused(
                "the address is written beyond ASCII, and the relay does not take such (no SMTPUTF8)"
            )
        options.append("SMTPUTF8")
    encoding = "utf-8" if options else "ascii"
    try:
        await client.mail(letter.sender, options=options, encoding=encoding)
        await client.rcpt(letter.to, encoding=encoding)
    except SMTPSenderRefused as error:
        raise _judged(error, "the relay refuses our sender") from None
    except SMTPRecipientRefused as error:
        raise _judged(error, "the relay refuses the recipient") from None
    except SMTPResponseException as error:
        raise _judged(error, "the relay refuses the envelope") from None
    except (SMTPException, OSError) as error:  # nothing of the mail has left yet
        raise ChannelUnavailable(_network(client.hostname, error)) from None


async def _hand_over(client: SMTP, raw: bytes) -> str:
    """The mail itself. Before its end mark the relay must forget what it got; after it, only its answer tells."""
    try:
        answer = await client.data(raw, timeout=_DATA_S)
    except SMTPDataError as error:
        raise _judged(error, "the relay refuses the mail") from None
    except (SMTPException, OSError) as error:
        raise SendAmbiguous("the relay did not answer after the mail: it may have taken it") from error
    return answer.message


def _judged(error: SMTPResponseException, what: str) -> Exception:
    if error.code in _AUTH_CODES:
        return AccountBroken(f"{what}: it wants another login or encryption ({_code(error)})")
    if 500 <= error.code < 600:
        return SendRefused(f"{what} ({_code(error)})")
    return ChannelUnavailable(f"{what}, for now ({_code(error)})")


def _code(error: SMTPResponseException) -> str:
    """The codes and not the words: relays quote addresses, and sometimes the mail."""
    enhanced = _ENHANCED.search(error.message)
    return f"{error.code} {enhanced[1]}" if enhanced else str(error.code)


def _network(host: str | None, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError) or isinstance(
        error.__cause__, ssl.SSLCertVerificationError
    ):
        return f"the certificate of '{host}' does not hold"
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return f"no TLS connection with '{host}'"
    return f"'{host}' does not answer"


def _sent(account: ChannelAccount, letter: Letter, said: str) -> Sent:
    """Amazon SES puts an id of its own in place of ours, and answers will name that."""
    region, own = _SES_HOST.fullmatch(account.credentials.get("smtp_host", "").lower()), _SES_OK.search(said)
    name = rewritten_id(own[1], region[1]) if region and own else letter.message_id
    return Sent(external_id=name, thread_ref=name)
