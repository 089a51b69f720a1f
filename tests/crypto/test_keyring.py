"""The key folder: made once, read by its owner alone, and never silently made anew."""

import copy
import json
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.crypto.errors import KeyringError, SealBroken
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import READABLE_AFTER_ROTATION, KeyProvider, Use
from app.crypto.wrapping import kek_id_of

from .conftest import Clock
from .processes import forked

RACERS = 8


def test_a_folder_is_a_key_provider(keyring: KeyringFolder) -> None:
    provider: KeyProvider = keyring

    assert {len(provider.current(use).secret) for use in Use if use is not Use.SIGNING} == {32}


def test_everything_is_readable_by_the_owner_alone(keyring: KeyringFolder, folder: Path) -> None:
    keyring.erasure_secret(uuid4(), "medication")
    keyring.destroy(uuid4())

    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_missing_parents_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    KeyringFolder.open_or_create(tmp_path / "a" / "b" / "keys")

    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_no_two_uses_share_a_key(keyring: KeyringFolder) -> None:
    assert len({keyring.current(use).secret for use in Use}) == len(Use)


def test_the_same_keys_are_found_when_opened_again(keyring: KeyringFolder, folder: Path) -> None:
    again = KeyringFolder.open_or_create(folder)

    assert again.current_kek() == keyring.current_kek()
    for use in Use:
        assert again.current(use).secret == keyring.current(use).secret


def test_workers_that_start_together_agree(folder: Path) -> None:
    start, go = os.pipe()
    answers, answer = os.pipe()
    racers = [race(folder, start, go, answer) for _ in range(RACERS)]

    os.close(go)
    ended = [os.WEXITSTATUS(os.waitpid(racer, 0)[1]) for racer in racers]
    os.close(answer)
    with os.fdopen(answers, "rb") as file:
        found = file.read()
    os.close(start)

    assert ended == [0] * RACERS
    keyring = KeyringFolder.open_or_create(folder)
    assert found == secrets_of(keyring) * RACERS


def race(folder: Path, start: int, go: int, answer: int) -> int:
    """Start a worker that opens the folder when ``start`` ends, and answers with the secrets it then has."""

    def open_and_answer() -> None:
        os.close(go)
        os.read(start, 1)
        os.write(answer, secrets_of(KeyringFolder.open_or_create(folder)))

    return forked(open_and_answer)


def secrets_of(keyring: KeyringFolder) -> bytes:
    purposes = [keyring.current(use).secret for use in Use]
    return b"".join([keyring.current_kek().bytes, *purposes, keyring.erasure_secret(UUID(int=1), "medication")])


def group_readable(path: Path) -> None:
    path.chmod(path.stat().st_mode | stat.S_IRGRP)


def world_readable(path: Path) -> None:
    path.chmod(path.stat().st_mode | stat.S_IROTH)


def symbolic_link(path: Path) -> None:
    real = path.rename(path.with_name(f"real-{path.name}"))
    path.symlink_to(real)


def someone_elses(path: Path) -> None:
    os.chown(path, 12345, 12345)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
unsafe = pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (group_readable, "open to other users"),
        (world_readable, "open to other users"),
        (symbolic_link, "is a symbolic link"),
        pytest.param(someone_elses, "belongs to another user", marks=needs_root),
    ],
)


@unsafe
@pytest.mark.parametrize("name", [".", "kek-1.json", "token-signing-1.json", "keyring.json", "erasure"])
def test_an_unsafe_file_or_folder_is_refused(
    keyring: KeyringFolder, folder: Path, name: str, spoil: Callable[[Path], None], sentence: str
) -> None:
    assert keyring.current_kek()
    spoil(folder / name)

    with pytest.raises(KeyringError, match=sentence) as refusal:
        KeyringFolder.open_or_create(folder)
    assert str(folder / name) in str(refusal.value)


