"""Digests depend on their use, their label and each part; tokens are long and never the same."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.digests import Digests, random_token
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import Use

from .conftest import calmly

inputs = st.tuples(st.text(st.characters(codec="utf-8"), max_size=3), st.lists(st.binary(max_size=3), max_size=3))


@calmly
@given(one=inputs, other=inputs)
def test_digests_are_equal_for_equal_input_only(
    keyring: KeyringFolder, one: tuple[str, list[bytes]], other: tuple[str, list[bytes]]
) -> None:
    digests = Digests(keyring)

    assert (digests.digest(one[0], *one[1]) == digests.digest(other[0], *other[1])) == (one == other)
    assert len(digests.digest(one[0], *one[1])) == 32


@pytest.mark.parametrize(("one", "other"), [((b"ab", b"c"), (b"a", b"bc")), ((b"a",), (b"a", b"")), ((), (b"",))])
def test_parts_do_not_run_together(keyring: KeyringFolder, one: tuple[bytes, ...], other: tuple[bytes, ...]) -> None:
    assert Digests(keyring).digest("body", *one) != Digests(keyring).digest("body", *other)


def test_each_use_has_its_own_key(keyring: KeyringFolder) -> None:
    assert Digests(keyring).digest("x", b"y") != Digests(keyring, Use.TICKET).digest("x", b"y")


def test_tokens_are_256_random_url_safe_bits() -> None:
    tokens = {random_token() for _ in range(1000)}

    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
