"""What the HTTP face needs, handed in once by the roof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from a1zap.accounts.keys import Keyring
from a1zap.accounts.passwords import Passwords
from a1zap.accounts.stack_auth import StackVerifier
from a1zap.attachments.desk import FileDesk
from a1zap.channels.contract import Channel
from a1zap.db.pool import Database
from a1zap.db.wakeups import Wakeups
from a1zap.kit.clock import Clock
from a1zap.kit.egress import Egress
from a1zap.kit.settings import Settings
from a1zap.knowledge.shelf import Shelf
from a1zap.storage.contract import Storage


@dataclass(frozen=True, slots=True)
class ApiHouse:
    settings: Settings
    db: Database
    wakeups: Wakeups
    keyring: Keyring
    passwords: Passwords
    stack: StackVerifier | None
    channels: Mapping[str, Channel]
    shelf: Shelf
    clock: Clock
    egress: Egress
    files: FileDesk

    @property
    def storage(self) -> Storage:
        """Where blobs lie."""
        return self.files.storage
