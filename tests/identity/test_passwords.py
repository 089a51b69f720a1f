"""Hashing passwords beside the event loop, without keeping the service from its work."""

import asyncio
from pathlib import Path

from app.crypto.digests import Digests
from app.crypto.keyring import KeyringFolder
from app.identity.factors.passwords import Passwords


async def test_a_storm_of_passwords_leaves_the_core_to_others_in_between(tmp_path: Path) -> None:
    """Whoever is alone is not kept waiting; of several the next begins only after a rest."""
    passwords = Passwords(Digests(KeyringFolder.open_or_create(tmp_path / "keys")))
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
    passwords.close()
