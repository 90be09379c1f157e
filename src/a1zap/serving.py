"""What the commands do: processes, first run, sign-in links. The command line above only reads options."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, cast

import structlog
import uvicorn

from a1zap.accounts.create_owner import create_owner
from a1zap.accounts.model import ALL_SCOPES, Scope
from a1zap.accounts.sign_in import add_api_key, add_sign_in_link, find_owner
from a1zap.app import House, open_house
from a1zap.attachments.sweep_files import sweep_files
from a1zap.db.migrate import migrate
from a1zap.db.place import Place, open_place
from a1zap.doors.smtp_door import opened_smtp_doors
from a1zap.first_run import prepare_first_run
from a1zap.kit.errors import Conflict, Invalid, NotFound
from a1zap.kit.log import set_up_logging
from a1zap.kit.settings import Settings, secret

log = structlog.get_logger()

FILES_SWEPT_EVERY = 72  # rests of five minutes

Say = Callable[[str], None]

SERVER_CONNECTIONS_MIN = 6


@asynccontextmanager
async def opened_place(settings: Settings) -> AsyncGenerator[Place]:
    """The database of these settings; a private server is started where it must be."""
    async with open_place(
        settings.data_dir,
        database_url=secret(settings.database_url),
        database_direct_url=secret(settings.database_direct_url),
    ) as place:
        yield place


@asynccontextmanager
async def opened_house(
    settings: Settings, *, say: Say = lambda _line: None, connections_min: int = 1
) -> AsyncGenerator[House]:
    """The whole house on a migrated database.

    `connections_min` are opened at once: a server that opens them under its first load makes everybody wait, because
    each has its statements to plan (p99 of 100 webhooks a second: 350 ms instead of 80).
    """
    async with opened_place(settings) as place:
        await migrate(place.admin_url, on_step=say)
        async with open_house(
            settings,
            database_url=place.app_url,
            direct_url=place.direct_url,
            connections_min=connections_min,
        ) as house:
            yield house


async def migrate_place(settings: Settings, *, say: Say) -> list[str]:
    async with opened_place(settings) as place:
        return await migrate(place.admin_url, on_step=say)


# ── serve and worker ────────────────────────────────────────────────────────────────────────────────────────────────


async def serve(settings: Settings, *, say: Say) -> None:
    """Serve until told to stop; workers run as processes of their own and are started again when they die."""
    set_up_logging(settings)
    listening = _listen(settings)
    port = listening.getsockname()[1]
    settings = settings.model_copy(update={"port": port})
    say("starting PostgreSQL ..." if not settings.database_url else "connecting to PostgreSQL ...")
    async with opened_house(settings, say=say) as house, opened_smtp_doors(house, settings) as doors:
        for door in doors:
            say(f"mail comes in by {door.door.protocol.upper()} on {door.place}")
        workers = [asyncio.create_task(_keep_worker(settings)) for _ in range(settings.workers)]
        try:
            welcome = await prepare_first_run(house)
            for line in welcome:
                say(line)
            await _serve_http(house, listening)
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


def _listen(settings: Settings) -> socket.socket:
    """Take the port before anything is started, so that a taken one is said at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise Conflict(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Choose another with --port or A1ZAP_PORT"
        ) from None
    listening.setblocking(False)
    return listening


def _set_aside_what_stays() -> None:
    """What has been loaded by now lives as long as the process: the collector need not look through it again and again.

    A full collection over all of it stops everything for a few hundred milliseconds.
    """
    gc.collect()
    gc.freeze()


async def _serve_http(house: House, listening: socket.socket) -> None:
    from a1zap.api.server_protocol import HeadTimeoutProtocol

    api = house.api()
    _set_aside_what_stays()
    server = uvicorn.Server(
        uvicorn.Config(
            api,
            http=HeadTimeoutProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
            backlog=2048,
        )
    )
    # Signals are the command line's: it cancels us, and we let the server end politely.
    serving = asyncio.create_task(server._serve(sockets=[listening]))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving


