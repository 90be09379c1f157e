"""Mail in: every documented form of every provider, its real signatures, and what must never be taken in."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from tests.contracts.mailboxes import (
    CERTIFICATE_URL,
    INBOUND,
    KEY,
    NOW,
    OUT,
    SECRET,
    TOPIC,
    body_of,
    expected_of,
    kept,
    mailbox,
    mailgun_fields,
    payload_names,
    posted_by,
    sign_sns,
    sns_certificate,
    spell_form,
)  # fmt: skip

from a1zap.channels.contract import Inbound, Kept, Posted, Receipt, Status
from a1zap.channels.email.channel import Email
from a1zap.kit.egress import EgressResponse
from a1zap.kit.errors import ChannelUnavailable, Invalid, Malformed, NotAllowed, NotConfigured, NotSignedIn

SIGNED = ["raw", "a1mail", "postmark", "mailgun", "sendgrid", "ses", "resend"]
CASES = [(way, name) for way in SIGNED for name in payload_names(way)]
MUTATIONS = 200


@pytest.fixture(scope="module")
async def email():
    channel = Email(clock=lambda: NOW)
    yield channel
    await channel.close()


class Aws:
    """Answers as AWS and Resend do, by URL; counts. (A guard that lets no stranger's address through stands before it.)"""

    def __init__(self, answers: dict[str, bytes | int]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def request(self, method, url, **_kwargs):
        self.asked.append(url)
        found = self.answers.get(url, 404)
        return EgressResponse(found, {}, b"") if isinstance(found, int) else EgressResponse(200, {}, found)


async def delivered(email: Email, way: str, name: str, account=None) -> tuple:
    """The delivery as the door would take it in: prepared, proved, kept, read."""
    account = account or mailbox(way)
    posted = posted_by(way, *body_of(way, name))
    await email.prepare(account, posted, Aws({CERTIFICATE_URL: sns_certificate().public_bytes(Encoding.PEM)}))
    email.authenticate(account, posted, NOW)
    return account, posted, await email.read(account, kept(posted), NOW)


# ── what they say ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("way", "name"), CASES, ids=lambda value: value)
async def test_every_documented_form_says_what_it_says(email, way, name):
    told = expected_of(way)[name]
    if told.get("malformed"):
        with pytest.raises(Malformed):
            await delivered(email, way, name)
        return
    _account, _, items = await delivered(email, way, name)
    messages = [item for item in items if isinstance(item, Inbound)]
    receipts = [item for item in items if isinstance(item, Receipt)]
    assert len(messages) + len(receipts) == len(items)
    if told.get("nothing"):
        assert not items
    for message in messages:
        seen = {
            "text": message.text, "sender": message.sender_address, "chat_key": message.chat_key,
            "continues": list(message.continues), "verified": message.sender_is_verified,
            "automatic": message.automatic, "subject": message.rich_content["subject"],
            "thread_ref": message.thread_ref, "files": [file.name for file in message.attachments],
        }  # fmt: skip
        assert {key: seen[key] for key in told if key in seen} == {
            key: told[key] for key in told if key in seen
        }
        assert message.chat_external_id and message.sender_address and message.text.strip()
    for receipt in receipts:
        want = told.get("failed") or told.get("delivered")
        assert (receipt.external_id, receipt.status) == (
            want, Status.FAILED if told.get("failed") else Status.DELIVERED,
        )  # fmt: skip
        assert receipt.dead_address == told.get("dead", receipt.dead_address)
        if told.get("ours"):
            assert receipt.message_id == UUID(told["ours"])
    if "failed" in told:
        assert bool(receipts) == bool(told["failed"])


async def test_there_are_enough_of_them():
    assert len(CASES) >= 60
    assert all(set(payload_names(way)) == set(expected_of(way)) for way in SIGNED)


async def test_the_same_mail_is_one_message_and_a_reused_message_id_loses_none(email):
    account = mailbox()
    raw, _ = body_of("raw", "plain.eml")
    first, again = [(await email.read(account, Kept(uuid4(), raw, {}), NOW))[0] for _ in range(2)]
    other = (await email.read(account, Kept(uuid4(), raw.replace(b"Saturdays", b"Sundays"), {}), NOW))[0]
    assert first.external_id == again.external_id != other.external_id
    assert first.thread_ref == other.thread_ref
    assert first.chat_external_id != other.chat_external_id, (
        "who knows a Message-ID must not get into its chat"
    )


async def test_a_mail_without_a_message_id_is_known_by_its_bytes(email):
    raw, _ = body_of("raw", "no_message_id.eml")
    first, again, other = [
        (await email.read(mailbox(), Kept(uuid4(), one, {}), NOW))[0].external_id
        for one in (raw, raw, raw + b"!")
    ]
    assert first == again != other


@pytest.mark.parametrize("way", ["postmark", "mailgun", "sendgrid"])
async def test_a_rebuilt_mail_without_a_message_id_is_one_message_at_every_reading(email, way):
    told = {"From": "ann@example.com", "Subject": "Hi", "TextBody": "Hello", "HtmlBody": "<p>Hello</p>"}
    raw = (
        json.dumps(told).encode()
        if way == "postmark"
        else b"from=ann%40example.com&subject=Hi&text=Hello&html=Hello&body-plain=Hello&body-html=Hello"
    )
    kept = Kept(uuid4(), raw, {"content_type": "" if way != "postmark" else "application/json"})
    first, again = [(await email.read(mailbox(way), kept, NOW))[0].external_id for _ in range(2)]
    assert first == again


async def test_mails_under_one_message_id_with_other_files_or_recipients_are_each_a_message(email):
    def mail(to: str, content: str) -> bytes:
        return (
            f"From: scanner@example.com\r\nTo: {to}\r\nMessage-ID: <scan@example.com>\r\nSubject: Scan\r\n"
            "Content-Type: application/pdf; name=scan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            f"{content}\r\n"
        ).encode()

    raws = [
        mail("a@acme.test", "JVBERi0x"),
        mail("a@acme.test", "JVBERi0y"),
        mail("b@acme.test", "JVBERi0y"),
        b"Received: from elsewhere\r\n" + mail("b@acme.test", "JVBERi0y"),
    ]
    ids = [(await email.read(mailbox(), Kept(uuid4(), raw, {}), NOW))[0].external_id for raw in raws]
    assert len(set(ids)) == 3
    assert ids[2] == ids[3], "the same mail by another way"


async def test_the_envelope_that_a_door_knows_counts(email):
    raw, _ = body_of("raw", "plain.eml")
    meta = {"door": "smtp", "envelope_from": "", "envelope_to": [f"support+{KEY}@acme.test"]}
    item = (await email.read(mailbox("smtp"), Kept(uuid4(), raw, meta), NOW))[0]
    assert (item.automatic, item.chat_key) == ("null_sender", KEY)


async def test_results_of_the_doors_own_server_prove_a_sender(email):
    raw, _ = body_of("raw", "authenticated_by_a_stranger.eml")
    proven = []
    for name in ("mx.evil.test", "mx.other.test"):
        meta = {"door": "smtp", "authserv_id": name}
        proven.append(
            (await email.read(mailbox("smtp"), Kept(uuid4(), raw, meta), NOW))[0].sender_is_verified
        )
    assert proven == [True, False]


async def test_mailguns_verdicts_count_only_where_the_owner_says_its_filter_is_on(email):
    _, _, items = await delivered(
        email, "mailgun", "verdicts.json", mailbox("mailgun", provider_verdicts="no")
    )
    assert items[0].sender_is_verified is False


async def test_random_bytes_end_in_a_message_or_a_clear_refusal(email):
    chance = random.Random(4711)
    for way in SIGNED:
        account = mailbox(way)
        for _ in range(20):
            raw = chance.randbytes(chance.randrange(400))
            for content_type in ("", "application/json", "multipart/form-data; boundary=x", "message/rfc822"):
                try:
                    await email.read(account, Kept(uuid4(), raw, {"content_type": content_type}), NOW)
                except Malformed:
                    continue


# ── what must never be taken in ─────────────────────────────────────────────────────────────────────────────────


def mutants(way: str, posted: Posted, chance: random.Random):
    """Deliveries that nobody signed: another body, another signature, another time, and pieces that are missing."""
    named = [name for name in posted.headers if name not in ("content-type", "host")]
    for number in range(MUTATIONS):
        headers, raw = dict(posted.headers), bytearray(posted.raw)
        what = number % 4
        if what == 0 and way not in ("postmark", "mailgun"):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            if way == "ses" and bytes(raw).lower() == posted.raw.lower():
                continue
        elif what == 1 and named:
            name = chance.choice(named)
            value = bytearray(headers[name].encode())
            value[chance.randrange(len(value))] ^= 1 << chance.randrange(7)
            headers[name] = value.decode("latin-1")
        elif what == 2 and named:
            del headers[chance.choice(named)]
        elif named:
            name = chance.choice(named)
            headers[name] = chance.choice(
                ["", "0", "garbage", "v1,", "v1", "Basic", "Bearer x", "ü" * 9, headers[name][:-1]]
            )
        if bytes(raw) != posted.raw or headers != posted.headers:
            yield Posted(headers, bytes(raw), {})


@pytest.mark.parametrize("way", ["raw", "a1mail", "postmark", "sendgrid", "resend"])
async def test_two_hundred_mutations_are_refused_before_anything_is_read(email, way):
    account = mailbox(way)
    posted = posted_by(way, *body_of(way, payload_names(way)[0]))
    email.authenticate(account, posted, NOW)
    accepted = counted = 0
    for mutant in mutants(way, posted, random.Random(way)):
        counted += 1
        try:
            email.authenticate(account, mutant, NOW)
        except NotSignedIn:
            continue
        # The scheme of an Authorization header has no case, and white space around the token is none of it.
        if (
            mutant.headers.get("authorization", "").lower().strip()
            != posted.headers.get("authorization", "-").lower()
        ):
            accepted += 1
    assert counted >= 100
    assert accepted == 0


async def test_two_hundred_mutations_of_a_mailgun_form_are_refused(email):
    account, chance = mailbox("mailgun"), random.Random(4711)
    told = {
        "sender": "ann@example.com",
        "recipient": "support@acme.test",
        "body-plain": "Hello",
        **mailgun_fields("t" * 50),
    }
    email.authenticate(account, Posted(*_form(told)), NOW)
    for number in range(MUTATIONS):
        changed = dict(told)
        name = ("timestamp", "token", "signature", "body-plain")[number % 4]
        value = bytearray(changed[name].encode())
        value[chance.randrange(len(value))] ^= 1 << chance.randrange(5)
        changed[name] = value.decode("latin-1")
        if changed[name].lower() == told[name].lower():
            continue
        with pytest.raises(NotSignedIn):
            email.authenticate(account, Posted(*_form(changed)), NOW)


def _form(fields: dict[str, str]) -> tuple[dict[str, str], bytes]:
    body, content_type = spell_form({"form": "urlencoded", "fields": fields})
    return {"content-type": content_type}, body


async def test_two_hundred_mutations_of_an_sns_envelope_are_refused(email):
    import json

    account, chance = mailbox("ses"), random.Random(4711)
    aws = Aws({CERTIFICATE_URL: sns_certificate().public_bytes(Encoding.PEM)})
    told = json.loads(body_of("ses", "content.json")[0])
    for number in range(MUTATIONS):
        changed = dict(told)
        name = chance.choice(
            [
                "Message",
                "MessageId",
                "Subject",
                "Timestamp",
                "TopicArn",
                "Type",
                "Signature",
                "SigningCertURL",
            ]
        )
        if number % 5 == 0:
            del changed[name]
        else:
            value = list(changed[name])
            value[chance.randrange(len(value) - 2)] = chance.choice("abcXYZ019-_ é")
            changed[name] = "".join(value)
        if changed == told:
            continue
        posted = Posted({}, json.dumps(changed).encode(), {})
        with pytest.raises((NotSignedIn, ChannelUnavailable)):
            await email.prepare(account, posted, aws)
            email.authenticate(account, posted, NOW)
    assert all(url.startswith("https://sns.eu-west-1.amazonaws.com/") for url in aws.asked)


@pytest.mark.parametrize(("way", "age_s"), [
    ("raw", 301), ("raw", -301), ("a1mail", 301), ("a1mail", -301), ("resend", 301), ("resend", -301),
    ("sendgrid", 5 * 86_400), ("sendgrid", -301),
])  # fmt: skip
async def test_a_delivery_of_another_time_is_refused(email, way, age_s):
    posted = posted_by(way, *body_of(way, payload_names(way)[0]), at=NOW - timedelta(seconds=age_s))
    with pytest.raises(NotSignedIn):
        email.authenticate(mailbox(way), posted, NOW)


@pytest.mark.parametrize("age_s", [10 * 3600, -301])
async def test_a_mailgun_form_of_another_time_is_refused(email, age_s):
    fields = mailgun_fields("t" * 50, NOW - timedelta(seconds=age_s))
    with pytest.raises(NotSignedIn):
        email.authenticate(mailbox("mailgun"), Posted(*_form(fields)), NOW)


async def test_a_mailgun_token_counts_for_one_form_and_again_for_the_same(email):
    account, signed = mailbox("mailgun"), mailgun_fields("u" * 50)
    first = Posted(*_form({"body-plain": "Hello", **signed}))
    email.authenticate(account, first, NOW)
    email.authenticate(
        account, first, NOW + timedelta(hours=8)
    )  # Mailgun tries again with its first signature
    with pytest.raises(NotSignedIn, match="used before"):
        email.authenticate(account, Posted(*_form({"body-plain": "Send money", **signed})), NOW)


@pytest.mark.parametrize("way", SIGNED)
async def test_without_its_secret_a_mailbox_refuses_and_never_skips_the_check(email, way):
    account = mailbox(way)
    posted = posted_by(way, *body_of(way, payload_names(way)[0]))
    bare = replace(account, credentials={"inbound": way, "outbound": "smtp"})
    with pytest.raises(NotConfigured):
        await email.prepare(bare, posted, Aws({}))
        email.authenticate(bare, posted, NOW)


@pytest.mark.parametrize("way", ["smtp", "lmtp", "imap"])
async def test_nothing_is_delivered_by_webhook_to_a_mailbox_behind_a_door(email, way):
    with pytest.raises(NotAllowed):
        email.authenticate(mailbox(way), Posted({}, b"From: a@b.c\r\n\r\nhi"), NOW)


async def test_a_raw_mail_may_come_with_the_secret_as_a_bearer(email):
    account, (body, kind) = mailbox(), body_of("raw", "plain.eml")
    email.authenticate(
        account, Posted({"authorization": f"Bearer {SECRET}", "content-type": kind}, body), NOW
    )
    for wrong in (f"Bearer {SECRET[:-1]}", "Bearer", f"Basic {SECRET}", SECRET, ""):
        with pytest.raises(NotSignedIn):
            email.authenticate(account, Posted({"authorization": wrong, "content-type": kind}, body), NOW)


async def test_sendgrid_without_a_key_needs_the_secret_in_its_address(email):
    account = mailbox("sendgrid", verification_key="", inbound_secret="a-secret-of-the-address")
    email.authenticate(account, Posted({}, b"", {"secret": "a-secret-of-the-address"}), NOW)
    for query in ({}, {"secret": ""}, {"secret": "a-secret-of-the-addresz"}):
        with pytest.raises(NotSignedIn):
            email.authenticate(account, Posted({}, b"", query), NOW)


async def test_with_a_key_sendgrids_secret_in_the_address_is_not_enough(email):
    account = mailbox("sendgrid", inbound_secret="a-secret-of-the-address")
    with pytest.raises(NotSignedIn):
        email.authenticate(account, Posted({}, b"", {"secret": "a-secret-of-the-address"}), NOW)


# ── Amazon ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _sns(told: dict) -> Posted:
    import json

    return Posted({"content-type": "text/plain"}, json.dumps(told).encode())


@pytest.mark.parametrize("version", ["1", "2"])
async def test_both_signature_versions_of_sns_are_taken(version):
    email, account = Email(), mailbox("ses")
    posted = _sns(sign_sns({"Type": "Notification", "TopicArn": TOPIC, "Message": "{}"}, version=version))
    aws = Aws({CERTIFICATE_URL: sns_certificate().public_bytes(Encoding.PEM)})
    for _ in range(3):
        await email.prepare(account, posted, aws)
        email.authenticate(account, posted, NOW)
    assert aws.asked == [CERTIFICATE_URL], "the certificate is fetched once"


async def test_a_topic_of_somebody_else_is_refused_however_well_it_is_signed():
    email, account = Email(), mailbox("ses")
    posted = _sns(
        sign_sns({"Type": "Notification", "TopicArn": TOPIC.replace("1234", "9999"), "Message": "{}"})
    )
    aws = Aws({CERTIFICATE_URL: sns_certificate().public_bytes(Encoding.PEM)})
    with pytest.raises(NotSignedIn):
        await email.prepare(account, posted, aws)
    assert aws.asked == []


@pytest.mark.parametrize("url", [
    "https://evil.test/SimpleNotificationService-0123456789abcdef.pem",
    "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.test/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.test/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.eu-west-1.amazonaws.com/mine.pem",
    "https://sns.eu-west-1.amazonaws.com/../SimpleNotificationService-0123456789abcdef.pem",
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-01.pem?x=1",
    "",
])  # fmt: skip
async def test_a_certificate_from_anywhere_else_is_never_fetched(url):
    email, aws = Email(), Aws({})
    told = {**sign_sns({"Type": "Notification", "TopicArn": TOPIC, "Message": "{}"}), "SigningCertURL": url}
    with pytest.raises(NotSignedIn):
        await email.prepare(mailbox("ses"), _sns(told), aws)
    assert aws.asked == []


async def test_a_notification_signed_with_another_key_is_refused():
    email, account = Email(), mailbox("ses")
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    posted = _sns(sign_sns({"Type": "Notification", "TopicArn": TOPIC, "Message": "{}"}, key=other))
    await email.prepare(account, posted, Aws({CERTIFICATE_URL: sns_certificate().public_bytes(Encoding.PEM)}))
    with pytest.raises(NotSignedIn, match="Signature"):
        email.authenticate(account, posted, NOW)


async def test_an_old_notification_and_an_expired_certificate_are_refused():
    email, account = Email(), mailbox("ses")
    posted = _sns(sign_sns({"Type": "Notification", "TopicArn": TOPIC, "Message": "{}"}))
    await email.prepare(account, posted, Aws({CERTIFICATE_URL: sns_certificate().public_bytes(Encoding.PEM)}))
    email.authenticate(account, posted, NOW + timedelta(minutes=100))
    for later in (timedelta(hours=3), timedelta(days=40)):
        with pytest.raises(NotSignedIn):
            email.authenticate(account, posted, NOW + later)


SUBSCRIBE = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"


async def test_a_subscription_of_the_pinned_topic_is_confirmed_and_not_kept():
    email, account = Email(), mailbox("ses")
    told = {
        "Type": "SubscriptionConfirmation",
        "TopicArn": TOPIC,
        "Message": "You have chosen",
        "Token": "abc",
        "SubscribeURL": SUBSCRIBE,
    }
    aws = Aws({CERTIFICATE_URL: sns_certificate().public_bytes(Encoding.PEM), SUBSCRIBE: b"<ok/>"})
    posted = _sns(sign_sns(told))
    await email.prepare(account, posted, aws)
    email.authenticate(account, posted, NOW)
    assert await email.complete(account, posted, aws) is None
    assert aws.asked[-1] == SUBSCRIBE


@pytest.mark.parametrize("url", [
    SUBSCRIBE.replace("eu-west-1.amazonaws", "eu-west-1.evil"), SUBSCRIBE.replace(":mail", ":other"),
    SUBSCRIBE.replace("ConfirmSubscription", "Subscribe"), "http" + SUBSCRIBE[5:], "",
])  # fmt: skip
async def test_a_subscription_that_points_elsewhere_is_not_visited(url):
    email, account, aws = Email(), mailbox("ses"), Aws({})
    posted = _sns({"Type": "SubscriptionConfirmation", "TopicArn": TOPIC, "SubscribeURL": url})
    with pytest.raises(NotSignedIn):
        await email.complete(account, posted, aws)
    assert aws.asked == []


async def test_a_certificate_that_cannot_be_had_now_is_an_outage_and_amazon_comes_again():
    posted = _sns(sign_sns({"Type": "Notification", "TopicArn": TOPIC, "Message": "{}"}))
    for answer in (503, b"no certificate"):
        with pytest.raises(ChannelUnavailable):
            await Email().prepare(mailbox("ses"), posted, Aws({CERTIFICATE_URL: answer}))


# ── Resend ──────────────────────────────────────────────────────────────────────────────────────────────────────

NOTICE = (
    b'{"type":"email.received","data":{"email_id":"56761188-7520-42d8-8898-ff6fc54ce618","to":["support+%b@acme.test"]}}'
    % KEY.encode()
)
RECEIVING = "https://api.resend.com/emails/receiving/56761188-7520-42d8-8898-ff6fc54ce618"


async def test_the_mail_behind_a_notice_of_resend_is_fetched_before_anything_is_kept(email):
    raw, _ = body_of("raw", "plain.eml")
    resend = Aws(
        {RECEIVING: b'{"raw":{"download_url":"https://files.test/raw"}}', "https://files.test/raw": raw}
    )
    account = mailbox("resend")
    whole = await email.complete(account, posted_by("resend", NOTICE, "application/json"), resend)
    assert whole is not None
    assert whole.raw == raw
    item = (await email.read(account, kept(whole, envelope_to=whole.headers["x-envelope-to"]), NOW))[0]
    assert (item.text, item.chat_key) == ("When are you open on Saturdays?", KEY)


async def test_without_a_raw_mail_resends_fields_are_taken(email):
    told = b'{"text":"From the fields","html":null,"headers":{"from":"Ann <ann@example.com>","message-id":"<rs-1@example.com>"}}'
    whole = await email.complete(
        mailbox("resend"), posted_by("resend", NOTICE, "application/json"), Aws({RECEIVING: told})
    )
    item = (await email.read(mailbox("resend"), kept(whole), NOW))[0]
    assert (item.text, item.sender_address, item.thread_ref) == (
        "From the fields",
        "ann@example.com",
        "rs-1@example.com",
    )


@pytest.mark.parametrize(
    "answers",
    [
        {RECEIVING: 500},
        {RECEIVING: 404},
        {RECEIVING: b"{}"},
        {RECEIVING: b'{"raw":{"download_url":"https://files.test/gone"}}'},
    ],
)
async def test_a_mail_that_resend_does_not_hand_out_now_is_asked_for_again(email, answers):
    with pytest.raises(ChannelUnavailable):
        await email.complete(mailbox("resend"), posted_by("resend", NOTICE, "application/json"), Aws(answers))


async def test_notices_that_say_nothing_about_mail_are_not_kept(email):
    posted = Posted({}, b'{"type":"email.opened","data":{}}')
    assert await email.complete(mailbox("resend"), posted, Aws({})) is None
    with pytest.raises(Malformed):
        await email.complete(
            mailbox("resend"), Posted({}, b'{"type":"email.received","data":{"email_id":"../x"}}'), Aws({})
        )


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", list(INBOUND))
async def test_a_mailbox_is_connected_by_its_address(way):
    account = mailbox(way, address=" Support@ACME.test ")
    assert account.identity == "support@acme.test"
    assert "address" not in account.credentials


@pytest.mark.parametrize(("settings", "field"), [
    ({"address": ""}, "address"), ({"address": "support"}, "address"), ({"address": "a+b@acme.test"}, "address"),
    ({"address": "a@b@c"}, "address"), ({"address": "Ann <a@b.test>"}, "address"), ({"address": "a@b.test\r\nx"}, "address"),
    ({"inbound": "fax"}, "inbound"), ({"outbound": "fax"}, "outbound"), ({"inbound": ""}, "inbound"),
    ({"colour": "red"}, "colour"), ({"signing_key": "x"}, "signing_key"), ({"smtp_host": ""}, "smtp_host"),
    ({"smtp_host": "smtp.acme.test:587"}, "smtp_host"), ({"smtp_port": "0"}, "smtp_port"), ({"smtp_tls": "ssl"}, "smtp_tls"),
    ({"smtp_user": "me"}, "smtp_user"), ({"reply_format": "rtf"}, "reply_format"), ({"inbound_secret": "short"}, "inbound_secret"),
    ({"inbound": "ses", "inbound_secret": "", "topic_arn": "mail"}, "topic_arn"),
    ({"inbound": "sendgrid", "inbound_secret": "", "verification_key": "nonsense"}, "verification_key"),
    ({"inbound": "sendgrid", "inbound_secret": "short"}, "inbound_secret"),
    ({"inbound": "mailgun", "inbound_secret": ""}, "signing_key"),
    ({"inbound": "postmark", "inbound_secret": "", "inbound_user": "a:b"}, "inbound_user"),
    ({"inbound": "imap", "inbound_secret": "", "imap_host": "x.test", "imap_user": "u", "imap_password": "p", "imap_after": "burn"}, "imap_after"),
])  # fmt: skip
async def test_a_wrong_setting_is_named(settings, field):
    wanted = {"address": "support@acme.test", "inbound": "raw", "inbound_secret": SECRET, **OUT, **settings}
    with pytest.raises(Invalid) as caught:
        Email().check_settings({name: value for name, value in wanted.items() if value})
    assert caught.value.field == field


async def test_secrets_that_the_owner_brought_none_of_are_made():
    for way, name in (
        ("raw", "inbound_secret"),
        ("postmark", "inbound_password"),
        ("sendgrid", "inbound_secret"),
    ):
        wanted = {"address": "support@acme.test", "inbound": way, **OUT}
        made = [Email().check_settings(wanted)[1][name] for _ in range(2)]
        assert made[0] != made[1]
        assert min(map(len, made)) >= 24
        assert name in Email().shown_once


async def test_an_internationalised_mailbox_is_known_by_its_ascii_name():
    assert mailbox(address="hilfe@Bücher.example").identity == "hilfe@xn--bcher-kva.example"
    assert base64.b64decode(SECRET.removeprefix("whsec_"))
