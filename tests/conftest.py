"""One throw-away PostgreSQL per run, one migrated template, a database of its own for every test that needs one."""

import asyncio
import gc
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import structlog
from argon2 import PasswordHasher, Type
from pydantic import SecretStr

from app.cli.postgres import EmbeddedPostgres, Urls
from app.core.settings import Settings
from tests.cluster import migrated, sweep
from tests.serving import Instance, MovableClock, serve

TEMPLATE = "overlegtafel"
ROOM_BYTES = 4 * 2**30


def _scratch() -> Path:
    """Return where clusters lie: in memory where there is room, for databases are made and dropped all the time."""
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(memory, os.W_OK | os.X_OK):
        return Path(os.environ.get("TMPDIR", "/var/tmp"))
    found = os.statvfs(memory)
    # The server's programs may have to be copied there, and then run.
    fits = found.f_bavail * found.f_frsize >= ROOM_BYTES and not found.f_flag & os.ST_NOEXEC
    return memory if fits else Path("/var/tmp")


SCRATCH = _scratch()
FOLDER = "overlegtafel-tests-"


def pytest_configure() -> None:
    """Show what is logged on one page: drawn with every frame's variables, one error stops a service for seconds."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )


def pytest_collection_finish() -> None:
    """Set what was loaded apart from what is searched for garbage: to search it over and over costs a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder that the database's own user can reach, unlike pytest's."""
    sweep(SCRATCH, FOLDER)
    folder = SCRATCH / f"{FOLDER}{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kept(pytestconfig: pytest.Config) -> Path:
    """The folder of what may be used again in a later run; ``--cache-clear`` empties it."""
    return pytestconfig.cache.mkdir("cluster")


@pytest.fixture(scope="session", autouse=True)
def _quick_hashes() -> Iterator[None]:
    """Hash passwords for little; ``tests/identity/test_passwords.py`` hashes them as they are when served."""
    with pytest.MonkeyPatch.context() as patching:
        quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=Type.ID)
        patching.setattr("app.identity.factors.passwords.AS_SERVED", quick)
        yield


@pytest.fixture(scope="session")
def cluster(kept: Path, scratch: Path, _quick_hashes: None) -> Iterator[Urls]:
    """A running cluster without durability, for this run only; its database is the migrated template."""
    from app.main import load_demo  # noqa: PLC0415  # the application loads slowly, and not every test needs it

    migrated(kept, scratch, scratch / "cluster")
    postgres = EmbeddedPostgres(scratch / "cluster", durable=False)
    urls = postgres.start()
    try:
        asyncio.run(load_demo(settings_for(urls, scratch / "keys"), urls.owner))
        asyncio.run(_inform(urls))
        yield urls
    finally:
        postgres.stop()


async def _inform(urls: Urls) -> None:
    """Let connections of a test's own, which say nothing of it, do as the demo does: citizens are informed."""
    connection = await asyncpg.connect(urls.superuser)
    await connection.execute("alter role all set overlegtafel.platform_consent = 'informed'")
    await connection.close()


def settings_for(urls: Urls, keys: Path) -> Settings:
    """Return the settings of a demo instance on a database."""
    return Settings(
        database_url=SecretStr(urls.app),
        appender_url=SecretStr(urls.appender),
        stream_url=SecretStr(urls.stream),
        key_dir=keys,
        # Tests ask faster than people do, and for more BSNs; those about the limits set their own.
        session_rate=100_000,
        session_burst=100_000,
        public_rate=100_000,
        public_burst=100_000,
        bsn_look_ups=100_000,
        token_refusals=100_000,
    )


_numbers = count(1)


@asynccontextmanager
async def copy_of_template(cluster: Urls) -> AsyncIterator[Urls]:
    """Make a fresh copy of the template, and drop it when the block ends."""
    name = f"t{next(_numbers)}"
    maintenance = cluster.for_database("postgres").superuser
    connection = await asyncpg.connect(maintenance)
    try:
        await connection.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
        yield cluster.for_database(name)
        await connection.execute(f"drop database {name} with (force)")
    finally:
        await connection.close()


@pytest.fixture
async def database(cluster: Urls) -> AsyncIterator[Urls]:
    """A fresh copy of the template."""
    async with copy_of_template(cluster) as urls:
        yield urls


@pytest.fixture
def settings(database: Urls, scratch: Path) -> Settings:
    """Settings on a database of the test's own."""
    return settings_for(database, scratch / "keys")


@pytest.fixture
async def instance(settings: Settings) -> AsyncIterator[Instance]:
    """A served instance on a database of the test's own."""
    async with serve(settings) as served:
        yield served


@pytest.fixture
def clock() -> MovableClock:
    """A clock that the test moves."""
    return MovableClock()
