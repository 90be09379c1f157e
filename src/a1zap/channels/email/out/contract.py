"""What every way out looks like, and the call that those with an API share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import orjson

from a1zap.channels.contract import AccountBroken, ChannelAccount, SendAmbiguous, Sent
from a1zap.channels.email.out.compose import Letter
from a1zap.kit.egress import Egress, EgressFailed, EgressResponse, EgressTimedOut
from a1zap.kit.errors import ChannelUnavailable, NotConfigured
from a1zap.kit.json import as_object

_SEND_TIMEOUT_S: Final = 30.0  # a letter of 20 MB goes up in this time


class OutWay(Protocol):
    """One way out; it holds nothing between two letters."""

    @property
    def needed(self) -> Sequence[str]: ...

    @property
    def known(self) -> Sequence[str]: ...

    def check_settings(self, settings: Mapping[str, str]) -> None:
        """Raises Invalid, by name."""
        ...

    async def send(self, account: ChannelAccount, letter: Letter, egress: Egress) -> Sent: ...

    async def was_sent(self, account: ChannelAccount, message_id: str, egress: Egress) -> bool | None:
        """Did it take the message with this id of ours? None where it cannot tell."""
        ...

    async def check(self, account: ChannelAccount, egress: Egress) -> str: ...


def required(account: ChannelAccount, name: str) -> str:
    """The account's credential of that name.

    Raises:
        NotConfigured: it has none.
    """
    found = account.credentials.get(name)
    if not found:
        raise NotConfigured(f"this email channel has no {name}: it can send nothing")
    return found


async def call_api(
    egress: Egress,
    method: str,
    url: str,
    *,
    provider: str,
    headers: Mapping[str, str],
    json: Any = None,
    may_repeat: bool = False,
) -> EgressResponse:
    """One call of a provider's API; any answer but "later" and "who are you" is the caller's to judge.

    `may_repeat`: the same call twice does no harm (a question, or a send under an idempotency key).

    Raises:
        ChannelUnavailable: it has not acted on it.
        SendAmbiguous: it may have.
        AccountBroken: it does not know the key.
    """
    body = None if json is None else orjson.dumps(json)
    sent_headers = {"accept": "application/json", **headers}
    if body is not None:
        sent_headers["content-type"] = "application/json"
    try:
        answer = await egress.request(
            method, url, headers=sent_headers, body=body, total_s=_SEND_TIMEOUT_S, read_max_bytes=1 << 20
        )
    except (EgressTimedOut, EgressFailed) as error:
        if error.was_sent and not may_repeat:
            raise SendAmbiguous(f"{provider} did not answer: it may have taken the mail") from error
        raise ChannelUnavailable(f"{provider} cannot be reached") from error
    if answer.status in {408, 425, 429}:
        raise ChannelUnavailable(
            f"{provider} answered {answer.status}", retry_after_s=retry_after_s(answer.headers)
        )
    if answer.status in {502, 504} and not may_repeat:
        # A gateway that gave up waiting knows nothing of what happened behind it.
        raise SendAmbiguous(f"{provider} answered {answer.status}: it may have taken the mail")
    if answer.status >= 500:
        raise ChannelUnavailable(
            f"{provider} answered {answer.status}", retry_after_s=retry_after_s(answer.headers)
        )
    if answer.status in {401, 403}:
        raise AccountBroken(f"{provider} does not take this key ({answer.status}): set a new one")
    return answer


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None


def answered(answer: EgressResponse) -> dict[str, Any]:
    """The answer's object; empty where it is none."""
    try:
        return as_object(orjson.loads(answer.body)) or {}
    except orjson.JSONDecodeError:
        return {}
