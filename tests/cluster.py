"""A migrated data folder, made once and kept: making one would cost seconds at the start of each run."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types

from app.cli.account import EmbeddedDatabaseError
from app.cli.binaries import DISTRIBUTION
from app.cli.folder import DataFolder
from app.cli.leftovers import end_leftovers
from app.cli.postgres import ROLES_SQL, EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent
# What decides how the folder comes out. The demo region is not in it: it is loaded at each start.
SOURCES = (ROLES_SQL, ROOT / "alembic", ROOT / "app" / "cli")


def digest_of(sources: Iterable[Path] = SOURCES) -> str:
    """Return what the folder is known by: another digest is another folder."""
    found = sha256(version(DISTRIBUTION).encode())
    for source in sources:
        for path in sorted((source, *source.rglob("*"))):
            if path.is_file() and path.suffix != ".pyc":
                found.update(f"{path.relative_to(ROOT)}\0{sha256(path.read_bytes()).hexdigest()}\0".encode())
    return found.hexdigest()[:16]


def migrated(kept: Path, scratch: Path, folder: Path) -> None:
    """Make ``folder`` a stopped cluster with every migration, from the copy in ``kept``, which is made where absent.

    ``scratch`` lies where the server's account may work. Several processes may ask at once: the first makes it.
    """
    with _locked(kept):
        stock = kept / digest_of()
        if not stock.exists():
            for old in kept.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            _make(scratch, stock)
        _copy(stock, folder)


def sweep(scratch: Path, prefix: str) -> None:
    """End the clusters and remove the folders that killed runs left: those named for processes that are gone."""
    for folder in scratch.glob(f"{prefix}*"):
        # Another run may be sweeping here too: it has the lock, or the folder is gone.
        with suppress(EmbeddedDatabaseError, FileNotFoundError):
            number = folder.name.removeprefix(prefix).partition("-")[0]
            ours = folder.lstat().st_uid == os.geteuid() and not folder.is_symlink()
            if ours and number.isdigit() and not psutil.pid_exists(int(number)):
                for kept in (*folder.glob("*/passwords.json"), *folder.glob("*/*/passwords.json")):
                    _end(DataFolder(kept.parent))
                shutil.rmtree(folder, ignore_errors=True)


def _end(data: DataFolder) -> None:
    data.lock()
    try:
        end_leftovers(data)
    finally:
        data.unlock()


@contextmanager
def _locked(kept: Path) -> Iterator[None]:
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(scratch: Path, stock: Path) -> None:
    from app.cli.migrate import upgrade  # noqa: PLC0415  # alembic loads slowly, and is seldom needed here

    with tempfile.TemporaryDirectory(prefix="migrating-", dir=scratch) as name:
        place = Path(name)
        place.chmod(0o755)
        postgres = EmbeddedPostgres(place / "cluster", durable=False)
        urls = postgres.start()
        try:
            upgrade(urls.owner)
        finally:
            postgres.stop()
        fresh = stock.with_name("new")
        _copy(place / "cluster", fresh)
        fresh.rename(stock)


def _copy(source: Path, target: Path) -> None:
    # With owners and modes, which the server demands.
    subprocess.run(["cp", "-a", source, target], check=True)
