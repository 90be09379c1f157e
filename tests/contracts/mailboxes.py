"""Connected mailboxes for tests, and their providers' signatures made with real keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from standardwebhooks import Webhook as StandardWebhook

from a1zap.channels.contract import ChannelAccount, Kept, Outbound, Posted, Thread
from a1zap.channels.email.channel import Email

PAYLOADS = Path(__file__).parent / "payloads"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
KEY = "mfrggzdfmztwq2lkmfrggzdfmztwq2lkmfrg"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OUT = {"outbound": "smtp", "smtp_host": "smtp.acme.test"}

_SENDGRID = ec.generate_private_key(ec.SECP256R1())
SENDGRID_PUBLIC = base64.b64encode(
    _SENDGRID.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
).decode()
_SNS = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sns_certificate(key=_SNS, at: datetime = NOW) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(at - timedelta(days=30))
        .not_valid_after(at + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )


INBOUND = {
    "raw": {"inbound_secret": SECRET},
    "a1mail": {"company_id": "company-4711"},
    "postmark": {"inbound_user": "hook", "inbound_password": "a-long-password-of-ours"},
    "mailgun": {"signing_key": "mailgun-signing-key", "provider_verdicts": "yes"},
    "sendgrid": {"verification_key": SENDGRID_PUBLIC},
    "ses": {"topic_arn": TOPIC},
    "resend": {"signing_secret": SECRET, "resend_api_key": "re_123"},
    "smtp": {},
    "lmtp": {},
    "imap": {"imap_host": "imap.acme.test", "imap_user": "support", "imap_password": "secret"},
}


def mailbox(inbound: str = "raw", *, channel: Email | None = None, **settings: str) -> ChannelAccount:
    wanted = {
        "address": "support@acme.test", "inbound": inbound, **INBOUND[inbound], **OUT,
        "authserv_id": "mx.acme.test", **settings,
    }  # fmt: skip
    identity, credentials = (channel or Email()).check_settings({k: v for k, v in wanted.items() if v})
    return ChannelAccount(uuid4(), uuid4(), uuid4(), "email", identity, credentials)


# ── what providers post ─────────────────────────────────────────────────────────────────────────────────────────


def payload_names(inbound: str) -> list[str]:
    return sorted(p.name for p in (PAYLOADS / f"email_{inbound}").iterdir() if p.name != "expected.json")


def expected_of(inbound: str) -> dict:
    return json.loads((PAYLOADS / f"email_{inbound}" / "expected.json").read_text())


def body_of(inbound: str, name: str, at: datetime = NOW) -> tuple[bytes, str]:
    """(body, content type) of a payload; forms are spelled as the provider would."""
    raw = (PAYLOADS / f"email_{inbound}" / name).read_bytes()
    if inbound in ("mailgun", "sendgrid"):
        told = json.loads(raw)
        if inbound == "mailgun":
            told["fields"] |= mailgun_fields("t" * 40 + hashlib.sha256(name.encode()).hexdigest()[:10], at)
        return spell_form(told)
    if inbound == "ses":
        told = json.loads(raw)
        told.setdefault("TopicArn", TOPIC)
        if isinstance(told["Message"], dict):
            told["Message"] = json.dumps(told["Message"])
        return json.dumps(sign_sns(told, at=at)).encode(), "text/plain; charset=UTF-8"
    return raw, "message/rfc822" if inbound == "raw" else "application/json"


def mailgun_fields(token: str, at: datetime = NOW, key: str = "mailgun-signing-key") -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    signature = hmac.new(key.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    return {"timestamp": stamp, "token": token, "signature": signature}


def spell_form(told: dict) -> tuple[bytes, str]:
    fields = {name: _field(value) for name, value in told["fields"].items()}
    if told["form"] == "urlencoded":
        from urllib.parse import urlencode

        return urlencode(fields).encode(), "application/x-www-form-urlencoded"
    boundary = b"xYzZY0123456789"
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (boundary, name.encode(), value)
        for name, value in fields.items()
    ]
    for name, file in told.get("files", {}).items():
        parts.append(
            b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\nContent-Type: %b\r\n\r\n%b\r\n'
            % (boundary, name.encode(), file["name"].encode(), file["type"].encode(), _field(file["content"]))
        )
    return b"".join(parts) + b"--%b--\r\n" % boundary, f'multipart/form-data; boundary="{boundary.decode()}"'


def _field(value) -> bytes:
    """Text, lines of a mail, `{"charset", "text"}`, `{"base64"}` or JSON."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\r\n".join(value).encode()
    if isinstance(value, dict) and "charset" in value and "text" in value:
        return value["text"].encode(value["charset"])
    if isinstance(value, dict) and "base64" in value:
        return base64.b64decode(value["base64"])
    return json.dumps(value["json"]).encode()


