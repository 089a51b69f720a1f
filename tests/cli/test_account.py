import os
import stat
from pathlib import Path

import pytest

from app.cli.account import EmbeddedDatabaseError, server_account
from app.cli.binaries import server_programs, wheel_programs
from app.cli.folder import DataFolder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def silent(_: str) -> None:
    pass


def test_the_server_never_runs_as_root(place: Path) -> None:
    account = server_account(place / "data" / "postgres", silent)
    assert account.uid != 0
    assert account.is_self == (os.geteuid() != 0)


@needs_root
def test_root_is_refused_a_place_the_server_may_not_enter_and_it_stays_closed(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedDatabaseError, match=f"which may not enter {closed}\\."):
        DataFolder(closed / "deeper" / "data").create(server_account(closed / "postgres", silent))
    assert mode(closed) == 0o700
    assert list(closed.iterdir()) == []


@needs_root
def test_an_existing_folder_with_other_things_in_it_is_not_opened(place: Path) -> None:
    folder = place / "data"
    folder.mkdir(mode=0o700)
    (folder / "somebody's").write_text("thing")
    with pytest.raises(EmbeddedDatabaseError, match="may not enter"):
        DataFolder(folder).create(server_account(folder / "postgres", silent))
    assert mode(folder) == 0o700


@needs_root
def test_an_empty_folder_of_roots_lets_the_server_through_and_nobody_else(place: Path) -> None:
    folder = place / "data"
    folder.mkdir(mode=0o700)
    account = server_account(folder / "postgres", silent)
    DataFolder(folder).create(account)
    assert (mode(folder), folder.stat().st_uid, folder.stat().st_gid) == (0o710, 0, account.gid)


@needs_root
def test_programs_the_server_may_not_reach_are_copied_once(place: Path) -> None:
    account = server_account(place / "postgres", silent)
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    package = wheel_programs().parents[1]
    (closed / package.name).symlink_to(package)
    (closed / f"{package.name}.libs").symlink_to(package.with_name(f"{package.name}.libs"))
    (place / "copies").mkdir(mode=0o700)
    programs = closed / package.name / "pginstall18" / "bin"
    copied = server_programs(account, place / "copies", programs)
    assert copied.is_relative_to(place / "copies")
    made = (copied / "postgres").stat().st_ino
    assert server_programs(account, place / "copies", programs) == copied
    assert (copied / "postgres").stat().st_ino == made
    assert mode(closed) == 0o700