async def _keep_worker(settings: Settings) -> None:
    """One worker process, started again when it ends."""
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "a1zap.cli",
            "worker",
            "--parent",
            str(os.getpid()),
            env=_environment(settings),
        )
        try:
            code = await process.wait()
            log.warning("worker_ended", code=code)
            await asyncio.sleep(0.5)
        finally:
            if process.returncode is None:
                process.terminate()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), timeout=settings.lease_s)


def _environment(settings: Settings) -> dict[str, str]:
    """What a worker must know of what was typed on our command line."""
    given = {
        "A1ZAP_DATA_DIR": str(settings.data_dir),
        "A1ZAP_HOST": settings.host,
        "A1ZAP_PORT": str(settings.port),
        "OPENBLAS_NUM_THREADS": "1",
    }
    return {**os.environ, **given}


async def work(settings: Settings, *, parent: int | None = None) -> None:
    """Be one worker until told to stop, or until the process that started us is gone."""
    set_up_logging(settings)
    stop = asyncio.Event()
    async with (
        opened_place(settings) as place,
        open_house(
            settings,
            database_url=place.app_url,
            direct_url=place.direct_url,
            connections_max=12,
            connections_min=6,
        ) as house,
    ):
        watching = asyncio.create_task(_watch_parent(parent, stop))
        sweeping = asyncio.create_task(_sweep(house))
        _set_aside_what_stays()
        working = asyncio.create_task(house.work(stop))
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            stop.set()  # told to stop: finish what is begun
            await working
        finally:
            watching.cancel()
            sweeping.cancel()
            await asyncio.gather(watching, sweeping, return_exceptions=True)


async def _watch_parent(parent: int | None, stop: asyncio.Event) -> None:
    while parent is not None and not stop.is_set():
        if os.getppid() != parent:
            stop.set()
        await asyncio.sleep(1)


async def _sweep(house: House) -> None:
    """House-keeping, now and then: what is past its use goes."""
    for rest in count():
        await asyncio.sleep(300)
        if rest % FILES_SWEPT_EVERY == 0:  # the whole storage is looked through
            with suppress(Exception):
                await sweep_files(house.files)
        with suppress(Exception):
            async with house.db.standalone() as tx:
                await tx.run("SELECT a1zap.sweep(interval '1 hour')")
                await tx.run("SELECT a1zap.sweep_hooks(interval '30 days')")
                await tx.run("SELECT a1zap.sweep_visits()")


# ── owners and keys ─────────────────────────────────────────────────────────────────────────────────────────────────


async def create_local_owner(settings: Settings, email: str, password: str) -> str:
    async with opened_house(settings) as house:
        owner_id = await create_owner(
            house.db, house.keyring, house.passwords, email=email, password=password, plan_id=settings.plan
        )
        return str(owner_id)


async def create_sign_in_link(settings: Settings, email: str) -> str:
    async with opened_house(settings) as house:
        owner_id = await find_owner(house.db, house.keyring, email)
        if owner_id is None:
            raise NotFound(
                f"no owner with the address '{email}'; make one with: a1zap owner create --email {email}"
            )
        token = await add_sign_in_link(house.db, owner_id, now=house.clock.now())
        return f"{settings.base_url}/sign-in/{token}"


async def create_key(settings: Settings, email: str, name: str, scopes: Sequence[str]) -> str:
    unknown = [s for s in scopes if s not in ALL_SCOPES]
    if unknown:
        raise Invalid(f"there is no scope '{unknown[0]}'; there are: {', '.join(ALL_SCOPES)}", field="scope")
    async with opened_house(settings) as house:
        owner_id = await find_owner(house.db, house.keyring, email)
        if owner_id is None:
            raise NotFound(
                f"no owner with the address '{email}'; make one with: a1zap owner create --email {email}"
            )
        _, text = await add_api_key(
            house.db, owner_id, name=name, scopes=cast("Sequence[Scope]", scopes) or ALL_SCOPES, actor="cli"
        )
        return text


def openapi_document() -> dict[str, Any]:
    """The API's description, built without a database: nothing in it is asked."""
    from a1zap.api.build import describe_api

    return describe_api()
