"""A token that stands for a chat in a reply address: nobody can make one up, and it tells nothing but that it is ours.

22 bytes in lower-case base32 (36 characters): the chat's id, and six bytes under a key of the owner's. It is no secret
that opens anything: who answers with it must be in the chat besides (see intake/find_thread.py).
"""

from __future__ import annotations

import base64
import hmac
from uuid import UUID

from a1zap.kit.crypto import Sealer

KEY_LENGTH = 36
_MAC_BYTES = 6


def make_chat_key(sealer: Sealer, chat_id: UUID) -> str:
    return base64.b32encode(chat_id.bytes + _mac(sealer, chat_id)).rstrip(b"=").decode().lower()


def open_chat_key(sealer: Sealer, key: str) -> UUID | None:
    """The chat that a token of this owner's stands for; None for anything else. Mail servers may change its case."""
    if len(key) != KEY_LENGTH:
        return None
    try:
        raw = base64.b32decode(key.upper() + "=" * (-len(key) % 8))
    except ValueError:
        return None
    chat_id = UUID(bytes=raw[:16])
    return chat_id if hmac.compare_digest(raw[16:], _mac(sealer, chat_id)) else None


def _mac(sealer: Sealer, chat_id: UUID) -> bytes:
    return sealer.blind_index(str(chat_id), table="chats", column="chat_key")[:_MAC_BYTES]
