"""The place for blobs that the settings name."""

from __future__ import annotations

from pathlib import Path

from a1zap.storage.contract import Storage
from a1zap.storage.folder import FolderStorage

FOLDER = "files"


def open_storage(
    data_dir: Path,
    url: str | None = None,
    *,
    endpoint: str | None = None,
    region: str = "us-east-1",
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
) -> Storage:
    """`data_dir/files`, or the bucket that `url` names; nothing is asked yet.

    Raises:
        Invalid: the URL is no `s3://bucket/prefix`.
    """
    if not url:
        return FolderStorage(data_dir / FOLDER)
    from a1zap.storage.s3 import S3Place, S3Storage, parse_s3_url  # noqa: PLC0415 - 5 MB that most never need

    bucket, prefix = parse_s3_url(url)
    return S3Storage(
        S3Place(
            bucket=bucket,
            prefix=prefix,
            endpoint=endpoint,
            region=region,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
        )
    )
