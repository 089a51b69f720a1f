"""What the tests of logging in share."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.core.settings import Settings
from tests.identity.entering import Log
from tests.serving import Instance, MovableClock, serve


@pytest.fixture
async def log(database: Urls) -> AsyncIterator[Log]:
    """The audit log of the test's own instance."""
    owner = await asyncpg.connect(database.superuser)
    yield Log(owner)
    await owner.close()


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """A served instance whose clock the test moves."""
    async with serve(settings, clock) as served:
        yield served
