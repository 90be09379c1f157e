"""The other way round: we look into mailboxes that owners have elsewhere, by IMAP.

    leased mailbox ─► connect (checked address) ─► open folder ─► what is new, by UID ─► kept and marked, in one
    transaction ─► settled as its owner wants ─► IDLE, or back in half a minute

One worker looks into a mailbox at a time (a lease in its row: behind a pooler there are no locks that outlast a
transaction). What is kept and how far we have read are one commit, so a crash repeats nothing and loses nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID, uuid4

import structlog

from a1zap.agents import channel_store
from a1zap.agents.mail_door_store import (
    Mark,
    give_mailbox_back,
    keep_mailboxes,
    lease_mailboxes,
    move_mark,
    note_look,
    read_mark,
)
from a1zap.channels.contract import AccountBroken, ChannelAccount
from a1zap.db.pool import DatabaseUnavailable
from a1zap.doors.imap_client import MAIL_MAX_BYTES, Folder, Leash, MailServer, OpenMailbox, Tls
from a1zap.intake.desk import Desk
from a1zap.intake.keep_delivery import keep_delivery_in
from a1zap.kit.egress import Egress
from a1zap.kit.errors import ChannelUnavailable, Rejected, Unavailable

log = structlog.get_logger()

T = TypeVar("T")

_AT_ONCE = 100  # mails kept before the folder is looked at again
_WINDOW = 50_000  # UIDs asked about at once: an answer of at most some 400 kB
_BIG_BYTES = 1024 * 1024  # of these, only a few at once are in memory
_DAYS_BACK = timedelta(days=2)  # after a server has numbered its mails anew: its day is not ours


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, how long, how many; seconds."""

    hands: int = 32  # mailboxes one worker looks into at once
    idle_hands: int = (
        16  # of these, how many may wait in IDLE, so that the others are free for those who are due
    )
    claim_s: float = 5.0
    poll_s: float = 30.0
    idle_s: float = 300.0
    session_s: float = 3600.0
    lease_s: float = 60.0
    step_s: float = 60.0
    mail_s: float = 300.0
    failed_first_s: float = 30.0
    failed_max_s: float = 900.0
    refused_max_s: float = 3600.0  # wrong passwords: a server that counts them must not lock the mailbox


class MailDesk(Desk, Protocol):
    @property
    def egress(self) -> Egress: ...


@dataclass(frozen=True, slots=True)
class _New:
    """UIDs to keep; with these, everything up to `up_to` is kept (None: up to the last of them)."""

    uids: Sequence[int]
    up_to: int | None
    has_more: bool = False


class MailboxTaken(Exception):
    """Another worker has the mailbox now: roll back, and let it be."""


async def look_into_mailboxes(
    desk: MailDesk, stop: asyncio.Event, *, pace: Pace | None = None, tls: ssl.SSLContext | None = None
) -> None:
    """Look into every mailbox that is due until `stop` is set. `tls` brings a private certificate authority."""
    watch = _Watch(desk, pace or Pace(), tls or ssl.create_default_context())
    try:
        while not stop.is_set():
            await watch.claim()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), watch.pace.claim_s)
    finally:
        await watch.close()


