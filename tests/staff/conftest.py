"""An instance, a way to look behind it, and people who run things."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.cli.postgres import Urls
from tests.conftest import settings_for
from tests.serving import MovableClock, serve
from tests.staff.people import House


@pytest.fixture
async def house(database: Urls, scratch: Path, clock: MovableClock) -> AsyncIterator[House]:
    """A served instance whose clock the test moves, and a connection of the superuser's."""
    owner = await asyncpg.connect(database.superuser)
    try:
        async with serve(settings_for(database, scratch / "keys"), clock) as instance:
            yield House(instance=instance, owner=owner, clock=clock)
    finally:
        await owner.close()
