"""Another key signs while the service runs: nobody is refused for it, and what the old one signed ends in time."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import Use
from app.crypto.signing import SigningKeys
from app.identity.tokens import TokenFault, TokenInvalid, TokenIssuer, TokenVerifier
from tests.identity.test_tokens import AUDIENCE, ISSUER, make_asked
from tests.serving import serve

ROTATIONS = 5
CLIENTS = 4


class Later:
    """The system's clock, moved."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


def test_what_a_retired_key_signed_is_refused_even_if_it_was_seen_before(tmp_path: Path) -> None:
    clock = Later()
    keyring = KeyringFolder.open_or_create(tmp_path / "keys", clock)
    keys = SigningKeys(keyring)
    issuer, verifier = TokenIssuer(keys, ISSUER, AUDIENCE), TokenVerifier(keys, ISSUER, AUDIENCE)
    now = int(clock().timestamp())
    asked = make_asked() | {"auth_time": now}
    old = issuer.issue(**asked, now=now)
    keyring.rotate(Use.SIGNING)
    new = issuer.issue(**asked, now=now)
    for token in (old, new):
        assert verifier.verify(token, now=now).sub == asked["sub"]
    clock.by = timedelta(hours=1, seconds=1)  # the key's time alone: the token itself would still be in force
    with pytest.raises(TokenInvalid) as refusal:
        verifier.verify(old, now=now)
    assert refusal.value.fault is TokenFault.KEY
    assert verifier.verify(new, now=now).sub == asked["sub"]


async def test_nobody_is_refused_while_keys_are_rotated_under_load(settings: Settings, scratch: Path) -> None:
    """Another process rotates; the worker issues and verifies meanwhile, with tokens of every key there was."""
    assert settings.key_dir is not None
    folder = scratch / "keys-rotated"
    shutil.copytree(settings.key_dir, folder)
    try:
        async with serve(settings.model_copy(update={"key_dir": folder})) as instance:
            elsewhere = KeyringFolder.open_or_create(folder)
            done, kids, statuses = asyncio.Event(), set(), []
            rounds = asyncio.Semaphore(0)

            async def client() -> None:
                answer = await instance.http.post("/demo-tokens", json={"persona": "gp"})
                while not done.is_set():
                    given = answer.json()
                    headers = {"Authorization": f"Bearer {given['accessToken']}"}
                    statuses.append((await instance.http.get("/me", headers=headers)).status_code)
                    answer = await instance.http.post(
                        "/token-refreshes", json={"refreshToken": given["refreshToken"]}
                    )
                    statuses.append(answer.status_code)
                    rounds.release()

            async def rotate() -> None:
                signing = instance.app.state.services.crypto.signing
                for _ in range(ROTATIONS):
                    await asyncio.to_thread(elsewhere.rotate, Use.SIGNING)
                    kids.add(SigningKeys(elsewhere).current().kid)
                    # What this worker does of itself every few seconds, so that the test need not wait for it.
                    instance.app.state.services.crypto.provider.refresh()
                    assert signing.current().kid in kids
                    for _ in range(CLIENTS):
                        await rounds.acquire()
                done.set()

            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    group.create_task(client())
                group.create_task(rotate())
            assert set(statuses) == {200, 201}
            published = await instance.http.get(f"{instance.url}/.well-known/jwks.json")
            assert kids < {key["kid"] for key in published.json()["keys"]}
    finally:
        shutil.rmtree(folder)
