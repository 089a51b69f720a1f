"""A furnished room: one served instance for a whole module, with a case in which everything that can be there is."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from app.cli.postgres import Urls
from tests.api.room import Room, furnish
from tests.conftest import TEMPLATE, settings_for
from tests.serving import serve

_numbers = count(1)


@pytest.fixture(scope="module")
async def room(cluster: Urls, scratch: Path) -> AsyncIterator[Room]:
    """An instance that the tests of one module share: each makes what it changes."""
    name = f"room{next(_numbers)}"
    maintenance = await asyncpg.connect(cluster.for_database("postgres").superuser)
    try:
        await maintenance.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
        urls = cluster.for_database(name)
        owner = await asyncpg.connect(urls.superuser)
        async with serve(settings_for(urls, scratch / "keys")) as instance:
            yield await furnish(instance, owner)
        await owner.close()
        await maintenance.execute(f"drop database {name} with (force)")
    finally:
        await maintenance.close()
