"""What a citizen asks about herself: what is asked of me, and who looked at what is about me."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import SelfPermit
from app.core.errors import Fault, Invalid
from app.entitlement import store

PERIOD_DEFAULT = timedelta(days=30)
PERIOD_MAX = timedelta(days=366)


def period_of(start: datetime | None, end: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    """Return the period that is looked at: the last thirty days, unless it is named.

    Raises:
        Invalid: it ends before it begins, or is longer than a year.
    """
    until = end or now + timedelta(microseconds=1)
    since = start or until - PERIOD_DEFAULT
    if since >= until:
        raise Invalid(Fault("?to", "ends-early", "This ends before it begins."))
    if until - since > PERIOD_MAX:
        raise Invalid(Fault("?from", "too-long", "Ask for a year at most at a time."))
    return since, until


async def who_looked(
    db: AsyncSession,
    permit: SelfPermit,
    period: tuple[datetime, datetime],
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Return who looked at or changed what is about the actor, newest first (R-30).

    Like lines of one day come as the first of them. What is kept from the citizen is not there: the steps of the
    meldcode, and an emergency access that is not told of yet.
    """
    return await store.who_looked(db, permit, *period, before, limit)


async def asked_of_me(db: AsyncSession, permit: SelfPermit) -> Sequence[RowMapping]:
    """Return the consents that the actor is asked for and that nobody decided yet, newest first."""
    return await store.asked_of(db, permit)
