"""Data keys at hand: made when first needed, kept unwrapped in memory, counted against their limit."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from app.core.db import Pool
from app.crypto import store
from app.crypto.bsn import BsnIndex
from app.crypto.cursors import PageCursors, StreamCursors
from app.crypto.digests import Digests
from app.crypto.errors import SealBroken
from app.crypto.keys import KeyProvider, Use
from app.crypto.sealing import DATA_KEY_USES_MAX, DataKey, key_id_of
from app.crypto.signing import SigningKeys
from app.crypto.wrapping import kek_id_of

_K = TypeVar("_K")
_V = TypeVar("_V")

USES_RESERVED = 4096
CACHED_KEYS_MAX = 20_000


class DataKeys:
    """The data keys of every case, patient and directory, unwrapped on demand.

    A worker reserves uses in blocks, so that a key is never used more than ``DATA_KEY_USES_MAX`` times by all workers
    together; what a stopped worker had reserved is lost, which only rolls the key sooner.
    """

    def __init__(self, pool: Pool, provider: KeyProvider) -> None:
        self._pool = pool
        self._provider = provider
        self._by_id: OrderedDict[UUID, DataKey] = OrderedDict()
        self._current: OrderedDict[tuple[UUID, str], tuple[DataKey, int]] = OrderedDict()

    def at_hand(self, scope: UUID, category: str) -> DataKey | None:
        """Return the key to seal with if it needs no look-up, counting one use."""
        held = self._current.get((scope, category))
        if held is None or held[1] <= 0:
            return None
        self._current[(scope, category)] = (held[0], held[1] - 1)
        return held[0]

    async def sealing(self, scope: UUID, category: str) -> DataKey:
        """Return the key to seal the next value of this scope and category with.

        Raises:
            KeyDestroyed: the scope or this category of it was erased.
        """
        key = self.at_hand(scope, category)
        while key is None:
            await self._reserve(scope, category)
            key = self.at_hand(scope, category)
        return key

    async def _reserve(self, scope: UUID, category: str) -> None:
        found, generation = await store.reserve_newest(
            self._pool, scope, category, uses=USES_RESERVED, uses_max=DATA_KEY_USES_MAX
        )
        if found is None:
            # Making an erasure secret waits for the disk, so it happens beside the event loop.
            key, wrapped = await asyncio.to_thread(self._provider.new_data_key, scope, category, generation)
            row = store.WrappedKey(key.id, scope, category, generation, wrapped)
            await store.insert(self._pool, row, kek_id_of(wrapped))
            return
        key = self._by_id.get(found.id) or self._unwrap(found)
        self._keep(key)
        self._current[(scope, category)] = (key, USES_RESERVED)
        _trim(self._current)

    async def opening(self, sealed: Iterable[bytes | None]) -> Mapping[UUID, DataKey]:
        """Return, by id, the keys that these values are sealed under.

        Raises:
            SealBroken: a value names a key that does not exist.
            KeyDestroyed: a value's key was erased.
        """
        wanted = {key_id_of(value) for value in sealed if value is not None}
        found = {key_id: key for key_id in wanted if (key := self._by_id.get(key_id)) is not None}
        missing = wanted - found.keys()
        if missing:
            for row in await store.fetch(self._pool, missing):
                key = self._unwrap(row)
                self._keep(key)
                found[row.id] = key
            if len(found) < len(wanted):
                raise SealBroken("a value is sealed under a key that is not there")
        return found

    async def require_wrapping_keys(self) -> None:
        """Refuse to serve when a key-encryption key that is still needed is absent.

        Raises:
            KeyringError: names the keys that are missing.
        """
        self._provider.require(await store.wrapping_ids(self._pool))

    def _unwrap(self, row: store.WrappedKey) -> DataKey:
        return self._provider.unwrap(
            row.wrapped, key_id=row.id, scope=row.scope, category=row.category, generation=row.generation
        )

    def _keep(self, key: DataKey) -> None:
        self._by_id[key.id] = key
        _trim(self._by_id)


def _trim(cache: "OrderedDict[_K, _V]") -> None:
    while len(cache) > CACHED_KEYS_MAX:
        cache.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Crypto:
    """Everything that seals, indexes, signs and digests, built once from one provider of keys."""

    provider: KeyProvider
    data_keys: DataKeys
    bsn: BsnIndex
    digests: Digests
    tickets: Digests
    page_cursors: PageCursors
    stream_cursors: StreamCursors
    signing: SigningKeys


def build_crypto(pool: Pool, provider: KeyProvider) -> Crypto:
    """Wire the crypto parts to one provider and the pool that keeps the wrapped keys."""
    return Crypto(
        provider=provider,
        data_keys=DataKeys(pool, provider),
        bsn=BsnIndex(provider),
        digests=Digests(provider),
        tickets=Digests(provider, Use.TICKET),
        page_cursors=PageCursors(provider),
        stream_cursors=StreamCursors(provider),
        signing=SigningKeys(provider),
    )
