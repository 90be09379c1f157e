"""Calls of the Graph API: one address, one token, and answers judged by Meta's codes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

import orjson

from a1zap.channels.contract import ChannelAccount, SendAmbiguous, SendRefused
from a1zap.channels.whatsapp.errors import GraphError, error_in, refusal
from a1zap.channels.whatsapp.limits import FILE_NAME_MAX
from a1zap.kit.egress import Egress, EgressFailed, EgressResponse, EgressTimedOut
from a1zap.kit.errors import ChannelUnavailable, NotConfigured
from a1zap.kit.json import as_object, parse_json

GRAPH_URL: Final = "https://graph.facebook.com/v25.0"
CALL_S: Final = 15.0
UPLOAD_S: Final = 120.0
_ANSWER_MAX_BYTES: Final = 1 << 20
_NO_ERROR: Final = GraphError(None, None, "")
# A gateway that gave up waiting knows nothing of what happened behind it.
_GATEWAY_LOST: Final = (502, 504)


def graph_url(account: ChannelAccount) -> str:
    return (account.credentials.get("graph_url") or GRAPH_URL).rstrip("/")


def bearer(account: ChannelAccount) -> dict[str, str]:
    """The header with the account's token.

    Raises:
        NotConfigured: it has none.
    """
    token = account.credentials.get("access_token")
    if not token:
        raise NotConfigured("this whatsapp channel has no access_token: it can send nothing")
    return {"authorization": f"Bearer {token}"}


async def ask(account: ChannelAccount, egress: Egress, path: str) -> dict[str, Any]:
    """GET a thing of the Graph API.

    Raises:
        AccountBroken, SendRefused: Meta says no.
        ChannelUnavailable: later, perhaps.
    """
    return await _called(account, egress, "GET", path, None, {}, CALL_S, is_visible=False)


async def post(
    account: ChannelAccount, egress: Egress, body: Mapping[str, Any], *, is_visible: bool = True
) -> dict[str, Any]:
    """POST to the number's messages. `is_visible`: if it is done twice, somebody sees it twice.

    Raises:
        AccountBroken, SendRefused, WindowClosed: Meta says no.
        SendAmbiguous: it may have taken it.
        ChannelUnavailable: later, perhaps.
    """
    path = f"/{quote(account.identity, safe='')}/messages"
    headers = {"content-type": "application/json"}
    raw = orjson.dumps(body)
    return await _called(account, egress, "POST", path, raw, headers, CALL_S, is_visible=is_visible)


async def upload(account: ChannelAccount, egress: Egress, content: bytes, mime_type: str, name: str) -> str:
    """Give Meta a file to send; its id there, good for 30 days. Nobody sees an upload, so it may be done twice.

    Raises:
        AccountBroken, SendRefused: Meta says no.
        ChannelUnavailable: later, perhaps.
    """
    boundary = f"a1zap-{secrets.token_hex(16)}"
    raw = b"".join(_form(boundary, content, mime_type, name))
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    path = f"/{quote(account.identity, safe='')}/media"
    answer = await _called(account, egress, "POST", path, raw, headers, UPLOAD_S, is_visible=False)
    media_id = answer.get("id")
    if not isinstance(media_id, str | int) or not media_id:
        raise ChannelUnavailable("Meta took a file and gave it no id")
    return str(media_id)


async def _called(
    account: ChannelAccount,
    egress: Egress,
    method: Literal["GET", "POST"],
    path: str,
    raw: bytes | None,
    headers: Mapping[str, str],
    total_s: float,
    *,
    is_visible: bool,
) -> dict[str, Any]:
    try:
        answer = await egress.request(
            method,
            graph_url(account) + path,
            headers={**bearer(account), **headers},
            body=raw,
            total_s=total_s,
            read_max_bytes=_ANSWER_MAX_BYTES,
        )
    except (EgressTimedOut, EgressFailed) as error:
        if error.was_sent and is_visible:
            raise SendAmbiguous("Meta did not answer: it may have taken the message") from error
        raise ChannelUnavailable("Meta cannot be reached") from error
    return _judged(answer, is_visible=is_visible)


def _judged(answer: EgressResponse, *, is_visible: bool) -> dict[str, Any]:
    body = _read(answer.body)
    error = error_in(body)
    if 200 <= answer.status < 300 and error is None:
        return body
    if error is None and answer.status in _GATEWAY_LOST and is_visible:
        raise SendAmbiguous(f"Meta answered HTTP {answer.status}: it may have taken the message")
    if error is None and 300 <= answer.status < 400:
        raise SendRefused(f"Meta answered HTTP {answer.status}: a redirect is not followed; check graph_url")
    wait = answer.headers.get("retry-after", "")
    is_number = wait.isascii() and wait.isdigit() and len(wait) < 6
    raise refusal(error or _NO_ERROR, answer.status, float(wait) if is_number else None)


def _read(raw: bytes) -> dict[str, Any]:
    try:
        return as_object(parse_json(raw)) or {}
    except orjson.JSONDecodeError:
        return {}


def _form(boundary: str, content: bytes, mime_type: str, name: str) -> list[bytes]:
    """A multipart form in pieces: what it is for, its type, the file."""
    line = f"--{boundary}\r\n".encode()
    fields = [
        line
        + f'content-disposition: form-data; name="{field}"\r\n\r\n{_one_line(value)}\r\n'.encode(
            "utf-8", "replace"
        )
        for field, value in (("messaging_product", "whatsapp"), ("type", mime_type))
    ]
    told = _one_line(name)[:FILE_NAME_MAX].replace("\\", "_").replace('"', "'") or "file"
    head = f'content-disposition: form-data; name="file"; filename="{told}"\r\ncontent-type: {_one_line(mime_type)}\r\n\r\n'
    return [*fields, line, head.encode("utf-8", "replace"), content, f"\r\n--{boundary}--\r\n".encode()]


def _one_line(value: str) -> str:
    return "".join(c for c in value if c.isprintable())
