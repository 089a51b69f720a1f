"""What other packages ask of factors: to count tries, and where a citizen comes to sit."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.identity.factors import store
from app.identity.factors.throttle import Attempt, count

__all__ = ["cases_of_mine", "count", "forgive"]


async def forgive(db: AsyncSession, attempt: Attempt) -> None:
    """Take a try back that succeeded, in the transaction of its success."""
    await store.forgive_attempt(db, attempt.cleared, attempt.returned)


async def cases_of_mine(db: AsyncSession, patient_id: UUID) -> Sequence[RowMapping]:
    """Return (case_id, domain, seated) of the open cases about the actor as this patient, in the order of locking."""
    return await store.cases_of_mine(db, patient_id)
