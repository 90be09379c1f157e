"""Standard Webhooks: our signatures and those of two other programs, each checked by the others; and what is none."""

from __future__ import annotations

import base64
import os
import random
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
import svix
from hypothesis import given, settings
from hypothesis import strategies as st

from a1zap.kit.errors import Invalid, NotConfigured, NotSignedIn
from a1zap.kit.standard_webhooks import id_of, new_secret, read_secret, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type":"message.created","data":{"text":"grüß dich"}}'.encode()


def now() -> datetime:
    return datetime.now(UTC)


def test_the_vector_of_the_specification_holds():
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    at = datetime.fromtimestamp(1614265330, UTC)
    assert verify([SECRET], headers, b'{"test": 2432232314}', at) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert sign([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}') == headers


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_what_we_sign_others_accept(library: type[svix.Webhook]):
    for _ in range(50):
        secret = new_secret()
        library(secret).verify(BODY, sign([secret], "msg-1", now(), BODY))
        with pytest.raises(Exception, match="signature"):
            library(new_secret()).verify(BODY, sign([secret], "msg-1", now(), BODY))


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_what_others_sign_we_accept(library: type[svix.Webhook], prefix: str):
    for _ in range(50):
        secret, at = new_secret(), now().replace(microsecond=0)
        headers = {
            f"{prefix}-id": "msg-7",
            f"{prefix}-timestamp": str(int(at.timestamp())),
            f"{prefix}-signature": library(secret).sign("msg-7", at, BODY.decode()),
        }
        assert verify([secret], headers, BODY, now()) == "msg-7" == id_of(headers)


def test_while_a_secret_is_replaced_both_count_on_both_sides():
    old, new = new_secret(), new_secret()
    both = sign([new, old], "m", now(), BODY)
    assert both["webhook-signature"].count("v1,") == 2
    for receiver in ([old], [new], [new, old]):
        assert verify(receiver, both, BODY, now()) == "m"
    assert verify([new, old], sign([old], "m", now(), BODY), BODY, now()) == "m"
    with pytest.raises(NotSignedIn):
        verify([new], sign([old], "m", now(), BODY), BODY, now())


def test_signatures_of_other_versions_are_passed_over_and_do_not_count():
    headers = sign([SECRET], "m", now(), BODY)
    good = headers["webhook-signature"]
    assert verify([SECRET], {**headers, "webhook-signature": f"v1a,AAAA v2,x {good}"}, BODY, now()) == "m"
    for other in (good.replace("v1,", "v1a,"), good.replace("v1,", "v2,"), good.removeprefix("v1,")):
        with pytest.raises(NotSignedIn):
            verify([SECRET], {**headers, "webhook-signature": other}, BODY, now())


@pytest.mark.parametrize(("off_s", "is_fresh"), [(-299, True), (299, True), (-302, False), (302, False)])
def test_five_minutes_both_ways(off_s: int, is_fresh: bool):
    headers = sign([SECRET], "m", now() + timedelta(seconds=off_s), BODY)
    if is_fresh:
        assert verify([SECRET], headers, BODY, now()) == "m"
    else:
        with pytest.raises(NotSignedIn, match="five minutes"):
            verify([SECRET], headers, BODY, now())


NONSENSE = [
    "",
    " ",
    "garbage",
    "v1",
    "v1,",
    ",",
    "v1,é",
    "v1,\x00",
    "v1,====",
    "ü" * 10,
    "v1,a,b",
    "v1 ,x",
    "\n",
]


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize(
    "value", [*NONSENSE, "9" * 13, "-5", "1e9", "nan", "٣" * 10, "a.b", "x" * 5000, "v1,AA " * 17]
)
def test_a_malformed_header_is_a_refusal_and_no_other_exception(name: str, value: str):
    with pytest.raises(NotSignedIn):
        verify([SECRET], {**sign([SECRET], "m", now(), BODY), name: value}, BODY, now())


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "svix-id"]), st.text()
    )
)
def test_no_headers_at_all_bring_it_out_of_step(headers: dict[str, str]):
    with pytest.raises(NotSignedIn):
        verify([SECRET], headers, BODY, now())


def test_of_a_thousand_changes_none_is_accepted():
    dice = random.Random(7)
    at = now()
    good = sign([SECRET], "msg-1", at, BODY)
    assert verify([SECRET], good, BODY, at)
    for _ in range(1000):
        headers, body = dict(good), bytearray(BODY)
        what = dice.choice(["body", *headers])
        if what == "body":
            body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
        else:
            value, place = headers[what], dice.randrange(len(headers[what]))
            replaced = dice.choice([c for c in "ABCxyz019+/=-_" if c != value[place]])
            headers[what] = value[:place] + replaced + value[place + 1 :]
        with pytest.raises(NotSignedIn):
            verify([SECRET], headers, bytes(body), at)


def test_one_signature_has_one_spelling():
    good = sign([SECRET], "m", now(), BODY)
    signature = good["webhook-signature"].removeprefix("v1,")
    last = signature[-2]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    same_bytes = signature[:-2] + alphabet[alphabet.index(last) ^ 1] + "="
    assert base64.b64decode(same_bytes) == base64.b64decode(signature)
    for other in (same_bytes, signature.rstrip("="), signature + "="):
        with pytest.raises(NotSignedIn):
            verify([SECRET], {**good, "webhook-signature": f"v1,{other}"}, BODY, now())


def test_the_families_of_header_names_are_not_mixed():
    headers = sign([SECRET], "m", now(), BODY)
    mixed = {"svix-id": headers["webhook-id"], **{k: v for k, v in headers.items() if k != "webhook-id"}}
    with pytest.raises(NotSignedIn, match="all needed"):
        verify([SECRET], mixed, BODY, now())


def test_without_a_secret_nothing_is_accepted():
    with pytest.raises(NotConfigured):
        verify([], sign([SECRET], "m", now(), BODY), BODY, now())


@pytest.mark.parametrize("id_", ["a.b", "", "with space", "ü", "x" * 257])
def test_an_id_that_cannot_be_signed_is_not(id_: str):
    with pytest.raises(ValueError, match="no id"):
        sign([SECRET], id_, now(), BODY)


def test_secrets_are_long_enough_and_each_its_own():
    assert len(read_secret(new_secret())) == 32 and new_secret() != new_secret()
    assert read_secret(SECRET) == read_secret(SECRET.removeprefix("whsec_"))
    for n, is_good in ((23, False), (24, True), (64, True), (65, False), (0, False)):
        text = "whsec_" + base64.b64encode(os.urandom(n)).decode()
        if is_good:
            assert len(read_secret(text)) == n
        else:
            with pytest.raises(Invalid):
                read_secret(text)
    for text in ("", "whsec_", "whsec_!!!", "hunter2", "whsec_" + "ü" * 40, "whsec_" + "A" * 33):
        with pytest.raises(Invalid):
            read_secret(text)
