"""The embedded PostgreSQL: initialised, started, watched over and stopped by the process that owns the data folder.

The wheel's own ``get_server`` is not used: as root it makes parent folders readable for everyone, it initialises
without passwords, and it loses track of its server after a kill -9.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from app.cli.account import Account, EmbeddedDatabaseError, server_account
from app.cli.binaries import MAJOR_VERSION, server_programs, wheel_programs
from app.cli.folder import LOGIN_ROLES, SUPERUSER, DataFolder, sync_folder
from app.cli.leftovers import end_leftovers, is_running

DATABASE = "overlegtafel"
PORT = 5432  # only a part of the socket's name: nothing listens on TCP
INITDB_TIMEOUT_SECONDS = 120
START_TIMEOUT_SECONDS = 120  # after a crash the write-ahead log is replayed first
STOP_TIMEOUT_SECONDS = 60
ROLES_TIMEOUT_SECONDS = 60
LOG_BYTES_MAX = 8 * 2**20
ROLES_SQL = Path(__file__).resolve().parents[2] / "deploy" / "roles.sql"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

CONFIGURATION = """\
# Written at every start; a change made here does not last.
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 128MB
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
# No statement, parameter or detail line may reach the log: they hold what people wrote. Errors of statements go to
# the client alone ('log' ranks above 'error'); starts, stops and crashes are still logged.
logging_collector = off
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_statement = none
log_duration = off
log_min_duration_statement = -1
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_connections = ''
log_checkpoints = off
fsync = {durable}
synchronous_commit = {durable}
full_page_writes = {durable}
"""


@dataclass(frozen=True, slots=True)
class Urls:
    """Connection URLs, one for each role, all to the same database over the server's socket."""

    socket: Path
    database: str
    passwords: Mapping[str, str] = field(repr=False)

    def role(self, name: str) -> str:
        """Return the URL for a role."""
        return f"postgresql://{name}:{self.passwords[name]}@/{quote(self.database)}?host={self.socket}"

    def for_database(self, name: str) -> "Urls":
        """Return the same URLs for another database of this server."""
        return replace(self, database=name)

    @property
    def superuser(self) -> str:
        """For creating roles and databases only."""
        return self.role(SUPERUSER)

    @property
    def owner(self) -> str:
        """For migrations only."""
        return self.role("owner")

    @property
    def app(self) -> str:
        """For the application."""
        return self.role("app")

    @property
    def appender(self) -> str:
        """For the writer of message batches."""
        return self.role("appender")

    @property
    def stream(self) -> str:
        """For live delivery."""
        return self.role("stream")

    @property
    def sequencer(self) -> str:
        """For the audit log's sequencer."""
        return self.role("sequencer")

    @property
    def auditor(self) -> str:
        """For reading the audit log."""
        return self.role("auditor")


def _silent(_sentence: str) -> None:
    """Say nothing."""


