"""A1Base as a channel: one phone number of an agent's; WhatsApp, SMS, RCS and iMessage all come and go by it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

from a1zap.channels.a1base.parse import normal_number, number_named_in, read_delivery
from a1zap.channels.a1base.send import SMS_CHARACTERS_MAX, check_account, send_outbound, was_taken
from a1zap.channels.contract import (
    ChannelAccount,
    ChannelBase,
    Item,
    Outbound,
    Posted,
    Sent,
    only_settings,
)
from a1zap.kit.egress import Egress
from a1zap.kit.errors import Invalid, NotConfigured, NotSignedIn

SIGNATURE_AGE_MAX_S = 300
BASE_URL = "https://api.a1base.com/v1"


class A1Base(ChannelBase):
    kind = "a1base"
    asks_for = "number, account_id; api_key, api_secret, base_url"
    stale_after_s = 6 * 3600.0
    body_max = 24 << 20  # media ride inside the JSON: 16 MB of video are 22 as base64
    text_max = 4096  # of WhatsApp

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        only_settings(
            self.kind, settings, needed=("number", "account_id"), known=("api_key", "api_secret", "base_url")
        )
        number = normal_number(settings["number"])
        if not number:
            raise Invalid(
                "'number' must be a phone number in E.164 form, such as +14151234567", field="number"
            )
        credentials = {k: v.strip() for k, v in settings.items() if k != "number" and v}
        return number, {"base_url": BASE_URL, **credentials}

    def text_max_for(self, service: str) -> int | None:
        return SMS_CHARACTERS_MAX if service == "sms" else self.text_max

    def named_in(self, raw: bytes) -> Sequence[str]:
        return (number_named_in(raw),)

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        secret = account.credentials.get("api_secret")
        if not secret:
            raise NotConfigured(
                "this a1base channel has no api_secret: set it, and deliveries are accepted again"
            )
        stamp, signature = posted.headers.get("x-timestamp", ""), posted.headers.get("x-signature", "")
        if not stamp or not signature:
            raise NotSignedIn("the headers x-timestamp and x-signature are both needed")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            raise NotSignedIn("x-timestamp is not a time in seconds")
        if abs(now.timestamp() - int(stamp)) > SIGNATURE_AGE_MAX_S:
            raise NotSignedIn("x-timestamp is more than five minutes away from now")
        expected = hmac.new(secret.encode(), stamp.encode() + posted.raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace")):
            raise NotSignedIn("x-signature does not fit the body")

    def parse(self, account: ChannelAccount, raw: bytes, now: datetime) -> Sequence[Item]:
        return read_delivery(account, raw, now)

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        return await check_account(account, egress)

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        return await send_outbound(account, outbound, egress)

    async def was_sent(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> bool | None:
        return await was_taken(account, outbound, egress)
