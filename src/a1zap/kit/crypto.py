"""Sealing at rest: who may open what, and how we know that nobody moved it.

    master key   32 bytes, outside the database     wraps ─►  data keys, one or more an owner, in the database
    data key     AES-256-GCM                         seals ─►  one column of one row

Every sealed value is bound to its owner, table, column and row, so that a value copied into another row does not
open. Erasing an owner's data keys erases what they sealed, in backups too. Formats and reasons:
docs/decisions/0004-sealing-and-keys.md.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from a1zap.kit.errors import A1ZapError, Invalid
from a1zap.kit.ids import new_id

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MASTER_ID_BYTES = 4
SEAL_VERSION = 1
WRAP_VERSION = 1
MASTER_KEY_FILE = "master.key"
MASTER_KEY_VARIABLE = "A1ZAP_MASTER_KEY"

_SEAL_HEAD = struct.Struct("!B16s")  # version, id of the data key
_WRAP_HEAD = struct.Struct(f"!B{MASTER_ID_BYTES}s")  # version, id of the master key
SEALED_LONGER_BYTES = _SEAL_HEAD.size + NONCE_BYTES + TAG_BYTES  # than what was sealed
_HOW_TO_MAKE_ONE = "make one with: openssl rand -base64 32"


class SealBroken(A1ZapError):
    """A sealed value does not open: another key, another place, or changed bytes. Trying again does not help."""

    title = "Sealed data cannot be opened"


@dataclass(frozen=True, slots=True, repr=False)
class DataKey:
    """One owner's key. Rotate it before it has sealed 2³⁰ values: random 96-bit nonces end at 2³² (SP 800-38D)."""

    id: UUID
    owner_id: UUID
    key: bytes

    def __post_init__(self) -> None:
        _check_key_length(self.key)

    def __repr__(self) -> str:
        return f"DataKey(id={self.id}, owner_id={self.owner_id})"


def new_data_key(owner_id: UUID) -> DataKey:
    """A fresh random key for `owner_id`, with an id of its own."""
    return DataKey(id=new_id(), owner_id=owner_id, key=os.urandom(KEY_BYTES))


class Sealer:
    """Seals with an owner's current data key; opens what that key or an older one of the same owner sealed.

    Build it with all keys of the owner that are left: the oldest one (smallest id) also makes the blind indexes,
    which must stay the same when the current key is rotated.
    """

    __slots__ = ("_ciphers", "_current", "_index_key", "owner_id")

    def __init__(self, current: DataKey, older: Mapping[UUID, DataKey] | None = None) -> None:
        keys = {**(older or {}), current.id: current}
        for key_id, key in keys.items():
            if key.owner_id != current.owner_id or key.id != key_id:
                raise ValueError(f"data key {key_id} is not a key of owner {current.owner_id}: {key!r}")
        self.owner_id = current.owner_id
        self._current = current
        self._ciphers = {key_id.bytes: AESGCM(key.key) for key_id, key in keys.items()}
        self._index_key = _index_key(keys[min(keys)])

    def __repr__(self) -> str:
        return f"Sealer(owner_id={self.owner_id}, current={self._current.id}, keys={len(self._ciphers)})"

    def seal(self, content: str | bytes, *, table: str, column: str, row: UUID) -> bytes:
        """`content` (text as UTF-8) sealed for this one place; 45 bytes longer than it.

        Raises:
            Invalid: the text holds half a character (a lone surrogate), which no UTF-8 can spell.
        """
        key_id = self._current.id.bytes
        nonce = os.urandom(NONCE_BYTES)
        place = _place(SEAL_VERSION, key_id, self.owner_id, table=table, column=column, row=row)
        sealed = self._ciphers[key_id].encrypt(nonce, _as_bytes(content, column), place)
        return _SEAL_HEAD.pack(SEAL_VERSION, key_id) + nonce + sealed

    def open(self, sealed: bytes, *, table: str, column: str, row: UUID) -> bytes:
        """What was sealed for exactly this place.

        Raises:
            SealBroken: another place, another owner, a key that is not at hand (erased), or changed bytes.
        """
        where = f"{table}.{column} of row {row}"
        if len(sealed) < _SEAL_HEAD.size + NONCE_BYTES + TAG_BYTES:
            raise SealBroken(f"{where} holds {len(sealed)} bytes, too few to be sealed")
        version, key_id = _SEAL_HEAD.unpack_from(sealed)
        if version != SEAL_VERSION:
            raise SealBroken(f"{where} is sealed in format {version}; this program knows {SEAL_VERSION}")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealBroken(
                f"{where} is sealed with data key {UUID(bytes=key_id)}, "
                f"which owner {self.owner_id} has not (any more)"
            )
        nonce_end = _SEAL_HEAD.size + NONCE_BYTES
        place = _place(version, key_id, self.owner_id, table=table, column=column, row=row)
        try:
            return cipher.decrypt(sealed[_SEAL_HEAD.size : nonce_end], sealed[nonce_end:], place)
        except InvalidTag:
            raise SealBroken(f"{where} does not open: it was changed, or moved here from elsewhere") from None

    def open_text(self, sealed: bytes, *, table: str, column: str, row: UUID) -> str:
        """`open`, as text.

        Raises:
            SealBroken: as `open`; or what was sealed there is not text.
        """
        content = self.open(sealed, table=table, column=column, row=row)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise SealBroken(f"{table}.{column} of row {row} holds bytes, not text") from None

    def blind_index(self, text: str, *, table: str, column: str) -> bytes:
        """`blind_index` with the owner's oldest data key, ready for lookups by equality."""
        return _blind_digest(self._index_key, text, table, column)


