"""The roof: the only file that knows every room. Builds the house out of settings, a clock, and what is outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import orjson
from fastapi import FastAPI

from a1zap.accounts.keys import Keyring
from a1zap.accounts.passwords import Passwords
from a1zap.accounts.stack_auth import StackVerifier
from a1zap.api.build import build_api
from a1zap.api.house import ApiHouse
from a1zap.attachments.desk import FileDesk
from a1zap.attachments.fetch_attachment import fetch_attachment
from a1zap.attachments.link import LINK_KEY_PURPOSE, FileLinks
from a1zap.attachments.model import MIB, FileLimits
from a1zap.channels.catalog import shipped_channels
from a1zap.channels.contract import Channel
from a1zap.db.pool import Database, is_transaction_pooler
from a1zap.db.wakeups import Wakeups
from a1zap.delivery.deliver_message import Deliverer, deliver_message
from a1zap.doors.imap_door import look_into_mailboxes
from a1zap.embeddings.contract import Embedder
from a1zap.embeddings.embedded import EmbeddedMiniLM
from a1zap.hooks.deliver_event import Teller, deliver_event
from a1zap.hooks.model import HookPolicy
from a1zap.intake.accept_receipt import settle_early_receipts
from a1zap.intake.read_delivery import read_delivery
from a1zap.kit.clock import Clock, SystemClock
from a1zap.kit.crypto import MasterKey, load_or_create_master_key
from a1zap.kit.egress import Egress
from a1zap.kit.errors import NotConfigured
from a1zap.kit.settings import Settings, secret
from a1zap.knowledge.shelf import Shelf
from a1zap.llm.catalog import ProviderKeys, default_model, model_from_name
from a1zap.llm.transcribe import OpenAITranscriber, Transcriber
from a1zap.queue.model import Entry, LanePolicy
from a1zap.queue.work_off import work_off
from a1zap.storage.contract import Storage
from a1zap.storage.open_storage import open_storage
from a1zap.turns.house import TurnHouse
from a1zap.turns.models import ModelFactory, ModelSource
from a1zap.turns.take_turn import take_turn
from a1zap.workflows.simple_reply import SimpleReply

DELIVERY_HANDS = (
    4  # times `concurrency`, of which one account has a quarter: so many may be deaf before others notice
)
DELIVERY_PATIENCE = 40  # times `attempts_max`; with pauses of up to five minutes that is a day
HOOKS_AT_ONCE = 64
FETCHES_AT_ONCE = 4  # files are held in memory while they come; more at once would hold more


@dataclass(frozen=True, slots=True)
class House:
    """Everything, wired: what the CLI, the server, a worker and the tests work with."""

    settings: Settings
    clock: Clock
    db: Database
    wakeups: Wakeups
    keyring: Keyring
    egress: Egress
    channels: Mapping[str, Channel]
    shelf: Shelf
    models: ModelSource
    passwords: Passwords
    stack: StackVerifier | None
    files: FileDesk
    hooks: HookPolicy = field(default_factory=HookPolicy)

    @property
    def storage(self) -> Storage:
        """Where blobs lie."""
        return self.files.storage

    def api(self) -> FastAPI:
        """The HTTP face of this house."""
        return build_api(
            ApiHouse(
                settings=self.settings,
                db=self.db,
                wakeups=self.wakeups,
                keyring=self.keyring,
                passwords=self.passwords,
                stack=self.stack,
                channels=self.channels,
                shelf=self.shelf,
                clock=self.clock,
                egress=self.egress,
                files=self.files,
            )
        )

    async def work(self, stop: asyncio.Event) -> None:
        """Be one worker: take turns and deliver messages until `stop` is set."""
        policy = lane_policy(self.settings)
        # A channel may be down for hours and comes back: its messages wait, they are not given up as fast as turns.
        patient = replace(
            policy,
            attempts_max=policy.attempts_max * DELIVERY_PATIENCE,
            concurrency=policy.concurrency * DELIVERY_HANDS,
        )
        turns = TurnHouse(
            db=self.db,
            wakeups=self.wakeups,
            keyring=self.keyring,
            channels=self.channels,
            shelf=self.shelf,
            models=self.models,
            workflows={w.response_type: w for w in (SimpleReply(),)},
            clock=self.clock,
            egress=self.egress,
            storage=self.storage,
        )
        deliverer = Deliverer(
            db=self.db,
            wakeups=self.wakeups,
            keyring=self.keyring,
            channels=self.channels,
            egress=self.egress,
            clock=self.clock,
            files=self.files,
            per_account_max=policy.concurrency,
        )

        async def turn(entry: Entry) -> None:
            await take_turn(turns, entry)

        async def delivery(entry: Entry) -> None:
            await deliver_message(deliverer, entry)

        async def intake(entry: Entry) -> None:
            await read_delivery(self, entry)

        # Endpoints of owners are slow or away as they please: whoever waits for them is a hand that others do not lack.
        telling = replace(policy, concurrency=max(policy.concurrency, HOOKS_AT_ONCE))
        teller = Teller(self.db, self.wakeups, self.keyring, self.egress, self.clock, self.hooks)

        async def hook(entry: Entry) -> None:
            await deliver_event(teller, entry)

        # A provider that is away gives files later: a link to one is good for hours, so is our patience.
        fetching = replace(policy, concurrency=FETCHES_AT_ONCE, attempts_max=self.files.attempts_max)

        async def fetch(entry: Entry) -> None:
            await fetch_attachment(self.files, entry)

        await asyncio.gather(
            work_off(self.db, self.wakeups, "turns", turn, policy=policy, stop=stop),
            work_off(self.db, self.wakeups, "deliveries", delivery, policy=patient, stop=stop),
            work_off(self.db, self.wakeups, "intakes", intake, policy=policy, stop=stop),
            work_off(self.db, self.wakeups, "hooks", hook, policy=telling, stop=stop),
            work_off(self.db, self.wakeups, "fetches", fetch, policy=fetching, stop=stop),
            settle_early_receipts(self, stop),
            look_into_mailboxes(self, stop),
        )


def lane_policy(settings: Settings) -> LanePolicy:
    """How this instance's workers work their lanes off."""
    return LanePolicy(
        concurrency=settings.concurrency,
        lease=timedelta(seconds=settings.lease_s),
        attempts_max=settings.attempts_max,
        poll_s=settings.poll_s,
    )


