"""The ring of data keys: one sealer an owner, opened once and kept for a while."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from uuid import UUID

from a1zap.db.pool import Tx
from a1zap.kit.crypto import DataKey, MasterKey, Sealer, new_data_key

_KEPT_MAX = 10_000
_KEPT_S = 60.0  # an erased key stops opening things within this time, in every process


class Keyring:
    """Opens owners' data keys with the master key. Holds no connection; each call brings its transaction."""

    def __init__(self, master: MasterKey) -> None:
        self.master = master
        self._email_key = master.derive("email index")
        self._kept: OrderedDict[UUID, tuple[float, Sealer]] = OrderedDict()

    def email_index(self, email: str) -> bytes:
        """Equal for equal addresses; of the instance, because sign-in comes before the owner is known."""
        return hmac.new(self._email_key, email.strip().casefold().encode(), hashlib.sha256).digest()

    async def sealer(self, tx: Tx) -> Sealer:
        """The sealer of the transaction's owner."""
        kept = self._kept.get(tx.owner_id)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        rows = await tx.rows(
            "SELECT id, wrapped FROM data_keys WHERE owner_id = $1 ORDER BY (retired_at IS NULL), id",
            tx.owner_id,
        )
        if not rows:
            raise LookupError(f"owner {tx.owner_id} has no data key: erased, or never created")
        keys = [self.master.unwrap(r["wrapped"], id=r["id"], owner_id=tx.owner_id) for r in rows]
        sealer = Sealer(keys[-1], {k.id: k for k in keys[:-1]})
        self._keep(tx.owner_id, sealer)
        return sealer

    async def add_key(self, tx: Tx) -> DataKey:
        """A fresh current data key for the transaction's owner."""
        key = new_data_key(tx.owner_id)
        await tx.run(
            "INSERT INTO data_keys (owner_id, id, wrapped) VALUES ($1, $2, $3)",
            tx.owner_id,
            key.id,
            self.master.wrap(key),
        )
        self._kept.pop(tx.owner_id, None)
        return key

    def _keep(self, owner_id: UUID, sealer: Sealer) -> None:
        self._kept[owner_id] = (time.monotonic() + _KEPT_S, sealer)
        self._kept.move_to_end(owner_id)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
