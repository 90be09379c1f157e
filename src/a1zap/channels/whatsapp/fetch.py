"""Files that people sent, from Meta's stores: the id gives a link that lives for minutes, the link gives the bytes.

The token goes to Meta's own hosts only, and never along a redirect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from a1zap.channels.contract import ChannelAccount, Fetched, SendRefused
from a1zap.channels.whatsapp.calls import UPLOAD_S, ask, bearer, graph_url
from a1zap.channels.whatsapp.errors import NotThere
from a1zap.channels.whatsapp.limits import FETCHED_MAX_BYTES
from a1zap.channels.whatsapp.media import bare_type, hex_digest
from a1zap.kit.egress import Egress, EgressFailed, EgressResponse, EgressTimedOut, EgressTooLarge
from a1zap.kit.errors import ChannelUnavailable
from a1zap.kit.json import text_at

_HOSTS: Final = (".fbsbx.com", ".whatsapp.net", ".facebook.com")
_REDIRECTS_MAX: Final = 2


async def fetch_media(account: ChannelAccount, what: Mapping[str, str], egress: Egress) -> Fetched:
    """The bytes of a file by its media id, or by the link that came with the message; see `Channel.fetch`."""
    max_bytes = FETCHED_MAX_BYTES.get(what.get("kind", ""), FETCHED_MAX_BYTES["document"])
    told = await _told(account, what, egress)
    size = told.get("file_size")
    if isinstance(size, int) and size > max_bytes:
        raise SendRefused(f"the file has {size} bytes: more than the {max_bytes} that are taken")
    answer = await _download(account, text_at(told, "url"), egress, max_bytes)
    for expected in (what.get("sha256"), hex_digest(text_at(told, "sha256"))):
        if expected and hashlib.sha256(answer.body).hexdigest() != expected:
            raise SendRefused("the file is not the one that was announced: its sha256 is another")
    mime_type = text_at(told, "mime_type") or answer.headers.get("content-type", "")
    return Fetched(answer.body, bare_type(mime_type))


async def _told(account: ChannelAccount, what: Mapping[str, str], egress: Egress) -> dict[str, Any]:
    """What Meta says of the file now, with a fresh link; the link of the delivery where its id is not known."""
    link, media_id = what.get("url", ""), what.get("id", "")
    if media_id:
        path = f"/{quote(media_id, safe='')}?phone_number_id={quote(account.identity, safe='')}"
        try:
            told = await ask(account, egress, path)
        except (SendRefused, NotThere) as error:
            if not link:
                raise SendRefused(f"the file is gone: {error}") from error
        else:
            if text_at(told, "url"):
                return told
    if not link:
        raise SendRefused("Meta has no link to this file any more")
    return {"url": link}


async def _download(account: ChannelAccount, url: str, egress: Egress, max_bytes: int) -> EgressResponse:
    headers = bearer(account)
    for _ in range(_REDIRECTS_MAX + 1):
        _check_host(account, url)
        answer = await _get(egress, url, headers, max_bytes)
        if answer.status not in (301, 302, 303, 307, 308):
            return _judged(answer)
        url, headers = answer.headers.get("location", ""), {}
    raise SendRefused("the file is behind too many redirects")


async def _get(egress: Egress, url: str, headers: Mapping[str, str], max_bytes: int) -> EgressResponse:
    try:
        return await egress.request("GET", url, headers=headers, total_s=UPLOAD_S, read_max_bytes=max_bytes)
    except EgressTooLarge:
        raise SendRefused(f"the file has more than the {max_bytes} bytes that are taken") from None
    except (EgressTimedOut, EgressFailed) as error:
        raise ChannelUnavailable("Meta's store of files cannot be reached") from error


def _judged(answer: EgressResponse) -> EgressResponse:
    if 200 <= answer.status < 300:
        return answer
    if answer.status in (401, 403, 408, 429) or answer.status >= 500:
        # 401 is a link that has run out as well as a dead token: the next try asks for a fresh one, and is told.
        raise ChannelUnavailable(f"Meta's store of files answered {answer.status}")
    raise SendRefused(f"Meta's store of files answered {answer.status}: the file is gone")


def _check_host(account: ChannelAccount, url: str) -> None:
    """Only Meta's hosts, over TLS; and the host that the owner named as the Graph API, as they named it."""
    try:
        found, graph = urlsplit(url), urlsplit(graph_url(account))
        own = (graph.scheme, graph.hostname, graph.port)
        if (found.scheme, found.hostname, found.port) == own:
            return
        host, is_safe = found.hostname or "", found.scheme == "https" and found.port in (None, 443)
    except ValueError:
        raise SendRefused("the link to the file is malformed") from None
    if not is_safe or not host.endswith(_HOSTS):
        raise SendRefused("the link to the file does not lead to a host of Meta's")
