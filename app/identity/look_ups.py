"""How often somebody may ask whether a BSN is known: counted over all workers, and whatever the answer was.

The count is committed before the look-up, so that neither a refusal nor a fault gives it back.
Source: OWASP ASVS 5.0, V2.4.1.
"""

from datetime import datetime
from uuid import UUID

import structlog

from app.core.db import Database
from app.core.errors import RateLimited
from app.identity import client_store

WINDOW_SECONDS = 600

log = structlog.get_logger()


class TooManyLookUps(RateLimited):
    """An account looked up more BSNs than one person's work takes. It is recorded, and told to the operators."""

    code = "too-many-look-ups"
    title = "Too many look-ups by BSN"
    recorded = True


async def count_look_up(database: Database, account_id: UUID, now: datetime | None, *, most: int) -> None:
    """Count one look-up, of at most ``most`` within ``WINDOW_SECONDS``.

    Raises:
        TooManyLookUps: there were too many.
    """
    # On the pool of another role: asking for a second connection of the same pool could wait for one's own.
    wait = await client_store.take_look_up(database.stream, account_id, now, burst=most, seconds=WINDOW_SECONDS)
    if wait:
        log.warning("patient.look-ups-throttled", account_id=account_id)
        raise TooManyLookUps(wait)
