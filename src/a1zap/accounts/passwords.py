"""Passwords: argon2id, off the event loop, and as slow for an unknown owner as for a known one."""

from __future__ import annotations

import asyncio
import base64
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from a1zap.kit.errors import Invalid, OverLimit

PASSWORD_CHARACTERS_MIN = 10
PASSWORD_CHARACTERS_MAX = 200
# Normalising is quadratic for hostile input, so what is far too long is refused before it.
_RAW_CHARACTERS_MAX = 4 * PASSWORD_CHARACTERS_MAX
# Two at a time: one hash takes 64 MiB and 0.1 s on two cores, and a burst of sign-ins must not take the rest down.
SLOTS = 2
WAITING_MAX = 64

T = TypeVar("T")


class Passwords:
    """Hashes and verifies in two threads of its own; one instance a process. `close` ends the threads."""

    def __init__(self, hasher: PasswordHasher | None = None, *, waiting_max: int = WAITING_MAX) -> None:
        self._hasher = hasher or PasswordHasher()
        # A pool instead of a semaphore: a caller who hangs up frees no slot before the thread is really done.
        self._threads = ThreadPoolExecutor(max_workers=SLOTS, thread_name_prefix="argon2")
        self._waiting = 0
        self._waiting_max = waiting_max
        self._nobodys_hash = _hash_that_nothing_matches(self._hasher)

    async def hash_password(self, password: str) -> str:
        """The argon2id hash of a new password, in the PHC string form that carries its own parameters.

        Raises:
            Invalid: shorter or longer than allowed, or not text.
            OverLimit: too many sign-ins at once.
        """
        normal = normalise_password(password)
        return await self._in_a_slot(lambda: self._hasher.hash(normal))

    async def verify_password(self, password: str, stored: str | None) -> bool:
        """Whether `password` made `stored`; pass None for an unknown owner, or one without a password.

        The same work is done in each case, so the time taken does not tell which addresses have an account.

        Raises:
            OverLimit: too many sign-ins at once.
        """
        try:
            normal = normalise_password(password)
        except Invalid:
            # No stored hash can come from it; said at once for known and unknown owners alike.
            return False
        return await self._in_a_slot(lambda: self._matches(normal, stored or self._nobodys_hash))

    def needs_rehash(self, stored: str) -> bool:
        """Whether `stored` was made with other parameters than today's; hash anew after the next good sign-in."""
        try:
            return self._hasher.check_needs_rehash(stored)
        except InvalidHashError:
            return True

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, normal: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, normal)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_a_slot(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._waiting_max:
            raise OverLimit("too many sign-ins at once, try again in a few seconds", retry_after_s=3)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def normalise_password(password: str) -> str:
    """`password` in Unicode's NFKC form, so that every keyboard spells it alike.

    Raises:
        Invalid: shorter or longer than allowed, or not text. The detail never shows the password.
    """
    bounds = f"between {PASSWORD_CHARACTERS_MIN} and {PASSWORD_CHARACTERS_MAX} characters"
    if len(password) > _RAW_CHARACTERS_MAX:
        raise Invalid(f"a password has {bounds}; this one has {len(password)}", field="password")
    normal = unicodedata.normalize("NFKC", password)
    if not PASSWORD_CHARACTERS_MIN <= len(normal) <= PASSWORD_CHARACTERS_MAX:
        raise Invalid(f"a password has {bounds}; this one has {len(normal)}", field="password")
    if any("\ud800" <= character <= "\udfff" for character in normal):
        raise Invalid("the password holds half a character (a lone surrogate)", field="password")
    return normal


def _hash_that_nothing_matches(hasher: PasswordHasher) -> str:
    """A well-formed hash with the hasher's own costs and random salt and result: it costs nothing to make."""
    salt, result = (
        base64.b64encode(os.urandom(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${result}"
