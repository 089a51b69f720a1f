"""What a provider of keys gives, whoever holds them: a folder now, Vault Transit or a cloud's key service later."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NoReturn, Protocol
from uuid import UUID

from app.crypto.sealing import DataKey


class Use(StrEnum):
    """What a purpose key is for; no key ever serves two uses."""

    SIGNING = "token-signing"
    BSN_INDEX_ORGANISATION = "bsn-index-organisation"
    BSN_INDEX_LINK = "bsn-index-link"
    PAGE_CURSOR = "page-cursor"
    STREAM_CURSOR = "stream-cursor"
    STREAM_TAG = "stream-tag"
    DIGEST = "digest"
    TICKET = "ticket"


# How long after its rotation a key still reads or verifies. A use that is not named here is not rotated: its values
# stand in the database without a key id, so a new key would silently find nothing.
READABLE_AFTER_ROTATION = {
    Use.SIGNING: timedelta(hours=1),
    Use.PAGE_CURSOR: timedelta(days=7),
    Use.STREAM_CURSOR: timedelta(days=7),
}


@dataclass(frozen=True, slots=True, eq=False)
class PurposeKey:
    """A key of one use. Never printed, pickled or copied.

    ``secret`` is 32 bytes, for ``SIGNING`` a PKCS #8 PEM. ``number`` counts from 1 per use; the highest is
    current. ``retired_at`` (aware UTC) is when its successor was made.
    """

    id: UUID
    number: int
    created_at: datetime
    retired_at: datetime | None
    secret: bytes = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key is never pickled or copied.")


class KeyProvider(Protocol):
    """Holds the key-encryption keys, the erasure secrets and the purpose keys; keeps them outside the database.

    Everything is synchronous: a folder answers in microseconds, and a remote provider is called from a thread.
    """

    def new_data_key(self, scope: UUID, category: str, generation: int) -> tuple[DataKey, bytes]:
        """Return a fresh data key and its wrapped form, which alone is stored.

        Raises:
            KeyDestroyed: the scope or this category of it was erased; it gets no new key.
        """
        ...

    def wrap(self, key: DataKey) -> bytes:
        """Return ``key`` wrapped under the current key-encryption key and its scope's erasure secret.

        Raises:
            KeyDestroyed: as for ``new_data_key``.
        """
        ...

    def unwrap(self, wrapped: bytes, *, key_id: UUID, scope: UUID, category: str, generation: int) -> DataKey:
        """Return the data key that was wrapped as this one.

        Raises:
            SealBroken: changed, or wrapped as another key, scope, category or generation.
            KeyDestroyed: its erasure secret is gone.
            KeyringError: its key-encryption key is absent; names the id.
        """
        ...

    def rewrap(self, wrapped: bytes, *, key_id: UUID, scope: UUID, category: str, generation: int) -> bytes:
        """Return the same data key wrapped under the current key-encryption key; refusals are those of ``unwrap``."""
        ...

    def current_kek(self) -> UUID:
        """Return the id of the key-encryption key that ``wrap`` uses; others are due for ``rewrap``."""
        ...

    def require(self, kek_ids: Iterable[UUID]) -> None:
        """Check at start-up that every key-encryption key named by a stored data key is here.

        Raises:
            KeyringError: some are absent; names each.
        """
        ...

    def destroy(self, scope: UUID, category: str | None = None) -> None:
        """Erase one category of a scope, or all of it, for good. A second time changes nothing.

        The caller also drops the data keys it holds in memory, in every worker.
        """
        ...

    def current(self, use: Use) -> PurposeKey:
        """Return the key to make new values of this use with."""
        ...

    def readable(self, use: Use) -> tuple[PurposeKey, ...]:
        """Return the keys whose values are still read, newest first, within ``READABLE_AFTER_ROTATION``."""
        ...

    def refresh(self) -> bool:
        """Look for keys that another process made; return whether there may be any. Cheap when there are none."""
        ...


def find_key(keys: KeyProvider, use: Use, matches: Callable[[PurposeKey], bool]) -> PurposeKey | None:
    """Return the readable key that matches, or None; a key another process made a moment ago is found too."""
    found = next(filter(matches, keys.readable(use)), None)
    if found is None and keys.refresh():
        found = next(filter(matches, keys.readable(use)), None)
    return found
