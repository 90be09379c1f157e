"""A channel's settings change: a secret is rotated, an address moves; the channel stays the one it is."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from a1zap.accounts.keys import Keyring
from a1zap.agents import channel_store
from a1zap.agents.connect_channel import Connected, see_channel
from a1zap.agents.open_mail_door import reopen_mail_door
from a1zap.audit.store import record_act
from a1zap.channels.contract import Channel
from a1zap.db.pool import Database
from a1zap.kit.errors import Conflict, Invalid


async def change_settings(
    db: Database,
    keyring: Keyring,
    channel: Channel,
    *,
    owner_id: UUID,
    agent_id: UUID,
    account_id: UUID,
    settings: Mapping[str, str],
    actor: str,
) -> Connected:
    """Put new settings over the old ones, each by name; '' takes one away. The whole is checked as when it was connected.

    Raises:
        NotFound: the agent has no such channel.
        Invalid: a setting is missing, unknown or wrong, by name.
        Conflict: with these settings it would be another number, mailbox or endpoint.
    """
    async with db.owned(owner_id) as tx:
        sealer = await keyring.sealer(tx)
        seen = await see_channel(tx, agent_id, account_id)
        old = await channel_store.read_channel_settings(tx, sealer, account_id)
        kept = {
            k: v for k, v in old.credentials.items() if k in channel.shown_once
        }  # what we made is nowhere else
        merged = {k: v for k, v in {**kept, **old.settings, **settings}.items() if v}
        identity, credentials = channel.check_settings(merged)
        if identity != seen.identity:
            raise Conflict(
                f"with these settings the channel would be '{identity}' and not '{seen.identity}': "
                "connect that one, and disconnect this"
            )
        if credentials.get("inbound") != old.credentials.get("inbound"):
            raise Invalid("how mail comes in is chosen when the channel is connected", field="inbound")
        await channel_store.replace_channel_settings(
            tx, sealer, account_id, credentials=credentials, settings=merged
        )
        await reopen_mail_door(tx, account_id, old.credentials, credentials)
        await record_act(
            tx,
            actor=actor,
            action="channel.settings_changed",
            subject_kind="channel",
            subject_id=account_id,
            detail={"kind": seen.kind, "settings": sorted(settings)},
        )
        made = {name: credentials[name] for name in channel.shown_once if not merged.get(name)}
        return Connected(await see_channel(tx, agent_id, account_id), made)
