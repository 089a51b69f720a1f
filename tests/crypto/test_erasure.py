"""What was destroyed stays destroyed: for every worker, after a restart, and after an old secret comes back."""

import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.crypto.errors import KeyDestroyed, KeyringError
from app.crypto.keyring import KeyringFolder

from .conftest import Clock
from .processes import forked

SCOPE = UUID("5f0c1b52-0f1f-4a53-9c1a-6f1f6b1f2d01")


@pytest.fixture
def secret_path(folder: Path) -> Path:
    return folder / "erasure" / "5f" / str(SCOPE) / "medication"


@pytest.fixture
def tombstones(folder: Path) -> Path:
    return folder / "erasure" / "destroyed.jsonl"


def test_a_secret_is_made_once_for_each_scope_and_category(keyring: KeyringFolder, folder: Path) -> None:
    there = KeyringFolder.open_or_create(folder)
    secret = keyring.erasure_secret(SCOPE, "medication")

    assert len(secret) == 32
    assert keyring.erasure_secret(SCOPE, "medication") == secret
    assert there.erasure_secret(SCOPE, "medication") == secret
    assert there.existing_erasure_secret(SCOPE, "medication") == secret
    assert len({secret, there.erasure_secret(SCOPE, "crisis_plan"), there.erasure_secret(uuid4(), "medication")}) == 3


@pytest.mark.parametrize("destroyed", [None, "medication"])
def test_destruction_is_final_for_every_worker_and_for_ever(
    keyring: KeyringFolder, folder: Path, clock: Clock, destroyed: str | None
) -> None:
    there = KeyringFolder.open_or_create(folder)
    key, wrapped = keyring.new_data_key(SCOPE, "medication", 1)

    keyring.destroy(SCOPE, destroyed)

    for keys in (keyring, there, KeyringFolder.open_or_create(folder)):
        with pytest.raises(KeyDestroyed) as refusal:
            keys.unwrap(wrapped, key_id=key.id, scope=SCOPE, category="medication", generation=1)
        assert refusal.value.destroyed_at == clock()
        assert (refusal.value.scope, refusal.value.category) == (SCOPE, "medication")
        with pytest.raises(KeyDestroyed):
            keys.new_data_key(SCOPE, "medication", 1)
        with pytest.raises(KeyDestroyed):
            keys.new_data_key(SCOPE, "medication", 2)
        with pytest.raises(KeyDestroyed):
            keys.erasure_secret(SCOPE, "medication")
        with pytest.raises(KeyDestroyed):
            keys.existing_erasure_secret(SCOPE, "medication")


def test_a_refused_secret_is_not_made(keyring: KeyringFolder, secret_path: Path) -> None:
    keyring.destroy(SCOPE, "medication")

    with pytest.raises(KeyDestroyed):
        keyring.erasure_secret(SCOPE, "medication")

    assert not secret_path.exists()


def test_destroying_a_category_leaves_the_others(keyring: KeyringFolder) -> None:
    other = keyring.erasure_secret(SCOPE, "crisis_plan")
    keyring.erasure_secret(SCOPE, "medication")

    keyring.destroy(SCOPE, "medication")

    assert keyring.existing_erasure_secret(SCOPE, "crisis_plan") == other


def test_destroying_a_scope_closes_categories_it_never_had(keyring: KeyringFolder, secret_path: Path) -> None:
    keyring.erasure_secret(SCOPE, "medication")

    keyring.destroy(SCOPE)

    assert not secret_path.parent.exists()
    with pytest.raises(KeyDestroyed):
        keyring.erasure_secret(SCOPE, "crisis_plan")
    assert keyring.erasure_secret(uuid4(), "crisis_plan")


def test_the_bytes_are_overwritten_before_the_name_goes(
    keyring: KeyringFolder, secret_path: Path, tmp_path: Path
) -> None:
    secret = keyring.erasure_secret(SCOPE, "medication")
    os.link(secret_path, tmp_path / "second-name")

    keyring.destroy(SCOPE, "medication")

    assert not secret_path.exists()
    assert (tmp_path / "second-name").read_bytes() != secret


def test_destroying_again_keeps_the_first_instant(keyring: KeyringFolder, clock: Clock, tombstones: Path) -> None:
    first = clock()
    keyring.destroy(SCOPE, "medication")
    clock.move(timedelta(days=1))

    keyring.destroy(SCOPE, "medication")
    keyring.destroy(SCOPE)

    assert [(stone.category, stone.destroyed_at) for stone in keyring.tombstones()] == [
        ("medication", first),
        (None, clock()),
    ]
    assert len(tombstones.read_text().splitlines()) == 2


def test_tombstones_replayed_on_a_restored_folder_destroy_again(
    keyring: KeyringFolder, folder: Path, secret_path: Path, tombstones: Path
) -> None:
    secret = keyring.erasure_secret(SCOPE, "medication")
    keyring.destroy(SCOPE, "medication")
    kept = keyring.tombstones()
    tombstones.unlink()
    secret_path.write_bytes(secret)
    secret_path.chmod(0o600)
    restored = KeyringFolder.open_or_create(folder)
    assert restored.existing_erasure_secret(SCOPE, "medication") == secret

    for stone in kept:
        restored.destroy(stone.scope, stone.category)

    with pytest.raises(KeyDestroyed):
        restored.existing_erasure_secret(SCOPE, "medication")


