"""What version 1 wrote is read for ever: a changed format fails here before it fails on somebody's records."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.crypto.bsn import BsnIndex
from app.crypto.cursors import PageCursors, StreamCursors
from app.crypto.digests import Digests
from app.crypto.errors import KeyDestroyed
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import Use
from app.crypto.sealing import DataKey, open_sealed, open_text, seal
from app.crypto.signing import SigningKeys

from .conftest import Clock
from .test_sealing import PLACE

FROZEN = json.loads(Path(__file__).with_name("frozen.json").read_text())
VALUES: dict[str, str] = FROZEN["values"]
ACCOUNT = UUID("1a2b3c4d-5e6f-4071-8293-a4b5c6d7e804")
CASE = PLACE.scope


@pytest.fixture
def frozen(folder: Path, clock: Clock) -> KeyringFolder:
    for name, content in FROZEN["files"].items():
        path = folder / name
        for missing in reversed([path.parent, *path.parent.parents]):
            missing.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(bytes.fromhex(content) if isinstance(content, str) else json.dumps(content).encode() + b"\n")
        path.chmod(0o600)
    return KeyringFolder.open_or_create(folder, clock)


@pytest.fixture
def data_key(frozen: KeyringFolder) -> DataKey:
    wrapped, key_id = bytes.fromhex(VALUES["wrapped"]), UUID(VALUES["dataKeyId"])
    return frozen.unwrap(wrapped, key_id=key_id, scope=CASE, category="medication", generation=1)


def test_the_folder_is_left_as_it_was(frozen: KeyringFolder, folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "lock"}

    assert names == set(FROZEN["files"])
    assert json.loads((folder / "keyring.json").read_text()) == FROZEN["files"]["keyring.json"]
    with pytest.raises(KeyDestroyed):
        frozen.erasure_secret(ACCOUNT, "medication")


def test_sealed_values_open(data_key: DataKey) -> None:
    without_author = replace(PLACE, author=None)

    assert open_text(data_key, bytes.fromhex(VALUES["sealed"]), PLACE) == "Gespreksverslag: één kopje thee"
    assert open_sealed(data_key, bytes.fromhex(VALUES["sealedWithoutAuthor"]), without_author) == b""


def test_the_format_is_the_documented_one(data_key: DataKey) -> None:
    assert PLACE.author is not None
    sealed = seal(data_key, b"documented", PLACE)
    parts: list[Any] = [
        b"\x01",
        b"\x01",
        b"case_event",
        b"body_sealed",
        PLACE.row.bytes,
        PLACE.scope.bytes,
        b"medication",
        PLACE.author.bytes,
        data_key.id.bytes,
    ]
    associated = b"".join(struct.pack(">I", len(part)) + part for part in parts)

    assert sealed[:18] == b"\x01\x01" + data_key.id.bytes
    assert AESGCM(data_key.secret).decrypt(sealed[18:30], sealed[30:], associated) == b"documented"


def test_cursors_are_read(frozen: KeyringFolder) -> None:
    position = PageCursors(frozen).open(VALUES["pageCursor"], account=ACCOUNT, query=b"threads")
    streams = StreamCursors(frozen)

    assert position == ("2026-03-01T12:00:00.000Z", 7, None, True)
    assert streams.read(VALUES["streamCursor"], ACCOUNT, CASE) == 123456789
    assert streams.tag(ACCOUNT, CASE).hex() == VALUES["streamTag"]


def test_indexes_and_digests_are_found_again(frozen: KeyringFolder) -> None:
    index = BsnIndex(frozen)

    assert index.by_organisation(ACCOUNT, "123456782").hex() == VALUES["bsnByOrganisation"]
    assert index.for_link("123456782").hex() == VALUES["bsnForLink"]
    assert Digests(frozen).digest("idempotency", b"ab", b"c").hex() == VALUES["digest"]
    assert Digests(frozen, Use.TICKET).digest("ticket", b"abc").hex() == VALUES["ticket"]
    assert SigningKeys(frozen).current().kid == VALUES["kid"]
