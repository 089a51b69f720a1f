"""The default key provider: a folder on this machine, outside the database and its dumps.

    keyring.json            the newest key of each use, so that a lost file is noticed and not made anew
    kek-<n>.json            key-encryption keys
    <use>-<n>.json          purpose keys
    erasure/                erasure secrets (see ``erasure``)
    lock                    held while a key is made

A key file never changes: the highest number of a use is current, the others only read. So there is no state to get
wrong between workers; a rotation adds a file, and retiring a key for good is deleting its file.
"""

import hashlib
import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from time import monotonic, time_ns
from typing import Self
from uuid import UUID, uuid4

from app.core.clock import utc
from app.crypto import wrapping
from app.crypto.erasure import ErasureSecrets, Tombstone
from app.crypto.errors import KeyringError
from app.crypto.folder import (
    TEMPORARY_PREFIX,
    check_folder,
    create_file,
    locked,
    make_folder,
    read_file,
    replace_file,
)
from app.crypto.keys import READABLE_AFTER_ROTATION, PurposeKey, Use
from app.crypto.primitives import length_prefixed, random_secret
from app.crypto.sealing import DataKey, new_data_key
from app.crypto.signing import new_signing_pem
from app.crypto.wrapping import Wrapping

FORMAT_VERSION = 1
REFRESH_SECONDS = 10.0

_KEK = "kek"
_KINDS = (_KEK, *(use.value for use in Use))
_NAME = re.compile(rf"({'|'.join(_KINDS)})-([1-9][0-9]{{0,5}})\.json")
_MTIME_GRAIN_NS = 1_000_000_000

_Keys = dict[str, list[PurposeKey]]


def system_clock() -> datetime:
    """Return now, aware UTC: keys live outside the database, so its clock cannot date them."""
    return datetime.now(UTC)


