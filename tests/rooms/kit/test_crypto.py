from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1zap.kit.crypto import (
    DataKey,
    MasterKey,
    SealBroken,
    Sealer,
    blind_index,
    load_or_create_master_key,
    new_data_key,
)
from a1zap.kit.errors import Invalid

CANARY = "canary-7431 sat in a text"
ROW = UUID("01930000-0000-7000-8000-000000000001")
HERE = {"table": "messages", "column": "content", "row": ROW}


def sealer_of_a_new_owner() -> Sealer:
    return Sealer(new_data_key(uuid4()))


@given(st.one_of(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.binary()))
def test_what_was_sealed_opens_at_its_place(content):
    sealer = sealer_of_a_new_owner()
    sealed = sealer.seal(content, **HERE)
    opened = sealer.open_text(sealed, **HERE) if isinstance(content, str) else sealer.open(sealed, **HERE)
    assert opened == content
    raw = content.encode() if isinstance(content, str) else content
    assert len(sealed) == len(raw) + 45


def test_the_sealed_bytes_hold_the_version_and_the_key_and_nothing_of_the_text():
    key = new_data_key(uuid4())
    sealed = Sealer(key).seal(CANARY, **HERE)
    assert sealed[0] == 1
    assert sealed[1:17] == key.id.bytes
    assert CANARY.encode() not in sealed


def test_the_same_text_sealed_twice_differs():
    sealer = sealer_of_a_new_owner()
    assert sealer.seal(CANARY, **HERE) != sealer.seal(CANARY, **HERE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        HERE | {"table": "memories"},
        HERE | {"column": "rich_content"},
        HERE | {"row": uuid4()},
        {"table": "message", "column": "scontent", "row": ROW},  # the same letters, another border
        {"table": "", "column": "messagescontent", "row": ROW},
    ],
)
def test_a_value_moved_to_another_place_does_not_open(elsewhere):
    sealer = sealer_of_a_new_owner()
    sealed = sealer.seal(CANARY, **HERE)
    with pytest.raises(SealBroken) as caught:
        sealer.open(sealed, **elsewhere)
    assert f"{elsewhere['table']}.{elsewhere['column']} of row {elsewhere['row']}" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_key_row_given_to_another_owner_opens_nothing():
    key = new_data_key(uuid4())
    thief = DataKey(id=key.id, owner_id=uuid4(), key=key.key)
    with pytest.raises(SealBroken, match="changed, or moved"):
        Sealer(thief).open(Sealer(key).seal(CANARY, **HERE), **HERE)


def test_every_single_flipped_bit_is_seen():
    sealer = sealer_of_a_new_owner()
    sealed = sealer.seal("short", **HERE)
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(SealBroken, match=r"messages\.content"):
            sealer.open(bytes(changed), **HERE)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_noise_never_opens_and_never_raises_anything_else(noise):
    with pytest.raises(SealBroken):
        sealer_of_a_new_owner().open(noise, **HERE)


def test_every_truncation_is_seen():
    sealer = sealer_of_a_new_owner()
    sealed = sealer.seal("short", **HERE)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            sealer.open(sealed[:length], **HERE)


def test_after_a_rotation_old_values_open_and_new_ones_use_the_new_key():
    old = new_data_key(uuid4())
    new = new_data_key(old.owner_id)
    before = Sealer(old).seal(CANARY, **HERE)
    rotated = Sealer(new, {old.id: old})
    assert rotated.open_text(before, **HERE) == CANARY
    assert rotated.seal(CANARY, **HERE)[1:17] == new.id.bytes


def test_without_its_key_a_value_is_gone_and_the_error_names_the_key():
    old = new_data_key(uuid4())
    sealed = Sealer(old).seal(CANARY, **HERE)
    with pytest.raises(SealBroken, match=str(old.id)):
        Sealer(new_data_key(old.owner_id)).open(sealed, **HERE)


def test_a_sealer_refuses_the_key_of_another_owner():
    foreign = new_data_key(uuid4())
    with pytest.raises(ValueError, match="is not a key of owner"):
        Sealer(new_data_key(uuid4()), {foreign.id: foreign})


def test_half_a_character_is_refused_without_showing_the_text():
    with pytest.raises(Invalid) as caught:
        sealer_of_a_new_owner().seal(CANARY + "\ud800", **HERE)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_bytes_do_not_open_as_text():
    sealer = sealer_of_a_new_owner()
    with pytest.raises(SealBroken, match="bytes, not text"):
        sealer.open_text(sealer.seal(b"\xff\xfe", **HERE), **HERE)


