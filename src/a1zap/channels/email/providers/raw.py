"""A raw mail (RFC 5322) as the body of a POST: what a pipe from Postfix or Exim, a Cloudflare Worker or a Lambda sends.

The sender proves itself by a Standard Webhooks signature over the body, or by `Authorization: Bearer <inbound_secret>`.
What the envelope said may come in the headers `x-envelope-from` and `x-envelope-to` (comma-separated); behind Bearer
and the signature alike they are the relay's word, which holds the secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from a1zap.channels.contract import ChannelAccount, Posted
from a1zap.channels.email.providers.basic import bearer_in
from a1zap.channels.email.providers.contract import Handed, InWayBase, Unpacked, require_equal, secret_of
from a1zap.kit.errors import NotSignedIn
from a1zap.kit.standard_webhooks import new_secret, read_secret, verify


class Raw(InWayBase):
    known: Sequence[str] = ("inbound_secret",)

    def check_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        if not settings.get("inbound_secret"):
            return {"inbound_secret": new_secret()}
        read_secret(settings["inbound_secret"], field="inbound_secret")
        return {}

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        secret = secret_of(account, "inbound_secret")
        if "webhook-signature" in posted.headers:
            verify([secret], posted.headers, posted.raw, now)
            return
        token = bearer_in(posted)
        if token is None:
            raise NotSignedIn(
                "a webhook-signature or `Authorization: Bearer` with the inbound_secret is needed"
            )
        require_equal(secret, token, what="the bearer token")

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        return [Handed(raw)]
