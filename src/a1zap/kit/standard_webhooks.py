"""Standard Webhooks 1.0: prove that these very bytes were sent just now by who has the secret.

    webhook-id         what the message is called; the same at every attempt, so that a repeat is known as one
    webhook-timestamp  seconds since 1970, of this attempt
    webhook-signature  "v1," + base64(HMAC-SHA256(secret, "{id}.{timestamp}.{body}")), several with a space between

Signing and verifying both take several secrets: while one is replaced, the old one counts too.
Ours and not the library's, because that raises errors of other kinds on headers that are no signatures at all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from a1zap.kit.errors import Invalid, NotConfigured, NotSignedIn

SECRET_PREFIX = "whsec_"  # noqa: S105 - how every secret begins, no secret
AGE_MAX_S = 300
SECRET_BYTES = range(24, 65)  # what the specification allows

_PREFIXES = ("webhook", "svix")  # Svix is where the scheme comes from; who uses its service sends its names
_ID = re.compile(r"[!-\-/-~]{1,256}")  # printable ASCII without a full stop, which ends it in what is signed
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURES_MAX = 16
_SIGNATURE_HEADER_MAX = 4096


def new_secret() -> str:
    """A fresh secret in its written form."""
    return SECRET_PREFIX + base64.b64encode(os.urandom(32)).decode()


def read_secret(text: str, *, field: str = "secret") -> bytes:
    """The key that a written secret stands for.

    Raises:
        Invalid: it is not `whsec_` and 24 to 64 bytes in base64.
    """
    spelled = text.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(spelled + "=" * (-len(spelled) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in SECRET_BYTES:
        raise Invalid(f"'{field}' must be {SECRET_PREFIX} and 24 to 64 random bytes in base64", field=field)
    return key


def sign(secrets: Sequence[str], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers that prove `body`, one signature a secret.

    Raises:
        ValueError: the id cannot be signed (a bug of the caller's: ids are ours).
    """
    if not _ID.fullmatch(message_id):
        raise ValueError(f"no id of a webhook: {message_id!r}")
    stamp = str(int(at.timestamp()))
    signatures = (f"v1,{_signature(read_secret(secret), message_id, stamp, body)}" for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signatures),
    }


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """The id of a message that one of the secrets signed within five minutes of now. Header names in lower case.

    Raises:
        NotConfigured: there is no secret to check with.
        NotSignedIn: a header is missing, malformed or too long, the time is off, or no signature fits.
    """
    if not secrets:
        raise NotConfigured("there is no secret to check this webhook with: set one, and it is accepted")
    message_id, stamp, signatures = _headers(headers)
    if not _ID.fullmatch(message_id):
        raise NotSignedIn("webhook-id must be 1 to 256 printable ASCII characters without a full stop")
    if not _TIMESTAMP.fullmatch(stamp):
        raise NotSignedIn("webhook-timestamp is not a time in seconds")
    if abs(now.timestamp() - int(stamp)) > AGE_MAX_S:
        raise NotSignedIn("webhook-timestamp is more than five minutes away from now")
    given = _given(signatures)
    fits = False
    for secret in secrets:
        expected = _signature(read_secret(secret), message_id, stamp, body).encode()
        # Compared as written: base64 has several spellings of the same bytes, and only one of them is a signature.
        for signature in given:
            fits |= hmac.compare_digest(expected, signature)
    if not fits:
        raise NotSignedIn("webhook-signature does not fit the body")
    return message_id


def id_of(headers: Mapping[str, str]) -> str:
    """The id that an already verified message came with; '' where it came with none."""
    return _triple(headers)[0]


def _triple(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """(id, timestamp, signatures) of the first family of names that is there whole; never a mixture."""
    for prefix in _PREFIXES:
        found = tuple(headers.get(f"{prefix}-{name}", "") for name in ("id", "timestamp", "signature"))
        if all(found):
            return found[0], found[1], found[2]
    return "", "", ""


def _headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    found = _triple(headers)
    if not all(found):
        raise NotSignedIn("the headers webhook-id, webhook-timestamp and webhook-signature are all needed")
    return found


def _given(signatures: str) -> list[bytes]:
    """The v1 signatures of a header; those of other versions are for others."""
    if len(signatures) > _SIGNATURE_HEADER_MAX:
        raise NotSignedIn(f"webhook-signature is longer than {_SIGNATURE_HEADER_MAX} characters")
    parts = signatures.split(" ")
    if len(parts) > _SIGNATURES_MAX:
        raise NotSignedIn(f"webhook-signature holds more than {_SIGNATURES_MAX} signatures")
    found = [part.removeprefix("v1,") for part in parts if part.startswith("v1,")]
    if not found:
        raise NotSignedIn("webhook-signature holds no signature of version v1")
    return [one.encode("utf-8", "replace") for one in found]


def _signature(key: bytes, message_id: str, stamp: str, body: bytes) -> str:
    digest = hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256)
    return base64.b64encode(digest).decode()
