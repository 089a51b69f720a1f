"""Instances that several tests of a module share: each test opens a case of its own."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from app.cli.postgres import Urls
from app.core.settings import Settings
from tests.conftest import TEMPLATE, settings_for
from tests.serving import Instance, MovableClock, serve

_numbers = count(1)


class Alarms:
    """What was logged as an error."""

    def __init__(self, logged: list[Any]) -> None:
        self._logged = logged

    def __bool__(self) -> bool:
        return bool(self._errors())

    def _errors(self) -> list[Mapping[str, Any]]:
        return [line for line in self._logged if line["log_level"] in {"error", "critical"}]

    def __str__(self) -> str:
        return "\n".join(f"{line['event']} {line.get('exception', line)}" for line in self._errors())

    def taken(self) -> list[str]:
        """Return the names of the events, and forget them."""
        found = [line["event"] for line in self._errors()]
        self._logged.clear()
        return found


@pytest.fixture(autouse=True)
def alarms() -> Iterator[Alarms]:
    """No error may be logged, unless a test looks at it and takes it away."""
    with capture_logs([format_exc_info]) as logged:
        found = Alarms(logged)
        yield found
        assert not found, str(found)


@asynccontextmanager
async def fresh_database(cluster: Urls) -> AsyncIterator[Urls]:
    """Copy the template for as long as the block lasts."""
    name = f"live{next(_numbers)}"
    connection = await asyncpg.connect(cluster.for_database("postgres").superuser)
    try:
        await connection.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
        yield cluster.for_database(name)
        await connection.execute(f"drop database {name} with (force)")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def shared_urls(cluster: Urls) -> AsyncIterator[Urls]:
    async with fresh_database(cluster) as urls:
        yield urls


@pytest.fixture(scope="module")
def shared_settings(shared_urls: Urls, scratch: Path) -> Settings:
    return settings_for(shared_urls, scratch / "keys")


@pytest.fixture(scope="module")
async def shared(shared_settings: Settings) -> AsyncIterator[Instance]:
    """One served instance for the whole module."""
    async with serve(shared_settings) as served:
        yield served


@pytest.fixture(scope="module")
def shared_clock() -> MovableClock:
    return MovableClock()
