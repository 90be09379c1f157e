"""One message leaves for WhatsApp.

    24 hours over ──template set──► the template, with the text in it
         │       └─none──────────► refused, and why
    reaction · template asked for · files (uploaded first, then sent) · text with buttons or a list

Meta has no idempotency key. Every message carries our id (`biz_opaque_callback_data`), and every status of it brings
that back: so an ambiguous send is settled by its statuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from a1zap.channels.contract import ChannelAccount, Outbound, OutboundFile, SendRefused, Sent
from a1zap.channels.whatsapp import compose, limits
from a1zap.channels.whatsapp.calls import post, upload
from a1zap.channels.whatsapp.errors import IdNotTaken, WindowClosed
from a1zap.channels.whatsapp.loose import objects_at, word_at
from a1zap.channels.whatsapp.media import bare_type
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable

_TOO_LATE = "more than 24 hours have passed since their last message"


async def send_message(account: ChannelAccount, outbound: Outbound, egress: Egress, now: datetime) -> Sent:
    """Hand one message to Meta; see `Channel.send`."""
    rich: Mapping[str, Any] = outbound.rich or {}
    template = compose.wanted_template(rich)
    if template is not None:
        return await _post(account, egress, outbound, template)
    if is_window_closed(outbound, now):
        return await _send_template(account, egress, outbound)
    parts = await _parts(account, egress, outbound, rich)
    try:
        sent = await _post(account, egress, outbound, parts[0])
    except WindowClosed:
        return await _send_template(account, egress, outbound)
    for count, part in enumerate(parts[1:], 1):
        try:
            await _post(account, egress, outbound, part)
        except (SendRefused, ChannelUnavailable) as error:
            # To begin again would show the first parts twice.
            raise SendRefused(f"only {count} of {len(parts)} parts were sent: {error}") from error
    return sent


def is_window_closed(outbound: Outbound, now: datetime) -> bool:
    """Is it known that the other side last wrote too long ago? Where nothing is known, Meta is the judge."""
    last = outbound.thread.last_inbound_at if outbound.thread is not None else None
    return last is not None and (now - last).total_seconds() >= limits.WINDOW_S


async def _send_template(account: ChannelAccount, egress: Egress, outbound: Outbound) -> Sent:
    is_more_than_text = bool(outbound.files or (outbound.rich or {}).get("reaction"))
    if is_more_than_text or not outbound.text.strip():
        raise SendRefused(f"{_TOO_LATE}, and a template carries text only: no file, no reaction")
    part = compose.window_template(account, outbound.text)
    if part is None:
        raise SendRefused(
            f"{_TOO_LATE}, and this channel has no template: "
            "set template_name to an approved template with one variable"
        )
    return await _post(account, egress, outbound, part)


async def _parts(
    account: ChannelAccount, egress: Egress, outbound: Outbound, rich: Mapping[str, Any]
) -> Sequence[compose.Body]:
    """What is to be sent, in order; never empty. Files are uploaded, so that sending them is all that is left."""
    reaction = compose.reaction_part(outbound, rich)
    if reaction is not None:
        return [reaction]
    if not outbound.files:
        return [compose.words_part(outbound, rich)]
    first_kind = _kind_of(outbound.files[0])
    has_choices = bool(rich.get("buttons") or rich.get("list"))
    is_caption = first_kind != "audio" and len(outbound.text) <= limits.BODY_MAX and not has_choices
    parts: list[compose.Body] = []
    for place, file in enumerate(outbound.files):
        kind = _kind_of(file)
        content = await file.load()
        media_id = await upload(account, egress, content, bare_type(file.mime_type), file.name)
        caption = outbound.text if is_caption and place == 0 else ""
        parts.append(compose.file_part(kind, media_id, file.name, caption))
    return parts if is_caption or not outbound.text else [compose.words_part(outbound, rich), *parts]


def _kind_of(file: OutboundFile) -> str:
    """As what a file is sent: what is too large for its own kind goes as a document.

    Raises:
        SendRefused: it is too large for WhatsApp.
    """
    kind = limits.SENT_AS.get(bare_type(file.mime_type), "document")
    if file.size > limits.SENT_MAX_BYTES[kind]:
        kind = "document"
    if file.size > limits.SENT_MAX_BYTES[kind]:
        raise SendRefused(
            f"a file of {file.size} bytes is too large for WhatsApp: at most {limits.SENT_MAX_BYTES[kind]}"
        )
    return kind


async def _post(account: ChannelAccount, egress: Egress, outbound: Outbound, part: compose.Body) -> Sent:
    try:
        answer = await post(account, egress, {**compose.envelope(outbound), **part})
    except IdNotTaken:
        number = _number_instead(outbound)
        if number is None:
            raise
        answer = await post(account, egress, {**compose.envelope(outbound, number), **part})
    return Sent(next((word_at(m, "id") for m in objects_at(answer, "messages") if word_at(m, "id")), None))


def _number_instead(outbound: Outbound) -> str | None:
    """A number of the person, where they were addressed by a BSUID, which some messages cannot be sent to."""
    address = outbound.to_address or outbound.chat_external_id
    if not address.startswith("bsuid:") or outbound.chat_type == "group":
        return None
    return next((a for a in outbound.other_addresses if a.startswith("+")), None)