class KeyringFolder:
    """Keys in a folder of mode 0700 that only the service's user can read; a ``KeyProvider``.

    Safe among threads and among processes of one machine. Several machines need a shared provider.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock
        self._erasure = ErasureSecrets(path / "erasure", clock)
        self._keys: _Keys = {}
        self._seen_mtime_ns: int | None = None
        self._looked_at = monotonic()

    @classmethod
    def open_or_create(cls, path: Path, clock: Callable[[], datetime] = system_clock) -> Self:
        """Return the keyring in ``path``, with every key made that it never had. Several processes may do so at once.

        Raises:
            KeyringError: the folder or a file in it is a symbolic link, someone else's, open to others, damaged, or
                a key that was made before is missing.
        """
        try:
            make_folder(path)
            keyring = cls(path, clock)
            with locked(path / "lock"):
                keyring._complete()
        except OSError as error:
            raise KeyringError(f"The key folder {path} cannot be used: {error.strerror}.") from error
        return keyring

    @classmethod
    def open_existing(cls, path: Path, clock: Callable[[], datetime] = system_clock) -> Self:
        """Return the keyring that was made in ``path`` before, and write nothing: for looking, not for serving.

        Raises:
            KeyringError: as ``open_or_create``, and where there is no folder or a use has no key.
        """
        try:
            check_folder(path)
            if read_file(path / "keyring.json") is None:
                raise KeyringError(f"The key folder {path} holds no keys; the first start makes them.")
            check_folder(path / "erasure")
            keyring = cls(path, clock)
            keyring._keys = keyring._load()
            for kind, key_id in keyring._read_manifest().items():
                if kind in keyring._keys:
                    keyring._expect(keyring._keys, kind, key_id)
        except OSError as error:
            raise KeyringError(f"The key folder {path} cannot be used: {error.strerror}.") from error
        return keyring

    def new_data_key(self, scope: UUID, category: str, generation: int) -> tuple[DataKey, bytes]:
        """Return a fresh data key and its wrapped form; see ``KeyProvider``."""
        key = new_data_key(scope, category, generation)
        return key, self.wrap(key)

    def wrap(self, key: DataKey) -> bytes:
        """Return ``key`` wrapped under the current key-encryption key; see ``KeyProvider``."""
        # Only a first generation may lack an erasure secret; a later one has lost it, and a new one would hide that.
        secret_of = self._erasure.get if key.generation == 1 else self._erasure.existing
        kek = self._newest(_KEK)
        return wrapping.wrap(Wrapping(kek.id, kek.secret, secret_of(key.scope, key.category)), key)

    def unwrap(self, wrapped: bytes, *, key_id: UUID, scope: UUID, category: str, generation: int) -> DataKey:
        """Return the data key that was wrapped as this one; see ``KeyProvider``."""
        kek_id = wrapping.kek_id_of(wrapped)
        self.require([kek_id])
        kek = next(key for key in self._keys[_KEK] if key.id == kek_id)
        return wrapping.unwrap(
            Wrapping(kek.id, kek.secret, self._erasure.existing(scope, category)),
            wrapped,
            key_id=key_id,
            scope=scope,
            category=category,
            generation=generation,
        )

    def rewrap(self, wrapped: bytes, *, key_id: UUID, scope: UUID, category: str, generation: int) -> bytes:
        """Return the same data key wrapped under the current key-encryption key; see ``KeyProvider``."""
        return self.wrap(self.unwrap(wrapped, key_id=key_id, scope=scope, category=category, generation=generation))

    def current_kek(self) -> UUID:
        """Return the id of the key-encryption key that ``wrap`` uses."""
        return self._newest(_KEK).id

    def require(self, kek_ids: Iterable[UUID]) -> None:
        """Check that these key-encryption keys are here; see ``KeyProvider``."""
        wanted = set(kek_ids)
        if not wanted <= self._kek_ids():
            self.refresh()
        missing = sorted(map(str, wanted - self._kek_ids()))
        if missing:
            raise KeyringError(f"The key folder {self._path} lacks key-encryption key {', '.join(missing)}.")

    def erasure_secret(self, scope: UUID, category: str) -> bytes:
        """Return the erasure secret, made now if there is none yet; see ``ErasureSecrets.get``."""
        return self._erasure.get(scope, category)

    def existing_erasure_secret(self, scope: UUID, category: str) -> bytes:
        """Return the erasure secret that was made before; see ``ErasureSecrets.existing``."""
        return self._erasure.existing(scope, category)

    def destroy(self, scope: UUID, category: str | None = None) -> None:
        """Destroy one category's erasure secret, or the whole scope's, for good; see ``KeyProvider``."""
        self._erasure.destroy(scope, category)

    def tombstones(self) -> tuple[Tombstone, ...]:
        """Return all that was ever destroyed here, in that order."""
        return self._erasure.tombstones()

    def current(self, use: Use) -> PurposeKey:
        """Return the key to make new values of this use with."""
        return self._newest(use.value)

    def readable(self, use: Use) -> tuple[PurposeKey, ...]:
        """Return the keys whose values are still read, newest first."""
        self._refresh_sometimes()
        keys = self._keys[use.value]
        if len(keys) == 1:  # asked at each request; a key without successor needs no clock
            return (keys[0],)
        window = READABLE_AFTER_ROTATION.get(use)
        newest_first = reversed(keys)
        if window is None:
            return tuple(newest_first)
        now = self._clock()
        return tuple(key for key in newest_first if key.retired_at is None or now < key.retired_at + window)

    def rotate(self, use: Use) -> UUID:
        """Make a new key of this use, current at once here and within ``REFRESH_SECONDS`` in other workers.

        Raises:
            KeyringError: values of this use stand in the database without a key id, so it is not rotated.
        """
        if use not in READABLE_AFTER_ROTATION:
            raise KeyringError(f"The {use.value} key is not rotated: what was made with it would no longer be found.")
        return self._add(use.value)

    def rotate_kek(self) -> UUID:
        """Make a new key-encryption key. The old one goes on unwrapping; delete its file once all is rewrapped."""
        return self._add(_KEK)

    def refresh(self) -> bool:
        """Read the folder again if it changed, and return whether it may have.

        Raises:
            KeyringError: the folder is gone, or the newest key of a use is; older ones never stand in for it.
        """
        try:
            mtime_ns = self._path.stat().st_mtime_ns
            if mtime_ns == self._seen_mtime_ns:
                return False
            found = self._load()
        except OSError as error:
            raise KeyringError(f"The key folder {self._path} cannot be used: {error.strerror}.") from error
        for kind, keys in self._keys.items():
            self._expect(found, kind, keys[-1].id)
        # A change in the same tick of the file system's clock leaves no trace: a fresh instant is not relied on.
        self._seen_mtime_ns = mtime_ns if time_ns() - mtime_ns > _MTIME_GRAIN_NS else None
        self._keys = found
        return True

    def _refresh_sometimes(self) -> None:
        now = monotonic()
        if now - self._looked_at >= REFRESH_SECONDS:
            self.refresh()
            self._looked_at = now

    def _newest(self, kind: str) -> PurposeKey:
        self._refresh_sometimes()
        return self._keys[kind][-1]

    def _kek_ids(self) -> set[UUID]:
        return {key.id for key in self._keys[_KEK]}

    def _add(self, kind: str) -> UUID:
        with locked(self._path / "lock"):
            self.refresh()
            made = self._make(kind, self._keys[kind][-1].number + 1)
            self._write_manifest()
        return made

    def _complete(self) -> None:
        """Make the keys this folder never had; refuse if one that it had is gone. The caller holds the lock."""
        self._remove_left_overs()
        manifest = self._read_manifest()
        self._keys = self._load()
        for kind in manifest.keys() & self._keys.keys():
            self._expect(self._keys, kind, manifest[kind])
        for kind in _KINDS:
            if not self._keys[kind]:
                self._make(kind, 1)
        self._write_manifest()

    def _expect(self, found: _Keys, kind: str, key_id: UUID) -> None:
        if all(key.id != key_id for key in found[kind]):
            raise KeyringError(f"The key folder {self._path} has lost its {kind} key {key_id}; restore it.")

    def _make(self, kind: str, number: int) -> UUID:
        key_id = uuid4()
        secret = new_signing_pem() if kind == Use.SIGNING.value else random_secret()
        record = {
            "version": FORMAT_VERSION,
            "use": kind,
            "number": number,
            "id": str(key_id),
            "createdAt": utc(self._clock()),
            "secret": b64encode(secret).decode(),
        }
        record["check"] = _check(record)
        if not create_file(self._path / f"{kind}-{number}.json", json.dumps(record, indent=1).encode()):
            raise KeyringError(f"The key folder {self._path} already has {kind}-{number}.json.")
        self._keys = self._load()
        return key_id

    def _load(self) -> _Keys:
        found: _Keys = {kind: [] for kind in _KINDS}
        for name in os.listdir(self._path):
            match = _NAME.fullmatch(name)
            if match is not None:
                key = _read_key(self._path / name, match[1], int(match[2]))
                found[match[1]].extend([] if key is None else [key])
        for keys in found.values():
            keys.sort(key=lambda key: key.number)
            keys[:-1] = [replace(key, retired_at=successor.created_at) for key, successor in pairwise(keys)]
        return found

    def _read_manifest(self) -> dict[str, UUID]:
        content = read_file(self._path / "keyring.json")
        if content is None:
            return {}
        try:
            manifest = json.loads(content)
            if manifest["version"] == FORMAT_VERSION:
                return {str(kind): UUID(key_id) for kind, key_id in manifest["newest"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise KeyringError(f"{self._path / 'keyring.json'} is damaged or of another version.")

    def _write_manifest(self) -> None:
        """Note the newest key of each use; a use that only a later release knows stays. The caller holds the lock."""
        noted = self._read_manifest()
        newest = noted | {kind: keys[-1].id for kind, keys in self._keys.items()}
        if newest != noted:
            record = {"version": FORMAT_VERSION, "newest": {kind: str(key_id) for kind, key_id in newest.items()}}
            replace_file(self._path / "keyring.json", json.dumps(record, indent=1).encode())

    def _remove_left_overs(self) -> None:
        """Remove what a writer left that was killed between writing and naming. The caller holds the lock."""
        for path in self._path.iterdir():
            if path.name.startswith(TEMPORARY_PREFIX):
                path.unlink()


def _read_key(path: Path, kind: str, number: int) -> PurposeKey | None:
    content = read_file(path)
    if content is None:
        return None
    try:
        record = json.loads(content)
        if record.pop("check") == _check(record) and (record["use"], record["number"]) == (kind, number):
            return PurposeKey(
                id=UUID(record["id"]),
                number=number,
                created_at=datetime.fromisoformat(record["createdAt"]),
                retired_at=None,
                secret=b64decode(record["secret"], validate=True),
            )
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise KeyringError(f"{path} is damaged, renamed or of another version.")


def _check(record: dict[str, object]) -> str:
    """Return a checksum against a damaged disk, on which otherwise all content would seem to be tampered with."""
    parts = [str(record[name]).encode() for name in ("version", "use", "number", "id", "createdAt", "secret")]
    return hashlib.sha256(length_prefixed(*parts)).hexdigest()[:16]
