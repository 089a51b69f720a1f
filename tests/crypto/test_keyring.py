"""The key folder: made once, read by its owner alone, and never silently made anew."""

from pathlib import Path
from uuid import uuid4

import pytest

from app.crypto.errors import KeyDestroyed
from app.crypto.keyring import KeyringFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_data_key_unwraps_after_opening_again(folder: Path) -> None:
    scope = uuid4()
    key, wrapped = KeyringFolder.open_or_create(folder).new_data_key(scope, "medication", 1)

    again = KeyringFolder.open_or_create(folder)

    found = again.unwrap(wrapped, key_id=key.id, scope=scope, category="medication", generation=1)
    assert found.secret == key.secret


def test_destruction_is_final(folder: Path) -> None:
    scope = uuid4()
    keyring = KeyringFolder.open_or_create(folder)
    key, wrapped = keyring.new_data_key(scope, "medication", 1)

    keyring.destroy(scope, "medication")

    for keys in (keyring, KeyringFolder.open_or_create(folder)):
        with pytest.raises(KeyDestroyed):
            keys.unwrap(wrapped, key_id=key.id, scope=scope, category="medication", generation=1)
        with pytest.raises(KeyDestroyed):
            keys.new_data_key(scope, "medication", 1)
