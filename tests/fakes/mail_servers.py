"""Debian's Postfix and Dovecot with a configuration of a test's own, on loopback: the peers that self-hosters have.

They want root (queues and mailboxes belong to users of their own) and are installed where that can be; elsewhere the
tests that need them are skipped, and say why.
"""

from __future__ import annotations

import asyncio
import imaplib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"postfix": "/usr/sbin/postfix", "dovecot-imapd": "/usr/sbin/dovecot"}


def need_mail_servers() -> None:
    """Skip the test where Postfix and Dovecot are neither there nor can be installed."""
    missing = [name for name, program in PACKAGES.items() if not Path(program).exists()]
    if missing:
        # RUNLEVEL=1: installing a mail server for a test must not start one on the machine.
        done = subprocess.run(
            [ROOT / "scripts/install-debian-packages", "the mail tests need real mail servers", *missing],
            env={**os.environ, "RUNLEVEL": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no mail servers")
    if os.geteuid() != 0:
        pytest.skip("Postfix and Dovecot of a test's own must be started by root")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def answers(port: int, *, within_s: float = 15) -> None:
    """Wait until somebody listens there and greets."""
    async with asyncio.timeout(within_s):
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                said = await reader.readline()
                writer.close()
                if said:
                    return
            await asyncio.sleep(0.05)


def own_folder() -> Path:
    """A folder that the servers' own users may reach into."""
    folder = Path(tempfile.mkdtemp(prefix="a1zap-mail-"))
    folder.chmod(0o755)
    return folder


async def run(*command: str | Path) -> None:
    """A command to its end. What it says goes into a file: a server that it starts would hold a pipe open for ever."""
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=asyncio.subprocess.DEVNULL, stdout=said, stderr=said
        )
        async with asyncio.timeout(30):
            code = await process.wait()
        said.seek(0)
        assert code == 0, f"{command}: {said.read().decode(errors='replace')}"


# ── Postfix ─────────────────────────────────────────────────────────────────────────────────────────────────────────

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = mx.acme.com
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
address_verify_poll_delay = 1s
lmtp_connection_cache_on_demand = yes
{lines}
"""


@dataclass(frozen=True)
class Postfix:
    port: int
    folder: Path

    async def try_again(self) -> None:
        """What waits in the queue is delivered now, not in minutes."""
        await asyncio.sleep(0.3)  # a mail whose last attempt is just ending would be passed over
        await run("postfix", "-c", self.folder / "etc", "flush")

    def log(self) -> str:
        path = self.folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else "(no log)"


@asynccontextmanager
async def postfix(*lines: str) -> AsyncIterator[Postfix]:
    """A Postfix of the test's own; `lines` are what main.cf says besides."""
    folder, port = own_folder(), free_port()
    etc = folder / "etc"
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (etc / "main.cf").write_text(MAIN.format(folder=folder, lines="\n".join(lines)))
    (etc / "master.cf").write_text(MASTER.format(port=port))
    await run("postfix", "-c", etc, "start")
    server = Postfix(port, folder)
    try:
        await answers(port)
        yield server
    except BaseException:
        print(server.log())  # where a test fails, this says why
        raise
    finally:
        with suppress(AssertionError):
            await run("postfix", "-c", etc, "stop")
        shutil.rmtree(folder, ignore_errors=True)


# ── Dovecot ─────────────────────────────────────────────────────────────────────────────────────────────────────────

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
instance_name = {name}
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{pem}
ssl_key = <{pem}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
auth_username_chars =
auth_worker_max_count = 1
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 1
mail_fsync = never
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/home/%u
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
"""


@dataclass(frozen=True)
class Dovecot:
    port: int
    tls_port: int
    folder: Path
    user: str = "support"
    password: str = "geheim"

    def of(self, user: str, password: str = "geheim") -> Dovecot:
        """The same server, for another mailbox: there are u0 to u99, and müller."""
        return replace(self, user=user, password=password)

    def client(self) -> imaplib.IMAP4:
        """Signed in, as the owner's own mail program."""
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
        client.login(self.user, self.password)
        return client

    async def put(self, *mails: bytes, folder: str = "INBOX") -> None:
        """Mail arrives."""

        def append() -> None:
            with self.client() as client:
                for raw in mails:
                    assert client.append(folder, "", "", raw)[0] == "OK"

        await asyncio.to_thread(append)

    async def asks(self, *commands: tuple[str, ...], folder: str = "INBOX") -> list[bytes]:
        """The last line of data of each command in a folder."""

        def ask() -> list[bytes]:
            with self.client() as client:
                client.select(folder)
                return [b" ".join(d for d in client.uid(*c)[1] if isinstance(d, bytes)) for c in commands]

        return await asyncio.to_thread(ask)

    def stop(self) -> None:
        """As a power cut: politely it would take Dovecot ten seconds to part with its clients."""
        master = int((self.folder / "run/master.pid").read_text())
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        for process in (master, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        (self.folder / "run/master.pid").unlink()

    async def start(self) -> None:
        await run("dovecot", "-c", self.folder / "dovecot.conf")
        await answers(self.port)

    def renumber(self) -> None:
        """As after a restore from a backup: the same mails under new numbers."""
        for path in (self.folder / "mail" / self.user).glob("dovecot*"):
            path.unlink()


@asynccontextmanager
async def dovecot(pem: Path) -> AsyncIterator[Dovecot]:
    """A Dovecot of the test's own, with one mailbox; `pem` holds key and certificate."""
    folder = own_folder()
    for name in ("run", "state", "mail", "home"):
        (folder / name).mkdir()
    for name in ("mail", "home"):
        shutil.chown(folder / name, "nobody", "nogroup")
    shutil.copy(pem, folder / "server.pem")
    (folder / "users").write_text(
        "".join(f"{user}:geheim\n" for user in ("support", *(f"u{n}" for n in range(100))))
        + "müller:gehéim\n"
    )
    port, tls_port = free_port(), free_port()
    (folder / "dovecot.conf").write_text(
        DOVECOT.format(
            folder=folder, name=folder.name, pem=folder / "server.pem", port=port, tls_port=tls_port
        )
    )
    server = Dovecot(port, tls_port, folder)
    await server.start()
    try:
        yield server
    finally:
        with suppress(FileNotFoundError):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def trusting(pem: bytes) -> ssl.SSLContext:
    """Trusts this authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem.decode())
    return context
