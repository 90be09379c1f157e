"""SendGrid Inbound Parse: a multipart form, raw (`email`) or parsed.

With `verification_key` every delivery must bear Twilio's ECDSA signature over timestamp and body. Without it, the secret
is in the webhook's address: `?secret=<inbound_secret>`. SendGrid repeats for three days, and the signature covers the
body: an old delivery that is true can only be one that we have, or one that we missed.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from a1zap.channels.contract import ChannelAccount, Posted
from a1zap.channels.email.providers.contract import (
    Handed,
    InWayBase,
    Unpacked,
    Verdicts,
    require_equal,
    require_recent,
    secret_of,
)
from a1zap.channels.email.providers.form import Form, parse_form
from a1zap.channels.email.providers.rebuild import FilePart, rebuild_mail
from a1zap.kit.errors import Invalid, Malformed, NotSignedIn
from a1zap.kit.json import as_list, as_object, parse_json, text_at

_AGE_MAX_S: Final = 4 * 86_400.0
_SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
_TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"
_DKIM_DOMAIN = re.compile(r"@([A-Za-z0-9.-]{1,253})\s{0,4}:\s{0,4}pass\b")
_FOLD = re.compile(r"\r?\n[ \t]+")


class SendGrid(InWayBase):
    known: Sequence[str] = ("verification_key", "inbound_secret")

    def check_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        secret = settings.get("inbound_secret", "")
        if secret and len(secret) < 16:
            raise Invalid("'inbound_secret' must have at least 16 characters", field="inbound_secret")
        if not settings.get("verification_key"):
            return {} if secret else {"inbound_secret": secrets.token_urlsafe(24)}
        try:
            _public_key(settings["verification_key"])
        except ValueError:
            raise Invalid(
                "'verification_key' must be the base64 public key (P-256) that SendGrid shows",
                field="verification_key",
            ) from None
        return {}

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        key = account.credentials.get("verification_key")
        if not key:
            secret = secret_of(account, "inbound_secret")
            given = posted.query.get("secret", "")
            if not given:
                raise NotSignedIn("`?secret=<inbound_secret>` is needed in the webhook's address")
            require_equal(secret, given, what="the secret in the address")
            return
        stamp, signature = posted.headers.get(_TIMESTAMP, ""), posted.headers.get(_SIGNATURE, "")
        if not stamp or not signature:
            raise NotSignedIn(f"the headers {_TIMESTAMP} and {_SIGNATURE} are both needed")
        require_recent(stamp, now, what=_TIMESTAMP, past_s=_AGE_MAX_S)
        try:
            _public_key(key).verify(
                base64.b64decode(signature, validate=True),
                stamp.encode() + posted.raw,
                ec.ECDSA(hashes.SHA256()),
            )
        except (InvalidSignature, binascii.Error, ValueError):
            raise NotSignedIn(f"{_SIGNATURE} does not fit the body") from None

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        form = parse_form(raw, content_type)
        whole = form.fields.get("email", b"") or (
            form.files["email"].content if "email" in form.files else b""
        )
        if not whole.strip() and not form.has("headers") and not form.has("from"):
            raise Malformed("a SendGrid delivery needs 'email' (POST raw), or 'headers' and 'from'")
        envelope = as_object(_json(form, "envelope")) or {}
        to = [one for one in as_list(envelope.get("to")) or [] if isinstance(one, str)]
        sender = text_at(envelope, "from") if "from" in envelope else None
        return [
            Handed(
                whole if whole.strip() else _rebuilt(form),
                envelope_from=sender,
                envelope_to=to,
                verdicts=_verdicts(form, sender or ""),
                is_rebuilt=not whole.strip(),
            )
        ]


def _public_key(text: str) -> ec.EllipticCurvePublicKey:
    """Raises ValueError where the text is no public key of an elliptic curve."""
    encoded = "".join(line for line in text.split("\n") if not line.startswith("-----"))
    try:
        key = load_der_public_key(base64.b64decode("".join(encoded.split()), validate=True))
    except (binascii.Error, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("no key of an elliptic curve")  # noqa: TRY004 - the text is wrong, not our types
    return key


def _json(form: Form, name: str) -> object:
    try:
        return parse_json(form.fields.get(name, b"null"))
    except orjson.JSONDecodeError:
        return None


def _rebuilt(form: Form) -> bytes:
    charsets = {name: str(label) for name, label in (as_object(_json(form, "charsets")) or {}).items()}
    headers = list(_headers(form.text("headers", charsets.get("headers"))))
    told = {name.lower() for name, _ in headers}
    for name in ("From", "To", "Cc", "Subject"):
        value = form.text(name.lower(), charsets.get(name.lower()))
        if value and name.lower() not in told:
            headers.append((name, value))
    info = as_object(_json(form, "attachment-info")) or {}
    by_field = {
        str(field): content_id for content_id, field in (as_object(_json(form, "content-ids")) or {}).items()
    }
    files: list[FilePart] = []
    for field, one in form.files.items():
        said = as_object(info.get(field)) or {}
        content_id = text_at(said, "content-id") or by_field.get(field, "")
        name = text_at(said, "filename") or text_at(said, "name") or one.name
        files.append(FilePart(name, text_at(said, "type") or one.mime_type, one.content, content_id))
    text, html = (form.text(name, charsets.get(name)) for name in ("text", "html"))
    return rebuild_mail(headers, text=text, html=html, files=files)


def _headers(block: str) -> Iterator[tuple[str, str]]:
    for line in _FOLD.sub(" ", block).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()


def _verdicts(form: Form, envelope_from: str) -> Verdicts:
    """SendGrid's own fields, beside the mail: no sender can write them."""
    spf = form.text("SPF").strip().lower()
    domains = _DKIM_DOMAIN.findall(form.text("dkim")[:4000])
    return Verdicts(
        spf="pass" if spf == "pass" else "fail" if spf in {"fail", "softfail"} else "none",
        dkim="pass" if domains else "none",
        spf_domain=envelope_from.rpartition("@")[2],
        dkim_domains=domains,
    )
