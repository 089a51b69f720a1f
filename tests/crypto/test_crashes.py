"""A process killed at any step leaves whole files or none, and the next opening finishes or forgets what it began."""

import json
import os
import shutil
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

from .processes import forked

SCOPE = UUID("5f0c1b52-0f1f-4a53-9c1a-6f1f6b1f2d01")
STEPS_MAX = 400
STEP = {"os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "fcntl.flock"}


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Run ``act`` in a child that is killed before its n-th step that changes files; tell whether it was."""

    def act_counted() -> None:
        left = step

        def count(event: str, args: tuple[object, ...]) -> None:
            nonlocal left
            if event in STEP or (event == "open" and opens_to_write(args)):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        act()

    child = forked(act_counted)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def opens_to_write(args: tuple[object, ...]) -> bool:
    return isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR))


def every_step(
    tmp_path: Path, act: Callable[[Path], object], *, start: Path | None = None, steps: int = STEPS_MAX
) -> list[Path]:
    """Return folders, copies of ``start``, in which ``act`` was killed at its 1st, 2nd, … step and at last ended."""
    folders = []
    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        if start is not None:
            shutil.copytree(start, folder)
        folders.append(folder)
        if not killed_at(step, lambda folder=folder: act(folder)):  # type: ignore[misc]
            return folders
    assert steps < STEPS_MAX, "It never ends."
    return folders


def left_overs(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".new-*") if path.is_file()]


def keys_of(keyring: KeyringFolder) -> list[bytes]:
    return [keyring.current(use).secret for use in Use]


def test_creating_a_folder(tmp_path: Path) -> None:
    # One key is made like the other: the first steps, and below the last ones, stand for all between.
    folders = every_step(tmp_path, KeyringFolder.open_or_create, steps=20)

    assert_each_holds_whole_keys(folders)


def test_adding_the_keys_a_folder_never_had(tmp_path: Path, folder: Path, template: Path) -> None:
    shutil.copytree(template, folder)
    newest = json.loads((folder / "keyring.json").read_text())["newest"]
    (folder / f"{Use.TICKET}-1.json").unlink()
    del newest[Use.TICKET]
    (folder / "keyring.json").write_text(json.dumps({"version": 1, "newest": newest}))

    folders = every_step(tmp_path, KeyringFolder.open_or_create, start=folder)

    assert_each_holds_whole_keys(folders)


def assert_each_holds_whole_keys(folders: list[Path]) -> None:
    for folder in folders:
        written = {path: path.read_bytes() for path in folder.glob("*-1.json")}
        for content in written.values():
            json.loads(content)
        keyring = KeyringFolder.open_or_create(folder)
        assert {path: path.read_bytes() for path in written} == written
        assert keys_of(keyring) == keys_of(KeyringFolder.open_or_create(folder))
        assert not left_overs(folder)


def test_rotating_a_key(tmp_path: Path, template: Path) -> None:
    before = KeyringFolder.open_or_create(template).current_kek()
    folders = every_step(tmp_path, lambda folder: KeyringFolder.open_or_create(folder).rotate_kek(), start=template)

    rotated = 0
    for folder in folders:
        keyring = KeyringFolder.open_or_create(folder)
        keyring.require([before])
        rotated += keyring.current_kek() != before
        assert len(list(folder.glob("kek-*.json"))) <= 2
        assert not left_overs(folder)
    assert 0 < rotated < len(folders)


def test_making_an_erasure_secret(tmp_path: Path, template: Path) -> None:
    folders = every_step(
        tmp_path,
        lambda folder: KeyringFolder.open_or_create(folder).erasure_secret(SCOPE, "medication"),
        start=template,
    )

    for folder in folders:
        secret = KeyringFolder.open_or_create(folder).erasure_secret(SCOPE, "medication")
        assert KeyringFolder.open_or_create(folder).existing_erasure_secret(SCOPE, "medication") == secret


@pytest.mark.parametrize("category", ["medication", None])
def test_destroying_a_secret(tmp_path: Path, keyring: KeyringFolder, folder: Path, category: str | None) -> None:
    secret = keyring.erasure_secret(SCOPE, "medication")
    folders = every_step(
        tmp_path, lambda folder: KeyringFolder.open_or_create(folder).destroy(SCOPE, category), start=folder
    )

    destroyed = 0
    for path in folders:
        survivor = KeyringFolder.open_or_create(path)
        if not survivor.tombstones():
            assert survivor.existing_erasure_secret(SCOPE, "medication") == secret
            continue
        destroyed += 1
        with pytest.raises(KeyDestroyed):
            survivor.existing_erasure_secret(SCOPE, "medication")
        assert not any(secret == file.read_bytes() for file in path.rglob("*") if file.is_file())
    assert 0 < destroyed < len(folders)


@pytest.mark.parametrize("write", [create_file, replace_file])
def test_writing_a_file(tmp_path: Path, write: Callable[[Path, bytes], object]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    folders = every_step(tmp_path, lambda folder: write(folder / "file", b"whole"), start=empty)

    contents = [path.read_bytes() if (path := folder / "file").exists() else None for folder in folders]
    assert set(contents) == {None, b"whole"}
    assert contents == sorted(contents, key=lambda content: content is not None)
