"""What working with files needs, handed in once by the roof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from a1zap.accounts.keys import Keyring
from a1zap.attachments.link import FileLinks
from a1zap.attachments.model import FileLimits
from a1zap.attachments.redraw import Redrawer
from a1zap.channels.contract import Channel
from a1zap.db.pool import Database
from a1zap.db.wakeups import Wakeups
from a1zap.kit.clock import Clock
from a1zap.kit.egress import Egress
from a1zap.llm.transcribe import Transcriber
from a1zap.storage.contract import Storage


@dataclass(frozen=True, slots=True)
class FileDesk:
    """`transcriber` None: voice messages are not written down."""

    db: Database
    wakeups: Wakeups
    keyring: Keyring
    storage: Storage
    channels: Mapping[str, Channel]
    egress: Egress
    clock: Clock
    links: FileLinks
    transcriber: Transcriber | None = None
    redrawer: Redrawer = field(default_factory=Redrawer)
    limits: FileLimits = field(default_factory=FileLimits)
    attempts_max: int = 100