def sign_sns(told: dict, key=_SNS, version: str = "1", at: datetime = NOW) -> dict:
    told = {"MessageId": str(uuid4()), "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"), **told}
    names = (
        ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        if told["Type"] == "Notification"
        else ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    )
    signed = "".join(f"{name}\n{told[name]}\n" for name in names if name in told).encode()
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - as Amazon signs version 1
    signature = base64.b64encode(key.sign(signed, padding.PKCS1v15(), algorithm)).decode()
    return {**told, "SignatureVersion": version, "Signature": signature, "SigningCertURL": CERTIFICATE_URL}


def posted_by(inbound: str, body: bytes, content_type: str, at: datetime = NOW) -> Posted:
    """The delivery as the provider signs it at `at`."""
    stamp = str(int(at.timestamp()))
    headers = {"content-type": content_type}
    match inbound:
        case "raw" | "resend":
            prefix = "webhook" if inbound == "raw" else "svix"
            # Signed by the reference implementation, not by ours.
            signature = StandardWebhook(SECRET).sign("msg_1", at, body.decode("latin-1")) if body.isascii() else (
                "v1," + base64.b64encode(hmac.new(b"k" * 32, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
            )  # fmt: skip
            headers |= {
                f"{prefix}-id": "msg_1",
                f"{prefix}-timestamp": stamp,
                f"{prefix}-signature": signature,
            }
        case "a1mail":
            signature = hmac.new(b"company-4711", stamp.encode() + body, hashlib.sha256).hexdigest()
            headers |= {"x-timestamp": stamp, "x-signature": signature}
        case "postmark":
            headers["authorization"] = "Basic " + base64.b64encode(b"hook:a-long-password-of-ours").decode()
        case "sendgrid":
            signature = _SENDGRID.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
            headers |= {
                "x-twilio-email-event-webhook-timestamp": stamp,
                "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
            }
    return Posted(headers, body, {})


def kept(posted: Posted, **meta) -> Kept:
    return Kept(uuid4(), posted.raw, {"content_type": posted.headers.get("content-type", ""), **meta})


# ── what we send ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Told:
    """A message to send; every part that a test does not name is ordinary."""

    text: str = "We open at **nine**.\n\n- Monday\n- Tuesday"
    to: str | None = "ann@example.com"
    subject: str | None = "Opening hours"
    last: str | None = "last@example.com"
    references: tuple[str, ...] = ("first@example.com", "last@example.com")


def outbound(told: Told = Told(), **more) -> Outbound:
    thread = Thread(told.subject, told.references, told.last, NOW) if told.last or told.subject else None
    return Outbound(
        **{
            "id": UUID("0193b1a2-6c1e-7d3f-9a44-0b6e7c9d1f20"),
            "chat_external_id": "chat",
            "chat_type": "individual",
            "service": "email",
            "to_address": told.to,
            "text": told.text,
            "first_tried_at": NOW,
            "thread": thread,
            "chat_key": KEY,
            "agent_name": "Ada",
            **more,
        }
    )
