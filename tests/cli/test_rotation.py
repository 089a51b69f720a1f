"""The signing key is changed by a command, and only where there is a keyring to change it in."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import Use
from app.crypto.signing import SigningKeys


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.setenv("OVERLEGTAFEL_KEY_DIR", str(folder))
    result = CliRunner().invoke(cli, ["keys", "rotate-signing"])
    return result.exit_code, result.output


def test_the_command_makes_another_key_sign_while_the_old_one_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "keys"
    running = SigningKeys(KeyringFolder.open_or_create(folder))
    old = running.current().kid
    code, said = run(folder, monkeypatch)
    assert code == 0
    here = SigningKeys(KeyringFolder.open_or_create(folder))
    new = here.current().kid
    assert new != old
    assert new in said
    assert running.public_key(new) is not None, "a worker that runs meets the new key before it looked of itself"
    assert [running.public_key(kid) is not None for kid in (old, new)] == [True, True]
    assert [key["kid"] for key in running.public_jwks()["keys"]] == [new, old]
    assert len(KeyringFolder.open_or_create(folder).readable(Use.BSN_INDEX_LINK)) == 1, "no other key was touched"


def test_the_command_makes_no_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(tmp_path / "elsewhere", monkeypatch)
    assert code == 1
    assert "no keyring" in said
    assert not (tmp_path / "elsewhere").exists()
