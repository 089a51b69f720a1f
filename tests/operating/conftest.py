"""A migrated database in which nobody is yet, and the settings of a real deployment on it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.core.settings import PREFIX


@pytest.fixture
async def empty(database: Urls) -> Urls:
    """A migrated database without the demo region."""
    root = await asyncpg.connect(database.superuser)
    await root.execute("set session_replication_role = replica; truncate organisation, account, data_key cascade")
    await root.execute("truncate audit_event")
    await root.close()
    return database


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder that everyone may pass through; pytest's own are closed to other accounts."""
    folder = Path(tempfile.mkdtemp(prefix="ot-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def environment(empty: Urls, place: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a production deployment on the empty database, without the prefix."""
    values = {
        "MODE": "production",
        "PUBLIC_URL": "https://tafel.example",
        "DATABASE_URL": empty.app,
        "APPENDER_URL": empty.appender,
        "STREAM_URL": empty.stream,
        "MIGRATION_URL": empty.owner,
        "KEY_DIR": str(place / "keys"),
    }
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)
    return values
