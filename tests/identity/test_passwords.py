"""Hashing passwords beside the event loop, without keeping the service from its work."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.crypto.digests import Digests
from app.crypto.keyring import KeyringFolder
from app.identity.factors.passwords import AS_SERVED, Passwords


@pytest.fixture
def passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Passwords]:
    """Passwords hashed as they are when served; other tests hash them for less."""
    monkeypatch.setattr("app.identity.factors.passwords.AS_SERVED", AS_SERVED)
    served = Passwords(Digests(KeyringFolder.open_or_create(tmp_path / "keys")))
    yield served
    served.close()


async def test_a_hash_costs_what_is_advised(passwords: Passwords) -> None:
    hashed = await passwords.hash("paars vliegtuig 9")
    assert hashed.startswith("$argon2id$v=19$m=32768,t=2,p=1$")
    assert await passwords.matches("paars vliegtuig 9", hashed)
    assert not await passwords.matches("paars vliegtuig 8", hashed)


async def test_a_storm_of_passwords_leaves_the_core_to_others_in_between(passwords: Passwords) -> None:
    """Whoever is alone is not kept waiting; of several the next begins only after a rest."""
    begun: list[int] = []

    def hashed(number: int) -> str:
        begun.append(number)
        return passwords.hash_now(str(number))

    first = asyncio.create_task(passwords._beside(lambda: hashed(1)))
    second = asyncio.create_task(passwords._beside(lambda: hashed(2)))
    await first
    await asyncio.sleep(0)
    assert begun == [1]
    await second
    assert begun == [1, 2]
