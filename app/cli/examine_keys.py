"""The doctor on the keys: the folder, every wrapping key that stored data still needs, and the signing key's age."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from app.cli.findings import Finding, error, ok, warning
from app.crypto.errors import KeyringError
from app.crypto.keyring import KeyringFolder
from app.crypto.keys import Use

SIGNING_KEY_AGE_MAX = timedelta(days=180)


def keys(folder: Path, *, data_folder: Path | None, demo: bool, needed: Collection[UUID] | None) -> Iterator[Finding]:
    """Look at a key folder. ``needed`` are the wrapping keys that the database names, None when it did not answer."""
    inside = data_folder is not None and folder.resolve().is_relative_to(data_folder.resolve())
    if inside and not demo:
        yield error(
            "keys",
            "The key folder lies inside the data folder.",
            "Move it: who takes the one must not have the other. Set OVERLEGTAFEL_KEY_DIR.",
        )
    try:
        keyring = KeyringFolder.open_existing(folder)
    except KeyringError as fault:
        yield error("keys", str(fault), "Restore the folder from its backup, owned by the service's user, mode 0700.")
        return
    yield ok("keys", f"The key folder {folder} is closed to others and whole.")
    yield _wrapping(keyring, needed)
    yield _signing(keyring)


def _wrapping(keyring: KeyringFolder, needed: Collection[UUID] | None) -> Finding:
    if needed is None:
        return warning(
            "keys", "Whether every wrapping key is there is not known.", "Mend the database first, then ask again."
        )
    try:
        keyring.require(needed)
    except KeyringError as fault:
        return error("keys", str(fault), "Restore it from its backup; without it what it wrapped stays unreadable.")
    return ok("keys", f"Every wrapping key that the database names is there: {len(set(needed))}.")


def _signing(keyring: KeyringFolder) -> Finding:
    age = datetime.now(UTC) - keyring.current(Use.SIGNING).created_at
    said = f"The key that signs tokens is {age.days} days old."
    if age < -timedelta(minutes=1):
        return error("keys", "The key that signs tokens was made in the future.", "Set this machine's clock right.")
    if age > SIGNING_KEY_AGE_MAX:
        return warning("keys", said, "Rotate it; tokens in use go on being accepted.")
    return ok("keys", said)
