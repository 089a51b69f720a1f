"""Served instances: one for a whole module of short stories, and one whose clock a test moves."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.cli.postgres import Urls
from app.core.settings import Settings
from tests.conftest import copy_of_template, settings_for
from tests.serving import Instance, MovableClock, serve


@pytest.fixture(scope="module")
async def people(cluster: Urls, scratch: Path) -> AsyncIterator[Instance]:
    """An instance that the short stories of one module share: each is about people of its own."""
    async with copy_of_template(cluster) as urls, serve(settings_for(urls, scratch / "keys")) as instance:
        yield instance


@pytest.fixture
async def timed(settings: Settings, clock: MovableClock) -> AsyncIterator[Instance]:
    """An instance whose clock a test moves."""
    async with serve(settings, clock) as served:
        yield served
