"""Under which of a person's addresses a message leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from a1zap.channels.contract import Outbound
from a1zap.channels.whatsapp.compose import envelope


@pytest.mark.parametrize(
    ("newest", "others", "receiver"),
    [
        ("bsuid:US.1", ["+16505551234"], ("recipient", "US.1")),
        # Two businesses of one owner know the person: the newest id may be the other business's.
        ("bsuid:US.2", ["bsuid:US.1", "+16505551234"], ("to", "16505551234")),
        ("bsuid:US.2", ["bsuid:US.1"], ("recipient", "US.2")),
        ("bsuid:US.1", ["bsuid:US.ENT.9", "+16505551234"], ("recipient", "US.1")),
    ],
)
def test_an_id_that_may_be_another_businesss_is_not_written_to(
    newest: str, others: list[str], receiver: tuple[str, str]
):
    outbound = Outbound(
        id=UUID(int=1),
        chat_external_id="+16505551234",
        chat_type="individual",
        service="whatsapp",
        to_address=newest,
        text="hello",
        first_tried_at=datetime(2026, 11, 1, tzinfo=UTC),
        other_addresses=others,
    )
    body = envelope(outbound)
    assert [(key, body[key]) for key in ("to", "recipient") if key in body] == [receiver]
