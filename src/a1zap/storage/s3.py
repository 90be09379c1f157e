"""Blobs in a bucket of anything that speaks S3 (AWS, MinIO, R2, Supabase Storage, …)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from a1zap.kit.errors import Invalid
from a1zap.storage.contract import PIECE_BYTES, BlobMissing, Source, StorageUnavailable, checked_key

# S3 takes parts of 5 MiB and more; what is smaller than one goes in a single request.
PART_BYTES: Final = 8 << 20
_KEYS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where the bucket is and who we are there; without keys the machine's own role is asked for them."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)


def parse_s3_url(url: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`.

    Raises:
        Invalid: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Invalid("write the place for files as s3://bucket/prefix", field="A1ZAP_STORAGE_URL")
    return parts.hostname, parts.path.strip("/")


class S3Storage:
    """Blobs in one bucket, below one prefix."""

    def __init__(self, place: S3Place) -> None:
        options: dict[str, Any] = {
            "access_key_id": place.access_key_id,
            "secret_access_key": place.secret_access_key,
            "endpoint": place.endpoint,
            "prefix": place.prefix or None,
        }
        self._bucket = place.bucket
        self._store = S3Store(
            place.bucket,
            region=place.region,
            virtual_hosted_style_request=place.endpoint is None,
            client_options={
                # The operator sets the address; a server in the next rack seldom has a certificate.
                "allow_http": (place.endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=120),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
            **{name: value for name, value in options.items() if value},
        )

    async def put(self, key: str, pieces: AsyncIterable[bytes]) -> None:
        checked_key(key)
        source = Source(pieces)
        parts = _parts(source)
        try:
            first = await anext(parts, b"")
            with _translated(self._bucket, is_reading=False):
                if len(first) < PART_BYTES:
                    await obstore.put_async(self._store, key, first, use_multipart=False)
                else:
                    await obstore.put_async(
                        self._store, key, _again(first, parts), chunk_size=PART_BYTES, max_concurrency=2
                    )
        except StorageUnavailable:
            if source.error is not None:
                raise source.error from None
            raise
        finally:
            await parts.aclose()

    async def get(self, key: str) -> AsyncGenerator[bytes]:
        checked_key(key)
        with _translated(self._bucket):
            found = await obstore.get_async(self._store, key)
            async for piece in found.stream(min_chunk_size=PIECE_BYTES):
                yield bytes(piece)

    async def delete(self, keys: Sequence[str]) -> None:
        with _translated(self._bucket):
            for first in range(0, len(keys), _KEYS_AT_ONCE):
                some = [checked_key(key) for key in keys[first : first + _KEYS_AT_ONCE]]
                await obstore.delete_async(self._store, some)

    async def keys(self, *, before: datetime) -> AsyncIterator[Sequence[str]]:
        with _translated(self._bucket):
            async for some in obstore.list(self._store, chunk_size=_KEYS_AT_ONCE):
                if found := [blob["path"] for blob in some if blob["last_modified"] < before]:
                    yield found

    async def check(self) -> None:
        with _translated(self._bucket, is_reading=False):
            await obstore.list_with_delimiter_async(self._store)


async def _parts(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """The same bytes in parts of `PART_BYTES`, the last one smaller."""
    gathered = bytearray()
    async for piece in pieces:
        gathered += piece
        while len(gathered) >= PART_BYTES:
            yield bytes(gathered[:PART_BYTES])
            del gathered[:PART_BYTES]
    if gathered:
        yield bytes(gathered)


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


@contextmanager
def _translated(bucket: str, *, is_reading: bool = True) -> Generator[None]:
    """Our words for what went wrong. Never the library's: they may show the address and what it is signed with."""
    try:
        yield
    except FileNotFoundError:
        if not is_reading:
            raise StorageUnavailable(f"there is no bucket '{bucket}': see A1ZAP_STORAGE_URL") from None
        raise BlobMissing("there is no such file (any more)") from None
    except (PermissionDeniedError, UnauthenticatedError, PermissionError):
        raise StorageUnavailable(
            f"the bucket '{bucket}' does not let us in: see A1ZAP_STORAGE_ACCESS_KEY_ID and its secret"
        ) from None
    except (BaseError, OSError) as error:
        raise StorageUnavailable(f"the bucket '{bucket}' does not answer: {type(error).__name__}") from None
