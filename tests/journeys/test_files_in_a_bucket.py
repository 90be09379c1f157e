"""The whole way of a file with a bucket instead of the folder: settings, upload, sealed at rest, link, sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.api.talk import client, new_agent
from tests.conftest import MakeHouse

WORDS = b"Words that must not be readable in the bucket."


@pytest.fixture
def s3() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="k",
        aws_secret_access_key="s",
        region_name="us-east-1",
    )
    s3.create_bucket(Bucket="files")
    yield s3
    s3.close()
    server.stop()


async def test_files_lie_in_the_bucket_that_the_settings_name(make_house: MakeHouse, s3: Any):
    bucket = {
        "storage_url": "s3://files/under/a1zap",
        "storage_endpoint": s3.meta.endpoint_url,
        "storage_access_key_id": "k",
        "storage_secret_access_key": "s",
    }
    house = await make_house(serve=True, settings=bucket)
    content = WORDS * 300_000  # 13 MiB: in two parts
    async with client(house, await house.owner()) as http:
        agent_id = await new_agent(http)
        form = {"file": ("a.txt", content, "text/plain")}
        answer = await http.post(f"/api/agents/{agent_id}/files", files=form)
        assert answer.status_code == 201, answer.text
        assert (await http.get(answer.json()["url"])).content == content
        [blob] = s3.list_objects_v2(Bucket="files")["Contents"]
        assert blob["Key"].startswith("under/a1zap/")
        assert WORDS[:12] not in s3.get_object(Bucket="files", Key=blob["Key"])["Body"].read()
        s3.delete_object(Bucket="files", Key=blob["Key"])
        assert (await http.get(answer.json()["url"])).status_code == 404
        s3.delete_bucket(Bucket="files")
        away = await http.post(f"/api/agents/{agent_id}/files", files=form)
        assert away.status_code == 503 and "A1ZAP_STORAGE_URL" in away.json()["detail"]
    assert not (house.settings.data_dir / "files").exists()
