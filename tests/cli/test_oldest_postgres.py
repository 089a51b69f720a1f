"""The oldest PostgreSQL we promise, where a Debian package of it is installed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.cli.account import Account, server_account
from app.cli.folder import DataFolder
from app.cli.migrate import upgrade
from app.cli.postgres import ENVIRONMENT, ROLES_SQL
from app.core.logins import refuse_unsafe_login

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "it's a \\ 'pass'"

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not PROGRAMS.exists(), reason="PostgreSQL 15 is not installed"),
]


def run(account: Account, folder: Path, *command: str) -> None:
    result = account.run(PROGRAMS / command[0], *command[1:], cwd=folder, environment=ENVIRONMENT)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def socket(place: Path) -> Iterator[Path]:
    account = server_account(place / "postgres", print)
    folder = DataFolder(place / "data")
    folder.create(account)
    own = folder.account_folder("own", account)
    run(
        account,
        own,
        "initdb",
        "-D",
        "c",
        "-U",
        "postgres",
        "--auth-local=scram-sha-256",
        "-N",
        f"--pwfile={word(own)}",
    )
    options = f"-c listen_addresses='' -c fsync=off -c unix_socket_directories='{own}'"
    run(account, own, "pg_ctl", "-D", "c", "-w", "-l", "log", "-o", options, "start")
    yield own
    run(account, own, "pg_ctl", "-D", "c", "-w", "-m", "immediate", "stop")


def word(folder: Path) -> Path:
    """Write the superuser's password where the server's account can read it."""
    path = folder / "password"
    path.write_text("root's")
    path.chmod(0o644)
    return path


def roles(socket: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAMS / "psql"), "-X", "-q", "-h", str(socket), "-U", "postgres", *options, "-f", str(ROLES_SQL)],
        env={**ENVIRONMENT, "PGPASSWORD": "root's"},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_roles_and_migrations_need_nothing_newer(socket: Path) -> None:
    assert "Give a password" in roles(socket).stderr
    for _ in range(2):
        made = roles(socket, "-v", f"password={PASSWORD}", "-v", "app_password=own")
        assert (made.returncode, made.stderr) == (0, "")
    connection = await asyncpg.connect(host=str(socket), user="owner", password=PASSWORD, database="overlegtafel")
    assert connection.get_server_version().major == 15
    await connection.close()
    await refuse_unsafe_login(f"postgresql://app:own@/overlegtafel?host={socket}")


def test_the_tables_can_be_made(socket: Path) -> None:
    assert roles(socket, "-v", "password=plain").returncode == 0
    upgrade(f"postgresql://owner:plain@/overlegtafel?host={socket}")
