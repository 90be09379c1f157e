"""WhatsApp through the whole house: in by the signed door, answered by a worker, out by the Graph API."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from tests.api.talk import ModelOnStrings, client, new_agent, until
from tests.conftest import MakeHouse
from tests.fakes.meta import Answer, FakeMeta, post_of, sign, text_message

BSUID = "US.13491208655302741918"


@dataclass(frozen=True)
class Line:
    """An agent on WhatsApp, its owner's client, and Meta."""

    http: httpx.AsyncClient
    provider: httpx.AsyncClient
    agent_id: str
    path: str
    meta: FakeMeta
    model: ModelOnStrings

    async def deliver(self, raw: bytes) -> None:
        answer = await self.provider.post(self.path, content=raw, headers=sign(raw))
        assert answer.status_code == 200, answer.text

    async def say(self, text: str, *, contact: dict[str, Any] | None = None, **more: Any) -> None:
        message = {**text_message(text, wamid=f"wamid.{text}", at=time.time()), **more}
        if message["from"] is None:
            del message["from"]
        await self.deliver(post_of(contacts=[contact] if contact else [], messages=[message]))

    async def status(self, name: str, wamid: str, **more: Any) -> None:
        told = {"id": wamid, "status": name, "timestamp": str(int(time.time())), **more}
        await self.deliver(post_of(statuses=[told]))

    async def chats(self) -> list[dict[str, Any]]:
        return (await self.http.get(f"/api/agents/{self.agent_id}/conversations")).json()

    async def messages(self) -> list[dict[str, Any]]:
        """Of the only chat, oldest first."""
        (chat,) = await self.chats()
        found = (await self.http.get(f"/api/chats/{chat['id']}/messages")).json()
        return sorted(found, key=lambda m: m["seq"])

    async def answers(self, count: int) -> list[dict[str, Any]]:
        async def enough() -> Any:
            found = [m for m in await self.messages() if m["direction"] == "outbound"]
            return found if len(found) >= count and all(m["status"] != "queued" for m in found) else None

        return await until(enough, within_s=10)


@asynccontextmanager
async def line(make_house: MakeHouse, *, hold: bool = False, **settings: Any) -> AsyncIterator[Line]:
    model = ModelOnStrings(hold=hold)
    async with FakeMeta() as meta:
        house = await make_house(serve=True, work=True, **model.wiring(egress_allow="127.0.0.0/8"))
        owner = await house.owner()
        async with client(house, owner) as http, client(house) as provider:
            agent_id = await new_agent(http, message_settings={"settle_s": 0})
            made = await http.post(f"/api/agents/{agent_id}/channels", json=meta.settings(**settings))
            assert made.status_code == 201, made.text
            yield Line(http, provider, agent_id, f"/api/webhooks/{made.json()['id']}", meta, model)


async def test_a_message_is_shown_as_read_answered_and_followed_to_the_end(make_house: MakeHouse):
    async with line(make_house, hold=True) as wa:
        await wa.say("hello")

        async def shown() -> bool:
            return bool(wa.meta.reads)

        await until(shown)
        assert [r["message_id"] for r in wa.meta.reads] == ["wamid.hello"]
        wa.model.go(3)
        (answer,) = await wa.answers(1)
        (sent,) = wa.meta.sent
        assert (sent["to"], sent["text"]["body"]) == ("16505551234", "All is well.")
        assert sent["biz_opaque_callback_data"] == answer["id"]
        for name in ("read", "sent", "delivered"):
            await wa.status(name, "wamid.OUT0001", recipient_id="16505551234")
        assert (await wa.messages())[1]["status"] == "read"


async def test_a_status_settles_a_send_that_nobody_knew_the_end_of(make_house: MakeHouse):
    async with line(make_house) as wa:
        wa.meta.next_answers.append(Answer(is_taken=True, is_reset=True))
        await wa.say("hello")

        async def called() -> bool:
            return bool(wa.meta.calls)

        await until(called)
        mark = wa.meta.calls[0]["biz_opaque_callback_data"]
        await wa.status("delivered", "wamid.LOST", recipient_id="16505551234", biz_opaque_callback_data=mark)

        async def settled() -> bool:
            return (await wa.messages())[1]["status"] == "delivered"

        await until(settled)
        assert len(wa.meta.sent) == 1


