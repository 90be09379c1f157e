"""WhatsApp through Meta's Cloud API: one number of a business."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from a1zap.channels.contract import (
    AccountBroken,
    ChannelAccount,
    ChannelBase,
    Fetched,
    Item,
    Outbound,
    Posted,
    SendRefused,
    Sent,
    only_settings,
)
from a1zap.channels.whatsapp import limits
from a1zap.channels.whatsapp.calls import GRAPH_URL, ask, post
from a1zap.channels.whatsapp.fetch import fetch_media
from a1zap.channels.whatsapp.loose import harmless, word_at
from a1zap.channels.whatsapp.parse import UNNAMED, items_in, numbers_named
from a1zap.channels.whatsapp.send import send_message
from a1zap.kit.egress import Egress
from a1zap.kit.errors import Invalid, NotAllowed, NotConfigured, NotSignedIn

_NEEDED = ("phone_number_id", "access_token")
_KNOWN = ("app_secret", "verify_token", "graph_url", "template_name", "template_language", "waba_id")
_PHONE_NUMBER_ID = re.compile(r"[A-Za-z0-9_.<>-]{1,64}")
_CHALLENGE_MAX = 100
_CHECKED_FIELDS = "display_phone_number,verified_name,quality_rating,name_status"


def utc_now() -> datetime:
    return datetime.now(UTC)


class WhatsApp(ChannelBase):
    """`now` is the time by which the 24 hours are counted."""

    kind = "whatsapp"
    asks_for = f"{', '.join(_NEEDED)}; {', '.join(_KNOWN)}"
    stale_after_s = 6 * 3600.0
    wants_thread = True
    acknowledges = True
    text_max = limits.TEXT_MAX
    body_max = limits.DELIVERY_MAX_BYTES
    chats_follow_people = True
    shown_once = ("verify_token",)

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        only_settings(self.kind, settings, needed=_NEEDED, known=_KNOWN)
        identity = settings["phone_number_id"].strip()
        if not _PHONE_NUMBER_ID.fullmatch(identity):
            raise Invalid(
                "'phone_number_id' is Meta's id of the number, such as 106540352242922, and not the number itself",
                field="phone_number_id",
            )
        credentials = {k: v.strip() for k, v in settings.items() if k != "phone_number_id" and v.strip()}
        if not credentials.get("access_token", "").isascii():
            raise Invalid("'access_token' holds characters that no token has", field="access_token")
        credentials.setdefault("graph_url", GRAPH_URL)
        credentials.setdefault("verify_token", secrets.token_urlsafe(24))
        return identity, credentials

    def named_in(self, raw: bytes) -> Sequence[str]:
        return numbers_named(raw)

    def challenge(self, account: ChannelAccount, query: Mapping[str, str]) -> str:
        expected, given = account.credentials.get("verify_token", ""), query.get("hub.verify_token", "")
        is_ours = hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")) and bool(expected)
        asked = query.get("hub.challenge", "")
        is_plain = asked.isascii() and asked.isalnum() and len(asked) <= _CHALLENGE_MAX
        if query.get("hub.mode") != "subscribe" or not is_ours or not is_plain:
            raise NotAllowed("hub.mode, hub.verify_token and hub.challenge are not those of this channel")
        return asked

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        secret = account.credentials.get("app_secret")
        if not secret:
            raise NotConfigured(
                "this whatsapp channel has no app_secret: set it, and deliveries are accepted again"
            )
        given = posted.headers.get("x-hub-signature-256", "")
        if not given:
            raise NotSignedIn("the header x-hub-signature-256 is missing")
        expected = "sha256=" + hmac.new(secret.encode(), posted.raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
            raise NotSignedIn("x-hub-signature-256 does not fit the body")

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        return items_in(account, raw, now)

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        return await send_message(account, outbound, egress, self._now())

    async def acknowledge(self, account: ChannelAccount, external_id: str, egress: Egress) -> None:
        if not external_id or external_id.startswith((UNNAMED, "long:")):
            return
        shown = {"status": "read", "message_id": external_id, "typing_indicator": {"type": "text"}}
        await post(account, egress, {"messaging_product": "whatsapp", **shown}, is_visible=False)

    async def fetch(self, account: ChannelAccount, what: Mapping[str, str], egress: Egress) -> Fetched:
        return await fetch_media(account, what, egress)

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        try:
            found = await ask(
                account, egress, f"/{quote(account.identity, safe='')}?fields={_CHECKED_FIELDS}"
            )
        except SendRefused as error:
            raise AccountBroken(str(error)) from error
        number = harmless(word_at(found, "display_phone_number"), 40) or account.identity
        name, quality = harmless(word_at(found, "verified_name"), 80), word_at(found, "quality_rating")
        told = f"the token works for {number}" + (f" ({name})" if name else "")
        told += f", quality {harmless(quality, 20)}" if quality else ""
        return (
            told
            if account.credentials.get("app_secret")
            else f"{told}; app_secret is missing: nothing comes in"
        )
