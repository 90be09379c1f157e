"""The system under test as an operator runs it: `a1zap serve` with its own PostgreSQL, fsync on, one worker."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Meter
from bench.place import PYTHON, ROOT, Postgres, log_file, private_postgres
from bench.processes import command_line, free_port, running, tree, wait_until_ready

EMAIL = "bench@example.com"
SECRET = "bench-secret-of-the-a1base-account"
WATCHING = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on"}
A1ZAP = str(Path(PYTHON).parent / "a1zap")


@dataclass(frozen=True, slots=True)
class Agent:
    id: str
    number: str


@dataclass(frozen=True, slots=True)
class Rig:
    """A running instance with one owner; `provider_url` is where its replies go."""

    process: subprocess.Popen[bytes]
    port: int
    key: str
    provider_url: str
    postgres: Postgres
    ready_s: float

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One call of the API as the owner, for setting things up."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path} answered {error.code}: {error.read().decode()}") from None

    def add_agent(self, handle: str, *, settle_s: float | None = None) -> Agent:
        """An agent with an A1Base number whose replies come to us; `settle_s` None keeps the default."""
        agent = self.call(
            "POST",
            "/api/agents",
            {
                "name": f"Bench {handle}",
                "handle": handle,
                "agent_type": "work",
                "system_prompt": "You are a friendly assistant. Answer briefly.",
                **({} if settle_s is None else {"message_settings": {"settle_s": settle_s}}),
            },
        )
        number = f"+1555000{len(handle):04d}"
        self.call(
            "POST",
            f"/api/agents/{agent['id']}/channels",
            {
                "kind": "a1base",
                "number": number,
                "account_id": "acc",
                "api_key": "k",
                "api_secret": SECRET,
                "base_url": self.provider_url,
            },
        )
        return Agent(agent["id"], number)

    def meter(self, *helpers: int, has_workers: bool = True) -> Meter:
        """CPU of server, worker and PostgreSQL; of us and `helpers` as those that only measure."""
        workers = self.workers()
        if not workers and has_workers:
            raise RuntimeError(f"process {self.process.pid} has no worker below it: whose CPU is it?")
        return Meter(
            {
                "server": [self.process.pid],
                "worker": workers,
                "postgres": [self.postgres.postmaster],
            },
            [os.getpid(), *helpers],
        )

    def workers(self) -> list[int]:
        return [pid for pid in tree(self.process.pid) if " worker " in f" {command_line(pid)} "]

    def python_processes(self) -> list[int]:
        return tree(self.process.pid)


@contextlib.asynccontextmanager
async def open_rig(
    folder: Path, *, model_url: str, provider_url: str, is_watched: bool = False, has_workers: bool = True
) -> AsyncGenerator[Rig]:
    """Start an instance in `folder`, with an owner and a key; `is_watched`: PostgreSQL counts its statements."""
    env = rig_environment(folder, model_url, **({} if has_workers else {"A1ZAP_WORKERS": "0"}))
    log = log_file(folder.name)
    async with contextlib.AsyncExitStack() as stack:
        if is_watched:  # started by us with the extension in it; the instance attaches to what runs
            await stack.enter_async_context(private_postgres(folder / "data", settings=WATCHING))
        process, port, ready_s = stack.enter_context(started(env, log))
        postgres = await stack.enter_async_context(private_postgres(folder / "data"))
        yield Rig(process, port, make_key(env), provider_url, postgres, ready_s)


def rig_environment(folder: Path, model_url: str, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("A1ZAP_", "DATABASE_", "STACK_"))}
    return {
        **kept,
        "A1ZAP_DATA_DIR": str(folder / "data"),
        "A1ZAP_IS_DEMO_WANTED": "false",
        "A1ZAP_EGRESS_ALLOW": "127.0.0.0/8",
        "OPENAI_API_KEY": "x",
        "OPENAI_BASE_URL": model_url,
        **more,
    }


@contextlib.contextmanager
def started(env: dict[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """`a1zap serve` until the block ends; the process, its port, and seconds until it was ready."""
    port = free_port()
    with running([A1ZAP, "serve", "--port", str(port)], env=env, log=log, cwd=ROOT) as process:
        yield process, port, wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, log)


def make_key(env: dict[str, str]) -> str:
    """An owner and an API key, by the command line beside the running server."""

    def a1zap(*arguments: str, given: str = "") -> str:
        done = subprocess.run(
            [A1ZAP, *arguments], env=env, input=given, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"a1zap {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    a1zap("owner", "create", "--email", EMAIL, "--password-stdin", given="correct horse battery staple\n")
    return a1zap("key", "create", "--email", EMAIL, "--name", "bench").splitlines()[-1]
