"""Amazon SES through SNS: an envelope signed by AWS, of the one topic that the owner named.

Anybody's topic is validly signed by AWS, so the TopicArn is pinned; so is the host of the certificate, to the topic's
region. The mail itself must be in the notification (the rule's SNS action, up to 150 KB, UTF-8 or base64).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from a1zap.channels.contract import ChannelAccount, Posted, Receipt, Status
from a1zap.channels.email.providers.contract import (
    SIGNATURE_AGE_MAX_S,
    Handed,
    InWayBase,
    Unpacked,
    Verdict,
    Verdicts,
    secret_of,
)
from a1zap.channels.email.providers.said_at import said_at
from a1zap.channels.email.storable import message_id
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, Invalid, Malformed, NotSignedIn, Rejected, Unavailable
from a1zap.kit.json import as_list, as_object, parse_object, text_at

_AGE_MAX_S: Final = 2 * 3600.0  # SNS gives up after an hour, and signs the time of publishing
_CERTIFICATES_MAX: Final = 50
_ARN = re.compile(r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z0-9-]{1,40}):[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
_CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem")
_NOTICE = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SUBSCRIPTION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Final = {
    "Notification": _NOTICE,
    "SubscriptionConfirmation": _SUBSCRIPTION,
    "UnsubscribeConfirmation": _SUBSCRIPTION,
}
_HEADER_LINE = re.compile(r"[!-9;-~]{1,100}:|From ")


class Ses(InWayBase):
    needed: Sequence[str] = ("topic_arn",)

    def __init__(self) -> None:
        self._certificates: OrderedDict[str, x509.Certificate] = OrderedDict()

    def check_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        if not _ARN.fullmatch(settings["topic_arn"]):
            raise Invalid(
                "'topic_arn' must be the SNS topic's ARN, such as arn:aws:sns:us-east-1:123456789012:mail",
                field="topic_arn",
            )
        return {}

    async def prepare(self, account: ChannelAccount, posted: Posted, egress: Egress) -> None:
        """Get the certificate that the delivery says it is signed with: only for our topic, only from AWS."""
        url = _certificate_url(account, _envelope(account, posted.raw))
        if url in self._certificates:
            return
        try:
            answer = await egress.request("GET", url, total_s=10, read_max_bytes=65_536)
        except (Unavailable, Rejected) as error:
            raise ChannelUnavailable("the certificate of SNS cannot be fetched now") from error
        if answer.status != 200:
            raise ChannelUnavailable(f"the certificate of SNS cannot be fetched: {answer.status}")
        try:
            self._certificates[url] = x509.load_pem_x509_certificate(answer.body)
        except ValueError:
            raise ChannelUnavailable("what SNS gave as its certificate is none") from None
        while len(self._certificates) > _CERTIFICATES_MAX:
            self._certificates.popitem(last=False)

    def authenticate(self, account: ChannelAccount, posted: Posted, now: datetime) -> None:
        envelope = _envelope(account, posted.raw)
        certificate = self._certificates.get(_certificate_url(account, envelope))
        if certificate is None:
            raise NotSignedIn("the certificate of SNS is not known")
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise NotSignedIn("the certificate of SNS is not valid now")
        _require_signed(envelope, certificate)
        _require_new(text_at(envelope, "Timestamp"), now)

    async def complete(self, account: ChannelAccount, posted: Posted, egress: Egress) -> Posted | None:
        """Confirm the subscription of the pinned topic; notices are kept as they are."""
        envelope = parse_object(posted.raw)
        kind = text_at(envelope, "Type")
        if kind == "Notification":
            return posted
        if kind == "SubscriptionConfirmation":
            url = _subscribe_url(account, envelope)
            try:
                answer = await egress.request("GET", url, total_s=10, read_max_bytes=65_536)
            except (Unavailable, Rejected) as error:
                raise ChannelUnavailable("the subscription cannot be confirmed now") from error
            if answer.status != 200:
                raise ChannelUnavailable(f"AWS answered {answer.status} to the subscription's confirmation")
        return None

    def unpack(
        self, account: ChannelAccount, raw: bytes, content_type: str, now: datetime
    ) -> Sequence[Unpacked]:
        envelope = parse_object(raw)
        message = parse_object(text_at(envelope, "Message").encode("utf-8", "replace"))
        kind = text_at(message, "notificationType") or text_at(message, "eventType")
        if kind in {"Bounce", "Complaint", "Delivery", "Reject"}:
            return list(_news(kind, message, text_at(envelope, "TopicArn"), now))
        if kind != "Received":
            raise Malformed("the notification of SES is of a kind that we do not know")
        return [_received(message)]


# ── what AWS signs ──────────────────────────────────────────────────────────────────────────────────────────────────


def _envelope(account: ChannelAccount, raw: bytes) -> dict[str, Any]:
    """The envelope of SNS, if it says that it is of our topic: nothing of another one is looked at further."""
    topic = secret_of(account, "topic_arn")
    try:
        envelope = parse_object(raw)
    except Malformed:
        raise NotSignedIn("the body is not an envelope of SNS") from None
    if text_at(envelope, "TopicArn") != topic:
        raise NotSignedIn("the delivery is not of the topic that this channel is connected to")
    return envelope


def _host(account: ChannelAccount) -> str:
    found = _ARN.fullmatch(secret_of(account, "topic_arn"))
    if found is None:
        raise NotSignedIn("this channel's topic_arn is not the ARN of a topic")
    return f"sns.{found[2]}.amazonaws.com" + (".cn" if found[1] == "aws-cn" else "")


def _certificate_url(account: ChannelAccount, envelope: dict[str, Any]) -> str:
    url = text_at(envelope, "SigningCertURL") or text_at(envelope, "SigningCertUrl")
    prefix = f"https://{_host(account)}/"
    if not url.startswith(prefix) or not _CERTIFICATE_PATH.fullmatch(url[len(prefix) - 1 :]):
        raise NotSignedIn("SigningCertURL is not an address of SNS in the topic's region")
    return url


def _require_signed(envelope: dict[str, Any], certificate: x509.Certificate) -> None:
    names = _SIGNED.get(text_at(envelope, "Type"))
    if names is None:
        raise NotSignedIn("Type is none that SNS signs")
    signed = "".join(f"{name}\n{text_at(envelope, name)}\n" for name in names if name in envelope)
    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}.get(text_at(envelope, "SignatureVersion"))  # noqa: S303
    key = certificate.public_key()
    if algorithm is None or not isinstance(key, rsa.RSAPublicKey):
        raise NotSignedIn("SignatureVersion must be 1 or 2")
    try:
        key.verify(
            base64.b64decode(text_at(envelope, "Signature"), validate=True),
            signed.encode("utf-8", "replace"),
            padding.PKCS1v15(),
            algorithm,
        )
    except (InvalidSignature, binascii.Error, ValueError):
        raise NotSignedIn("Signature does not fit the notification") from None


def _require_new(stamp: str, now: datetime) -> None:
    try:
        published = datetime.fromisoformat(stamp)
    except ValueError:
        raise NotSignedIn("Timestamp is not a time") from None
    published = published if published.tzinfo else published.replace(tzinfo=UTC)
    age_s = (now - published).total_seconds()
    if age_s > _AGE_MAX_S or age_s < -SIGNATURE_AGE_MAX_S:
        raise NotSignedIn("Timestamp is too far away from now")


def _subscribe_url(account: ChannelAccount, envelope: dict[str, Any]) -> str:
    url = text_at(envelope, "SubscribeURL")
    asked = parse_qs(urlsplit(url).query)
    if (
        not url.startswith(f"https://{_host(account)}/")
        or asked.get("Action") != ["ConfirmSubscription"]
        or asked.get("TopicArn") != [account.credentials["topic_arn"]]
    ):
        raise NotSignedIn("SubscribeURL does not confirm the topic that this channel is connected to")
    return url


# ── what SES says ───────────────────────────────────────────────────────────────────────────────────────────────────


def _received(message: dict[str, Any]) -> Handed:
    receipt, mail = as_object(message.get("receipt")) or {}, as_object(message.get("mail")) or {}
    action = as_object(receipt.get("action")) or {}
    content = text_at(message, "content")
    if not content:
        where = "in S3" if text_at(action, "type") == "S3" else "not in the notification"
        raise Malformed(
            f"the mail is {where}: use the rule's SNS action (mails up to 150 KB), or a Lambda that posts the raw mail "
            "to a channel with inbound 'raw'"
        )
    return Handed(
        _content(content, text_at(action, "encoding")),
        envelope_from=text_at(mail, "source") if "source" in mail else None,
        envelope_to=[one for one in as_list(receipt.get("recipients")) or [] if isinstance(one, str)],
        verdicts=Verdicts(
            spf=_verdict(receipt, "spfVerdict"),
            dkim=_verdict(receipt, "dkimVerdict"),
            dmarc=_verdict(receipt, "dmarcVerdict"),
            dmarc_policy=text_at(receipt, "dmarcPolicy").lower(),
            is_spam=_verdict(receipt, "spamVerdict") == "fail",
            has_virus=_verdict(receipt, "virusVerdict") == "fail",
            spf_domain=text_at(mail, "source").rpartition("@")[2],
        ),
    )


def _content(content: str, encoding: str) -> bytes:
    """The mail; base64 where the rule says so, or where the first line can be no header."""
    if encoding.upper() == "BASE64" or (encoding == "" and not _HEADER_LINE.match(content.lstrip())):
        try:
            return base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            pass
    return content.encode("utf-8", "replace")


def _verdict(receipt: dict[str, Any], name: str) -> Verdict:
    said = text_at(as_object(receipt.get(name)) or {}, "status").upper()
    return "pass" if said == "PASS" else "fail" if said == "FAIL" else "none"


def _news(kind: str, message: dict[str, Any], topic_arn: str, now: datetime) -> Iterator[Receipt]:
    """What became of a mail of ours; SES knows it by the id that it put in place of ours."""
    mail = as_object(message.get("mail")) or {}
    own = text_at(mail, "messageId")
    if not own:
        return
    external_id = rewritten_id(own, topic_arn.split(":")[3])
    said = as_object(message.get(kind.lower())) or {}
    at = said_at(text_at(said, "timestamp"), now)
    if kind == "Delivery":
        yield Receipt(external_id, Status.DELIVERED, at)
        return
    if kind == "Bounce" and text_at(said, "bounceType") == "Transient":
        yield Receipt(external_id, Status.FAILED, at, error="SES says: bounced, for now")
        return
    recipients = as_list(said.get(f"{'bounced' if kind == 'Bounce' else 'complained'}Recipients")) or []
    first = as_object(recipients[0]) if recipients else None
    address = text_at(first or {}, "emailAddress").strip().lower()
    yield Receipt(
        external_id, Status.FAILED, at, error=f"SES says: {kind.lower()}", dead_address=address or None
    )


def rewritten_id(own: str, region: str) -> str:
    """The Message-ID that SES gives a mail in place of its own."""
    domain = "email.amazonses.com" if region == "us-east-1" else f"{region}.amazonses.com"
    return message_id(f"{own}@{domain}")
