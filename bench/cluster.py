"""A PostgreSQL of the bench's own for the peers: the programs and settings of the embedded one, but on loopback TCP.

The peers cannot use the service's: it listens on a Unix socket that belongs to the service alone.
"""

import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Self

import asyncpg

from app.cli.account import server_account
from app.cli.binaries import server_programs
from app.cli.postgres import CONFIGURATION, ENVIRONMENT
from bench.figures import say
from bench.process import descendants, free_port

SUPERUSER = "postgres"
STEP_SECONDS = 120
OVERRIDES = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
"""


class Cluster:
    """A running cluster in a temporary folder; leaving the context stops it and removes the folder."""

    def __init__(self) -> None:
        self.port = free_port()
        self.password = secrets.token_hex(16)

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
        self._account = server_account(self._folder / "data", say)
        self._account.own(self._folder)
        self._programs = server_programs(self._account, self._folder / "programs")
        password_file = self._folder / "password"
        password_file.write_text(self.password)
        self._account.own(password_file)
        self._run(
            "initdb",
            *("--pgdata=data", f"--username={SUPERUSER}", "--pwfile=password", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            "--data-checksums",
        )
        password_file.unlink()
        settings = CONFIGURATION.format(port=self.port, socket="", durable="on") + OVERRIDES
        (self._folder / "data" / "postgresql.conf").write_text(settings)
        self._run("pg_ctl", "-w", "-D", "data", "-l", "log", "start")
        return self

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", "-w", "-D", "data", "-m", "fast", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = self._account.run(
            self._programs / program, *arguments, cwd=self._folder, environment=ENVIRONMENT, timeout=STEP_SECONDS
        )
        if done.returncode:
            raise ChildProcessError(f"{program} failed: {done.stderr[-1000:]}")

    def pids(self) -> list[int]:
        """Return the processes of the cluster at this moment."""
        return postmaster_pids(self._folder / "data")

    def dsn(self, database: str = "postgres") -> str:
        """Return the superuser's address of a database."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    async def create_database(self, name: str, *, schema: str | None = None) -> None:
        """Create a database with C collation, as Synapse insists, and run a script in it."""
        connection = await asyncpg.connect(self.dsn())
        await connection.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        await connection.close()
        if schema is not None:
            connection = await asyncpg.connect(self.dsn(name))
            await connection.execute(schema)
            await connection.close()


def postmaster_pids(data: Path) -> list[int]:
    """Return the processes of the PostgreSQL that runs in a data folder."""
    postmaster = int((data / "postmaster.pid").read_text().split()[0])
    return [postmaster, *descendants(postmaster)]