def blind_index(owner_key: DataKey, text: str, *, table: str, column: str) -> bytes:
    """32 bytes that are equal for equal texts of one owner and column, and say nothing without the key.

    Normalise `text` first (case of an address, form of a number): equality is by bytes. Always take the same
    data key of an owner (`Sealer.blind_index` takes the oldest), or lookups will silently find nothing.
    """
    return _blind_digest(_index_key(owner_key), text, table, column)


@dataclass(frozen=True, slots=True, repr=False)
class MasterKey:
    """The key outside the database. `id` tells which one wrapped a data key, without telling anything about it."""

    id: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"MasterKey(id={self.id.hex()})"

    @classmethod
    def of(cls, key: bytes) -> MasterKey:
        """The master key made of 32 random bytes."""
        _check_key_length(key)
        check_value = _hkdf(key, "check value")
        return cls(id=hashlib.sha256(check_value).digest()[:MASTER_ID_BYTES], key=key)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose ("cookies", "visitor tokens"): no two purposes share a key."""
        return _hkdf(self.key, f"derive:{purpose}")

    def wrap(self, data_key: DataKey) -> bytes:
        """`data_key` sealed for its row in the database, bound to its id and owner."""
        nonce = os.urandom(NONCE_BYTES)
        bound_to = _wrap_binding(WRAP_VERSION, self.id, data_key.id, data_key.owner_id)
        sealed = AESGCM(_hkdf(self.key, "wrap")).encrypt(nonce, data_key.key, bound_to)
        return _WRAP_HEAD.pack(WRAP_VERSION, self.id) + nonce + sealed

    def unwrap(self, wrapped: bytes, *, id: UUID, owner_id: UUID) -> DataKey:  # noqa: A002  (the name of the field)
        """The data key that `wrap` wrapped. A new master key takes over by `new.wrap(old.unwrap(…))` for each row.

        Raises:
            SealBroken: another master key, another data key's or owner's row, or changed bytes.
        """
        where = f"data key {id} of owner {owner_id}"
        if len(wrapped) != _WRAP_HEAD.size + NONCE_BYTES + KEY_BYTES + TAG_BYTES:
            raise SealBroken(f"{where} is wrapped in {len(wrapped)} bytes, which is not our format")
        version, master_id = _WRAP_HEAD.unpack_from(wrapped)
        if version != WRAP_VERSION:
            raise SealBroken(f"{where} is wrapped in format {version}; this program knows {WRAP_VERSION}")
        if master_id != self.id:
            raise SealBroken(
                f"{where} is wrapped by master key {master_id.hex()}, and this is {self.id.hex()}: "
                f"put the old {MASTER_KEY_FILE} (or {MASTER_KEY_VARIABLE}) back"
            )
        nonce_end = _WRAP_HEAD.size + NONCE_BYTES
        bound_to = _wrap_binding(version, master_id, id, owner_id)
        try:
            key = AESGCM(_hkdf(self.key, "wrap")).decrypt(
                wrapped[_WRAP_HEAD.size : nonce_end], wrapped[nonce_end:], bound_to
            )
        except InvalidTag:
            raise SealBroken(
                f"{where} does not unwrap: it was changed, or moved here from elsewhere"
            ) from None
        return DataKey(id=id, owner_id=owner_id, key=key)


def load_or_create_master_key(data_dir: Path, from_env: str | None) -> MasterKey:
    """The master key: `from_env` where it is given, else `data_dir/master.key`, made (0600) on the first run.

    Processes that start at once agree on one key. Whoever loses this key has lost everything that is sealed.

    Raises:
        Invalid: the value or the file is no key, or others may read the file; the detail says what to do.
    """
    if from_env is not None:
        return MasterKey.of(_parse_key(from_env, MASTER_KEY_VARIABLE))
    path = data_dir / MASTER_KEY_FILE
    if not path.exists():
        _create_key_file(path)
    return MasterKey.of(_read_key_file(path))


def _create_key_file(path: Path) -> None:
    """Write a key under a name of our own and link it into place.

    The link is atomic and fails where there is a file already: nobody ever reads half a key, whoever comes second
    reads the first one's, and a crash leaves no `master.key` that is not one.
    """
    own = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(own)
        except FileExistsError:
            return
        _sync_folder(path.parent)
    except OSError as error:
        way_out = f"make the folder writable, or set {MASTER_KEY_VARIABLE} ({_HOW_TO_MAKE_ONE})"
        raise Invalid(
            f"cannot write {path}: {error.strerror}; {way_out}", field="data_dir", value=str(path)
        ) from error
    finally:
        with contextlib.suppress(OSError):
            own.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read(1024)
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}", field=MASTER_KEY_FILE) from error
    if mode & 0o077:
        raise Invalid(f"others may read {path} (mode {mode:04o}): chmod 600 {path}", field=MASTER_KEY_FILE)
    return _parse_key(text.decode("ascii", errors="replace"), str(path))


def _parse_key(text: str, where: str) -> bytes:
    """32 bytes from 64 hexadecimal digits or 43 characters of base64 (either alphabet, padded or not)."""
    spelled = text.strip()
    key = b""
    if re.fullmatch(r"[0-9a-fA-F]{64}", spelled):
        key = bytes.fromhex(spelled)
    elif re.fullmatch(r"[A-Za-z0-9+/_-]{43}=?", spelled):
        try:
            key = base64.urlsafe_b64decode(spelled.rstrip("=").translate({43: "-", 47: "_"}) + "=")
        except binascii.Error:
            key = b""
    if len(key) != KEY_BYTES:
        # The length alone: the value may be a real key with a slip in it.
        raise Invalid(
            f"{where} must hold 32 random bytes as base64 or hex; it holds {len(spelled)} characters "
            f"that are neither; {_HOW_TO_MAKE_ONE}",
            field=where,
        )
    if len(set(key)) == 1:
        raise Invalid(f"{where} holds one byte 32 times, which is no secret; {_HOW_TO_MAKE_ONE}", field=where)
    return key


def _check_key_length(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, this one {len(key)}")


def _as_bytes(content: str | bytes, column: str) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return content.encode("utf-8")
    except UnicodeEncodeError as error:
        # Not chained: the error of the codec carries the whole text.
        position = error.start
    raise Invalid(f"{column} holds half a character (a lone surrogate) at position {position}", field=column)


def _place(version: int, key_id: bytes, owner_id: UUID, *, table: str, column: str, row: UUID) -> bytes:
    """Fixed lengths first and counted texts after, so that no two places spell the same bytes."""
    return struct.pack("!B16s16s16s", version, key_id, owner_id.bytes, row.bytes) + _names(table, column)


def _names(table: str, column: str) -> bytes:
    first, second = table.encode(), column.encode()
    return struct.pack(f"!H{len(first)}sH{len(second)}s", len(first), first, len(second), second)


def _wrap_binding(version: int, master_id: bytes, key_id: UUID, owner_id: UUID) -> bytes:
    return b"data key" + struct.pack("!B4s16s16s", version, master_id, key_id.bytes, owner_id.bytes)


def _index_key(owner_key: DataKey) -> bytes:
    return _hkdf(owner_key.key, "blind index")


def _blind_digest(index_key: bytes, text: str, table: str, column: str) -> bytes:
    return hmac.digest(index_key, _names(table, column) + _as_bytes(text, column), "sha256")


def _hkdf(key: bytes, purpose: str) -> bytes:
    # No salt: the input is uniformly random already (RFC 5869, 3.1).
    info = f"a1zap/v1/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)
