"""Mailgun routes: a form whose own fields `timestamp`, `token` and `signature` prove who posted it.

The signature does not cover the rest of the form, so a token counts for one form only: it is remembered with a digest of
what it came with. Mailgun repeats a delivery for eight hours with the signature of its first try, hence the age.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from a1zap.channels.contract import ChannelAccount, Posted
from a1zap.channels.email.providers.contract import (
    Handed,
    InWayBase,
    Unpacked,
    Verdict,
    Verdicts,
    require_equal,
    require_recent,
    secret_of,
)
from a1zap.channels.email.providers.form import Form, parse_form
from a1zap.channels.email.providers.rebuild import FilePart, rebuild_mail
from a1zap.kit.errors import Malformed, NotSignedIn
from a1zap.kit.json import as_list, as_object, parse_json

_AGE_MAX_S: Final = 9 * 3600.0
_TOKENS_MAX: Final = 10_000
_SIGNED: Final = frozenset(("timestamp", "token", "signature"))


class Mailgun(InWayBase):
    needed: Sequence[str] = ("signing_key",)
    known: Sequence[str] = ("provider_verdicts",)

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[UUID, str], bytes] = OrderedDict()

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        secret = secret_of(account, "signing_key")
        try:
            form = parse_form(posted.raw, posted.headers.get("content-type", ""))
        except Malformed as error:
            raise NotSignedIn(f"no signature can be found: {error}") from None
        stamp, token, signature = (form.text(name) for name in ("timestamp", "token", "signature"))
        if not stamp or not token or not signature:
            raise NotSignedIn("the fields timestamp, token and signature are all needed")
        expected = hmac.new(
            secret.encode(), f"{stamp}{token}".encode("utf-8", "replace"), hashlib.sha256
        ).hexdigest()
        require_equal(expected, signature.lower(), what="signature")
        require_recent(stamp, now, what="timestamp", past_s=_AGE_MAX_S)
        self._spend(account.id, token, _digest(form))

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        form = parse_form(raw, content_type)
        headers = list(_headers(form))
        recipient = form.text("recipient")
        is_trusted = account.credentials.get("provider_verdicts") == "yes"
        mime = form.fields.get("body-mime", b"")
        if not mime.strip() and not headers and not form.has("from"):
            raise Malformed("a Mailgun delivery needs body-mime, or message-headers and from")
        return [
            Handed(
                mime if mime.strip() else _rebuilt(form, headers),
                envelope_from=form.text("sender") if "sender" in form.fields else None,
                envelope_to=[one.strip() for one in recipient.split(",") if one.strip()],
                verdicts=_verdicts(form, headers) if is_trusted else None,
                is_rebuilt=not mime.strip(),
            )
        ]

    def _spend(self, account_id: UUID, token: str, digest: bytes) -> None:
        """Remember what a token came with.

        Raises:
            NotSignedIn: it came with something else before.
        """
        key = (account_id, token)
        if self._seen.setdefault(key, digest) != digest:
            raise NotSignedIn("the token was used before, for another delivery")
        while len(self._seen) > _TOKENS_MAX:
            self._seen.popitem(last=False)


def _digest(form: Form) -> bytes:
    """Of the whole form, however it is cut into parts."""
    found = hashlib.sha256()
    for name in sorted(form.fields):
        if name not in _SIGNED:
            _feed(found, name.encode("utf-8", "replace"), form.fields[name])
    for name in sorted(form.files):
        _feed(found, name.encode("utf-8", "replace"), form.files[name].content)
    return found.digest()


def _feed(into: Any, *pieces: bytes) -> None:
    for piece in pieces:
        into.update(len(piece).to_bytes(8, "big") + piece)


def _headers(form: Form) -> Iterator[tuple[str, str]]:
    for pair in as_list(_json(form, "message-headers")) or []:
        match pair:
            case [str(name), str(value)]:
                yield name, value
            case _:
                continue


def _json(form: Form, name: str) -> object:
    try:
        return parse_json(form.fields.get(name, b"null"))
    except orjson.JSONDecodeError:
        return None


def _rebuilt(form: Form, headers: list[tuple[str, str]]) -> bytes:
    told = {name.lower() for name, _ in headers}
    for name in ("From", "To", "Cc", "Subject", "Date", "Message-Id", "In-Reply-To", "References"):
        value = form.text(name) or form.text(name.lower())
        if value and name.lower() not in told:
            headers.append((name, value))
    by_field = {
        str(field): content_id
        for content_id, field in (as_object(_json(form, "content-id-map")) or {}).items()
    }
    files = [
        FilePart(one.name, one.mime_type, one.content, by_field.get(field, ""))
        for field, one in form.files.items()
    ]
    return rebuild_mail(headers, text=form.text("body-plain"), html=form.text("body-html"), files=files)


def _verdicts(form: Form, headers: Sequence[tuple[str, str]]) -> Verdicts:
    """What Mailgun's spam filter wrote into the headers. A name that is there twice was also written by the sender."""

    def only(name: str) -> str:
        found = [value for key, value in headers if key.lower() == name.lower()] or [form.text(name)]
        return found[0].strip().lower() if len(found) == 1 else ""

    spf: Verdict = "pass" if only("X-Mailgun-Spf") == "pass" else "none"
    dkim: Verdict = "pass" if only("X-Mailgun-Dkim-Check-Result") == "pass" else "none"
    sender = form.text("sender")
    return Verdicts(
        spf=spf,
        dkim=dkim,
        spf_domain=sender.rpartition("@")[2],
        is_spam=only("X-Mailgun-Sflag") == "yes",
    )
