"""How often somebody may ask: per session, per client, and per source where nobody is known yet.

Each worker counts for itself, in memory that is bounded: a limit of this kind keeps one from crowding out the others,
and a restart may forget it. What must hold over all workers is counted in the database (``identity.look_ups``).
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic
from uuid import UUID

from app.access.vocabulary import Role
from app.core.clock import Clock
from app.core.db import Database
from app.core.errors import RateLimited
from app.core.settings import RequestLimits
from app.identity import service as identity
from app.identity.tokens import Claims

KEYS_MAX = 50_000
CLIENT_BURST_SECONDS = 4
CLIENT_KEPT_SECONDS = 30.0


@dataclass(slots=True)
class Buckets:
    """Token buckets by key; of each only the instant is kept at which it would be full again."""

    now: Callable[[], float] = monotonic
    keys_max: int = KEYS_MAX
    _full_at: OrderedDict[Hashable, float] = field(default_factory=OrderedDict)

    def take(self, key: Hashable, *, rate: int, burst: int) -> None:
        """Take one of ``burst`` that come back at ``rate`` a second.

        Raises:
            RateLimited: there is none; it says in how many seconds there will be.
        """
        now = self.now()
        full_at = max(self._full_at.get(key, now), now) + 1 / rate
        wait = full_at - now - burst / rate
        if wait > 0:
            raise RateLimited(max(1, ceil(wait)))
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self.keys_max:
            self._full_at.popitem(last=False)


class Rates:
    """Counts requests. Use it from one thread."""

    def __init__(
        self, limits: RequestLimits, database: Database, clock: Clock, now: Callable[[], float] = monotonic
    ) -> None:
        self._limits = limits
        self._database = database
        self._clock = clock
        self._now = now
        self._buckets = Buckets(now)
        self._clients: OrderedDict[UUID, tuple[int | None, float]] = OrderedDict()

    async def count(self, claims: Claims) -> None:
        """Count a request of somebody whose token verified.

        Raises:
            RateLimited: too many of this session, or of this client over all its sessions.
        """
        rate = await self._rate_of(claims.sub) if claims.role == Role.INTEGRATION else None
        if rate is not None:
            self.count_client(claims.sub, rate)
        else:
            limits = self._limits
            self._buckets.take(claims.sid, rate=limits.session_rate, burst=limits.session_burst)

    def count_browser(self, digest: bytes) -> None:
        """Count a request of a browser, known by the digest of its cookie; whether it has a session is not known yet.

        Raises:
            RateLimited: too many.
        """
        limits = self._limits
        self._buckets.take(digest, rate=limits.session_rate, burst=limits.session_burst)

    def count_client(self, client_id: UUID, rate: int) -> None:
        """Count a request of a client, of which ``rate`` a second are agreed.

        Raises:
            RateLimited: too many.
        """
        self._buckets.take(client_id, rate=rate, burst=rate * CLIENT_BURST_SECONDS)

    def count_source(self, host: str | None) -> None:
        """Count a request that comes without anybody's name.

        Raises:
            RateLimited: too many from this address, or from its IPv6 network.
        """
        limits = self._limits
        self._buckets.take(_source(host), rate=limits.public_rate, burst=limits.public_burst)

    async def _rate_of(self, client_id: UUID) -> int | None:
        """Return a client's rate; a demo persona is an integration without a client behind it, and has none."""
        known = self._clients.get(client_id)
        if known is not None and self._now() < known[1]:
            return known[0]
        async with self._database.session() as db, db.begin():
            rate = await identity.client_rate(db, client_id, self._clock())
        self._clients[client_id] = (rate, self._now() + CLIENT_KEPT_SECONDS)
        if len(self._clients) > KEYS_MAX:
            self._clients.popitem(last=False)
        return rate


def _source(host: str | None) -> Hashable:
    """Return what counts as one source: an address, of IPv6 the network that one subscriber has."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return host
    return int(address) >> 64 if isinstance(address, IPv6Address) else str(address)
