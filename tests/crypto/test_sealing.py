"""Sealed values open in their own place, unchanged, and nowhere else."""

import copy
import pickle
from dataclasses import fields, replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.errors import SealBroken
from app.crypto.sealing import (
    PLAINTEXT_BYTES_MAX,
    DataKey,
    Place,
    key_id_of,
    new_data_key,
    open_sealed,
    open_text,
    seal,
    seal_text,
)

from .conftest import calmly

SCOPE = UUID("5f0c1b52-0f1f-4a53-9c1a-6f1f6b1f2d01")
KEY = DataKey(UUID("0c4f5a36-7e2b-4d0e-8d5a-7b1f0f3c2e02"), SCOPE, "medication", 1, bytes(range(32)))
PLACE = Place(
    table="case_event",
    column="body_sealed",
    row=UUID("9d2c3f44-55aa-4b7e-a6a1-0d9b7c6e5f03"),
    scope=SCOPE,
    category="medication",
    author=UUID("1a2b3c4d-5e6f-4071-8293-a4b5c6d7e804"),
)
OTHER_PLACES = [
    replace(PLACE, table="case_even"),
    replace(PLACE, table="case_eventb", column="ody_sealed"),
    replace(PLACE, column="title_sealed"),
    replace(PLACE, row=uuid4()),
    replace(PLACE, scope=uuid4()),
    replace(PLACE, category="mental_health"),
    replace(PLACE, author=uuid4()),
    replace(PLACE, author=None),
]

places = st.builds(
    Place,
    table=st.text(max_size=20),
    column=st.text(max_size=20),
    row=st.uuids(),
    scope=st.just(SCOPE),
    category=st.just("medication"),
    author=st.none() | st.uuids(),
)


@calmly
@given(plaintext=st.binary(max_size=500), place=places)
def test_what_was_sealed_opens_in_its_place(plaintext: bytes, place: Place) -> None:
    sealed = seal(KEY, plaintext, place)

    assert open_sealed(KEY, sealed, place) == plaintext
    assert len(sealed) == len(plaintext) + 46
    assert key_id_of(sealed) == KEY.id


@calmly
@given(text=st.text(max_size=200))
def test_text_comes_back_as_it_was(text: str) -> None:
    assert open_text(KEY, seal_text(KEY, text, PLACE), PLACE) == text


def test_any_changed_bit_breaks_the_seal() -> None:
    sealed = seal(KEY, b"amoxicilline 500 mg", PLACE)
    assert open_sealed(KEY, sealed, PLACE)

    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            open_sealed(KEY, bytes(changed), PLACE)


def test_any_other_length_breaks_the_seal() -> None:
    sealed = seal(KEY, b"amoxicilline", PLACE)

    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            open_sealed(KEY, sealed[:length], PLACE)
    for changed in (sealed + b"\0", b"\0" + sealed):
        with pytest.raises(SealBroken):
            open_sealed(KEY, changed, PLACE)


@pytest.mark.parametrize("other", OTHER_PLACES)
def test_a_moved_value_does_not_open(other: Place) -> None:
    sealed = seal(KEY, b"body", PLACE)
    assert open_sealed(KEY, sealed, PLACE) == b"body"

    with pytest.raises(SealBroken):
        open_sealed(KEY, sealed, other)
    # Nor does it when the attacker holds a key record relabelled to suit: the label is bound, not only compared.
    relabelled = DataKey(KEY.id, other.scope, other.category, KEY.generation, KEY.secret)
    with pytest.raises(SealBroken):
        open_sealed(relabelled, sealed, other)


def test_every_field_of_a_place_is_among_the_moved_ones() -> None:
    moved = {field.name for field in fields(Place) for other in OTHER_PLACES if _differs(other, field.name)}

    assert moved == {field.name for field in fields(Place)}


def _differs(other: Place, name: str) -> bool:
    return bool(getattr(other, name) != getattr(PLACE, name))


def test_two_rows_cannot_be_swapped() -> None:
    here, there = PLACE, replace(PLACE, row=uuid4())
    sealed_here, sealed_there = seal(KEY, b"here", here), seal(KEY, b"there", there)

    for sealed, place in ((sealed_here, there), (sealed_there, here)):
        with pytest.raises(SealBroken):
            open_sealed(KEY, sealed, place)


def test_another_key_does_not_open_it() -> None:
    sealed = seal(KEY, b"body", PLACE)
    other_id = DataKey(uuid4(), SCOPE, "medication", 1, KEY.secret)
    other_secret = DataKey(KEY.id, SCOPE, "medication", 1, bytes(32))

    for key in (other_id, other_secret):
        with pytest.raises(SealBroken):
            open_sealed(key, sealed, PLACE)


def test_equal_plaintexts_are_sealed_differently() -> None:
    sealed = {seal(KEY, b"the same", PLACE) for _ in range(1000)}

    assert len({value[18:30] for value in sealed}) == 1000


@pytest.mark.parametrize("other", [replace(PLACE, scope=uuid4()), replace(PLACE, category="crisis_plan")])
def test_a_key_seals_only_in_its_own_scope_and_category(other: Place) -> None:
    with pytest.raises(ValueError, match="another scope or category"):
        seal(KEY, b"body", other)


def test_a_plaintext_has_a_limit() -> None:
    with pytest.raises(ValueError, match="too long"):
        seal(KEY, bytes(PLAINTEXT_BYTES_MAX + 1), PLACE)


def test_a_refusal_never_carries_the_plaintext() -> None:
    sealed = seal(KEY, b"\xffgeheim", PLACE)

    with pytest.raises(SealBroken) as broken:
        open_text(KEY, sealed, PLACE)
    with pytest.raises(ValueError, match="UTF-8") as unwritable:
        seal_text(KEY, "geheim\ud800", PLACE)

    for error in (broken.value, unwritable.value):
        assert "geheim" not in repr(error)
        assert error.__context__ is None
        assert error.__cause__ is None


def test_a_data_key_shows_and_gives_away_nothing() -> None:
    key = new_data_key(SCOPE, "medication", 1)

    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)


def test_a_data_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DataKey(uuid4(), SCOPE, "medication", 1, bytes(16))


@calmly
@given(noise=st.binary(max_size=100))
def test_noise_is_refused_without_another_error(noise: bytes) -> None:
    with pytest.raises(SealBroken):
        open_sealed(KEY, noise, PLACE)
