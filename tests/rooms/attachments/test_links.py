"""Short-lived links to files."""

from __future__ import annotations

import base64
import os
import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from a1zap.attachments.link import FileLinks, LinkExpired
from a1zap.kit.errors import NotFound

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
LINKS = FileLinks(os.urandom(32), "https://a1zap.example", 900)


def token(links: FileLinks = LINKS, file_id=None) -> str:
    return links.path(file_id or uuid4(), NOW).rpartition("/")[2]


def test_a_link_names_its_file_for_a_quarter_of_an_hour():
    file_id = uuid4()
    made = token(file_id=file_id)
    assert LINKS.check(made, NOW)[0] == file_id
    assert LINKS.check(made, NOW + timedelta(seconds=900))[0] == file_id
    with pytest.raises(LinkExpired):
        LINKS.check(made, NOW + timedelta(seconds=961))
    assert LINKS.url(file_id, NOW) == f"https://a1zap.example/api/files/{made}"


def test_who_asks_twice_within_a_minute_gets_the_same_link():
    file_id = uuid4()
    assert LINKS.path(file_id, NOW) == LINKS.path(file_id, NOW + timedelta(seconds=29))


def test_no_other_spelling_of_a_link_counts():
    made = token()
    for wrong in (
        made + "=",
        made + "\n",
        " " + made,
        made[:-1],
        made.lower(),
        made.replace("A", "a"),
        "",
        "%00",
        "ü",
    ):
        if wrong != made:
            with pytest.raises(NotFound):
                LINKS.check(wrong, NOW)


def test_a_link_of_another_instance_is_none():
    with pytest.raises(NotFound):
        LINKS.check(token(FileLinks(os.urandom(32), "", 900)), NOW)


def test_whatever_is_changed_in_a_link_it_counts_no_more():
    raw = base64.urlsafe_b64decode(token())
    chance = random.Random(7)
    for _ in range(2_000):
        changed = bytearray(raw)
        changed[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        with pytest.raises(NotFound):  # and never LinkExpired: an end that we did not sign says nothing
            LINKS.check(base64.urlsafe_b64encode(changed).decode(), NOW)