@unsafe
def test_an_unsafe_erasure_secret_is_refused(
    keyring: KeyringFolder, folder: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    scope = uuid4()
    assert keyring.erasure_secret(scope, "medication")
    spoil(folder / "erasure" / str(scope)[:2] / str(scope) / "medication")

    with pytest.raises(KeyringError, match=sentence):
        keyring.existing_erasure_secret(scope, "medication")


def test_what_is_not_a_folder_or_file_is_refused(keyring: KeyringFolder, folder: Path, tmp_path: Path) -> None:
    assert keyring.current_kek()
    (tmp_path / "file").touch(mode=0o600)
    with pytest.raises(KeyringError, match="is not a folder"):
        KeyringFolder.open_or_create(tmp_path / "file")

    (folder / "kek-1.json").unlink()
    os.mkfifo(folder / "kek-1.json", 0o600)
    with pytest.raises(KeyringError, match="is not a file"):
        KeyringFolder.open_or_create(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: "",
        lambda text: "null",
        lambda text: text.replace("A", "B", 1),
        lambda text: text.replace('"number": 1', '"number": 2'),
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: "x" * 100_000,
    ],
)
def test_a_damaged_key_is_named(keyring: KeyringFolder, folder: Path, damage: Callable[[str], str]) -> None:
    path = folder / "kek-1.json"
    record = json.loads(path.read_text())
    record["secret"] = "A" + record["secret"][1:]
    path.write_text(damage(json.dumps(record)))

    with pytest.raises(KeyringError, match=r"kek-1\.json is (damaged|larger)"):
        KeyringFolder.open_or_create(folder)


def test_a_renamed_key_is_refused(keyring: KeyringFolder, folder: Path) -> None:
    (folder / "kek-1.json").rename(folder / "kek-7.json")

    with pytest.raises(KeyringError, match=r"kek-7\.json is damaged, renamed"):
        KeyringFolder.open_or_create(folder)


@pytest.mark.parametrize("kind", ["kek", *Use])
def test_a_lost_key_is_named_and_not_made_anew(keyring: KeyringFolder, folder: Path, kind: str) -> None:
    path = folder / f"{kind}-1.json"
    lost = json.loads(path.read_text())["id"]
    path.unlink()

    with pytest.raises(KeyringError, match=f"has lost its {kind} key {lost}"):
        KeyringFolder.open_or_create(folder)
    with pytest.raises(KeyringError, match=f"has lost its {kind} key {lost}"):
        keyring.refresh()
    assert not path.exists()


def test_missing_key_encryption_keys_are_all_named(keyring: KeyringFolder) -> None:
    one, other = uuid4(), uuid4()
    keyring.require([keyring.current_kek()])
    keyring.require([])

    with pytest.raises(KeyringError) as refusal:
        keyring.require([one, keyring.current_kek(), other])
    assert str(one) in str(refusal.value)
    assert str(other) in str(refusal.value)
    assert str(keyring.current_kek()) not in str(refusal.value)


def test_a_folder_of_a_later_release_still_opens(keyring: KeyringFolder, folder: Path) -> None:
    path = folder / "keyring.json"
    manifest = json.loads(path.read_text())
    manifest["newest"]["of-a-later-release"] = str(uuid4())
    path.write_text(json.dumps(manifest))

    KeyringFolder.open_or_create(folder).rotate_kek()

    assert json.loads(path.read_text())["newest"]["of-a-later-release"] == manifest["newest"]["of-a-later-release"]


def test_a_folder_of_an_earlier_release_gets_the_keys_it_never_had(keyring: KeyringFolder, folder: Path) -> None:
    path = folder / "keyring.json"
    manifest = json.loads(path.read_text())
    del manifest["newest"]["ticket"]
    path.write_text(json.dumps(manifest))
    (folder / "ticket-1.json").unlink()

    again = KeyringFolder.open_or_create(folder)

    assert again.current(Use.TICKET).secret != keyring.current(Use.TICKET).secret
    assert json.loads(path.read_text())["newest"]["ticket"] == str(again.current(Use.TICKET).id)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 2, "newest": {}}', '{"version": 1, "newest": {"kek": 1}}']
)
def test_a_damaged_list_of_keys_is_refused(keyring: KeyringFolder, folder: Path, content: str) -> None:
    (folder / "keyring.json").write_text(content)

    with pytest.raises(KeyringError, match=r"keyring\.json is damaged"):
        KeyringFolder.open_or_create(folder)