@asynccontextmanager
async def open_house(
    settings: Settings,
    *,
    database_url: str,
    direct_url: str | None = None,
    clock: Clock | None = None,
    master_key: MasterKey | None = None,
    embedder: Embedder | None = None,
    make_model: ModelFactory | None = None,
    channels: Mapping[str, Channel] | None = None,
    hooks: HookPolicy | None = None,
    storage: Storage | None = None,
    transcriber: Transcriber | None = None,
    connections_max: int = 6,
    connections_min: int = 1,
) -> AsyncGenerator[House]:
    """Connect and wire everything; closed again at the end. Tests bring their own clock, models and channels."""
    clock = clock or SystemClock()
    master = master_key or load_or_create_master_key(settings.data_dir, secret(settings.master_key))
    # Wake-ups need PostgreSQL itself; behind a transaction pooler without a direct address we poll.
    listen_url = direct_url or (None if is_transaction_pooler(database_url) else database_url)
    db = await Database.open(database_url, connections_max=connections_max, connections_min=connections_min)
    own_embedder = EmbeddedMiniLM()  # loads nothing before the first question
    wakeups = Wakeups(listen_url)
    async with Egress(allow=settings.egress_networks) as egress:
        stack = _stack(settings, egress, clock)
        passwords = Passwords()
        keyring = Keyring(master)
        channels = channels or shipped_channels()
        house = House(
            settings=settings,
            clock=clock,
            db=db,
            wakeups=wakeups,
            keyring=keyring,
            egress=egress,
            channels=channels,
            shelf=Shelf(db, embedder or own_embedder),
            models=_models(settings, egress, make_model),
            passwords=passwords,
            stack=stack,
            files=FileDesk(
                db=db,
                wakeups=wakeups,
                keyring=keyring,
                storage=storage or _storage(settings),
                channels=channels,
                egress=egress,
                clock=clock,
                links=FileLinks(master.derive(LINK_KEY_PURPOSE), settings.base_url, settings.file_link_s),
                transcriber=transcriber or _transcriber(settings, egress),
                limits=FileLimits(file_max=settings.file_max_mb * MIB),
            ),
            hooks=hooks or HookPolicy(),
        )
        await wakeups.start()
        try:
            yield house
        finally:
            for channel in house.channels.values():
                await channel.close()
            await wakeups.close()
            if stack is not None:
                await stack.close()
            passwords.close()
            own_embedder.close()
            await db.close()


def _models(settings: Settings, egress: Egress, make: ModelFactory | None) -> ModelSource:
    keys = provider_keys(settings)
    return ModelSource(
        make=make or (lambda name: model_from_name(name, keys=keys, egress=egress)),
        default=settings.default_model or default_model(keys),
        deadline_s=settings.model_deadline_s,
    )


def _storage(settings: Settings) -> Storage:
    return open_storage(
        settings.data_dir,
        settings.storage_url,
        endpoint=settings.storage_endpoint,
        region=settings.storage_region,
        access_key_id=secret(settings.storage_access_key_id),
        secret_access_key=secret(settings.storage_secret_access_key),
    )


def _transcriber(settings: Settings, egress: Egress) -> Transcriber | None:
    if not settings.transcription_model:
        return None
    return OpenAITranscriber(
        settings.openai_base_url, secret(settings.openai_api_key), settings.transcription_model, egress
    )


def provider_keys(settings: Settings) -> ProviderKeys:
    """The operator's keys and addresses of model providers."""
    return ProviderKeys(
        openai_api_key=secret(settings.openai_api_key),
        openai_base_url=settings.openai_base_url,
        anthropic_api_key=secret(settings.anthropic_api_key),
        anthropic_base_url=settings.anthropic_base_url,
        google_api_key=secret(settings.google_api_key),
        google_base_url=settings.google_base_url,
    )


def _stack(settings: Settings, egress: Egress, clock: Clock) -> StackVerifier | None:
    if not settings.stack_project_id:
        return None

    async def fetch_json(url: str) -> dict[str, Any]:
        answer = await egress.request("GET", url, total_s=10, read_max_bytes=1 << 20, trusted=True)
        if answer.status != 200:
            raise NotConfigured(f"Stack Auth answered {answer.status} for its keys")
        return orjson.loads(answer.body)

    return StackVerifier(
        project_id=settings.stack_project_id,
        base_url=settings.stack_api_url,
        fetch_json=fetch_json,
        clock=clock,
    )
