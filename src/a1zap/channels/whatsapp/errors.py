"""Meta's error codes, and what each means for a message and its account.

The code decides, never the title. Our own words are shown for the codes that we know, because Meta's repeat what was
sent to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from a1zap.channels.contract import AccountBroken, SendRefused
from a1zap.channels.whatsapp.limits import PAIR_WAIT_S
from a1zap.channels.whatsapp.loose import harmless, word_at
from a1zap.kit.errors import ChannelUnavailable
from a1zap.kit.json import as_object, text_at

Meaning = Literal["account", "later", "window", "refused", "mistake"]
"""account: nothing goes until its owner acts · later: try again · window: only templates go out ·
refused: this message never goes · mistake: so does ours, because we put it wrongly."""


@dataclass(frozen=True, slots=True)
class Known:
    meaning: Meaning
    words: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class GraphError:
    """An error as an answer of the Graph API holds it. `code` None: it holds none."""

    code: int | None
    subcode: int | None
    title: str


KNOWN: Final[dict[int, Known]] = {
    # the credentials, or the account, are dead
    0: Known("account", "the access token was refused"),
    3: Known("account", "the app may not do this: its permissions are missing"),
    10: Known("account", "the app has no permission for this number"),
    190: Known("account", "the access token has expired or was withdrawn: set a new one"),
    131005: Known("account", "the access token has no permission for this number"),
    368: Known("account", "Meta has blocked the account for a while because of its policies"),
    130497: Known("account", "the account may not message people in this country"),
    131031: Known("account", "Meta has locked the account"),
    131042: Known("account", "the account has a problem with its payment"),
    131045: Known("account", "the number is not registered with the Cloud API"),
    131048: Known("account", "too many of its messages were blocked or flagged as spam"),
    131064: Known("account", "Meta restricts the account"),
    # not now
    1: Known("later", "Meta had an unknown error"),
    2: Known("later", "Meta is down for a moment"),
    4: Known("later", "the app has made too many calls", 60.0),
    80007: Known("later", "the business account has made too many calls", 60.0),
    130429: Known("later", "the number sends too fast", 1.0),
    131000: Known("later", "Meta had an unknown error"),
    131016: Known("later", "Meta is overloaded"),
    131056: Known("later", "too many messages to this person at once", PAIR_WAIT_S),
    131057: Known("later", "the account is in maintenance", 60.0),
    133004: Known("later", "Meta is down for a moment"),
    # outside the 24 hours
    131047: Known("window", "more than 24 hours have passed since their last message"),
    # this one never
    130472: Known("refused", "the person is part of an experiment of Meta's, and gets no such message"),
    131021: Known("refused", "sender and receiver are the same number"),
    131026: Known("refused", "the message cannot be delivered to this person"),
    131030: Known("refused", "the person is not on the list of a test number"),
    131037: Known("refused", "the number has no approved display name yet"),
    131049: Known("refused", "Meta holds it back, to keep people from getting too many"),
    131050: Known("refused", "the person wants no marketing messages"),
    131062: Known("refused", "this message cannot be sent to a business-scoped user id"),
    # our own doing
    100: Known("mistake", "a parameter is wrong"),
    131008: Known("mistake", "a parameter is missing"),
    131009: Known("mistake", "the value of a parameter is not valid"),
    131051: Known("mistake", "the message type is not supported"),
    131052: Known("mistake", "the media could not be downloaded"),
    131053: Known("mistake", "the media could not be uploaded"),
    132000: Known("mistake", "the template has another number of parameters"),
    132001: Known("mistake", "there is no such template in this language, or it is not approved"),
    132005: Known("mistake", "the filled-in template is too long"),
    132007: Known("mistake", "the template breaks Meta's rules for characters"),
    132008: Known("mistake", "the template's parameters have the wrong format"),
    132012: Known("mistake", "the template's parameters have the wrong format"),
    132015: Known("mistake", "the template is paused because of its quality"),
    132016: Known("mistake", "the template is disabled because of its quality"),
    132068: Known("mistake", "the flow is blocked"),
    132069: Known("mistake", "the flow is throttled"),
}
_PERMISSIONS = range(200, 300)
_GONE_SUBCODE = 33  # of code 100: the number does not exist, or this token may not see it
_BSUID_NOT_TAKEN: Final = 131062


class WindowClosed(SendRefused):
    """More than 24 hours have passed since their last message: only a template goes out."""


class IdNotTaken(SendRefused):
    """This message cannot be sent to a BSUID; to a number, perhaps."""


class NotThere(AccountBroken):
    """What was asked for does not exist, or this token may not see it; if it is the number, nothing goes any more."""


def error_in(answer: dict[str, Any]) -> GraphError | None:
    """The error of an answer of the Graph API."""
    found = as_object(answer.get("error"))
    if found is None:
        return None
    return GraphError(_number(found, "code"), _number(found, "error_subcode"), text_at(found, "title"))


def known(error: GraphError) -> Known | None:
    """What we know of an error."""
    if error.code is None:
        return None
    if error.code in _PERMISSIONS:
        return Known("account", "the access token lacks a permission")
    if _is_gone(error):
        return Known("account", "the token may not see this phone_number_id (or file), or it does not exist")
    return KNOWN.get(error.code)


def refusal(
    error: GraphError, status: int, retry_after_s: float | None
) -> AccountBroken | ChannelUnavailable | SendRefused:
    """What an error answer is in our words; its own wish when to come again wins over ours if it is longer."""
    found = known(error)
    told = told_as(error.code, found.words if found else harmless(error.title), status)
    if error.code == _BSUID_NOT_TAKEN:
        return IdNotTaken(told)
    if _is_gone(error):
        return NotThere(told)
    wait_s = max(retry_after_s or 0.0, (found.retry_after_s if found else None) or 0.0) or None
    match found.meaning if found else _by_status(status):
        case "account":
            return AccountBroken(told)
        case "later":
            return ChannelUnavailable(told, retry_after_s=wait_s)
        case "window":
            return WindowClosed(told)
        case "refused" | "mistake":
            return SendRefused(told)


def told_as(code: int | None, words: str, status: int) -> str:
    """How an error is shown: `Meta answered 131026: …`."""
    named = str(code) if code is not None else f"HTTP {status}"
    return f"Meta answered {named}: {words}" if words else f"Meta answered {named}"


def told_error(error: dict[str, Any]) -> str:
    """An error of a status or a delivery as code and title."""
    code = _number(error, "code")
    title = harmless(text_at(error, "title")) or (KNOWN[code].words if code in KNOWN else "")
    return f"{code if code is not None else 'no code'}: {title}" if title else f"{code}"


def _is_gone(error: GraphError) -> bool:
    return error.code == 100 and error.subcode == _GONE_SUBCODE


def _by_status(status: int) -> Meaning:
    if status in (401, 403):
        return "account"
    return "later" if status in (408, 429) or status >= 500 else "refused"


def _number(found: dict[str, Any], key: str) -> int | None:
    word = word_at(found, key)
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 9 else None