@dataclass(slots=True)
class _Watch:
    """One worker's mailboxes."""

    desk: MailDesk
    pace: Pace
    tls: ssl.SSLContext
    worker: UUID = field(default_factory=uuid4)
    looking: dict[UUID, asyncio.Task[None]] = field(default_factory=dict[UUID, asyncio.Task[None]])
    idling: int = 0
    big: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.threads = ThreadPoolExecutor(self.pace.hands, thread_name_prefix="mailbox")

    async def claim(self) -> None:
        """Hold on to what we have, let go of what is no longer ours, and begin with what is due."""
        hold = timedelta(seconds=self.pace.lease_s)
        free = self.pace.hands - len(self.looking)
        try:
            async with self.desk.db.standalone() as tx:
                if self.looking:
                    still = await keep_mailboxes(tx, self.worker, hold)
                    for account_id in self.looking.keys() - still:
                        task = self.looking[account_id]
                        if not task.cancelling():
                            task.cancel()
                due = await lease_mailboxes(tx, self.worker, hold, free) if free > 0 else []
        except DatabaseUnavailable as error:
            log.warning("mailboxes_not_claimed", error=str(error))
            return
        for owner_id, account_id in due:
            if account_id in self.looking:
                continue  # ours still ends; it will be due again
            task = asyncio.create_task(self._look_on(owner_id, account_id))
            self.looking[account_id] = task
            task.add_done_callback(lambda _, gone=account_id: self.looking.pop(gone, None))

    async def close(self) -> None:
        tasks = list(self.looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def _look_on(self, owner_id: UUID, account_id: UUID) -> None:
        """One session with a mailbox, and the pause after it."""
        session = _Session(self, owner_id, account_id)
        pause_s, has_failed = self.pace.poll_s, False
        try:
            await session.run()
        except MailboxTaken:
            return
        except (Unavailable, Rejected) as error:
            has_failed = True
            most_s = self.pace.refused_max_s if isinstance(error, AccountBroken) else self.pace.failed_max_s
            pause_s = min(most_s, self.pace.failed_first_s * 2 ** min(session.failures, 20))
            log.warning(
                "mailbox_failed",
                channel_account_id=str(account_id),
                error_type=type(error).__name__,
                wait_s=pause_s,
            )
            await session.note_health("failing", str(error))
        except asyncio.CancelledError:
            pause_s = 0.0  # another worker may go on at once
            raise
        except Exception as error:  # one mailbox must not end them all; it is seen, and comes again
            has_failed, pause_s = True, self.pace.failed_max_s
            log.error("mailbox_failed", channel_account_id=str(account_id), exc_info=error)
        finally:
            session.leash.cut()
            session.leash.let_go()
            await asyncio.shield(session.give_back(pause_s, has_failed=has_failed))

    def may_idle(self) -> bool:
        return self.idling < self.pace.idle_hands


class _Session:
    """A connection to one mailbox, from sign-in to goodbye."""

    def __init__(self, watch: _Watch, owner_id: UUID, account_id: UUID) -> None:
        self._watch = watch
        self._desk = watch.desk
        self._pace = watch.pace
        self._owner_id = owner_id
        self._account_id = account_id
        self.leash = Leash()
        self.failures = 0

    async def run(self) -> None:
        account, mark = await self._read()
        self.failures = mark.failures
        server = await _server_of(account, self._desk.egress)
        box = await self._in_thread(
            self._pace.step_s, lambda: OpenMailbox(server, self.leash, self._watch.tls)
        )
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + self._pace.session_s
        try:
            while loop.time() < ends_at_s:
                has_more = await self._look(box, account)
                if has_more:
                    continue
                if not box.can_idle or not self._watch.may_idle():
                    return
                await self._idle(box)
        finally:
            with suppress(ChannelUnavailable):
                await asyncio.shield(self._in_thread(5, box.close))

    async def _idle(self, box: OpenMailbox) -> None:
        within_s = self._pace.idle_s
        self._watch.idling += 1
        try:
            await self._in_thread(within_s + self._pace.step_s, lambda: box.wait_for_news(within_s))
        finally:
            self._watch.idling -= 1

    async def _look(self, box: OpenMailbox, account: ChannelAccount) -> bool:
        """Keep what is new; True where there may be more at once."""
        began = self._desk.clock.now()
        after = account.credentials.get("imap_after") or "leave"
        name = account.credentials.get("imap_folder") or "INBOX"
        folder = await self._in_thread(
            self._pace.step_s, lambda: box.open_folder(name, to_change=after != "leave")
        )
        _, mark = await self._read()
        new = await self._new_in(box, folder, mark)
        is_settled = True
        for uid in new.uids[:_AT_ONCE]:
            if await self._take(box, account, folder, uid):
                is_settled &= await self._in_thread(self._pace.step_s, lambda uid=uid: box.settle(uid, after))
        if len(new.uids) > _AT_ONCE:
            return True
        if new.up_to is not None:
            await self._move_mark(folder, new.up_to)
        await self._end_look(began, None if is_settled else _unsettled(after))
        return new.has_more

    async def _take(self, box: OpenMailbox, account: ChannelAccount, folder: Folder, uid: int) -> bool:
        """Keep one mail; False where it is gone."""
        size = await self._in_thread(self._pace.step_s, lambda: box.size_of(uid))
        if size is None:
            return False
        async with self._watch.big if size > _BIG_BYTES else nullcontext():
            raw = await self._in_thread(self._pace.mail_s, lambda: box.fetch(uid, size))
            if raw is not None:
                await self._keep(account, folder, uid, raw, size)
        return raw is not None

    async def _last_uid(self, box: OpenMailbox, folder: Folder) -> int:
        if folder.uid_next is not None:
            return folder.uid_next - 1
        found = await self._in_thread(self._pace.step_s, lambda: box.uids_between(1, None))
        return found[-1] if found else 0

    async def _new_in(self, box: OpenMailbox, folder: Folder, mark: Mark) -> _New:
        if mark.uid_validity is None:
            # What lay in the mailbox before it was connected is not ours to answer.
            return _New([], await self._last_uid(box, folder))
        if mark.uid_validity != folder.uid_validity:
            # The server has numbered its mails anew: everything since our last look, and a little more. What is kept
            # already is known by its bytes, or by its Message-ID when it is read.
            day = (mark.looked_at or self._desk.clock.now()) - _DAYS_BACK
            found = await self._in_thread(self._pace.step_s, lambda: box.uids_since(day))
            return _New(found, max([*found, (folder.uid_next or 1) - 1]))
        first = mark.last_uid + 1
        if folder.uid_next is None:
            return _New(await self._in_thread(self._pace.step_s, lambda: box.uids_between(first, None)), None)
        end = folder.uid_next - 1
        last = min(end, first + _WINDOW - 1)
        if first > last:
            return _New([], None)
        found = await self._in_thread(self._pace.step_s, lambda: box.uids_between(first, last))
        return _New(found, last, has_more=last < end)

    async def _keep(self, account: ChannelAccount, folder: Folder, uid: int, raw: bytes, size: int) -> None:
        meta: dict[str, Any] = {
            "door": "imap",
            "envelope_to": [account.identity],
            "uid": uid,
            "uid_validity": folder.uid_validity,
        }
        if size > MAIL_MAX_BYTES:
            meta["cut_from_bytes"] = size
        async with self._desk.db.owned(self._owner_id) as tx:
            sealer = await self._desk.keyring.sealer(tx)
            await keep_delivery_in(tx, sealer, self._desk, self._account_id, raw, meta)
            if not await move_mark(tx, self._account_id, self._watch.worker, folder.uid_validity, uid):
                raise MailboxTaken

    async def _move_mark(self, folder: Folder, last_uid: int) -> None:
        async with self._desk.db.owned(self._owner_id) as tx:
            if not await move_mark(tx, self._account_id, self._watch.worker, folder.uid_validity, last_uid):
                raise MailboxTaken

    async def _read(self) -> tuple[ChannelAccount, Mark]:
        async with self._desk.db.owned(self._owner_id) as tx:
            account = await channel_store.read_channel_account(
                tx, await self._desk.keyring.sealer(tx), self._account_id
            )
            mark = await read_mark(tx, self._account_id)
        if account is None or mark is None:
            raise MailboxTaken
        return account, mark

    async def _end_look(self, began: datetime, problem: str | None) -> None:
        async with self._desk.db.owned(self._owner_id) as tx:
            await note_look(tx, self._account_id, self._watch.worker, began)
        await self.note_health("failing" if problem else "ok", problem or "")

    async def note_health(self, state: str, error: str) -> None:
        health = {"state": state, "error": error, "at": self._desk.clock.now().isoformat()}
        with suppress(DatabaseUnavailable):
            async with self._desk.db.owned(self._owner_id) as tx:
                await channel_store.note_health(tx, self._account_id, health)

    async def give_back(self, pause_s: float, *, has_failed: bool) -> None:
        with suppress(DatabaseUnavailable):  # then its lease runs out
            async with self._desk.db.owned(self._owner_id) as tx:
                await give_mailbox_back(
                    tx,
                    self._account_id,
                    self._watch.worker,
                    timedelta(seconds=pause_s),
                    has_failed=has_failed,
                )

    async def _in_thread(self, within_s: float, step: Callable[[], T]) -> T:
        """One blocking step; where it takes too long, or nobody waits any more, its connection is cut."""
        begun = asyncio.get_running_loop().run_in_executor(self._watch.threads, step)
        try:
            done, _ = await asyncio.wait([begun], timeout=within_s)
        except asyncio.CancelledError:
            self._cut(begun)
            raise
        if done:
            return begun.result()
        self._cut(begun)
        raise ChannelUnavailable(f"the mail server took longer than {within_s:g} s")

    def _cut(self, begun: asyncio.Future[Any]) -> None:
        self.leash.cut()
        begun.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def _server_of(account: ChannelAccount, egress: Egress) -> MailServer:
    """Where the mailbox is, at an address that may be connected to.

    Raises:
        EgressRefused: at none that is allowed.
        EgressFailed: its name does not resolve.
    """
    given = account.credentials
    tls = cast("Tls", given.get("imap_tls") or "tls")
    host = given["imap_host"]
    port = int(given.get("imap_port") or (993 if tls == "tls" else 143))
    address = await egress.checked_address(host, port, in_clear=tls == "none")
    return MailServer(host, address, port, tls, given["imap_user"], given["imap_password"])


def _unsettled(after: str) -> str:
    what = "marked as read" if after == "seen" else f"moved to '{after.removeprefix('move:').strip()}'"
    return f"mail is kept, but the mail server does not let it be {what} (imap_after)"
