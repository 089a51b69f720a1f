"""What other packages ask of entitlement: permits, and who may see what."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.core.ids import EngagementId, MemberId
from app.entitlement import store
from app.entitlement.permits import case_permit, enter_as_time, place_of
from app.identity.service import Entered

__all__ = ["Entered", "case_access", "case_permit", "enter_as_time", "place_of", "seats_stood_for"]


async def case_access(db: AsyncSession, permit: CasePermit, at: datetime) -> Sequence[RowMapping]:
    """Return the grants in force at a moment: all for the case manager, a subject's own, or else the actor's own."""
    return await store.case_access(db, permit, at)


async def seats_stood_for(db: AsyncSession, engagement_id: EngagementId, now: datetime) -> frozenset[MemberId]:
    """Return the seats whose occupants an engagement stands in for now."""
    return frozenset(await store.seats_stood_for(db, engagement_id, now))
