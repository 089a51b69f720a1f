"""The data folder: where it is, who may enter it, its lock, its passwords and its socket folder."""

import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from app.cli.account import Account, EmbeddedDatabaseError

SUPERUSER = "postgres"
LOGIN_ROLES = ("owner", "app", "appender", "stream", "sequencer", "auditor")
PASSWORD_BYTES = 24
ROOT_DATA_DIR = Path("/var/lib/overlegtafel")
# What may lie in a data folder before it holds a database.
OWN_NAMES = frozenset({"keys", "lock"})
SOCKET_PREFIX = "overlegtafel-"
# sun_path holds 108 bytes with its closing NUL; ".s.PGSQL.5432" and a slash follow the folder.
SOCKET_FOLDER_BYTES_MAX = 107 - len("/.s.PGSQL.5432")
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


def default_data_dir() -> Path:
    """Return where data goes when nobody said so: the system's place for root, else the user's."""
    if os.geteuid() == 0:
        return ROOT_DATA_DIR
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "overlegtafel"


@dataclass(slots=True)
class DataFolder:
    """One instance's data folder. Whoever holds its lock alone may start, stop or change the database in it."""

    path: Path
    _lock: int | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Fix the path once: later changes of the working folder or of links must not matter."""
        self.path = self.path.expanduser().resolve()

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own folder."""
        return self.path / "postgres"

    @property
    def log(self) -> Path:
        """The folder of the server's log."""
        return self.path / "log"

    @property
    def mark(self) -> str:
        """The name that the server's processes carry in their command lines, different for each data folder."""
        return f"overlegtafel-{sha256(os.fsencode(self.path)).hexdigest()[:16]}"

    def create(self, account: Account) -> None:
        """Create the folder for ``account`` where it is absent.

        Folders that exist keep their permissions. Only the data folder itself, when it is root's and holds no
        one else's things, is opened to the account's group; a folder above it never is.

        Raises:
            EmbeddedDatabaseError: it cannot be created, or the account cannot enter it.
        """
        try:
            self._create(account)
        except OSError as error:
            raise EmbeddedDatabaseError(f"The data folder {self.path} cannot be used: {error.strerror}.") from error

    def _create(self, account: Account) -> None:
        missing = [folder for folder in self.path.parents if not folder.exists()]
        for folder in (self.path.parent, *self.path.parent.parents):
            if folder.exists():
                self._require_entry(account, folder)
                break
        for folder in reversed(missing):
            folder.mkdir(mode=0o755)
            folder.chmod(0o755 if not account.is_self else 0o700)
        if not self.path.exists():
            self.path.mkdir(mode=0o700)
            self._open_to_group(account)
        elif not account.is_self and not account.may_enter(self.path):
            fresh = all(path.name in OWN_NAMES for path in self.path.iterdir())
            if fresh and self.path.stat().st_uid == os.geteuid():
                self._open_to_group(account)
            self._require_entry(account, self.path)

    def _open_to_group(self, account: Account) -> None:
        """Let the account pass through, but not list or change: root's secrets lie beside its folders."""
        if not account.is_self:
            os.chown(self.path, os.geteuid(), account.gid)
            self.path.chmod(0o710)

    def _require_entry(self, account: Account, folder: Path) -> None:
        if account.is_self or account.may_enter(folder):
            return
        closed = next(part for part in (*reversed(folder.parents), folder) if not account.may_enter(part))
        raise EmbeddedDatabaseError(
            f"The database runs as {account.name}, which may not enter {closed}. Set OVERLEGTAFEL_DATA_DIR to a "
            "folder that every folder above lets it reach; permissions of existing folders are never widened."
        )

    def lock(self) -> None:
        """Take the folder for this process; the system frees it however the process ends.

        Raises:
            EmbeddedDatabaseError: another process has it.
        """
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise EmbeddedDatabaseError(
                f"Another Overlegtafel uses the data folder {self.path}. Stop it first, or set "
                "OVERLEGTAFEL_DATA_DIR to another folder."
            ) from None
        self._lock = handle

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def account_folder(self, name: str, account: Account) -> Path:
        """Return a folder in here that only the server's account may use, made where absent."""
        folder = self.path / name
        if not folder.exists():
            folder.mkdir(mode=0o700)
            account.own(folder)
        return folder

    def passwords(self) -> dict[str, str]:
        """Return the password of each role, generated on the first start.

        Raises:
            EmbeddedDatabaseError: the file is gone while the database is there, or it cannot be read.
        """
        path = self.path / "passwords.json"
        known: dict[str, str] = {}
        if path.exists():
            try:
                known = {str(role): str(password) for role, password in json.loads(path.read_text()).items()}
            except (ValueError, AttributeError) as error:
                raise EmbeddedDatabaseError(f"{path} is damaged; put back the original.") from error
        elif self.cluster.exists():
            raise EmbeddedDatabaseError(f"{path} is missing, and without it the database beside it cannot be opened.")
        new = {role: secrets.token_urlsafe(PASSWORD_BYTES) for role in (SUPERUSER, *LOGIN_ROLES) if role not in known}
        if new:
            known |= new
            write_private(path, json.dumps(known, indent=1))
        return known

    def socket_folder(self, account: Account) -> Path:
        """Return the folder for the server's socket, 0700 and the account's, with a path short and plain enough.

        It lies in the data folder where it can. A deep data folder gets one with a name nobody can foresee in the
        system's folder for such things, remembered in the data folder and used again.
        """
        inside = self.path / "socket"
        if len(os.fsencode(inside)) <= SOCKET_FOLDER_BYTES_MAX and PLAIN_PATH.fullmatch(str(inside)):
            return self.account_folder("socket", account)
        record = self.path / "socket-folder"
        if record.exists():
            known = Path(record.read_text())
            if _is_private(known, account):
                return known
        folder = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=_runtime_folder(account)))
        account.own(folder)
        write_private(record, str(folder))
        return folder

    def socket_files(self) -> list[Path]:
        """Return what a server that died left in its socket folder."""
        record = self.path / "socket-folder"
        folder = Path(record.read_text()) if record.exists() else self.path / "socket"
        return list(folder.glob(".s.PGSQL.*"))

    def remove_socket_folder(self) -> None:
        """Remove a socket folder outside the data folder; the next start makes another."""
        record = self.path / "socket-folder"
        if record.exists():
            folder = Path(record.read_text())
            if folder.name.startswith(SOCKET_PREFIX) and folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)
            record.unlink()


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read, whole or not at all, and on disk before this returns."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_private(folder: Path, account: Account) -> bool:
    try:
        info = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == account.uid and not stat.S_IMODE(info.st_mode) & 0o077


def _runtime_folder(account: Account) -> Path:
    own = os.environ.get("XDG_RUNTIME_DIR", "") if account.is_self else "/run"
    for candidate in (own, "/tmp"):  # noqa: S108  # mkdtemp makes a private folder with an unforeseeable name
        folder = Path(candidate) if candidate.startswith("/") else None
        fits = len(candidate) + len(SOCKET_PREFIX) + 9 <= SOCKET_FOLDER_BYTES_MAX and PLAIN_PATH.fullmatch(candidate)
        if folder is not None and fits and os.access(folder, os.W_OK | os.X_OK) and account.may_enter(folder):
            return folder
    raise EmbeddedDatabaseError("There is no folder for the database's socket; set OVERLEGTAFEL_DATA_DIR shorter.")
