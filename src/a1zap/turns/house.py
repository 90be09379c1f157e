"""What taking turns needs, handed in once by the roof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from a1zap.accounts.keys import Keyring
from a1zap.channels.contract import Channel
from a1zap.db.pool import Database
from a1zap.db.wakeups import Wakeups
from a1zap.kit.clock import Clock
from a1zap.kit.egress import Egress
from a1zap.knowledge.shelf import Shelf
from a1zap.storage.contract import Storage
from a1zap.turns.models import ModelSource
from a1zap.workflows.contract import Workflow


@dataclass(frozen=True, slots=True)
class TurnHouse:
    db: Database
    wakeups: Wakeups
    keyring: Keyring
    channels: Mapping[str, Channel]
    shelf: Shelf
    models: ModelSource
    workflows: Mapping[str, Workflow]
    clock: Clock
    egress: Egress
    storage: Storage
