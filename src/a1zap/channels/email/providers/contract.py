"""What every way in looks like: prove the bytes, then hand over a raw mail and what the provider knows of it.

Providers that only post fields have their mail built again from them, so that one reader understands them all.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias

from a1zap.channels.contract import ChannelAccount, Posted, Receipt
from a1zap.kit.egress import Egress
from a1zap.kit.errors import NotConfigured, NotSignedIn

Verdict = Literal["pass", "fail", "none"]
SIGNATURE_AGE_MAX_S: Final = 300


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the provider found out about the sender. `dmarc_policy` is what the From domain wants done on a fail."""

    spf: Verdict = "none"
    dkim: Verdict = "none"
    dmarc: Verdict = "none"
    dmarc_policy: str = ""
    is_spam: bool = False
    has_virus: bool = False
    spf_domain: str = ""
    dkim_domains: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Handed:
    """One mail. `envelope_from` is None where nobody knows it, and "" for the null sender of bounces.

    `is_rebuilt`: the provider gave fields, and the bytes are ours; `chat_hash` is the token it cut from our address.
    """

    raw: bytes
    envelope_from: str | None = None
    envelope_to: Sequence[str] = ()
    verdicts: Verdicts | None = None
    chat_hash: str | None = None
    is_rebuilt: bool = False


Unpacked: TypeAlias = Handed | Receipt


class InWay(Protocol):
    """One way in. What it remembers is only a cache."""

    @property
    def needed(self) -> Sequence[str]:
        """Settings that it cannot do without."""
        ...

    @property
    def known(self) -> Sequence[str]:
        """Settings that it takes besides."""
        ...

    def check_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Secrets that we make because the owner brought none.

        Raises:
            Invalid: one is wrong, by name.
        """
        ...

    async def prepare(self, account: ChannelAccount, posted: Posted, egress: Egress) -> None: ...

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None: ...

    async def complete(self, account: ChannelAccount, posted: Posted, egress: Egress) -> Posted | None: ...

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        """The mails, and the news about ours, in a delivery that `authenticate` has passed.

        Raises:
            Malformed: it holds neither.
        """
        ...


class InWayBase:
    """What a way in is unless it says otherwise."""

    needed: Sequence[str] = ()
    known: Sequence[str] = ()

    def check_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        return {}

    async def prepare(self, account: ChannelAccount, posted: Posted, egress: Egress) -> None:
        return None

    async def complete(self, account: ChannelAccount, posted: Posted, egress: Egress) -> Posted | None:
        return posted


def secret_of(account: ChannelAccount, name: str) -> str:
    """The account's secret of that name.

    Raises:
        NotConfigured: it has none; the check is refused, never skipped.
    """
    secret = account.credentials.get(name)
    if not secret:
        raise NotConfigured(f"this email channel has no {name}: set it, and deliveries are accepted again")
    return secret


def require_recent(stamp: str, now: datetime, *, what: str, past_s: float = SIGNATURE_AGE_MAX_S) -> None:
    """Hold a stamp in seconds since 1970 to now: at most `past_s` old and five minutes ahead.

    Raises:
        NotSignedIn: it is older, newer or no time.
    """
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise NotSignedIn(f"{what} is not a time in seconds")
    age_s = now.timestamp() - int(stamp)
    if age_s > past_s or age_s < -SIGNATURE_AGE_MAX_S:
        raise NotSignedIn(f"{what} is too far away from now")


def require_equal(expected: str, given: str, *, what: str) -> None:
    """Compare in constant time.

    Raises:
        NotSignedIn: they differ.
    """
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise NotSignedIn(f"{what} does not fit")
