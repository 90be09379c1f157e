"""SMTP, LMTP and IMAP: a door of our own took the raw mail in, and hands it over itself; no provider posts anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from a1zap.channels.contract import ChannelAccount, Posted
from a1zap.channels.email.providers.contract import Handed, InWayBase, Unpacked
from a1zap.kit.errors import Invalid, NotAllowed

_TLS: Final = ("tls", "starttls", "none")


class Door(InWayBase):
    def __init__(self, name: str) -> None:
        self._name = name

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        raise NotAllowed(f"this mailbox gets its mail by {self._name}: nothing is delivered to it by webhook")

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        return [Handed(raw)]


class Imap(Door):
    needed: Sequence[str] = ("imap_host", "imap_user", "imap_password")
    known: Sequence[str] = ("imap_port", "imap_folder", "imap_tls", "imap_after")

    def __init__(self) -> None:
        super().__init__("IMAP")

    def check_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        if settings.get("imap_tls", "tls") not in _TLS:
            raise Invalid(f"'imap_tls' must be one of {', '.join(_TLS)}", field="imap_tls")
        port = settings.get("imap_port", "993")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise Invalid("'imap_port' must be a port, such as 993", field="imap_port")
        after = settings.get("imap_after", "leave")
        if after not in ("leave", "seen") and not (after.startswith("move:") and after[5:].strip()):
            raise Invalid("'imap_after' must be leave, seen or move:Folder", field="imap_after")
        return {}
