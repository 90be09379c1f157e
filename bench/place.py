"""Where a measurement works: its folder, a private PostgreSQL of the same binaries with fsync on, a stub model."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from a1zap.db.embedded import EmbeddedServer, start_embedded, stop_embedded
from a1zap.db.place import make_database

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out"
LOGS = OUT / "logs"  # of the newest run
PYTHON = sys.executable


@contextlib.contextmanager
def work_folder(name: str) -> Iterator[Path]:
    """A folder on the disk of the checkout (a memory file system would make fsync free), gone afterwards."""
    OUT.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=OUT))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def log_file(name: str) -> Path:
    LOGS.mkdir(parents=True, exist_ok=True)
    return LOGS / f"{name}.log"


def clear_logs() -> None:
    shutil.rmtree(LOGS, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Postgres:
    server: EmbeddedServer

    @property
    def postmaster(self) -> int:
        return int((self.server.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])

    def url(self, database: str, user: str = "postgres") -> str:
        return self.server.url(user=user, database=database)


@contextlib.asynccontextmanager
async def private_postgres(
    folder: Path, *databases: str, settings: Mapping[str, str] | None = None
) -> AsyncGenerator[Postgres]:
    """Start (or attach to) the server of `folder`/postgres with a1zap's own settings, fsync on."""
    server = await start_embedded(folder / "postgres", settings=settings or {})
    try:
        for name in databases:
            await make_database(server.url(user="postgres", database="postgres"), name)
        yield Postgres(server)
    finally:
        await stop_embedded(server)