class EmbeddedPostgres:
    """A PostgreSQL server in a data folder that this process owns from ``start`` to ``stop``.

    ``durable=False`` trades safety against power loss for speed; only tests may. ``notice`` receives sentences for
    the operator.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, notice: Callable[[str], None] = _silent) -> None:
        self.folder = DataFolder(data_dir)
        self._durable = durable
        self._notice = notice
        self._account: Account | None = None
        self._programs = Path()

    def start(self) -> Urls:
        """Start the server, making folder, account, cluster, roles and database where they are absent.

        A server that a killed process left behind is stopped first.

        Raises:
            EmbeddedDatabaseError: it cannot be started here, with the reason; nothing is left running.
        """
        try:
            return self._start()
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedDatabaseError(f"The database in {self.folder.path} cannot be started: {error}.") from error

    def _start(self) -> Urls:
        account = server_account(self.folder.cluster, self._notice)
        self.folder.create(account)
        self.folder.lock()
        self._account = account
        try:
            self._programs = server_programs(account, self.folder.path / "programs")
            end_leftovers(self.folder)
            passwords = self.folder.passwords()
            if not self.folder.cluster.exists():
                self._notice("Creating the database.")
                self._initialise(account, passwords[SUPERUSER])
            self._require_version()
            self._configure(account)
            self._launch(account)
            urls = Urls(self.folder.socket_folder(account), DATABASE, passwords)
            create_roles(urls)
        except BaseException:
            self.stop()
            raise
        return urls

    def stop(self) -> None:
        """Stop the server and give the folder back; harmless when it does not run."""
        account, self._account = self._account, None
        if account is None:
            return
        try:
            if is_running(self.folder):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._control(account, "stop", "-m", "fast", timeout=STOP_TIMEOUT_SECONDS)
            end_leftovers(self.folder)
            self.folder.remove_socket_folder()
        finally:
            self.folder.unlock()

    def remove(self) -> None:
        """Remove the stopped server's data folder with everything in it; for tests.

        Raises:
            EmbeddedDatabaseError: another process uses it.
        """
        if self.folder.cluster.exists():
            self.folder.lock()
            shutil.rmtree(self.folder.path)
            self.folder.unlock()

    def ensure_running(self) -> bool:
        """Start the server again if it died, keeping its URLs; return whether that was needed.

        Raises:
            EmbeddedDatabaseError: it does not start again.
        """
        account = self._account
        if account is None or is_running(self.folder):
            return False
        end_leftovers(self.folder)
        self._launch(account)
        return True

    def _initialise(self, account: Account, password: str) -> None:
        """Make the cluster beside its place and move it there when whole: a broken-off attempt never counts."""
        fresh = self.folder.path / "postgres.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        self.folder.account_folder(fresh.name, account)
        with tempfile.NamedTemporaryFile("w", dir=self.folder.path, prefix=".initdb-", encoding="utf-8") as file:
            file.write(password)
            file.flush()
            account.own(Path(file.name))
            result = account.run(
                self._programs / "initdb",
                *(f"--pgdata={fresh.name}", f"--username={SUPERUSER}", f"--pwfile={Path(file.name).name}"),
                *("--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums", "--no-instructions"),
                *(() if self._durable else ("--no-sync",)),
                cwd=self.folder.path,
                environment=ENVIRONMENT,
                timeout=INITDB_TIMEOUT_SECONDS,
            )
        if result.returncode != 0:
            raise EmbeddedDatabaseError(f"The database could not be created: {result.stderr.strip()}")
        fresh.rename(self.folder.cluster)
        sync_folder(self.folder.path)

    def _require_version(self) -> None:
        found = (self.folder.cluster / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise EmbeddedDatabaseError(
                f"{self.folder.cluster} was made by PostgreSQL {found}; this version of Overlegtafel brings "
                f"{MAJOR_VERSION}. Dump it with the old version and load it with the new."
            )

    def _configure(self, account: Account) -> None:
        text = CONFIGURATION.format(
            port=PORT, socket=self.folder.socket_folder(account), durable="on" if self._durable else "off"
        )
        path = self.folder.cluster / "postgresql.conf"
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        account.own(path)

    def _launch(self, account: Account) -> None:
        log = self.folder.account_folder("log", account) / "postgresql.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        # The mark lets a later start recognise this server's processes by their command lines.
        options = f"-c cluster_name={self.folder.mark}"
        try:
            result = self._control(
                account, "start", "-l", "log/postgresql.log", "-o", options, timeout=START_TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedDatabaseError(f"The database did not start in time; see {log}.") from error
        if result.returncode != 0:
            raise EmbeddedDatabaseError(f"The database did not start; see {log}. {_last_line(log)}".rstrip())

    def _control(
        self, account: Account, action: str, *options: str, timeout: int
    ) -> subprocess.CompletedProcess[str]:
        """Run ``pg_ctl`` with relative paths: it puts them in a shell command, and folder names may hold anything."""
        return account.run(
            self._programs / "pg_ctl",
            *(action, "-w", "-t", str(timeout), "-D", self.folder.cluster.name, *options),
            cwd=self.folder.path,
            environment=ENVIRONMENT,
            timeout=timeout + 10,
        )


def create_roles(urls: Urls) -> None:
    """Run ``deploy/roles.sql`` on the embedded server; passwords travel over a pipe, never on a command line.

    Raises:
        EmbeddedDatabaseError: a statement failed.
    """
    passwords = "".join(f"\\set {role}_password '{urls.passwords[role]}'\n" for role in LOGIN_ROLES)
    result = subprocess.run(  # noqa: S603  # the wheel's own program with fixed arguments
        [str(wheel_programs() / "psql"), "--no-psqlrc", "--no-password", "--quiet", "--file=-"],
        input=f"{passwords}\\set database {urls.database}\n{ROLES_SQL.read_text(encoding='utf-8')}",
        env={
            **ENVIRONMENT,
            "PGHOST": str(urls.socket),
            "PGPORT": str(PORT),
            "PGUSER": SUPERUSER,
            "PGDATABASE": "postgres",
            "PGPASSWORD": urls.passwords[SUPERUSER],
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=ROLES_TIMEOUT_SECONDS,
    )
    if result.returncode != 0:
        raise EmbeddedDatabaseError(f"The database roles could not be created: {result.stderr.strip()}")


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if "FATAL" in line), "")
