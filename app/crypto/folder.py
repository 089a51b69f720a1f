"""Small secret files: written whole or not at all, readable by their owner alone.

The checks are made on the folder when it is opened and on each file when it is read. Inside a folder of mode 0700
that we own nobody but ourselves and root can act, so paths are safe to use without holding every folder open.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.crypto.errors import KeyringError

FILE_BYTES_MAX = 65536
TEMPORARY_PREFIX = ".new-"

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def make_folder(path: Path) -> None:
    """Create the folder and its missing parents with mode 0700, and check it.

    Raises:
        KeyringError: it is a symbolic link, not a folder, someone else's, or open to others.
    """
    missing = [path, *path.parents]
    while missing and os.path.lexists(missing[-1]):
        missing.pop()
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue  # Another worker was first; what it made is checked below all the same.
        sync_folder(folder.parent)
    check_folder(path)


def check_folder(path: Path) -> None:
    """Check a folder that is there.

    Raises:
        KeyringError: it is a symbolic link, not a folder, someone else's, or open to others.
    """
    _check(path, path.lstat(), stat.S_ISDIR, "folder", "0700")


def read_file(path: Path, *, start: int = 0, limit: int = FILE_BYTES_MAX) -> bytes | None:
    """Return the content of a file from byte ``start`` on, or None if there is no such file.

    Raises:
        KeyringError: it is a symbolic link, not a plain file, someone else's, open to others, or too large.
    """
    try:
        number = os.open(path, _READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise KeyringError(f"{path} is a symbolic link; a key file must be a file itself.") from None
        raise KeyringError(f"{path} cannot be read: {error.strerror}.") from error
    with os.fdopen(number, "rb") as file:
        _check(path, os.fstat(number), stat.S_ISREG, "file", "0600")
        file.seek(start)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise KeyringError(f"{path} is larger than a file of its kind can be.")
    return content


def create_file(path: Path, content: bytes) -> bool:
    """Write a new file durably and return True; return False, changing nothing, if the name is taken.

    A hard link, not a rename, gives the name: of several writers exactly one wins, and no reader sees half a file.
    """
    temporary = _write_beside(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync_folder(path.parent)
    return True


def replace_file(path: Path, content: bytes) -> None:
    """Write a file durably under a name that may be taken; a reader sees the old content or the new."""
    _write_beside(path, content).rename(path)
    sync_folder(path.parent)


def append_line(path: Path, line: bytes, *, at: int) -> None:
    """Add a line durably at offset ``at``, the end of the last whole line; a torn rest behind it is cut off.

    The caller holds the folder's lock.
    """
    number = os.open(path, _APPEND, 0o600)
    try:
        if os.fstat(number).st_size > at:
            os.ftruncate(number, at)
        os.write(number, line + b"\n")
        os.fsync(number)
    finally:
        os.close(number)
    sync_folder(path.parent)


def shred_file(path: Path) -> None:
    """Overwrite and remove a file, if it is there.

    Overwriting reaches the medium only where the file system writes in place; it is the least that can be done, and
    costs nothing. A medium that keeps old blocks has to be encrypted itself.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.write(number, os.urandom(os.fstat(number).st_size))
        os.fsync(number)
    finally:
        os.close(number)
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` alone, among threads and processes; the system releases it if the holder dies."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        # Closing alone would leave the lock to a child that was forked meanwhile and holds the same open file.
        fcntl.flock(number, fcntl.LOCK_UN)
        os.close(number)


def _write_beside(path: Path, content: bytes) -> Path:
    temporary = path.with_name(TEMPORARY_PREFIX + secrets.token_hex(8))
    with os.fdopen(os.open(temporary, _CREATE, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _check(path: Path, found: os.stat_result, is_kind: Callable[[int], bool], kind: str, mode: str) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise KeyringError(f"{path} is a symbolic link; it must be a {kind} itself.")
    if not is_kind(found.st_mode):
        raise KeyringError(f"{path} is not a {kind}.")
    if found.st_uid != os.geteuid():
        raise KeyringError(f"{path} belongs to another user than the one that runs the service.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise KeyringError(f"{path} is open to other users; set its mode to {mode}.")
