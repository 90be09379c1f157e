from __future__ import annotations

import asyncio
import statistics
import time

import pytest
from argon2 import PasswordHasher

from a1zap.accounts.passwords import Passwords, normalise_password
from a1zap.kit.errors import Invalid, OverLimit

RIGHT = "correct horse battery"


def quick() -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
def passwords():
    made = Passwords(quick())
    yield made
    made.close()


async def test_the_right_password_matches_and_a_wrong_one_does_not(passwords):
    stored = await passwords.hash_password(RIGHT)
    assert stored.startswith("$argon2id$")
    assert await passwords.verify_password(RIGHT, stored)
    assert not await passwords.verify_password(RIGHT + "!", stored)
    assert not await passwords.verify_password(RIGHT.upper(), stored)


async def test_two_hashes_of_one_password_differ(passwords):
    assert await passwords.hash_password(RIGHT) != await passwords.hash_password(RIGHT)


async def test_every_keyboards_spelling_of_a_password_matches(passwords):
    stored = await passwords.hash_password("caf\u00e9 \u2460 na\u00efve")
    assert await passwords.verify_password("cafe\u0301 1 nai\u0308ve", stored)


async def test_an_unknown_owner_never_matches_and_costs_one_hash(passwords):
    assert not await passwords.verify_password(RIGHT, None)
    assert not await passwords.verify_password(RIGHT, "")


async def test_an_unknown_owner_takes_as_long_as_a_wrong_password():
    passwords = Passwords(PasswordHasher(time_cost=2, memory_cost=8 * 1024, parallelism=1))
    stored = await passwords.hash_password(RIGHT)
    times_s: dict[str | None, list[float]] = {stored: [], None: []}
    for _ in range(15):
        for which in (stored, None):
            began = time.perf_counter()
            assert not await passwords.verify_password("wrong horse battery", which)
            times_s[which].append(time.perf_counter() - began)
    passwords.close()
    known_s, unknown_s = (statistics.median(times_s[which]) for which in (stored, None))
    assert 0.5 < unknown_s / known_s < 2, f"known {known_s:.4f} s, unknown {unknown_s:.4f} s"


@pytest.mark.parametrize("password", ["", "short", "123456789", "x" * 201, "\ufdfa" * 20, "e\u0301" * 9])
async def test_a_password_out_of_bounds_is_refused_when_set_and_simply_wrong_at_sign_in(passwords, password):
    with pytest.raises(Invalid, match="between 10 and 200 characters") as caught:
        await passwords.hash_password(password)
    assert caught.value.field == "password"
    assert not password or password not in str(caught.value)
    assert not await passwords.verify_password(password, await passwords.hash_password(RIGHT))


@pytest.mark.parametrize("password", ["x" * 10, "x" * 200, "e\u0301" * 200, "naughty \x00 NUL", "😀" * 10])
async def test_a_password_on_the_bounds_works(passwords, password):
    assert await passwords.verify_password(password, await passwords.hash_password(password))


async def test_what_stands_after_a_nul_counts(passwords):
    assert not await passwords.verify_password(
        "0123456789\x00b", await passwords.hash_password("0123456789\x00a")
    )


async def test_half_a_character_is_refused_and_not_shown(passwords):
    with pytest.raises(Invalid, match="lone surrogate") as caught:
        await passwords.hash_password("0123456789\ud800")
    assert "0123456789" not in str(caught.value)
    assert not await passwords.verify_password("0123456789\ud800", None)


def test_normalising_hostile_input_is_cheap():
    began = time.perf_counter()
    with pytest.raises(Invalid):
        normalise_password("a" + "\u0300\u0316" * 50_000)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize("stored", ["not a hash", "$argon2id$v=19$m=64,t=1,p=1$$", "$2b$12$abc"])
async def test_a_damaged_stored_hash_matches_nothing_and_wants_a_rehash(passwords, stored):
    assert not await passwords.verify_password(RIGHT, stored)
    assert passwords.needs_rehash(stored)


async def test_a_hash_with_older_costs_still_matches_and_wants_a_rehash(passwords):
    older = Passwords(PasswordHasher(time_cost=1, memory_cost=32, parallelism=1))
    stored = await older.hash_password(RIGHT)
    older.close()
    assert await passwords.verify_password(RIGHT, stored)
    assert passwords.needs_rehash(stored)
    assert not passwords.needs_rehash(await passwords.hash_password(RIGHT))


class CountingHasher(PasswordHasher):
    at_once = 0
    most_at_once = 0

    def verify(self, hash, password):  # noqa: A002
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.005)
        self.at_once -= 1
        return super().verify(hash, password)


async def test_never_more_than_two_hash_at_once_and_the_loop_stays_free():
    hasher = CountingHasher(time_cost=1, memory_cost=64, parallelism=1)
    passwords = Passwords(hasher)
    verifying = [asyncio.ensure_future(passwords.verify_password(RIGHT, None)) for _ in range(20)]
    await asyncio.sleep(0)
    for caller in verifying[::2]:  # callers who hang up free no slot
        caller.cancel()
    turns_of_the_loop = 0
    while not all(caller.done() for caller in verifying):
        turns_of_the_loop += 1
        await asyncio.sleep(0.001)
    passwords.close()
    assert 1 <= hasher.most_at_once <= 2
    assert turns_of_the_loop > 5


async def test_a_flood_of_sign_ins_is_turned_away_with_a_time_to_come_back():
    passwords = Passwords(quick(), waiting_max=3)
    answers = await asyncio.gather(
        *(passwords.verify_password(RIGHT, None) for _ in range(10)), return_exceptions=True
    )
    turned_away = [answer for answer in answers if isinstance(answer, OverLimit)]
    assert len(turned_away) == 7
    assert turned_away[0].retry_after_s == 3
    assert not await passwords.verify_password(RIGHT, None)
    passwords.close()
