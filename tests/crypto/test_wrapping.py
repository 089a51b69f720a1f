"""A wrapped key opens only as the key it was, under both secrets that wrapped it."""

from dataclasses import fields, replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.errors import SealBroken
from app.crypto.sealing import DataKey
from app.crypto.wrapping import WRAPPED_BYTES, Wrapping, kek_id_of, unwrap, wrap

from .conftest import calmly

WRAPPING = Wrapping(uuid4(), bytes(range(32)), bytes(range(32, 64)))
KEY = DataKey(uuid4(), uuid4(), "medication", 3, bytes(range(64, 96)))


def opened(
    wrapped: bytes,
    wrapping: Wrapping = WRAPPING,
    *,
    key_id: UUID = KEY.id,
    scope: UUID = KEY.scope,
    category: str = KEY.category,
    generation: int = KEY.generation,
) -> DataKey:
    return unwrap(wrapping, wrapped, key_id=key_id, scope=scope, category=category, generation=generation)


@calmly
@given(
    secret=st.binary(min_size=32, max_size=32),
    scope=st.uuids(),
    category=st.sampled_from(["medication", "finance_debt"]),
    generation=st.integers(1, 2**32 - 1),
)
def test_a_data_key_comes_back_as_it_was(secret: bytes, scope: UUID, category: str, generation: int) -> None:
    key = DataKey(uuid4(), scope, category, generation, secret)

    wrapped = wrap(WRAPPING, key)

    found = opened(wrapped, key_id=key.id, scope=scope, category=category, generation=generation)
    assert (found.id, found.scope, found.category, found.generation) == (key.id, scope, category, generation)
    assert found.secret == secret
    assert len(wrapped) == WRAPPED_BYTES
    assert kek_id_of(wrapped) == WRAPPING.kek_id
    assert wrapped != wrap(WRAPPING, key)


def test_any_changed_bit_is_refused() -> None:
    wrapped = wrap(WRAPPING, KEY)
    assert opened(wrapped).secret == KEY.secret

    for bit in range(8 * len(wrapped)):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            opened(bytes(changed))


def test_a_wrapped_key_passes_for_no_other() -> None:
    wrapped = wrap(WRAPPING, KEY)

    with pytest.raises(SealBroken):
        opened(wrapped, key_id=uuid4())
    with pytest.raises(SealBroken):
        opened(wrapped, scope=uuid4())
    with pytest.raises(SealBroken):
        opened(wrapped, category="finance_debt")
    with pytest.raises(SealBroken):
        opened(wrapped, generation=4)


@pytest.mark.parametrize(
    "other",
    [
        replace(WRAPPING, kek_id=uuid4()),
        replace(WRAPPING, kek=bytes(32)),
        replace(WRAPPING, erasure_secret=bytes(32)),
    ],
    ids=[field.name for field in fields(Wrapping)],
)
def test_both_secrets_are_needed(other: Wrapping) -> None:
    wrapped = wrap(WRAPPING, KEY)

    with pytest.raises(SealBroken):
        opened(wrapped, other)


def test_the_secrets_are_not_shown() -> None:
    assert repr(WRAPPING) == f"Wrapping(kek_id={WRAPPING.kek_id!r})"
