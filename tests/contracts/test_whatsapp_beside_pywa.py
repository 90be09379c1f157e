"""Beside pywa, a library of others: where both can read a delivery, both read the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pywa import WhatsApp as Pywa
from pywa import types
from tests.contracts.test_whatsapp_payloads import FOLDER, NAMES
from tests.fakes.meta import NUMBER_ID

from a1zap.channels.contract import Amendment, ChannelAccount, Inbound
from a1zap.channels.whatsapp.channel import WhatsApp

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACCOUNT = ChannelAccount(UUID(int=1), UUID(int=1), UUID(int=1), "whatsapp", NUMBER_ID, {})
SAME = {"text", "image", "video", "audio", "document", "location", "reaction"}
# pywa takes these for messages like any other, or leaves what we mend.
ON_PURPOSE = {"standby", "text_empty_body", "text_escaped_unicode"}


def read_by_pywa(payload: dict[str, Any]) -> types.Message | None:
    """Their reading of the first message; they want ids that not every delivery has."""
    try:
        for contact in payload["entry"][0]["changes"][0]["value"].get("contacts", []):
            contact.setdefault("user_id", f"US.{contact.get('wa_id')}")
            contact.setdefault("parent_user_id", None)
        return types.Message.from_update(Pywa(phone_id=NUMBER_ID, token="none"), payload)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


@pytest.mark.filterwarnings("ignore")
def test_where_pywa_reads_a_message_we_read_the_same():
    compared = 0
    for name in NAMES:
        payload = json.loads((FOLDER / f"{name}.json").read_text())["payload"]
        theirs = read_by_pywa(payload)
        if theirs is None or name in ON_PURPOSE:
            continue
        compared += 1
        ours = WhatsApp().parse(ACCOUNT, json.dumps(payload).encode(), NOW)[0]
        if isinstance(ours, Amendment):
            assert theirs.type in ("edit", "revoke"), name
            continue
        assert isinstance(ours, Inbound), name
        assert theirs.id == ours.external_id or len(theirs.id) > 400, name
        if str(theirs.type) in SAME:
            assert ours.message_type == str(theirs.type), name
        if theirs.text is not None:
            assert ours.text == str(theirs.text), name
        if theirs.caption is not None:
            assert theirs.caption in ours.text, name
        addresses = {ours.sender_address, *ours.other_addresses}
        if theirs.from_user.wa_id is not None and theirs.from_user.wa_id.isdigit():
            assert f"+{theirs.from_user.wa_id}" in addresses, name
        quoted = (ours.rich_content or {}).get("context", {}).get("id")
        assert quoted == (theirs.reply_to_message.id if theirs.reply_to_message else None), name
        if theirs.media is not None:
            assert [file.fetch["id"] for file in ours.attachments if file.fetch] == [theirs.media.id], name
            assert ours.attachments[0].is_voice == bool(getattr(theirs.media, "voice", False)), name
    assert compared >= 40
