import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from app.cli.account import EmbeddedDatabaseError, server_account
from app.cli.folder import LOGIN_ROLES, SUPERUSER, DataFolder
from app.cli.leftovers import is_running
from app.cli.postgres import EmbeddedPostgres, Urls

ROOT = Path(__file__).resolve().parents[2]
CANARY = "Zebravink-7731"


@contextmanager
def running(folder: Path) -> Iterator[tuple[EmbeddedPostgres, Urls]]:
    cluster = EmbeddedPostgres(folder, durable=False)
    urls = cluster.start()
    try:
        yield cluster, urls
    finally:
        cluster.stop()


async def ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split("\n")[0])


def kill(cluster: EmbeddedPostgres) -> None:
    os.kill(postmaster(cluster.folder.path), signal.SIGKILL)
    while is_running(cluster.folder):
        time.sleep(0.01)


async def test_every_role_logs_in_with_its_own_password(urls: Urls) -> None:
    for role in (SUPERUSER, *LOGIN_ROLES):
        assert (
            await ask(urls.role(role), "SELECT session_user || ' ' || current_database()") == f"{role} overlegtafel"
        )
    assert len(set(urls.passwords.values())) == len(LOGIN_ROLES) + 1


async def test_a_role_is_refused_with_the_password_of_another(urls: Urls) -> None:
    foreign = urls.app.replace(urls.passwords["app"], urls.passwords["stream"])
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(foreign)


async def test_nothing_listens_on_tcp(urls: Urls) -> None:
    assert await ask(urls.superuser, "SHOW listen_addresses") == ""


async def test_the_cluster_is_checksummed_utf8_and_keeps_scram_verifiers(urls: Urls) -> None:
    assert await ask(urls.superuser, "SHOW data_checksums") == "on"
    assert await ask(urls.superuser, "SHOW server_encoding") == "UTF8"
    weak = "SELECT count(*) FROM pg_authid WHERE rolpassword NOT LIKE 'SCRAM-SHA-256$%'"
    assert await ask(urls.superuser, weak) == 0


async def test_a_cluster_outside_tests_is_durable(place: Path) -> None:
    cluster = EmbeddedPostgres(place / "data")
    try:
        urls = cluster.start()
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await ask(urls.app, f"SHOW {setting}") == "on"
    finally:
        cluster.stop()


def test_secrets_and_the_socket_are_for_the_owner_alone(cluster: EmbeddedPostgres, urls: Urls) -> None:
    secret = cluster.folder.path / "passwords.json"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(urls.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.folder.path.stat().st_mode) & 0o007 == 0
    assert urls.passwords["app"] not in repr(urls)


async def test_no_statement_or_value_reaches_the_servers_log(cluster: EmbeddedPostgres, urls: Urls) -> None:
    connection = await asyncpg.connect(urls.owner)
    await connection.execute("CREATE TABLE note (body text PRIMARY KEY)")
    await connection.execute("INSERT INTO note VALUES ($1)", CANARY)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO note VALUES ($1)", CANARY)
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await connection.execute(f"SELECT '{CANARY}'::uuid")
    await connection.execute("DROP TABLE note")
    await connection.close()
    logged = "".join(path.read_text() for path in (cluster.folder.path / "log").iterdir())
    assert "ready to accept connections" in logged
    assert CANARY not in logged


async def test_a_restart_keeps_what_was_written(data: Path) -> None:
    with running(data) as (_, urls):
        await ask(urls.owner, "CREATE TABLE kept AS SELECT 42 AS answer")
    with running(data) as (_, again):
        assert await ask(again.owner, "SELECT answer FROM kept") == 42
    assert again.passwords == urls.passwords


async def test_a_killed_server_is_started_again_under_the_same_urls(data: Path) -> None:
    with running(data) as (cluster, urls):
        assert not cluster.ensure_running()
        kill(cluster)
        assert cluster.ensure_running()
        assert await ask(urls.app, "SELECT 1") == 1


def leave_server_behind(folder: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        parent.kill()


PARENT = """
import sys, time
from pathlib import Path
from app.cli.postgres import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1]), durable=False).start()
print("started", flush=True)
time.sleep(600)
"""


async def test_a_server_left_behind_by_a_killed_parent_is_replaced(data: Path) -> None:
    leave_server_behind(data)
    left = postmaster(data)
    os.kill(left, 0)
    with running(data) as (_, urls):
        assert postmaster(data) != left
        assert await ask(urls.app, "SELECT 1") == 1


async def test_a_pid_file_that_names_another_program_is_no_obstacle(data: Path) -> None:
    with running(data) as (cluster, urls):
        old = postmaster(data)
        pid_file = data / "postgres" / "postmaster.pid"
        text = pid_file.read_text()
        kill(cluster)
    pid_file.write_text(text.replace(str(old), str(os.getpid()), 1))
    (urls.socket / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n")
    with running(data) as (_, again):
        assert await ask(again.app, "SELECT 1") == 1


async def test_a_broken_off_initialisation_does_not_count(place: Path) -> None:
    half = place / "data" / "postgres.new" / "base"
    half.mkdir(parents=True)
    (half / "1").write_text("half")
    (place / "data").chmod(0o711)
    with running(place / "data") as (_, urls):
        assert await ask(urls.app, "SELECT 1") == 1


async def test_two_instances_run_side_by_side(place: Path, urls: Urls) -> None:
    with running(place / "data") as (_, other):
        ours = await ask(urls.superuser, "SELECT system_identifier FROM pg_control_system()")
        theirs = await ask(other.superuser, "SELECT system_identifier FROM pg_control_system()")
    assert ours != theirs
    assert await ask(urls.app, "SELECT 1") == 1


def test_a_second_parent_is_refused(cluster: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedDatabaseError, match="Another Overlegtafel uses the data folder"):
        EmbeddedPostgres(cluster.folder.path, durable=False).start()
    assert is_running(cluster.folder)


async def test_a_deep_folder_with_an_odd_name_gets_a_short_private_socket_folder(place: Path) -> None:
    deep = place / ("d" * 100) / 'it\'s $HOME, "quoted"'
    with running(deep) as (_, urls):
        assert await ask(urls.app, "SELECT 1") == 1
        assert stat.S_IMODE(urls.socket.stat().st_mode) == 0o700
        assert len(str(urls.socket)) < 60
    assert not urls.socket.exists()


def old_cluster(folder: Path, version: str) -> Path:
    """Make a folder that looks like a cluster of that version."""
    account = server_account(folder / "postgres", print)
    DataFolder(folder).create(account)
    cluster = DataFolder(folder).account_folder("postgres", account)
    (cluster / "PG_VERSION").write_text(f"{version}\n")
    return folder


def test_a_lost_password_file_is_said_and_not_replaced(place: Path) -> None:
    folder = old_cluster(place / "data", "18")
    with pytest.raises(EmbeddedDatabaseError, match=r"passwords\.json is missing"):
        EmbeddedPostgres(folder, durable=False).start()
    assert not (folder / "passwords.json").exists()


def test_another_version_of_the_cluster_is_refused(place: Path) -> None:
    folder = old_cluster(place / "data", "17")
    (folder / "passwords.json").write_text("{}")
    with pytest.raises(EmbeddedDatabaseError, match="made by PostgreSQL 17"):
        EmbeddedPostgres(folder, durable=False).start()


def test_a_data_folder_that_is_a_file_is_a_sentence(place: Path) -> None:
    (place / "data").write_text("")
    with pytest.raises(EmbeddedDatabaseError, match=str(place / "data")):
        EmbeddedPostgres(place / "data", durable=False).start()
