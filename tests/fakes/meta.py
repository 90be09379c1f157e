"""Meta's Graph API on loopback: the calls of one business number, with a memory, documented answers and errors.

    async with FakeMeta() as fake:
        fake.next_answers.append(refused(131047))
        ... connect a channel with graph_url=fake.graph_url, then look at fake.sent ...

`sign` and `post_of` make deliveries as Meta signs and wraps them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web

TOKEN, APP_SECRET, VERIFY_TOKEN = "meta-token-of-no-value", "meta-app-secret-of-no-value", "verify-me"
NUMBER_ID = "106540352242922"


@dataclass(frozen=True)
class Answer:
    """What the next send call gets. `is_taken`: the message leaves all the same; `hang_s` comes before the answer."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_taken: bool = False
    hang_s: float = 0.0
    is_reset: bool = False


@dataclass
class File:
    content: bytes
    mime_type: str = "image/jpeg"
    sha256: str | None = None  # what Meta says of it; None: the truth
    url: str | None = None  # None: ours
    redirect_to: str | None = None


class FakeMeta:
    def __init__(self, *, number_id: str = NUMBER_ID, token: str = TOKEN) -> None:
        self.number_id, self.token = number_id, token
        self.sent: list[dict[str, Any]] = []  # bodies that were taken
        self.calls: list[dict[str, Any]] = []  # bodies of all send calls
        self.reads: list[dict[str, Any]] = []
        self.uploads: dict[str, dict[str, Any]] = {}
        self.files: dict[str, File] = {}
        self.downloads: list[dict[str, str]] = []  # headers of each
        self.next_answers: deque[Answer] = deque()
        self.number: dict[str, Any] = {
            "id": number_id,
            "display_phone_number": "+1 555-078-3881",
            "verified_name": "Harbor Boats",
            "quality_rating": "GREEN",
        }
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def graph_url(self) -> str:
        return f"{self.root}/v25.0"

    def settings(self, **more: str) -> dict[str, str]:
        """What an owner types to connect this number."""
        return {
            "kind": "whatsapp",
            "phone_number_id": self.number_id,
            "access_token": self.token,
            "app_secret": APP_SECRET,
            "verify_token": VERIFY_TOKEN,
            "graph_url": self.graph_url,
            **more,
        }

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=120 << 20)
        app.router.add_post("/v25.0/{number}/messages", self._messages)
        app.router.add_post("/v25.0/{number}/media", self._media)
        app.router.add_get("/v25.0/{thing}", self._thing)
        app.router.add_get("/files/{media}", self._file)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def keep(self, media_id: str, content: bytes, **more: Any) -> File:
        self.files[media_id] = File(content, **more)
        return self.files[media_id]

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        body = await request.json()
        if body.get("status") == "read":
            self.reads.append(body)
            return web.json_response({"success": True})
        self.calls.append(body)
        answer = self.next_answers.popleft() if self.next_answers else Answer()
        taken = answer.status == 200 and answer.body is None
        if taken and (wrong := what_is_wrong(body)):
            return _json(400, error_body(100, wrong))
        if taken or answer.is_taken:
            self.sent.append(body)
        if answer.hang_s:
            await asyncio.sleep(answer.hang_s)
        if answer.is_reset:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if not taken:
            return _json(answer.status, answer.body, answer.headers)
        to = body.get("to") or body.get("recipient")
        contact = {"input": to, "wa_id": to} if "to" in body else {"input": to, "user_id": to}
        wamid = f"wamid.OUT{len(self.sent):04d}"
        return web.json_response(
            {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": wamid}]}
        )

    async def _media(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        form = await request.post()
        file = form["file"]
        if form["messaging_product"] != "whatsapp" or not isinstance(file, web.FileField):
            return _json(400, error_body(100, "Invalid parameter"))
        media_id = f"upload-{len(self.uploads) + 1}"
        self.uploads[media_id] = {
            "content": file.file.read(),
            "type": form["type"],
            "name": file.filename,
            "content_type": file.content_type,
        }
        return web.json_response({"id": media_id})

    async def _thing(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        name = request.match_info["thing"]
        if name == self.number_id:
            return web.json_response(self.number)
        file = self.files.get(name)
        if file is None:
            return _json(400, error_body(100, "Unsupported get request", subcode=33))
        digest = base64.b64encode(hashlib.sha256(file.content).digest()).decode()
        return web.json_response(
            {
                "messaging_product": "whatsapp",
                "url": file.url or f"{self.root}/files/{name}",
                "mime_type": file.mime_type,
                "sha256": file.sha256 or digest,
                "file_size": len(file.content),
                "id": name,
            }
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        self.downloads.append(dict(request.headers))
        file = self.files[request.match_info["media"]]
        if file.redirect_to is not None:
            return web.Response(status=302, headers={"location": file.redirect_to})
        if request.headers.get("Authorization") != f"Bearer {self.token}" and not request.query.get("open"):
            return web.Response(status=401)
        return web.Response(body=file.content, content_type=file.mime_type)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _json(401, error_body(190, "Invalid OAuth access token", kind="OAuthException"))
        number = request.match_info.get("number")
        if number is not None and number != self.number_id:
            return _json(400, error_body(100, "Unsupported post request", subcode=33))
        return None


def what_is_wrong(body: dict[str, Any]) -> str | None:
    """What the documented limits say against a message; None: nothing."""
    if body.get("messaging_product") != "whatsapp" or ("to" in body) == ("recipient" in body):
        return "exactly one of to and recipient"
    part = body.get(body.get("type", ""))
    if not isinstance(part, dict):
        return "the part of the type is missing"
    if len(body.get("biz_opaque_callback_data", "")) > 512:
        return "biz_opaque_callback_data"
    if body["type"] == "text" and not 0 < len(part["body"]) <= 4096:
        return "text.body"
    if body["type"] == "interactive":
        action = part["action"]
        if not 0 < len(part["body"]["text"]) <= 1024:
            return "body"
        if part["type"] == "button" and not (
            0 < len(action["buttons"]) <= 3 and all(len(b["reply"]["title"]) <= 20 for b in action["buttons"])
        ):
            return "buttons"
        if part["type"] == "list":
            rows = [row for section in action["sections"] for row in section["rows"]]
            if not 0 < len(rows) <= 10 or len(action["button"]) > 20:
                return "rows"
            if any(len(r["title"]) > 24 or len(r.get("description", "")) > 72 for r in rows):
                return "a row"
    if len(part.get("caption", "")) > 1024 or (body["type"] == "audio" and "caption" in part):
        return "caption"
    return None


def error_body(
    code: int,
    message: str = "what you sent, repeated: secret words",
    *,
    subcode: int | None = None,
    kind: str = "x",
) -> dict[str, Any]:
    error = {
        "message": f"(#{code}) {message}",
        "type": kind,
        "code": code,
        "fbtrace_id": "Az8or2yhqkZfEZ-_4Qn_Bam",
    }
    error["error_data"] = {"messaging_product": "whatsapp", "details": message}
    if subcode is not None:
        error["error_subcode"] = subcode
    return {"error": error}


def refused(code: int, status: int = 400, **headers: str) -> Answer:
    return Answer(status, error_body(code), headers)


def sign(raw: bytes, secret: str = APP_SECRET) -> dict[str, str]:
    """The headers of a delivery."""
    digest = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}", "content-type": "application/json"}


def post_of(*, number_id: str = NUMBER_ID, field_name: str = "messages", **value: Any) -> bytes:
    """A delivery with one change."""
    metadata = {"display_phone_number": "15550783881", "phone_number_id": number_id}
    change = {"field": field_name, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return orjson.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}
    )


def text_message(
    text: str, *, wamid: str = "wamid.IN1", sender: str = "16505551234", at: float = 0
) -> dict[str, Any]:
    return {"from": sender, "id": wamid, "timestamp": str(int(at)), "type": "text", "text": {"body": text}}


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    if isinstance(body, bytes):
        return web.Response(status=status, body=body, headers=headers)
    return web.json_response(body, status=status, headers=headers)
