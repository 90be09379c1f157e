"""A real SMTP server on loopback that does what a test tells it: refuse, drop the connection, ask for a login."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP as SmtpServer  # noqa: N811
from aiosmtpd.smtp import AuthResult


def is_encrypted(server) -> bool:
    return server.transport.get_extra_info("sslcontext") is not None


@dataclass
class Relay:
    """What a relay did; `answers` are replies by command ("RCPT": "550 …"), `drop_at` where it closes the connection."""

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    drop_at: str = ""
    mails: list = field(default_factory=list)
    logins: list = field(default_factory=list)

    async def handle_MAIL(self, server, session, envelope, address, options):
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from, envelope.mail_options = address, options
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.drop_at == "RCPT":
            server.transport.abort()
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.mails.append(
            (envelope.mail_from, list(envelope.rcpt_tos), bytes(envelope.content), is_encrypted(server))
        )
        if self.drop_at == "DATA":
            server.transport.abort()
        return self.answers.get("OK", "250 2.0.0 Ok: queued")

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append((data.login, data.password, is_encrypted(server)))
        is_right = data.password == b"secret"
        return AuthResult(success=is_right, handled=False, message=None if is_right else "535 5.7.8 no")

    def message(self) -> EmailMessage:
        return message_from_bytes(self.mails[-1][2], policy=default)


@asynccontextmanager
async def relaying(
    authority=None, *, tls: str = "starttls", host: str = "localhost", auth: bool = False, **told
):
    relay = Relay(**told)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if authority is not None:
        authority.issue_cert(host).configure_cert(context)

    served, loop = [], asyncio.get_running_loop()

    def serve():
        with warnings.catch_warnings(
            action="ignore"
        ):  # a login without TLS is what some of these tests are about
            one = SmtpServer(
                relay,
                hostname="mx.test",
                enable_SMTPUTF8=relay.answers.get("UTF8", "yes") == "yes",
                tls_context=context if tls == "starttls" else None,
                require_starttls=tls == "starttls",
                auth_required=auth,
                auth_require_tls=False,
                authenticator=relay.authenticate if auth else None,
                loop=loop,
            )
        served.append(one)
        return one

    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=context if tls == "tls" else None)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        for one in served:
            if one.transport is not None:
                one.transport.abort()
        tasks = [one._handler_coroutine for one in served if one._handler_coroutine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