async def test_one_person_has_one_chat_whatever_they_are_called(make_house: MakeHouse):
    async with line(make_house) as wa:
        await wa.say("by number")
        await wa.answers(1)
        contact = {"profile": {"name": "Kerry"}, "wa_id": "16505551234", "user_id": BSUID}
        await wa.say("by both", contact=contact, from_user_id=BSUID)
        await wa.answers(2)
        hidden = {"profile": {"name": "Kerry", "username": "kfisher"}, "user_id": BSUID}
        await wa.say("by id", contact=hidden, **{"from": None, "from_user_id": BSUID})
        await wa.answers(3)
        moved = {
            "type": "user_changed_number",
            "wa_id": "12195555358",
            "user_id": "US.2",
            "previous_user_id": BSUID,
            "body": "moved",
        }
        await wa.deliver(
            post_of(messages=[{**text_message("", wamid="wamid.sys"), "type": "system", "system": moved}])
        )
        await wa.say("from the new number", **{"from": "12195555358", "from_user_id": "US.2"})
        await wa.answers(4)
        assert len(await wa.chats()) == 1
        last = wa.meta.sent[-1]
        assert last.get("to") == "12195555358" or last.get("recipient") == "US.2"
        await wa.say("whoever got the old number", wamid="wamid.x")
        assert len(await wa.chats()) == 2


async def test_what_a_person_of_ours_writes_by_phone_quiets_the_agent(make_house: MakeHouse):
    async with line(make_house) as wa:
        await wa.say("hello")
        await wa.answers(1)
        echo = {
            **text_message("I take it from here", wamid="wamid.E", sender="15550783881"),
            "to": "16505551234",
        }
        await wa.deliver(post_of(field_name="smb_message_echoes", message_echoes=[echo]))
        (chat,) = await wa.chats()
        assert chat["status"] == "human"
        await wa.say("thanks")
        assert [m["content"] for m in await wa.messages()][-2:] == ["I take it from here", "thanks"]
        assert len(wa.meta.sent) == 1


async def test_a_dead_token_pauses_the_channel_and_says_why(make_house: MakeHouse):
    async with line(make_house, access_token="withdrawn") as wa:
        await wa.say("hello")

        async def paused() -> Any:
            channels = (await wa.http.get(f"/api/agents/{wa.agent_id}/channels")).json()
            return next((c for c in channels if c["kind"] == "whatsapp" and c["status"] == "paused"), None)

        channel = await until(paused, within_s=10)
        assert "190" in str(channel["health"])
        assert wa.meta.sent == []


async def test_a_channel_is_tried_by_asking_meta_and_by_a_test_message(make_house: MakeHouse):
    async with line(make_house) as wa:
        channels = (await wa.http.get(f"/api/agents/{wa.agent_id}/channels")).json()
        (own,) = [c for c in channels if c["kind"] == "whatsapp"]
        door = f"/api/agents/{wa.agent_id}/channels/{own['id']}/test"
        asked = await wa.http.post(door, json={})
        assert "the token works for +1 555-078-3881" in asked.text and wa.meta.calls == []
        assert (await wa.http.post(door, json={"to": "+16505551234"})).status_code == 200
        assert [body["to"] for body in wa.meta.sent] == ["16505551234"]


async def test_a_picture_is_fetched_from_meta_and_shown(make_house: MakeHouse):
    async with line(make_house) as wa:
        png = base64.b64decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        )
        wa.meta.keep("media-1", png, mime_type="image/png")
        digest = base64.b64encode(hashlib.sha256(png).digest()).decode()
        image = {"id": "media-1", "mime_type": "image/png", "sha256": digest, "caption": "The leak"}
        await wa.deliver(
            post_of(
                messages=[
                    {**text_message("", wamid="wamid.img", at=time.time()), "type": "image", "image": image}
                ]
            )
        )

        async def fetched() -> Any:
            (message, *_) = await wa.messages()
            files = message.get("attachments") or []
            return next((f for f in files if f.get("url")), None)

        file = await until(fetched, within_s=10)
        answer = await wa.http.get(file["url"])
        assert answer.status_code == 200 and answer.content[:4] in (b"\x89PNG", b"RIFF")
        assert wa.meta.downloads and (await wa.messages())[0]["content"] == "[Image received: The leak]"
