"""One key signs, the retired one verifies a little longer, and the set that is published holds nothing private."""

import copy
import pickle
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jws

from app.crypto.errors import KeyringError
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import PurposeKey, Use
from app.crypto.signing import SigningKeys

from .conftest import Clock


def test_what_the_private_key_signs_the_public_one_verifies(keyring: KeyringFolder) -> None:
    keys = SigningKeys(keyring)
    current = keys.current()
    public = keys.public_key(current.kid)
    assert public is not None

    token = jws.sign(b"{}", current.pem, algorithm="ES256")

    assert jws.verify(token, dict(public), ["ES256"]) == b"{}"


def test_the_published_set_holds_nothing_private(keyring: KeyringFolder) -> None:
    keys = SigningKeys(keyring)

    (published,) = keys.public_jwks()["keys"]

    assert published.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert (published["kty"], published["crv"], published["alg"], published["use"]) == ("EC", "P-256", "ES256", "sig")
    assert len(published["x"]) == len(published["y"]) == 43
    assert published["kid"] == keys.current().kid


def test_a_caller_cannot_change_the_keys(keyring: KeyringFolder) -> None:
    keys = SigningKeys(keyring)
    kid = keys.current().kid
    found = keys.public_key(kid)
    assert found is not None

    before = dict(found)
    with pytest.raises(TypeError):
        found["x"] = "A" * 43  # type: ignore[index]  # which is the point
    keys.public_jwks()["keys"][0]["x"] = "A" * 43

    assert keys.public_key(kid) == before


def test_a_retired_key_verifies_for_one_hour(keyring: KeyringFolder, clock: Clock) -> None:
    keys = SigningKeys(keyring)
    old = keys.current().kid

    keyring.rotate(Use.SIGNING)

    new = keys.current().kid
    assert new != old
    assert [key["kid"] for key in keys.public_jwks()["keys"]] == [new, old]
    clock.move(timedelta(hours=1) - timedelta(seconds=1))
    assert keys.public_key(old) is not None
    clock.move(timedelta(seconds=1))
    assert keys.public_key(old) is None
    assert [key["kid"] for key in keys.public_jwks()["keys"]] == [new]


def test_a_worker_verifies_at_once_what_another_signs_after_rotation(
    keyring: KeyringFolder, folder: Path, clock: Clock
) -> None:
    there = KeyringFolder.open_or_create(folder, clock)
    there.rotate(Use.SIGNING)

    assert SigningKeys(keyring).public_key(SigningKeys(there).current().kid) is not None


def test_an_unknown_key_is_not_found(keyring: KeyringFolder) -> None:
    assert SigningKeys(keyring).public_key("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I") is None


def test_a_private_key_shows_and_gives_away_nothing(keyring: KeyringFolder) -> None:
    key = SigningKeys(keyring).current()

    assert "PRIVATE" in key.pem
    assert "PRIVATE" not in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)


def test_only_a_p_256_key_signs(keyring: KeyringFolder, clock: Clock) -> None:
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    with pytest.raises(KeyringError, match="not a P-256 key"):
        SigningKeys(keyring)._parse(PurposeKey(uuid4(), 1, clock(), None, pem))
