"""Email: mail comes in by one of many ways and is read by a worker; answers leave as letters with a thread.

provider ─► authenticate ─► complete ─► kept ─► unpack ─► MailReader ─► understand_mail ─► Inbound, Receipt
Outbound ─► compose_letter ─► SMTP, A1Mail, Postmark or Resend ─► Sent
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from a1zap.channels.contract import (
    AccountBroken,
    ChannelAccount,
    ChannelBase,
    Item,
    Kept,
    Outbound,
    Posted,
    SendAmbiguous,
    SendRefused,
    Sent,
)
from a1zap.channels.email.bounded import MailReader
from a1zap.channels.email.out.compose import compose_letter
from a1zap.channels.email.out.contract import OutWay
from a1zap.channels.email.providers.contract import Handed, InWay
from a1zap.channels.email.settings import check_mailbox_settings, ways_in, ways_out
from a1zap.channels.email.understand_mail import understand_mail
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, NotConfigured

GIVE_UP_AFTER_S: Final = 48 * 3600.0
_PAUSE_MAX_S: Final = 1800.0


class Email(ChannelBase):
    kind = "email"
    asks_for = (
        "address; inbound: smtp, lmtp, imap, raw, postmark, mailgun, sendgrid, ses, resend, a1mail; "
        "outbound: smtp, postmark, resend, a1mail; and what these ways need (docs/how-to/connect-email.md)"
    )
    stale_after_s = 24 * 3600.0
    is_read_later = True
    wants_thread = True
    body_max = 40 << 20
    answers_per_hour_max = 20
    shown_once = ("inbound_secret", "inbound_user", "inbound_password")

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._ins = ways_in()
        self._outs = ways_out()
        self._reader = MailReader()
        self._now = clock

    def check_settings(self, settings: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        return check_mailbox_settings(settings, self._ins, self._outs)

    # ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def prepare(self, account: ChannelAccount, posted: Posted, egress: Egress) -> None:
        await self._way_in(account).prepare(account, posted, egress)

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        self._way_in(account).authenticate(account, posted, now)

    async def complete(self, account: ChannelAccount, posted: Posted, egress: Egress) -> Posted | None:
        return await self._way_in(account).complete(account, posted, egress)

    async def read(self, account: ChannelAccount, kept: Kept, now: datetime) -> Sequence[Item]:
        """The messages and the news in a kept delivery; one mail that nobody can read does not exist (see MailReader)."""
        items: list[Item] = []
        for found in self._unpacked(account, kept, now):
            if isinstance(found, Handed):
                mail = await self._reader.read(found.raw)
                items += understand_mail(account, found, mail, kept.meta, now)
            else:
                items.append(found)
        return items

    def _unpacked(self, account: ChannelAccount, kept: Kept, now: datetime) -> Sequence[Any]:
        if (
            "door" in kept.meta
        ):  # a door of our own: these are the bytes of the mail, whatever the account says
            return [Handed(kept.raw)]
        return self._way_in(account).unpack(account, kept.raw, str(kept.meta.get("content_type") or ""), now)

    # ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def send(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> Sent:
        way = self._way_out(account)
        letter = await compose_letter(account, outbound)
        try:
            return await way.send(account, letter, egress)
        except (SendAmbiguous, AccountBroken):
            raise
        except ChannelUnavailable as error:
            later = self._later(outbound, error)
            if later is None:
                raise
            raise later from error

    async def was_sent(self, account: ChannelAccount, outbound: Outbound, egress: Egress) -> bool | None:
        """None by SMTP, A1Mail and Resend: the mail goes again, under the same Message-ID (and idempotency key)."""
        return await self._way_out(account).was_sent(account, str(outbound.id), egress)

    async def check(self, account: ChannelAccount, egress: Egress) -> str:
        return await self._way_out(account).check(account, egress)

    async def close(self) -> None:
        await self._reader.close()

    def _later(self, outbound: Outbound, error: ChannelUnavailable) -> Exception | None:
        """Again with growing pauses, as mail servers do, and not for ever; None: the error says it well enough."""
        age_s = (self._now() - outbound.first_tried_at).total_seconds()
        if age_s > GIVE_UP_AFTER_S:
            return SendRefused(f"given up after {GIVE_UP_AFTER_S / 3600:.0f} hours: {error}")
        if error.retry_after_s is not None or age_s < 300:
            return None
        return ChannelUnavailable(str(error), retry_after_s=min(age_s / 4, _PAUSE_MAX_S))

    # ── which way ───────────────────────────────────────────────────────────────────────────────────────────────

    def _way_in(self, account: ChannelAccount) -> InWay:
        way = self._ins.get(account.credentials.get("inbound", ""))
        if way is None:
            raise NotConfigured("this email channel has no 'inbound' that we know: connect it again")
        return way

    def _way_out(self, account: ChannelAccount) -> OutWay:
        way = self._outs.get(account.credentials.get("outbound", ""))
        if way is None:
            raise NotConfigured("this email channel has no 'outbound' that we know: connect it again")
        return way
