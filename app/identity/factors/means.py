"""What a log-in needs, wired once."""

import asyncio
from dataclasses import dataclass

from app.core.clock import Clock
from app.core.db import Database
from app.core.settings import Settings
from app.crypto.service import Crypto
from app.identity.factors.passkeys import RelyingParty, relying_party
from app.identity.factors.passwords import Passwords
from app.identity.factors.throttle import Throttle
from app.identity.tokens import TokenIssuer

BESIDE_MAX = 4
"""How many requests may at once hold a connection and ask for another: far fewer than there are."""


@dataclass(frozen=True, slots=True)
class Means:
    """The parts that a log-in needs.

    ``source`` is what audit records name this service; ``beside`` bounds who takes a second connection.
    """

    database: Database
    clock: Clock
    crypto: Crypto
    issuer: TokenIssuer
    passwords: Passwords
    throttle: Throttle
    party: RelyingParty
    source: str
    beside: asyncio.Semaphore


def means_of(settings: Settings, database: Database, clock: Clock, crypto: Crypto, issuer: TokenIssuer) -> Means:
    """Wire the parts of a log-in."""
    return Means(
        database=database,
        clock=clock,
        crypto=crypto,
        issuer=issuer,
        passwords=Passwords(crypto.digests),
        throttle=Throttle(crypto.digests),
        party=relying_party(settings),
        source=settings.audit_source,
        beside=asyncio.Semaphore(BESIDE_MAX),
    )
