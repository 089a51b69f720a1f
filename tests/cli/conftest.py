"""One throw-away cluster for the tests that only read from it, and folders that the server's account can reach."""

import shutil
import subprocess
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
    cluster.remove()


@pytest.fixture(scope="package")
def stopped() -> Iterator[Path]:
    """Return the data folder of a cluster that was started once and stopped."""
    folder = Path(tempfile.mkdtemp(prefix="ot-"))
    cluster = EmbeddedPostgres(folder, durable=False)
    cluster.start()
    cluster.stop()
    yield folder
    cluster.remove()


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


@pytest.fixture
def data(place: Path, stopped: Path) -> Path:
    """Return a data folder of one's own with a stopped cluster in it; copying takes less than making."""
    subprocess.run(["cp", "-a", stopped, place / "data"], check=True)
    return place / "data"
