"""Short-lived links: whoever has one may read that one file, for so long, without being asked who they are.

A link is the file's id and its end, signed with a key of the instance. Nothing is stored, so nothing can be listed;
to give a new link is to look again whether the asker may see the message.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from a1zap.kit.errors import NotFound, Rejected

LINK_KEY_PURPOSE: Final = "file links"
PATH: Final = "/api/files/"
NO_FILE: Final = "there is no such file"
_FORM: Final = struct.Struct("!16sI16s")  # file, end in seconds since 1970, signature
_GRID_S: Final = (
    60  # ends lie on whole minutes: who asks twice gets the same link, and their browser's cache holds
)


class LinkExpired(Rejected):
    """The link was good once; whoever may see the message gets a new one with it."""

    status = 410
    title = "Gone"


@dataclass(frozen=True, slots=True)
class FileLinks:
    """Makes and checks links. `base_url` is put before those that leave the house."""

    key: bytes = field(repr=False)
    base_url: str
    lifetime_s: float = 900.0

    def path(self, file_id: UUID, now: datetime) -> str:
        """The link as a path of this instance, good for at least `lifetime_s`."""
        ends_s = math.ceil((now.timestamp() + self.lifetime_s) / _GRID_S) * _GRID_S
        token = _FORM.pack(file_id.bytes, ends_s, self._sign(file_id, ends_s))
        return PATH + base64.urlsafe_b64encode(token).decode()

    def url(self, file_id: UUID, now: datetime) -> str:
        """The link whole, for providers that fetch."""
        return self.base_url + self.path(file_id, now)

    def check(self, token: str, now: datetime) -> tuple[UUID, datetime]:
        """Which file a link is for, and until when.

        Raises:
            NotFound: it is none of ours.
            LinkExpired: it was.
        """
        try:
            # Strict, and back again: of the many spellings that base64 has for the same bytes one is ours.
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
            file_bytes, ends_s, signature = _FORM.unpack(raw)
        except (ValueError, binascii.Error, struct.error):
            raise NotFound(NO_FILE) from None
        file_id = UUID(bytes=file_bytes)
        is_ours = hmac.compare_digest(signature, self._sign(file_id, ends_s))
        if not is_ours or base64.urlsafe_b64encode(raw).decode() != token:
            raise NotFound(NO_FILE)
        if ends_s <= now.timestamp():
            raise LinkExpired("this link has ended: ask for the message again, it brings a new one")
        return file_id, datetime.fromtimestamp(ends_s, UTC)

    def _sign(self, file_id: UUID, ends_s: int) -> bytes:
        return hmac.digest(self.key, struct.pack("!16sI", file_id.bytes, ends_s), "sha256")[:16]
