"""The operating-system account the embedded PostgreSQL runs as, and what that account may reach."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = "overlegtafel"
FALLBACK_ACCOUNTS = ("postgres", "nobody")
PROBE_TIMEOUT_SECONDS = 20


class EmbeddedDatabaseError(Exception):
    """The embedded database cannot run here; the message is one or more sentences for the operator."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account that runs the database server: our own, or an unprivileged one when we are root."""

    name: str
    uid: int
    gid: int

    @property
    def is_self(self) -> bool:
        """Whether processes started without further ado already run as this account."""
        return self.uid == os.geteuid()

    def popen_arguments(self) -> dict[str, Any]:
        """Return what makes ``subprocess`` start a process as this account, with no other group."""
        if self.is_self:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def run(
        self, *command: str | Path, cwd: Path, environment: Mapping[str, str], timeout: float = PROBE_TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as this account, in a session of its own so that Ctrl-C in a terminal does not reach it."""
        return subprocess.run(  # noqa: S603  # the commands are ours, without a shell
            [str(part) for part in command],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
            umask=0o077,
            start_new_session=True,
            **self.popen_arguments(),
        )

    def may_enter(self, folder: Path) -> bool:
        """Whether this account can enter ``folder``, asked of the system itself because access lists count too."""
        answer = self.run("/bin/sh", "-c", 'cd -- "$1"', "sh", folder, cwd=Path("/"), environment={})
        return answer.returncode == 0

    def own(self, path: Path) -> None:
        """Make this account the owner of something we have just created."""
        if not self.is_self:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def server_account(cluster: Path, notice: Callable[[str], None]) -> Account:
    """Return the account that runs the server: ourselves, or when we are root an unprivileged one.

    An existing ``cluster`` folder decides by its owner. Without one, the account ``overlegtafel`` is created.

    Raises:
        EmbeddedDatabaseError: the folder belongs to root or to another user, or there is no account to fall back on.
    """
    if cluster.exists():
        return _owner_of(cluster)
    if os.geteuid() != 0:
        return _account(os.geteuid(), os.getegid())
    existing = _named(ACCOUNT) or _create_account()
    if existing is not None:
        return existing
    for name in FALLBACK_ACCOUNTS:
        found = _named(name)
        if found is not None:
            notice(f"There is no useradd to create the account {ACCOUNT}; the database runs as {name}.")
            return found
    raise EmbeddedDatabaseError(
        f"PostgreSQL does not run as root. Create an account for it (adduser --system {ACCOUNT}) or start as "
        "another user."
    )


def _owner_of(cluster: Path) -> Account:
    info = cluster.stat()
    if info.st_uid == 0:
        raise EmbeddedDatabaseError(f"{cluster} belongs to root, and PostgreSQL does not run as root.")
    if os.geteuid() not in {0, info.st_uid}:
        raise EmbeddedDatabaseError(
            f"{cluster} belongs to {_account(info.st_uid, info.st_gid).name}. Start as that user, or set "
            "OVERLEGTAFEL_DATA_DIR to a folder of your own."
        )
    return _account(info.st_uid, info.st_gid)


def _account(uid: int, gid: int) -> Account:
    try:
        return Account(pwd.getpwuid(uid).pw_name, uid, gid)
    except KeyError:
        # A container may run under a number without a name; PostgreSQL itself then refuses, with a sentence.
        return Account(str(uid), uid, gid)


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None


def _create_account() -> Account | None:
    """Create the system account; None when this system has no ``useradd``."""
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return None
    options = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
    result = subprocess.run(  # noqa: S603  # a system command with fixed arguments
        [useradd, *options, "--shell", "/usr/sbin/nologin", ACCOUNT],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROBE_TIMEOUT_SECONDS,
    )
    # Two first starts at once may both try; whoever comes second finds the account made by the first.
    account = _named(ACCOUNT)
    if account is None:
        raise EmbeddedDatabaseError(f"The account {ACCOUNT} could not be created: {result.stderr.strip()}")
    return account