def test_rotation_rewraps_without_losing_a_key(keyring: KeyringFolder, folder: Path) -> None:
    scope, first = uuid4(), keyring.current_kek()
    key, wrapped = keyring.new_data_key(scope, "medication", 1)
    assert kek_id_of(wrapped) == first

    second = keyring.rotate_kek()
    rewrapped = unwrap_with(keyring.rewrap, wrapped, key.id, scope)

    assert isinstance(rewrapped, bytes)
    assert keyring.current_kek() == kek_id_of(rewrapped) == second != first
    (folder / "kek-1.json").unlink()
    again = KeyringFolder.open_or_create(folder)
    found = again.unwrap(rewrapped, key_id=key.id, scope=scope, category="medication", generation=1)
    assert found.secret == key.secret
    with pytest.raises(KeyringError, match=f"lacks key-encryption key {first}"):
        again.unwrap(wrapped, key_id=key.id, scope=scope, category="medication", generation=1)


def unwrap_with(operation: Callable[..., object], wrapped: bytes, key_id: UUID, scope: UUID) -> object:
    return operation(wrapped, key_id=key_id, scope=scope, category="medication", generation=1)


def test_a_worker_unwraps_at_once_what_another_wrapped_after_rotation(keyring: KeyringFolder, folder: Path) -> None:
    scope, there = uuid4(), KeyringFolder.open_or_create(folder)
    there.rotate_kek()
    key, wrapped = there.new_data_key(scope, "medication", 1)

    found = keyring.unwrap(wrapped, key_id=key.id, scope=scope, category="medication", generation=1)

    assert found.secret == key.secret
    assert keyring.current_kek() == there.current_kek()


def test_a_change_within_one_tick_of_the_file_clock_is_not_missed(keyring: KeyringFolder, folder: Path) -> None:
    os.utime(folder)
    keyring.refresh()
    tick = folder.stat().st_mtime_ns
    rotated = KeyringFolder.open_or_create(folder).rotate_kek()
    os.utime(folder, ns=(tick, tick))

    assert keyring.refresh()
    assert keyring.current_kek() == rotated


def test_a_folder_that_did_not_change_is_not_read_again(keyring: KeyringFolder, folder: Path) -> None:
    os.utime(folder, ns=(0, 0))

    assert keyring.refresh()
    assert not keyring.refresh()


@pytest.mark.parametrize("use", [use for use in Use if use not in READABLE_AFTER_ROTATION])
def test_a_key_whose_values_carry_no_key_id_is_not_rotated(keyring: KeyringFolder, use: Use) -> None:
    before = keyring.current(use)

    with pytest.raises(KeyringError, match="is not rotated"):
        keyring.rotate(use)
    assert keyring.current(use) is before
    assert keyring.readable(use) == (before,)


def test_a_rotated_key_is_dated_by_its_successor(keyring: KeyringFolder, clock: Clock) -> None:
    old = keyring.current(Use.SIGNING)

    new_id = keyring.rotate(Use.SIGNING)

    new, retired = keyring.readable(Use.SIGNING)
    assert (new.id, new.number, new.retired_at) == (new_id, 2, None)
    assert (retired.id, retired.number, retired.retired_at) == (old.id, 1, clock())


def test_a_purpose_key_shows_and_gives_away_nothing(keyring: KeyringFolder) -> None:
    key = keyring.current(Use.DIGEST)

    assert repr(key.secret) not in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)


def test_noise_is_no_wrapped_key(keyring: KeyringFolder) -> None:
    for noise in (b"", bytes(77), bytes(78), bytes(79), b"\x01\x01" + bytes(75)):
        with pytest.raises(SealBroken):
            unwrap_with(keyring.unwrap, noise, uuid4(), uuid4())


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(KeyringError, match="cannot be used: Not a directory"):
        KeyringFolder.open_or_create(tmp_path / "file" / "keys")
