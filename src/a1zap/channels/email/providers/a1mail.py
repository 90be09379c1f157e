"""A1Mail: JSON with the whole raw mail in it, signed with the account's company_id."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from a1zap.channels.contract import ChannelAccount, Posted
from a1zap.channels.email.providers.contract import (
    Handed,
    InWayBase,
    Unpacked,
    require_equal,
    require_recent,
    secret_of,
)
from a1zap.kit.errors import Malformed, NotSignedIn
from a1zap.kit.json import parse_object, text_at


class A1Mail(InWayBase):
    needed: Sequence[str] = ("company_id",)

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        secret = secret_of(account, "company_id")
        stamp, signature = posted.headers.get("x-timestamp", ""), posted.headers.get("x-signature", "")
        if not stamp or not signature:
            raise NotSignedIn("the headers x-timestamp and x-signature are both needed")
        require_recent(stamp, now, what="x-timestamp")
        expected = hmac.new(secret.encode(), stamp.encode() + posted.raw, hashlib.sha256).hexdigest()
        require_equal(expected, signature.lower(), what="x-signature")

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        body = parse_object(raw)
        mail = text_at(body, "raw_email_data")
        if not mail.strip():
            raise Malformed("an A1Mail delivery needs raw_email_data")
        recipient = text_at(body, "recipient_address")
        # JSON holds text: what was no UTF-8 in the mail is lost before it reaches us.
        return [Handed(mail.encode("utf-8", "replace"), envelope_to=[recipient] if recipient else [])]