def test_a_blind_index_is_equal_for_one_owner_and_column_only():
    key = new_data_key(uuid4())
    place = {"table": "user_addresses", "column": "address"}
    digest = blind_index(key, "ann@example.com", **place)
    assert len(digest) == 32
    assert blind_index(key, "ann@example.com", **place) == digest
    assert blind_index(key, "bob@example.com", **place) != digest
    assert blind_index(key, "ann@example.com", **(place | {"column": "name"})) != digest
    assert blind_index(new_data_key(key.owner_id), "ann@example.com", **place) != digest


def test_a_blind_index_stays_the_same_when_the_data_key_is_rotated():
    old = new_data_key(uuid4())
    new = new_data_key(old.owner_id)
    place = {"table": "user_addresses", "column": "address"}
    before = Sealer(old).blind_index("ann@example.com", **place)
    assert Sealer(new, {old.id: old}).blind_index("ann@example.com", **place) == before
    assert blind_index(old, "ann@example.com", **place) == before


def test_no_repr_shows_key_bytes():
    raw = bytes(range(32))
    key = DataKey(id=uuid4(), owner_id=uuid4(), key=raw)
    master = MasterKey.of(raw)
    shown = repr([key, master, Sealer(key)]) + str(key) + str(master)
    for spelling in (repr(raw), repr(raw)[2:12], raw.hex(), base64.b64encode(raw).decode()):
        assert spelling not in shown
    assert str(key.id) in shown
    assert master.id.hex() in shown


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_a_bug(length):
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKey.of(os.urandom(length))
    with pytest.raises(ValueError, match="32 bytes"):
        DataKey(id=uuid4(), owner_id=uuid4(), key=os.urandom(length))


def test_a_wrapped_data_key_unwraps_for_its_own_row_only():
    master = MasterKey.of(os.urandom(32))
    key = new_data_key(uuid4())
    wrapped = master.wrap(key)
    assert master.unwrap(wrapped, id=key.id, owner_id=key.owner_id) == key
    assert key.key not in wrapped
    for wrong in ({"id": uuid4(), "owner_id": key.owner_id}, {"id": key.id, "owner_id": uuid4()}):
        with pytest.raises(SealBroken, match="does not unwrap"):
            master.unwrap(wrapped, **wrong)


def test_another_master_key_is_told_by_its_id_and_the_way_out_is_named():
    key = new_data_key(uuid4())
    right, wrong = MasterKey.of(os.urandom(32)), MasterKey.of(os.urandom(32))
    with pytest.raises(SealBroken, match=r"put the old master\.key") as caught:
        wrong.unwrap(right.wrap(key), id=key.id, owner_id=key.owner_id)
    assert right.id.hex() in str(caught.value)


def test_a_changed_wrapping_never_unwraps():
    master = MasterKey.of(os.urandom(32))
    key = new_data_key(uuid4())
    wrapped = master.wrap(key)
    for position in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[position] ^= 0x55
        with pytest.raises(SealBroken):
            master.unwrap(bytes(changed), id=key.id, owner_id=key.owner_id)
    with pytest.raises(SealBroken, match="not our format"):
        master.unwrap(wrapped[:-1], id=key.id, owner_id=key.owner_id)


def test_each_purpose_has_its_own_key_and_the_master_key_itself_is_never_one():
    master = MasterKey.of(os.urandom(32))
    keys = {master.derive(purpose) for purpose in ("cookies", "visitor tokens", "wrap", "check value", "")}
    assert len(keys | {master.key}) == 6
    assert master.derive("cookies") == MasterKey.of(master.key).derive("cookies")


def test_formats_stay_readable_by_later_programs():
    """Values written by this format must open for ever; a change here needs a new version byte."""
    master = MasterKey.of(bytes(range(32)))
    key = DataKey(id=UUID(int=1), owner_id=UUID(int=2), key=bytes(range(32, 64)))
    assert master.id.hex() == FROZEN["master_id"]
    assert master.derive("cookies").hex() == FROZEN["cookies"]
    wrapped = bytes.fromhex(FROZEN["wrapped"])
    assert master.unwrap(wrapped, id=key.id, owner_id=key.owner_id) == key
    assert (
        Sealer(key).open_text(bytes.fromhex(FROZEN["sealed"]), table="t", column="c", row=UUID(int=3))
        == "été"
    )
    assert blind_index(key, "a@b", table="t", column="c").hex() == FROZEN["index"]


