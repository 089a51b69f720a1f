"""One throw-away cluster for the tests that only read from it, and folders that the server's account can reach."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.postgres import EmbeddedPostgres, Urls


@pytest.fixture(scope="package")
def started() -> Iterator[tuple[EmbeddedPostgres, Urls]]:
    folder = Path(tempfile.mkdtemp(prefix="ot-"))
    cluster = EmbeddedPostgres(folder, durable=False)
    yield cluster, cluster.start()
    cluster.stop()
    shutil.rmtree(folder)


@pytest.fixture
def cluster(started: tuple[EmbeddedPostgres, Urls]) -> EmbeddedPostgres:
    return started[0]


@pytest.fixture
def urls(started: tuple[EmbeddedPostgres, Urls]) -> Urls:
    return started[1]


@pytest.fixture
def place() -> Iterator[Path]:
    """Return an empty folder that everyone may pass through; pytest's own are closed to other accounts."""
    folder = Path(tempfile.mkdtemp(prefix="ot-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
