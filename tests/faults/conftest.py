"""A durable cluster of the tests' own, whose processes they stop, kill and start again."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # ships no types
import pytest

from app.cli.postgres import EmbeddedPostgres, Urls
from app.core.settings import Settings
from app.main import load_demo
from tests.cluster import migrated, sweep
from tests.conftest import SCRATCH, settings_for
from tests.realtime.conftest import alarms
from tests.serving import Instance, serve

__all__ = ["alarms"]

FOLDER = "overlegtafel-faults-"
_numbers = count(1)


@dataclass
class Cluster:
    """A running PostgreSQL whose processes are the test's to stop."""

    postgres: EmbeddedPostgres
    urls: Urls
    keys: Path

    def processes(self) -> list[psutil.Process]:
        """Return the postmaster and all its children; the postmaster first."""
        pid = int((self.postgres.folder.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        postmaster = psutil.Process(pid)
        return [postmaster, *postmaster.children(recursive=True)]

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop every process where it is, and let them go on at the end of the block."""
        found = self.processes()
        for process in found:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(found):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill every process as a power cut would."""
        found = self.processes()
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(found, timeout=10)

    async def restart(self) -> None:
        """Start it again where it was; the log is replayed."""
        assert await asyncio.to_thread(self.postgres.ensure_running)


@pytest.fixture(scope="package")
def durable(kept: Path) -> Iterator[Cluster]:
    sweep(SCRATCH, FOLDER)
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir=SCRATCH))
    folder.chmod(0o755)
    migrated(kept, folder, folder / "cluster")
    postgres = EmbeddedPostgres(folder / "cluster")
    urls = postgres.start()
    try:
        asyncio.run(load_demo(settings_for(urls, folder / "keys"), urls.owner))
        yield Cluster(postgres, urls, folder / "keys")
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def own_urls(durable: Cluster) -> Urls:
    """A copy of the migrated database."""
    name = f"f{next(_numbers)}"
    connection = await asyncpg.connect(durable.urls.for_database("postgres").superuser)
    try:
        await connection.execute(f"create database {name} template {durable.urls.database} strategy wal_log")
    finally:
        await connection.close()
    return durable.urls.for_database(name)


@pytest.fixture
def own_settings(durable: Cluster, own_urls: Urls) -> Settings:
    return settings_for(own_urls, durable.keys).model_copy(update={"socket_rate": 500})


@pytest.fixture
async def own(own_settings: Settings) -> AsyncIterator[Instance]:
    """A service on that database."""
    async with serve(own_settings) as served:
        yield served
