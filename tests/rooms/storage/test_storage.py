"""One contract, two places: a folder, and a server that speaks S3 (moto's, on loopback)."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import boto3
import moto.settings
import pytest
from moto.server import ThreadedMotoServer

from a1zap.kit.errors import Invalid
from a1zap.storage.contract import BlobMissing, Storage, StorageUnavailable
from a1zap.storage.folder import FolderStorage
from a1zap.storage.open_storage import open_storage
from a1zap.storage.s3 import PART_BYTES, S3Place, S3Storage, parse_s3_url

BUCKET = "files-of-a-test"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    ).create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


def bucket(s3_url: str, prefix: str = "") -> S3Storage:
    return S3Storage(S3Place(BUCKET, prefix, endpoint=s3_url, access_key_id="k", secret_access_key="s"))


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return FolderStorage(tmp_path / "files")
    return bucket(request.getfixturevalue("s3_url"), f"under/{uuid4().hex}")


async def pieces(*some: bytes) -> AsyncIterator[bytes]:
    for piece in some:
        yield piece


async def whole(storage: Storage, key: str) -> bytes:
    return b"".join([piece async for piece in storage.get(key)])


async def all_keys(storage: Storage, before: datetime | None = None) -> set[str]:
    before = before or datetime.now(UTC) + timedelta(seconds=5)
    return {key async for some in storage.keys(before=before) for key in some}


async def test_what_was_put_comes_back_and_can_be_deleted(storage: Storage):
    await storage.check()
    await storage.put("owner/ab/one", pieces(b"first ", b"second"))
    await storage.put("owner/cd/empty", pieces())
    assert await whole(storage, "owner/ab/one") == b"first second"
    assert await whole(storage, "owner/cd/empty") == b""
    assert await all_keys(storage) == {"owner/ab/one", "owner/cd/empty"}
    await storage.delete(["owner/ab/one", "owner/ab/never-there"])
    with pytest.raises(BlobMissing):
        await whole(storage, "owner/ab/one")


async def test_a_large_blob_in_odd_pieces_comes_back_byte_for_byte(storage: Storage):
    parts = [os.urandom(3 * PART_BYTES // 7 + n) for n in range(6)]
    await storage.put("large", pieces(*parts))
    assert await whole(storage, "large") == b"".join(parts)


async def test_a_writer_that_breaks_off_leaves_nothing(storage: Storage):
    async def breaking() -> AsyncIterator[bytes]:
        yield bytes(PART_BYTES + 1)
        raise ConnectionResetError("the sender left")

    with pytest.raises(ConnectionResetError):
        await storage.put("half", breaking())
    with pytest.raises(BlobMissing):
        await whole(storage, "half")
    assert await all_keys(storage) == set()


async def test_young_blobs_are_not_listed_as_old(storage: Storage):
    await storage.put("young", pieces(b"x"))
    assert await all_keys(storage, datetime.now(UTC) - timedelta(hours=1)) == set()


@pytest.mark.parametrize("key", ["../out", "/etc/passwd", "a/../b", "", "a//b", "a.b", "a\x00b", "x/" * 9])
async def test_a_key_that_could_lead_out_is_a_bug(storage: Storage, key: str):
    with pytest.raises(ValueError, match="not a key"):
        await storage.put(key, pieces(b"x"))
    with pytest.raises(ValueError, match="not a key"):
        await whole(storage, key)
    with pytest.raises(ValueError, match="not a key"):
        await storage.delete([key])


async def test_nobody_else_may_read_the_folder(tmp_path: Path):
    storage = FolderStorage(tmp_path / "files")
    await storage.put("owner/ab/one", pieces(b"x"))
    assert stat.S_IMODE((tmp_path / "files/owner/ab/one").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "files/owner/ab").stat().st_mode) == 0o700


async def test_what_a_crash_left_unfinished_is_forgotten_after_a_day(tmp_path: Path):
    storage = FolderStorage(tmp_path / "files")
    await storage.check()
    old, young = (tmp_path / "files/.unfinished" / name for name in ("old", "young"))
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (time.time() - 100_000,) * 2)
    assert await all_keys(storage) == set()
    assert not old.exists()
    assert young.exists()


async def test_a_folder_that_cannot_be_written_is_told_by_name(tmp_path: Path):
    (tmp_path / "files").write_text("a file where the folder should be")
    with pytest.raises(StorageUnavailable, match="A1ZAP_STORAGE_URL"):
        await FolderStorage(tmp_path / "files").check()
    with pytest.raises(StorageUnavailable):
        await FolderStorage(tmp_path / "files").put("one", pieces(b"x"))


async def test_a_bucket_that_is_not_there_is_unavailable_and_tells_no_secret(s3_url: str):
    nowhere = S3Storage(
        S3Place("no-such-bucket", endpoint=s3_url, access_key_id="k", secret_access_key="hush-hush")
    )
    with pytest.raises(StorageUnavailable, match="A1ZAP_STORAGE_URL") as caught:
        await nowhere.put("one", pieces(b"x"))
    assert "hush" not in str(caught.value)
    assert s3_url not in str(caught.value)


async def test_two_prefixes_of_one_bucket_do_not_see_each_other(s3_url: str):
    one, other = bucket(s3_url, "one"), bucket(s3_url, "other")
    await one.put("k1", pieces(b"1"))
    await other.put("k2", pieces(b"2"))
    assert await all_keys(one) == {"k1"}
    with pytest.raises(BlobMissing):
        await whole(other, "k1")


def test_the_setting_names_bucket_and_prefix(tmp_path: Path):
    assert parse_s3_url("s3://bucket/a/b/") == ("bucket", "a/b")
    assert parse_s3_url("s3://bucket") == ("bucket", "")
    assert isinstance(open_storage(tmp_path, None), FolderStorage)
    assert isinstance(open_storage(tmp_path, "s3://bucket/x"), S3Storage)
    for wrong in ("http://bucket/x", "s3:///x", "bucket", "s3://key:secret@bucket"):
        with pytest.raises(Invalid):
            open_storage(tmp_path, wrong)


async def test_every_request_is_signed_and_a_wrong_secret_is_told_apart(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
):
    """The server checks signatures here (moto does not unless asked to)."""
    iam = boto3.client(
        "iam", endpoint_url=s3_url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    iam.create_user(UserName="house")
    key = iam.create_access_key(UserName="house")["AccessKey"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="house", PolicyName="all", PolicyDocument=json.dumps(allowed))
    iam.close()
    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    mine, wrong = (
        S3Storage(
            S3Place(BUCKET, endpoint=s3_url, access_key_id=key["AccessKeyId"], secret_access_key=secret)
        )
        for secret in (key["SecretAccessKey"], "hush-hush")
    )
    large = os.urandom(2 * PART_BYTES + 1)
    await mine.put("signed", pieces(b"x"))
    await mine.put("signed-large", pieces(large))
    assert await whole(mine, "signed-large") == large
    assert await all_keys(mine) >= {"signed", "signed-large"}
    await mine.delete(["signed"])
    for attempt in (
        wrong.put("never", pieces(b"x")),
        whole(wrong, "signed-large"),
        wrong.delete(["signed-large"]),
    ):
        with pytest.raises(StorageUnavailable, match="does not let us in"):
            await attempt
