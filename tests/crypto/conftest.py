"""A key folder of its own for each test, under a clock that only the test moves."""

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from app.crypto.keyring import KeyringFolder

# A key folder serves all examples of a property, and a busy machine is no reason to fail.
calmly = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@dataclass
class Clock:
    """Stands still until moved."""

    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a key folder once; copying it spares each test the wait for the disk."""
    folder = tmp_path_factory.mktemp("crypto") / "keys"
    KeyringFolder.open_or_create(folder, Clock())
    return folder


@pytest.fixture
def keyring(template: Path, folder: Path, clock: Clock) -> KeyringFolder:
    shutil.copytree(template, folder)
    return KeyringFolder.open_or_create(folder, clock)
