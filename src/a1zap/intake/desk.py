"""What taking messages in needs; the HTTP face hands its own house in, which has all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from a1zap.accounts.keys import Keyring
from a1zap.channels.contract import Channel
from a1zap.db.pool import Database
from a1zap.db.wakeups import Wakeups
from a1zap.kit.clock import Clock
from a1zap.storage.contract import Storage


class Desk(Protocol):
    @property
    def db(self) -> Database: ...

    @property
    def wakeups(self) -> Wakeups: ...

    @property
    def keyring(self) -> Keyring: ...

    @property
    def channels(self) -> Mapping[str, Channel]: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def storage(self) -> Storage: ...
