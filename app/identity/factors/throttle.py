"""How often one may try, counted so that nobody is locked out by somebody else's trying.

Counted are tries under a name from one place, from one place whatever the name, and under a name from devices that
never logged in with it. A device that did has a counter of its own, and a passkey none of these: whoever tries at
somebody's name from elsewhere never closes the door to either. Counts are kept in the database, for all workers,
under keyed digests; each is committed before the secret is looked at. Source: OWASP, device cookies; NIST SP 800-63B.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address

from app.core.clock import Clock
from app.core.db import Database
from app.core.errors import RateLimited
from app.crypto.digests import Digests, random_token
from app.identity.factors import store

IPV6_PREFIX = 64
DEVICE_CHARS_MAX = 128


class TooManyAttempts(RateLimited):
    """Raised when something was tried too often; ``Retry-After`` says when it may be tried again."""

    code = "too-many-attempts"
    title = "This was tried too often"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many tries in how many seconds."""

    tries: int
    seconds: int


NAME_FROM_HERE = Limit(5, 15 * 60)
FROM_HERE = Limit(100, 15 * 60)
NAME_FROM_UNKNOWN = Limit(50, 60 * 60)
OWN_DEVICE = Limit(10, 15 * 60)
SESSION = Limit(5, 15 * 60)
LINKS = Limit(5, 24 * 60 * 60)
CODES_FROM_HERE = Limit(20, 15 * 60)
CHALLENGES_FROM_HERE = Limit(300, 15 * 60)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that was counted: under which keys, and which of those begin anew should it succeed."""

    keys: tuple[bytes, ...]
    limits: tuple[Limit, ...]
    cleared: tuple[bytes, ...]

    @property
    def returned(self) -> Sequence[bytes]:
        """The keys that others share: of those a success takes this try back and no more."""
        return [key for key in self.keys if key not in self.cleared]


class Throttle:
    """Makes the keys that tries are counted under."""

    def __init__(self, digests: Digests) -> None:
        self._digests = digests

    def log_in(self, name: bytes, source: str | None, device: str | None) -> Attempt:
        """Return a try under a log-in name (its index), from an address and perhaps a device that is known there."""
        nonce = self._known(name, device)
        if nonce is not None:
            own = self._key("device", name, nonce)
            return Attempt((own,), (OWN_DEVICE,), (own,))
        place = _place(source)
        here = self._key("name-from-here", name, place)
        keys = (here, self._key("from-here", place), self._key("name-from-unknown", name))
        return Attempt(keys, (NAME_FROM_HERE, FROM_HERE, NAME_FROM_UNKNOWN), (here,))

    def within(self, what: str, whose: bytes, limit: Limit = SESSION) -> Attempt:
        """Return a try by somebody signed in, counted against themselves alone."""
        own = self._key(what, whose)
        return Attempt((own,), (limit,), (own,))

    def from_here(self, what: str, source: str | None, limit: Limit) -> Attempt:
        """Return a try by nobody in particular from an address."""
        return Attempt((self._key(what, _place(source)),), (limit,), ())

    def new_device(self, name: bytes) -> str:
        """Return what a device shows next time to be known under this log-in name; it opens nothing."""
        nonce = random_token()
        return f"{nonce}.{self._mark(name, nonce.encode())}"

    def _known(self, name: bytes, device: str | None) -> bytes | None:
        nonce, _, mark = (device or "").partition(".")
        if not mark or not compare_digest(mark.encode(), self._mark(name, nonce.encode()).encode()):
            return None
        return nonce.encode()

    def _mark(self, name: bytes, nonce: bytes) -> str:
        return self._digests.digest("device", name, nonce).hex()

    def _key(self, what: str, *parts: bytes) -> bytes:
        return self._digests.digest("attempt", what.encode(), *parts)


def _place(source: str | None) -> bytes:
    """Return an address as tries are counted by it: of IPv6 the network, for one device has as many as it likes."""
    try:
        address = ip_address(source or "")
    except ValueError:
        return b"elsewhere"
    if isinstance(address, IPv6Address):
        return address.packed[: IPV6_PREFIX // 8]
    return address.packed


async def count(database: Database, clock: Clock, attempt: Attempt) -> None:
    """Count a try in a transaction of its own: it stands, whatever comes of it.

    Raises:
        TooManyAttempts: it was tried too often under one of the keys; then it is counted under none.
    """
    async with database.session() as db, db.begin():
        wait = await store.count_attempt(
            db,
            attempt.keys,
            [limit.tries for limit in attempt.limits],
            [limit.seconds for limit in attempt.limits],
            clock(),
        )
    if wait:
        raise TooManyAttempts(wait)
