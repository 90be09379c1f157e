"""Files over HTTP: uploaded, sent with messages, read by short-lived links."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from tests.api.talk import client, events_of, new_agent, stream
from tests.conftest import MakeHouse, TestHouse, TestOwner
from tests.rooms.attachments.pictures import (
    SECRET_WORDS,
    office,
    photo_with_place,
    picture,
    png_bomb,
    zip_with_names,
)

from a1zap.attachments.link import FileLinks

FAST = {"message_settings": {"settle_s": 0}}


async def upload(
    http: httpx.AsyncClient,
    agent_id: str,
    content: bytes,
    name: str = "photo.jpg",
    mime_type: str = "image/jpeg",
) -> httpx.Response:
    return await http.post(f"/api/agents/{agent_id}/files", files={"file": (name, content, mime_type)})


async def uploaded(http: httpx.AsyncClient, agent_id: str, content: bytes, *more: str) -> dict[str, Any]:
    answer = await upload(http, agent_id, content, *more)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def said(http: httpx.AsyncClient, agent_id: str, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"/api/agents/{agent_id}/chat", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def visited(running: TestHouse) -> tuple[TestHouse, TestOwner, str]:
    """A house with a public agent."""
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http, is_public=True)
    return running, owner, agent_id


@asynccontextmanager
async def visitor_of(house: TestHouse, agent_id: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client(house) as http:
        http.headers.update({"origin": house.settings.base_url, "sec-fetch-site": "same-origin"})
        assert (await http.post(f"/api/agents/{agent_id}/visitor", json={})).status_code == 201
        yield http


async def test_a_picture_goes_with_a_message_and_is_read_by_its_link(running: TestHouse):
    owner = await running.owner()
    async with client(running, owner) as http, client(running) as stranger:
        agent_id = await new_agent(http)
        file = await uploaded(http, agent_id, photo_with_place())
        assert (file["kind"], file["mime_type"], file["width"], file["height"]) == (
            "image",
            "image/jpeg",
            60,
            80,
        )
        answer = await said(http, agent_id, message="What is this?", attachments=[file["id"]])
        [sent] = answer["userMessage"]["attachments"]
        assert sent["id"] == file["id"] and answer["userMessage"]["message_type"] == "image"
        listed = (await http.get(f"/api/chats/{answer['chat_id']}/messages")).json()
        assert [f["id"] for m in listed for f in m["attachments"]] == [file["id"]]

        found = await stranger.get(sent["url"])
        assert found.status_code == 200
        assert found.headers["content-type"] == "image/jpeg"
        assert found.headers["content-disposition"].startswith('inline; filename="photo.jpg"')
        assert found.headers.get_list("x-content-type-options") == ["nosniff"]
        assert found.headers.get_list("content-security-policy") == ["sandbox; default-src 'none'"]
        assert found.headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
        assert int(found.headers["content-length"]) == len(found.content) == sent["size"]
        assert SECRET_WORDS not in found.content
        assert Image.open(io.BytesIO(found.content)).size == (60, 80)
        head = await stranger.head(sent["url"])
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == found.headers["content-length"]


@pytest.mark.parametrize(
    ("content", "name", "mime_type", "served_as"),
    [
        (b"%PDF-1.7\nhello", "a.pdf", "application/pdf", "application/pdf"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "a.svg", "image/svg+xml", "application/octet-stream"),
        (b"<!doctype html><script>alert(1)</script>", "a.jpg", "image/jpeg", "application/octet-stream"),
        (b"MZ\x90\0 a program", "holiday.jpg", "image/jpeg", "application/octet-stream"),
        (b"plain words", "a.html", "text/html", "text/plain; charset=utf-8"),
        (zip_with_names("../../../etc/passwd", "/root/x", "C:\\x"), "../../../zip-slip.zip", "application/zip", "application/zip"),
        (office("word"), "letter.docx", "", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (b"ID3\x04 a song", "song.mp3", "audio/mpeg", "audio/mpeg"),
    ],
)  # fmt: skip
async def test_what_is_no_picture_is_saved_and_never_run(
    running: TestHouse, content: bytes, name: str, mime_type: str, served_as: str
):
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        file = await uploaded(http, agent_id, content, name, mime_type)
        found = await http.get(file["url"])
        assert found.content == content
        assert found.headers["content-type"] == served_as
        assert found.headers["content-disposition"].startswith("attachment; ")
        assert "/" not in file["name"] and ".." not in found.headers["content-disposition"]


@pytest.mark.parametrize(
    "content",
    [b"", png_bomb(60_000, 60_000), picture("PNG", (300, 300))[:2_000], b"\xff\xd8\xff broken" + bytes(500)],
)
async def test_hostile_and_broken_files_are_refused_and_leave_nothing(running: TestHouse, content: bytes):
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        answer = await upload(http, agent_id, content)
        assert answer.status_code == 422
        assert answer.json()["field"] == "file"
    assert await running.as_admin("SELECT 1 FROM attachments") == []
    assert [p for p in (running.settings.data_dir / "files").rglob("*") if p.is_file()] == []


async def test_a_name_that_breaks_lines_and_rules_is_tamed(running: TestHouse):
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        body = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + b"x" * 3000 + "\u202eгрн.pdf".encode()
            + b'"\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.4\r\n--b--\r\n'
        )  # fmt: skip
        answer = await http.post(
            f"/api/agents/{agent_id}/files",
            content=body,
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert answer.status_code == 201, answer.text
        assert len(answer.json()["name"]) == 120 and answer.json()["name"].endswith("грн.pdf"[-4:])
        found = await http.get(answer.json()["url"])
        assert found.headers["content-disposition"].isascii()


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/plain", b"x", 415),
        ("multipart/form-data", b"x", 415),
        ("multipart/form-data; boundary=", b"x", 400),
        ("multipart/form-data; boundary=b", b"", 422),
        ("multipart/form-data; boundary=b", b"no form at all", 400),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 422),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nbroken off', 400),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nno name\r\n--b--\r\n', 422),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X-Y: z\r\n" * 50 + b"\r\n", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 10_000 + b"\r\n\r\n", 400),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"z" * 5_000 + b"\r\n--b--\r\n", 400),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\none\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="y"\r\n\r\ntwo\r\n--b--\r\n', 422),
    ],
)  # fmt: skip
async def test_a_form_that_is_none_is_refused(
    running: TestHouse, content_type: str, body: bytes, status: int
):
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        answer = await http.post(
            f"/api/agents/{agent_id}/files", content=body, headers={"content-type": content_type}
        )
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert [p for p in (running.settings.data_dir / "files").rglob("*") if p.is_file()] == []


async def test_a_file_larger_than_allowed_is_refused_while_it_comes(make_house: MakeHouse):
    house = await make_house(serve=True, settings={"file_max_mb": 1})
    owner = await house.owner()

    async def endless():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        for _ in range(100):
            yield bytes(100_000)

    async with client(house, owner) as http:
        agent_id = await new_agent(http)
        told = await upload(http, agent_id, bytes(2_000_000))
        assert told.status_code == 413
        try:
            untold = await http.post(
                f"/api/agents/{agent_id}/files",
                content=endless(),
                headers={"content-type": "multipart/form-data; boundary=b"},
            )
        except (httpx.WriteError, httpx.ReadError):
            pass  # refused before it had all been sent
        else:
            assert untold.status_code == 413
    assert [p for p in (house.settings.data_dir / "files").rglob("*") if p.is_file()] == []


async def test_links_end_and_wrong_ones_look_alike(running: TestHouse):
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        file = await uploaded(http, agent_id, picture())
        links = running.files.links
        ended = FileLinks(links.key, links.base_url, -120).path(
            file["id"] and _uuid(file["id"]), running.clock.now()
        )
        gone = await http.get(ended)
        assert (gone.status_code, gone.headers["content-type"]) == (410, "application/problem+json")
        nobodys = links.path(uuid4(), running.clock.now())
        others = FileLinks(b"x" * 32, "", 900).path(_uuid(file["id"]), running.clock.now())
        wrong = [await http.get(path) for path in (nobodys, others, "/api/files/x", file["url"][:-2] + "AA")]
        assert {(a.status_code, a.text) for a in wrong} == {(404, wrong[0].text)}
        assert set(gone.json()) == set(wrong[0].json())
        assert (await http.head(ended)).status_code == 410
        assert (await http.head("/api/files/x")).status_code == 404


def _uuid(text: str):
    from uuid import UUID

    return UUID(text)


async def test_a_file_is_sent_once_by_whoever_uploaded_it(visited: tuple[TestHouse, TestOwner, str]):
    house, owner, agent_id = visited
    async with visitor_of(house, agent_id) as one, visitor_of(house, agent_id) as other:
        file = await uploaded(one, agent_id, picture())
        stolen = await other.post(
            f"/api/agents/{agent_id}/chat", json={"message": "x", "attachments": [file["id"]]}
        )
        assert (stolen.status_code, stolen.json()["field"]) == (422, "attachments")
        mine = await said(one, agent_id, message="", attachments=[file["id"]])
        assert mine["userMessage"]["attachments"][0]["id"] == file["id"]
        again = await one.post(
            f"/api/agents/{agent_id}/chat", json={"message": "x", "attachments": [file["id"]]}
        )
        assert again.status_code == 422
    async with client(house, await house.owner()) as stranger:
        theirs = await new_agent(stranger)
        file = await uploaded(stranger, theirs, picture())
    async with client(house, owner) as http:
        crossed = await http.post(
            f"/api/agents/{agent_id}/chat", json={"message": "x", "attachments": [file["id"]]}
        )
        assert crossed.status_code == 422
        for wrong in (["x"], [str(uuid4())] * 2, [str(uuid4()) for _ in range(33)]):
            answer = await http.post(
                f"/api/agents/{agent_id}/chat", json={"message": "x", "attachments": wrong}
            )
            assert answer.status_code == 422
        assert (await http.get(f"/api/agents/{agent_id}/conversations")).json()[0]["message_count"] <= 2


async def test_a_visitor_may_not_fill_the_owners_house(visited: tuple[TestHouse, TestOwner, str]):
    house, _, agent_id = visited
    async with visitor_of(house, agent_id) as http:
        statuses = [
            (await upload(http, agent_id, b"some words %d" % n, "a.txt", "text/plain")).status_code
            for n in range(11)
        ]
        assert statuses[:9] == [201] * 9 and statuses[-1] == 429
    async with client(house) as nobody:
        assert (await upload(nobody, agent_id, b"words")).status_code == 401


async def test_a_form_of_another_site_does_nothing(visited: tuple[TestHouse, TestOwner, str]):
    house, _, agent_id = visited
    async with visitor_of(house, agent_id) as http:
        http.headers.update({"origin": "https://evil.example", "sec-fetch-site": "cross-site"})
        assert (await upload(http, agent_id, b"words")).status_code == 403


async def test_a_repeat_with_files_changes_nothing(running: TestHouse):
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        file = await uploaded(http, agent_id, picture())
        body = {"message": "look", "attachments": [file["id"]]}
        http.headers["idempotency-key"] = "k1"
        first, second = await said(http, agent_id, **body), await said(http, agent_id, **body)
        assert first["userMessage"]["id"] == second["userMessage"]["id"]
        assert second["userMessage"]["attachments"][0]["id"] == file["id"]
        other = await http.post(f"/api/agents/{agent_id}/chat", json={"message": "look"})
        assert other.status_code in (200, 409)


async def test_a_person_of_the_owners_sends_a_file(running: TestHouse):
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        chat_id = (await said(http, agent_id, message="Hello"))["chat_id"]
        file = await uploaded(http, agent_id, b"%PDF-1.7 offer", "offer.pdf", "application/pdf")
        answer = await http.post(
            f"/api/chats/{chat_id}/messages", json={"text": "", "attachments": [file["id"]]}
        )
        assert answer.status_code == 201, answer.text
        assert [f["name"] for f in answer.json()["attachments"]] == ["offer.pdf"]


async def test_a_watcher_sees_the_files_of_a_message(running: TestHouse):
    owner = await running.owner()
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        file = await uploaded(http, agent_id, picture())
        body = {"message": "look", "attachments": [file["id"]]}
        async with stream(http, "POST", f"/api/agents/{agent_id}/chat", json=body) as response:
            events = [e async for e in events_of(response)]
    [accepted] = [e for e in events if e.kind == "message.accepted"]
    assert [f["id"] for f in accepted.data["attachments"]] == [file["id"]]


async def test_the_plan_bounds_what_is_stored_however_many_upload_at_once(running: TestHouse):
    owner = await running.owner(plan="free")
    async with client(running, owner) as http:
        agent_id = await new_agent(http)
        await running.as_admin(
            "INSERT INTO storage_meters VALUES ($1, $2)", owner.owner_id, (1 << 30) - 3_000
        )
        answers = await asyncio.gather(
            *(upload(http, agent_id, b"w" * 1_000, "a.txt", "text/plain") for _ in range(8))
        )
        statuses = sorted(a.status_code for a in answers)
        assert statuses == [201] * 3 + [429] * 5
        refused = next(a for a in answers if a.status_code == 429)
        assert refused.json()["field"] == "max_storage_gb"
    assert len([p for p in (running.settings.data_dir / "files").rglob("*") if p.is_file()]) == 3