FROZEN = {
    "master_id": "c78db3a1",
    "cookies": "e1cc5f829798201e7952b45f485cb3d0927c7cf3e49db579db557e41c5c82149",
    "wrapped": "01c78db3a1c808b21b83ba4ced75cbea7788752279f291b73bbe05744aca9254b0e277efd999fb679a87c0f774e49715ccbd79b40ef636cecf8726b58b4c77f06e",
    "sealed": "010000000000000000000000000000000156ddd688c200af155c3ad1d449a40060b4f673874a010f07ea6fac5d18f306a79a",
    "index": "2fff9e4f890166a01f2b3a87b4780a8e23f5254a1d8ce72b44ef23619041a6a5",
}


def test_the_first_run_makes_a_key_that_only_its_user_reads(tmp_path):
    folder = tmp_path / "data" / "a1zap"
    made = load_or_create_master_key(folder, None)
    file = folder / "master.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert base64.b64decode(file.read_text()) == made.key
    assert load_or_create_master_key(folder, None) == made
    assert [entry.name for entry in folder.iterdir()] == ["master.key"]


def test_the_key_file_is_private_whatever_the_umask_says(tmp_path):
    before = os.umask(0)
    try:
        load_or_create_master_key(tmp_path, None)
    finally:
        os.umask(before)
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


def test_processes_that_start_at_once_agree_on_one_key(tmp_path):
    script = (
        "import sys, pathlib; from a1zap.kit.crypto import load_or_create_master_key as load\n"
        "sys.stdin.readline(); print(load(pathlib.Path(sys.argv[1]), None).key.hex())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(6)
    ]
    for process in started:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0].strip() for process in started}
    assert len(keys) == 1
    assert len(keys.pop()) == 64
    assert [entry.name for entry in tmp_path.iterdir()] == ["master.key"]


def test_whoever_comes_second_takes_the_first_ones_key(tmp_path, monkeypatch):
    """The race made certain: both find no file, and the second writes while the first one's is there already."""
    first = load_or_create_master_key(tmp_path, None)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "exists", lambda _: False)
        assert load_or_create_master_key(tmp_path, None) == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["master.key"]


KEY = bytes(range(100, 132))


@pytest.mark.parametrize(
    "spelling",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode().rstrip("="),
        f"  {base64.b64encode(KEY).decode()}\n",
    ],
)
def test_the_variable_gives_the_key_in_hex_or_base64_and_no_file_is_made(tmp_path, spelling):
    assert load_or_create_master_key(tmp_path, spelling).key == KEY
    assert list(tmp_path.iterdir()) == []


def test_both_base64_alphabets_are_understood(tmp_path):
    key = b"\xfb\xff\xfe" * 10 + b"\x00\x01"
    for spelling in (base64.b64encode(key), base64.urlsafe_b64encode(key)):
        assert load_or_create_master_key(tmp_path, spelling.decode()).key == key


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        " ",
        "secret",
        "a" * 63,
        "ä" * 43,
        KEY.hex() + "00",
        base64.b64encode(KEY[:31]).decode(),
        "A" * 43,
        "0" * 64,
    ],
)
def test_a_variable_that_is_no_key_is_refused_with_the_way_out_and_without_its_value(tmp_path, spelling):
    with pytest.raises(Invalid, match="openssl rand -base64 32") as caught:
        load_or_create_master_key(tmp_path, spelling)
    assert "A1ZAP_MASTER_KEY" in str(caught.value)
    assert len(spelling) < 6 or spelling not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_that_others_may_read_is_refused(tmp_path):
    load_or_create_master_key(tmp_path, None)
    (tmp_path / "master.key").chmod(0o640)
    with pytest.raises(Invalid, match="chmod 600"):
        load_or_create_master_key(tmp_path, None)


def test_a_damaged_key_file_is_refused_and_never_replaced(tmp_path):
    file = tmp_path / "master.key"
    file.write_bytes(b"\xff\x00 half a key")
    file.chmod(0o600)
    with pytest.raises(Invalid, match=r"master\.key must hold 32 random bytes"):
        load_or_create_master_key(tmp_path, None)
    assert file.read_bytes() == b"\xff\x00 half a key"


def test_a_folder_that_cannot_be_written_names_the_way_out(tmp_path):
    (tmp_path / "a file").touch()
    with pytest.raises(Invalid, match="set A1ZAP_MASTER_KEY"):
        load_or_create_master_key(tmp_path / "a file" / "below", None)