def test_a_secret_that_comes_back_is_not_used_and_goes_at_the_next_opening(
    keyring: KeyringFolder, folder: Path, secret_path: Path
) -> None:
    secret = keyring.erasure_secret(SCOPE, "medication")
    keyring.destroy(SCOPE, "medication")
    secret_path.write_bytes(secret)
    secret_path.chmod(0o600)

    with pytest.raises(KeyDestroyed):
        keyring.existing_erasure_secret(SCOPE, "medication")
    KeyringFolder.open_or_create(folder)
    assert not secret_path.exists()


def test_a_lost_secret_is_not_made_anew_for_a_later_generation(keyring: KeyringFolder, secret_path: Path) -> None:
    keyring.new_data_key(SCOPE, "medication", 1)
    secret_path.unlink()

    with pytest.raises(KeyDestroyed) as refusal:
        keyring.new_data_key(SCOPE, "medication", 2)
    assert refusal.value.destroyed_at is None
    assert not secret_path.exists()


def test_a_left_over_of_a_living_secret_does_not_take_it_along(keyring: KeyringFolder, secret_path: Path) -> None:
    # A writer killed between naming a secret and dropping its temporary name leaves both names of one file.
    living = keyring.erasure_secret(SCOPE, "crisis_plan")
    keyring.erasure_secret(SCOPE, "medication")
    left_over = secret_path.with_name(".new-0011223344556677")
    os.link(secret_path.with_name("crisis_plan"), left_over)

    keyring.destroy(SCOPE, "medication")

    assert not left_over.exists()
    assert keyring.existing_erasure_secret(SCOPE, "crisis_plan") == living


def test_a_torn_last_tombstone_counts_for_nothing_and_is_mended(
    keyring: KeyringFolder, folder: Path, tombstones: Path
) -> None:
    keyring.destroy(SCOPE, "medication")
    with tombstones.open("ab") as file:
        file.write(b'{"scope": "5f0c1b52-')

    keyring.destroy(SCOPE, "crisis_plan")

    assert len([json.loads(line) for line in tombstones.read_text().splitlines()]) == 2
    assert keyring.tombstones() == KeyringFolder.open_or_create(folder).tombstones()
    assert len(keyring.tombstones()) == 2


@pytest.mark.parametrize("line", ["", "null", "{}", '{"scope": "x", "category": null, "destroyedAt": "2026-01-01"}'])
def test_a_damaged_tombstone_is_refused(keyring: KeyringFolder, folder: Path, tombstones: Path, line: str) -> None:
    keyring.destroy(SCOPE)
    with tombstones.open("a") as file:
        file.write(line + "\n")

    with pytest.raises(KeyringError, match="damaged line"):
        keyring.erasure_secret(uuid4(), "medication")
    with pytest.raises(KeyringError, match="damaged line"):
        KeyringFolder.open_or_create(folder)


@pytest.mark.parametrize("rest", [b"", b"{"])
def test_tombstones_that_became_fewer_are_noticed(keyring: KeyringFolder, tombstones: Path, rest: bytes) -> None:
    keyring.destroy(SCOPE)
    tombstones.write_bytes(rest)

    with pytest.raises(KeyringError, match="became shorter"):
        keyring.erasure_secret(uuid4(), "medication")


def test_a_damaged_secret_is_named(keyring: KeyringFolder, secret_path: Path) -> None:
    keyring.erasure_secret(SCOPE, "medication")
    secret_path.write_bytes(bytes(31))

    with pytest.raises(KeyringError, match="medication is damaged"):
        keyring.erasure_secret(SCOPE, "medication")


@pytest.mark.parametrize("category", ["", ".", "..", "../x", "a/b", "A", "x" * 65, "a\n", "é", "_x"])
def test_a_category_is_never_a_path(keyring: KeyringFolder, category: str) -> None:
    for refused in (keyring.erasure_secret, keyring.existing_erasure_secret, keyring.destroy):
        with pytest.raises(ValueError, match="lower-case"):
            refused(SCOPE, category)


def test_a_destruction_waits_for_a_secret_that_is_being_made(keyring: KeyringFolder, secret_path: Path) -> None:
    def make_with_a_stop_before_linking() -> None:
        sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGSTOP) if event == "os.link" else None)
        with suppress(KeyDestroyed):  # It may be destroyed between being made and being returned.
            keyring.erasure_secret(SCOPE, "medication")

    maker = forked(make_with_a_stop_before_linking)
    assert os.WIFSTOPPED(os.waitpid(maker, os.WUNTRACED)[1])

    with ThreadPoolExecutor(1) as threads:
        destruction = threads.submit(keyring.destroy, SCOPE)
        ended = wait([destruction], timeout=0.2).done
        os.kill(maker, signal.SIGCONT)
        status = os.waitpid(maker, 0)[1]

    assert status == 0
    assert not ended
    assert destruction.result() is None
    assert not secret_path.exists()
