"""A process killed at any step leaves whole files or none, and the next opening finishes or forgets what it began."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from app.crypto.errors import KeyDestroyed
from app.crypto.folder import create_file, replace_file
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import Use

SCOPE = UUID("5f0c1b52-0f1f-4a53-9c1a-6f1f6b1f2d01")
STEPS_MAX = 400
STEP = {
    "open",
    "os.link",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.truncate",
    "fcntl.flock",
    "os.listdir",
}


def killed_at(step: int, folder: Path, act: Callable[[], object]) -> bool:
    """Run ``act`` in a child that is killed before its n-th step on a file under ``folder``; tell whether it was."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, args: tuple[object, ...]) -> None:
            nonlocal left
            if event in STEP and (event == "fcntl.flock" or str(folder) in str(args[0])):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            act()
        except BaseException:  # noqa: BLE001  # the child reports by its exit code and never returns to pytest
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def every_step(tmp_path: Path, prepare: Callable[[Path], object], act: Callable[[Path], object]) -> list[Path]:
    """Return folders in which ``act`` was killed at its 1st, 2nd, … step, and last one in which it ended."""
    folders = []
    for step in range(1, STEPS_MAX):
        folder = tmp_path / str(step)
        folder.mkdir(mode=0o700)
        prepare(folder)
        folders.append(folder)
        if not killed_at(step, folder, lambda folder=folder: act(folder)):  # type: ignore[misc]
            return folders
    raise AssertionError("It never ends.")


def left_overs(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".new-*") if path.is_file()]


def keys_of(keyring: KeyringFolder) -> list[bytes]:
    return [keyring.current(use).secret for use in Use]


def test_creating_a_folder(tmp_path: Path) -> None:
    folders = every_step(tmp_path, lambda _: None, KeyringFolder.open_or_create)

    assert len(folders) > 3 * len(Use)
    for folder in folders:
        written = {path: path.read_bytes() for path in folder.glob("*-1.json")}
        for content in written.values():
            json.loads(content)
        keyring = KeyringFolder.open_or_create(folder)
        assert {path: path.read_bytes() for path in written} == written
        assert keys_of(keyring) == keys_of(KeyringFolder.open_or_create(folder))
        assert not left_overs(folder)


def test_rotating_a_key(tmp_path: Path) -> None:
    before: dict[Path, UUID] = {}
    folders = every_step(
        tmp_path,
        lambda folder: before.update({folder: KeyringFolder.open_or_create(folder).current_kek()}),
        lambda folder: KeyringFolder.open_or_create(folder).rotate_kek(),
    )

    rotated = 0
    for folder in folders:
        keyring = KeyringFolder.open_or_create(folder)
        keyring.require([before[folder]])
        rotated += keyring.current_kek() != before[folder]
        assert len(list(folder.glob("kek-*.json"))) <= 2
        assert not left_overs(folder)
    assert 0 < rotated < len(folders)


def test_making_an_erasure_secret(tmp_path: Path) -> None:
    folders = every_step(
        tmp_path,
        KeyringFolder.open_or_create,
        lambda folder: KeyringFolder.open_or_create(folder).erasure_secret(SCOPE, "medication"),
    )

    for folder in folders:
        secret = KeyringFolder.open_or_create(folder).erasure_secret(SCOPE, "medication")
        assert KeyringFolder.open_or_create(folder).existing_erasure_secret(SCOPE, "medication") == secret


@pytest.mark.parametrize("category", ["medication", None])
def test_destroying_a_secret(tmp_path: Path, category: str | None) -> None:
    secrets: dict[Path, bytes] = {}

    def prepare(folder: Path) -> None:
        secrets[folder] = KeyringFolder.open_or_create(folder).erasure_secret(SCOPE, "medication")

    folders = every_step(
        tmp_path, prepare, lambda folder: KeyringFolder.open_or_create(folder).destroy(SCOPE, category)
    )

    destroyed = 0
    for folder in folders:
        keyring = KeyringFolder.open_or_create(folder)
        if not keyring.tombstones():
            assert keyring.existing_erasure_secret(SCOPE, "medication") == secrets[folder]
            continue
        destroyed += 1
        with pytest.raises(KeyDestroyed):
            keyring.existing_erasure_secret(SCOPE, "medication")
        assert not any(secrets[folder] == path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert 0 < destroyed < len(folders)


@pytest.mark.parametrize("write", [create_file, replace_file])
def test_writing_a_file(tmp_path: Path, write: Callable[[Path, bytes], object]) -> None:
    folders = every_step(tmp_path, lambda _: None, lambda folder: write(folder / "file", b"whole"))

    contents = [path.read_bytes() if (path := folder / "file").exists() else None for folder in folders]
    assert set(contents) == {None, b"whole"}
    assert contents == sorted(contents, key=lambda content: content is not None)
