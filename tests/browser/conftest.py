"""A browser and an instance for all these tests: each brings its own people and its own pages."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.cli.postgres import Urls
from tests.browser import chromium as browsers
from tests.browser.chromium import Chromium
from tests.conftest import copy_of_template, settings_for
from tests.serving import Instance, serve

REQUIRED = "REQUIRE_CHROMIUM"


@pytest.fixture(scope="session")
async def chromium(scratch: Path) -> AsyncIterator[Chromium]:
    """A browser with a profile that is thrown away."""
    path = browsers.find()
    if path is None:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, and there is no Chromium")
        pytest.skip("there is no Chromium to try passkeys in: apt-get install chromium")
    async with browsers.running(path, scratch / "chromium") as running:
        yield running


@pytest.fixture(scope="session")
async def instance(cluster: Urls, scratch: Path, chromium: Chromium) -> AsyncIterator[Instance]:
    """A served instance, if there is a browser to visit it with."""
    async with copy_of_template(cluster) as urls, serve(settings_for(urls, scratch / "keys")) as served:
        yield served
