"""A BSN is checked by the eleven test, and found only through a keyed index."""

from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.bsn import BsnIndex, normalise_bsn, valid_bsn
from app.crypto.keyring import KeyringFolder

from .conftest import calmly

BSN = "123456782"


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> KeyringFolder:
    return KeyringFolder.open_or_create(tmp_path_factory.mktemp("crypto") / "keys")


@pytest.mark.parametrize("text", [BSN, "111222333", "010000008", "999990019"])
def test_a_number_that_passes_the_eleven_test_is_valid(text: str) -> None:
    assert valid_bsn(text)
    assert normalise_bsn(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "000000000",
        "123456789",
        "12345678",
        "1234567820",
        "12345678a",
        " 23456782",
        "".join(chr(0xFF10 + int(digit)) for digit in BSN),
        "12345678\N{SUPERSCRIPT TWO}",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert not valid_bsn(text)


@calmly
@given(
    digits=st.text("0123456789", min_size=9, max_size=9), at=st.integers(0, 8), digit=st.sampled_from("0123456789")
)
def test_one_wrong_digit_is_always_noticed(digits: str, at: int, digit: str) -> None:
    changed = digits[:at] + digit + digits[at + 1 :]

    assert changed == digits or not (valid_bsn(digits) and valid_bsn(changed))


def test_eight_digits_are_padded_only_when_asked() -> None:
    assert not valid_bsn("10000008")
    assert normalise_bsn("10000008") == "010000008"
    assert normalise_bsn("00000000") is None
    assert normalise_bsn("1000008") is None
    assert normalise_bsn("10000009") is None


def test_indexes_differ_by_organisation_and_from_the_link(keyring: KeyringFolder) -> None:
    index, one, other = BsnIndex(keyring), uuid4(), uuid4()

    assert index.by_organisation(one, BSN) == index.by_organisation(one, BSN)
    assert len({index.by_organisation(one, BSN), index.by_organisation(other, BSN), index.for_link(BSN)}) == 3
    assert index.by_organisation(one, BSN) != index.by_organisation(one, "111222333")


def test_another_keyring_gives_another_index(keyring: KeyringFolder, tmp_path: Path) -> None:
    other = KeyringFolder.open_or_create(tmp_path / "keys")

    assert BsnIndex(keyring).for_link(BSN) != BsnIndex(other).for_link(BSN)


@pytest.mark.parametrize("text", ["123456789", "12345678", ""])
def test_only_a_valid_number_is_indexed_and_none_is_shown(keyring: KeyringFolder, text: str) -> None:
    with pytest.raises(ValueError, match="valid BSN") as refusal:
        BsnIndex(keyring).for_link(text)
    with pytest.raises(ValueError, match="valid BSN"):
        BsnIndex(keyring).by_organisation(uuid4(), text)

    assert not text or text not in str(refusal.value)
