"""Erasure secrets: one per scope and category, in a folder that no database dump holds.

    erasure/<first two hex digits>/<scope>/<category>   32 random bytes
    erasure/destroyed.jsonl                             tombstones, only ever added to
    erasure/lock                                        held while a secret is made or destroyed

A secret is never cached: destroying it closes its content in every worker with the next unwrapping. The tombstone
comes first and outlives the secret, so a crash half-way is finished at the next opening and nothing is silently made
anew.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from app.core.clock import utc
from app.crypto.errors import KeyDestroyed, KeyringError
from app.crypto.folder import (
    TEMPORARY_PREFIX,
    append_line,
    create_file,
    locked,
    make_folder,
    read_file,
    shred_file,
    sync_folder,
)
from app.crypto.primitives import SECRET_BYTES, random_secret

TOMBSTONES_BYTES_MAX = 2**28

_CATEGORY = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What was destroyed, and when (aware UTC); ``category`` None means the whole scope."""

    scope: UUID
    category: str | None
    destroyed_at: datetime


class ErasureSecrets:
    """The folder of erasure secrets. Safe among threads and processes of one machine."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        make_folder(folder)
        self._folder = folder
        self._clock = clock
        self._tombstone_file = folder / "destroyed.jsonl"
        self._tombstone_bytes = 0
        self._destroyed: dict[tuple[UUID, str | None], datetime] = {}
        self._finish_destructions()

    def get(self, scope: UUID, category: str) -> bytes:
        """Return the 32-byte secret, made now if there is none yet.

        Raises:
            KeyDestroyed: it was destroyed; it is never made anew.
        """
        path = self._path(scope, category)
        content = self._read(path)
        if content is None:
            with locked(self._folder / "lock"):
                self._refuse_destroyed(scope, category)
                make_folder(path.parent)
                create_file(path, random_secret())
            content = self._read(path)
        self._refuse_destroyed(scope, category)
        if content is None:
            raise KeyDestroyed(scope, category, None)
        return content

    def existing(self, scope: UUID, category: str) -> bytes:
        """Return the 32-byte secret that was made before.

        Raises:
            KeyDestroyed: it was destroyed, or is absent.
        """
        # Read first, then look for a tombstone: the other way round a destruction in between would hand out noise.
        content = self._read(self._path(scope, category))
        self._refuse_destroyed(scope, category)
        if content is None:
            raise KeyDestroyed(scope, category, None)
        return content

    def destroy(self, scope: UUID, category: str | None = None) -> None:
        """Destroy one category's secret, or the whole scope's, for good. A second time keeps the first instant."""
        if category is not None:
            self._path(scope, category)
        with locked(self._folder / "lock"):
            self._read_tombstones()
            if (scope, category) not in self._destroyed:
                record = {"scope": str(scope), "category": category, "destroyedAt": utc(self._clock())}
                append_line(self._tombstone_file, json.dumps(record).encode(), at=self._tombstone_bytes)
                self._read_tombstones()
            self._shred(scope, category)

    def tombstones(self) -> tuple[Tombstone, ...]:
        """Return all that was ever destroyed, in that order, to replay after a restore with ``destroy``."""
        self._read_tombstones()
        return tuple(Tombstone(scope, category, at) for (scope, category), at in self._destroyed.items())

    def _path(self, scope: UUID, category: str) -> Path:
        if not _CATEGORY.fullmatch(category):
            raise ValueError("A category is lower-case letters, digits, '_' and '-'.")
        name = str(scope)
        return self._folder / name[:2] / name / category

    def _read(self, path: Path) -> bytes | None:
        content = read_file(path)
        if content is not None and len(content) != SECRET_BYTES:
            raise KeyringError(f"{path} is damaged: it does not hold {SECRET_BYTES} bytes.")
        return content

    def _refuse_destroyed(self, scope: UUID, category: str) -> None:
        self._read_tombstones()
        for covering in (None, category):
            at = self._destroyed.get((scope, covering))
            if at is not None:
                raise KeyDestroyed(scope, category, at)

    def _read_tombstones(self) -> None:
        """Take in the whole lines added since the last reading; a torn last line was never promised to anyone."""
        try:
            size = self._tombstone_file.lstat().st_size
        except FileNotFoundError:
            size = 0
        if size == self._tombstone_bytes:
            return
        start = self._tombstone_bytes
        if size < start:
            raise KeyringError(f"{self._tombstone_file} became shorter; restore it before anything is served.")
        added = read_file(self._tombstone_file, start=start, limit=TOMBSTONES_BYTES_MAX) or b""
        whole = added[: added.rfind(b"\n") + 1]
        for line in whole.splitlines():
            self._remember(line)
        self._tombstone_bytes = start + len(whole)

    def _remember(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            key = (UUID(record["scope"]), record["category"])
            self._destroyed.setdefault(key, datetime.fromisoformat(record["destroyedAt"]))
        except (ValueError, KeyError, TypeError):
            raise KeyringError(f"{self._tombstone_file} holds a damaged line.") from None

    def _finish_destructions(self) -> None:
        self._read_tombstones()
        if self._destroyed:
            with locked(self._folder / "lock"):
                for scope, category in self._destroyed:
                    self._shred(scope, category)

    def _shred(self, scope: UUID, category: str | None) -> None:
        """Remove the secrets, and what a killed writer left beside them. The caller holds the lock.

        A left-over may be a second name of another category's living secret, so it loses its name, not its content.
        """
        folder = self._folder / str(scope)[:2] / str(scope)
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            if path.name.startswith(TEMPORARY_PREFIX):
                path.unlink()
            elif category in {None, path.name}:
                shred_file(path)
        if category is None:
            folder.rmdir()
            sync_folder(folder.parent)
