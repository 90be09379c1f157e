"""What an owner says to connect a mailbox, held to what the ways in and out of it need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from a1zap.channels.email.mailbox import normal_address
from a1zap.channels.email.out.a1mail import A1MailOut
from a1zap.channels.email.out.contract import OutWay
from a1zap.channels.email.out.postmark import PostmarkOut
from a1zap.channels.email.out.resend import ResendOut
from a1zap.channels.email.out.smtp import SmtpOut
from a1zap.channels.email.providers.a1mail import A1Mail
from a1zap.channels.email.providers.contract import InWay
from a1zap.channels.email.providers.doors import Door, Imap
from a1zap.channels.email.providers.mailgun import Mailgun
from a1zap.channels.email.providers.postmark import Postmark
from a1zap.channels.email.providers.raw import Raw
from a1zap.channels.email.providers.resend import Resend
from a1zap.channels.email.providers.sendgrid import SendGrid
from a1zap.channels.email.providers.ses import Ses
from a1zap.kit.errors import Invalid

_KIND: Final = "email"
_NEEDED: Final = ("address", "inbound", "outbound")
_OPTIONAL: Final = ("from_name", "signature", "reply_format", "authserv_id")
_FORMATS: Final = ("html", "text")
_TEXT_MAX: Final = 2000


def ways_in() -> Mapping[str, InWay]:
    return {
        "raw": Raw(),
        "a1mail": A1Mail(),
        "postmark": Postmark(),
        "mailgun": Mailgun(),
        "sendgrid": SendGrid(),
        "ses": Ses(),
        "resend": Resend(),
        "smtp": Door("SMTP"),
        "lmtp": Door("LMTP"),
        "imap": Imap(),
    }


def ways_out() -> Mapping[str, OutWay]:
    return {"smtp": SmtpOut(), "a1mail": A1MailOut(), "postmark": PostmarkOut(), "resend": ResendOut()}


def check_mailbox_settings(
    settings: Mapping[str, str], ins: Mapping[str, InWay], outs: Mapping[str, OutWay]
) -> tuple[str, Mapping[str, str]]:
    """Identity (the address) and credentials out of what an owner typed; secrets that we can make are made.

    Raises:
        Invalid: a field is missing, unknown or wrong, by name.
    """
    for name in _NEEDED:
        if not settings.get(name):
            raise Invalid(f"an {_KIND} channel needs '{name}'{_choices(name, ins, outs)}", field=name)
    way_in, way_out = ins.get(settings["inbound"]), outs.get(settings["outbound"])
    if way_in is None:
        raise _no_such_way("inbound", ins)
    if way_out is None:
        raise _no_such_way("outbound", outs)
    needed = {*_NEEDED, *way_in.needed, *way_out.needed}
    known = {*needed, *_OPTIONAL, *way_in.known, *way_out.known}
    for name in settings:
        if name not in known:
            ways = f"with inbound '{settings['inbound']}' and outbound '{settings['outbound']}'"
            raise Invalid(
                f"an {_KIND} channel {ways} has no setting '{name}'; it has: {', '.join(sorted(known))}",
                field=name,
            )
    for name in sorted(needed):
        if not settings.get(name):
            raise Invalid(f"an {_KIND} channel needs '{name}' for the ways that it goes", field=name)
    identity = _checked(settings)
    way_out.check_settings(settings)
    made = way_in.check_settings(settings)
    kept = {name: value for name, value in settings.items() if name != "address" and value}
    return identity, {**kept, **made}


def _checked(settings: Mapping[str, str]) -> str:
    """The address; what belongs to no way is right besides."""
    identity = normal_address(settings["address"])
    if not identity or "+" in identity:
        raise Invalid(
            "'address' must be one email address without a plus, such as support@acme.com", field="address"
        )
    if settings.get("reply_format", "html") not in _FORMATS:
        raise Invalid("'reply_format' must be html (text and HTML) or text", field="reply_format")
    if settings.get("provider_verdicts", "no") not in ("yes", "no"):
        raise Invalid("'provider_verdicts' must be yes or no", field="provider_verdicts")
    for name in ("signature", "from_name"):
        if len(settings.get(name, "")) > _TEXT_MAX:
            raise Invalid(f"'{name}' has more than {_TEXT_MAX} characters", field=name)
    for name, value in settings.items():
        if name.endswith("_url") and not value.startswith("https://") and not value.startswith("http://"):
            raise Invalid(f"'{name}' must begin with https://", field=name)
    return identity


def _choices(name: str, ins: Mapping[str, InWay], outs: Mapping[str, OutWay]) -> str:
    if name == "inbound":
        return f": one of {', '.join(ins)}"
    return f": one of {', '.join(outs)}" if name == "outbound" else ", such as support@acme.com"


def _no_such_way(name: str, ways: Mapping[str, InWay] | Mapping[str, OutWay]) -> Invalid:
    return Invalid(f"'{name}' must be one of {', '.join(ways)}", field=name)
