"""Files: POST /api/agents/{id}/files takes one to be sent with a message, GET /api/files/{token} hands one out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from a1zap.accounts.model import Principal
from a1zap.agents.channel_store import find_agent_on_channel
from a1zap.api.auth import House, WritingVisitor
from a1zap.api.file_shapes import FileShape
from a1zap.api.house import ApiHouse
from a1zap.api.multipart import read_file_part
from a1zap.api.rates import hold_visitor_to_rate
from a1zap.api.reading import new_router
from a1zap.api.sight import see_agent
from a1zap.attachments.examine import Claim
from a1zap.attachments.link import NO_FILE
from a1zap.attachments.model import Attachment
from a1zap.attachments.sealed_blob import read_sealed
from a1zap.attachments.sniff import UNKNOWN
from a1zap.attachments.store import find_attachment_owner, read_attachment
from a1zap.attachments.take_upload import UNSENT_MAX, Upload, take_upload
from a1zap.channels.web import takes_files
from a1zap.db.pool import Tx
from a1zap.kit.crypto import Sealer
from a1zap.kit.errors import NotAllowed, NotFound

router: APIRouter = new_router("files")

OWNERS_SIDE: Final = "owner"  # who uploads with the owner's own credentials, whichever of them
# Types that browsers know nothing to do with but to save or to play; all others leave as bytes.
_SAID: Final = (
    "audio/",
    "video/",
    "application/pdf",
    "application/zip",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
    "application/msword",
    "application/vnd.ms-",
)
_UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "is_voice": {"type": "string", "enum": ["true", "false"]},
                        "file": {"type": "string", "format": "binary"},
                    },
                },
                "example": {"is_voice": "false", "file": "(bytes)"},
            }
        },
    }
}


@router.post("/api/agents/{agent_id}/files", status_code=201, openapi_extra=_UPLOAD_BODY)
async def upload_a_file(agent_id: str, request: Request, house: House, who: WritingVisitor) -> FileShape:
    """Upload one file, to send it with a message: `attachments` of the chat. What is not sent within a day goes.

    Its type is what its bytes say; pictures are drawn anew, without place, camera and comment.
    """
    await hold_visitor_to_rate(house, who)
    async with house.db.owned(who.owner_id) as tx:
        agent = await see_agent(tx, who, agent_id)
        if who.visitor is not None:
            await _check_files_wanted(tx, await house.keyring.sealer(tx), agent.id)
    part = await read_file_part(request.headers.get("content-type", ""), request.stream())
    limits = house.files.limits
    is_visitor = who.visitor is not None
    file = await take_upload(
        house.files,
        Upload(
            owner_id=who.owner_id,
            agent_id=agent.id,
            uploader=uploader_of(who),
            claim=Claim("document", part.name, part.mime_type, part.fields.get("is_voice") == "true"),
            content=part.content,
            bytes_max=min(limits.file_max, limits.visitor_max) if is_visitor else limits.file_max,
            unsent_max=UNSENT_MAX if is_visitor else None,
        ),
    )
    return FileShape.of(file, house.files)


@router.head("/api/files/{token}", openapi_extra={"security": []}, include_in_schema=False)
@router.get(
    "/api/files/{token}",
    openapi_extra={"security": []},
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {UNKNOWN: {"schema": {"type": "string", "format": "binary"}, "example": "(bytes)"}},
        }
    },
)
async def read_a_file(token: str, request: Request, house: House) -> Response:
    """One file, by a link out of a message's `attachments`. 410 where the link has ended: the message brings a new one."""
    now = house.clock.now()
    file_id, until = house.files.links.check(token, now)
    async with house.db.standalone() as tx:
        owner_id = await find_attachment_owner(tx, file_id)
    if owner_id is None:
        raise NotFound(NO_FILE)
    async with house.db.owned(owner_id) as tx:
        sealer = await house.keyring.sealer(tx)
        file = await read_attachment(tx, sealer, file_id)
    if file is None or file.storage_key is None or file.state != "stored":
        raise NotFound(NO_FILE)
    headers = _headers(file) | {"cache-control": f"private, max-age={int((until - now).total_seconds())}"}
    if request.method == "HEAD":
        return Response(headers=headers)
    return await _content(house, sealer, file.storage_key, headers)


def uploader_of(who: Principal) -> str:
    """Who an upload belongs to, until it is sent."""
    return who.visitor or OWNERS_SIDE


async def _check_files_wanted(tx: Tx, sealer: Sealer, agent_id: UUID) -> None:
    """Visitors send files where the chat page's owner wants them.

    Raises:
        NotAllowed: not here.
    """
    found = await find_agent_on_channel(tx, sealer, agent_id, kind="web")
    if found is not None and any(not takes_files(account) for account in found[1]):
        raise NotAllowed("this chat takes no files")


async def _content(house: ApiHouse, sealer: Sealer, key: str, headers: dict[str, str]) -> Response:
    """The file as it is opened, piece by piece; the first one before the answer begins, so that a lost blob is a 404."""
    pieces = read_sealed(house.files.storage, sealer, key)
    first = await anext(pieces)

    async def whole() -> AsyncGenerator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(whole(), headers=headers)


def _headers(file: Attachment) -> dict[str, str]:
    """What browsers may do with it: show a picture of our own drawing, save everything else, run nothing."""
    mime_type = file.mime_type or UNKNOWN
    if mime_type == "text/plain":
        said = "text/plain; charset=utf-8"
    else:
        said = mime_type if file.is_redrawn or mime_type.startswith(_SAID) else UNKNOWN
    how = "inline" if file.is_redrawn else "attachment"
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%;' else "_" for c in file.name)
    return {
        "content-type": said,
        "content-length": str(file.size),
        "content-disposition": f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}",
        "content-security-policy": "sandbox; default-src 'none'",
        # The link is the permission, and chats are shown on other sites' pages too.
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }
