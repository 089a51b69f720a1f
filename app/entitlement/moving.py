"""Moving: with the municipality goes its public task, on that day; a new one is recorded there.

Source: DESIGN 5, ground ``public_task``.
"""

from datetime import date, datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.core.errors import Fault, Invalid, NotFound
from app.entitlement import moves_store, store
from app.entitlement.inputs import changing
from app.entitlement.model import Move

HERE = ZoneInfo("Europe/Amsterdam")


async def record_move(
    db: AsyncSession, permit: CasePermit, *, move_id: UUID, patient_id: UUID, municipality_code: str, moved_on: date
) -> None:
    """Record in which municipality a subject lives from a day on.

    The public tasks of a municipality in which nobody whom the case is about lives any more end on that day, those
    of the past at once.

    Raises:
        Invalid: the case is not about that patient.
    """
    if patient_id not in permit.standing.subjects or await store.kept_away(db, permit, patient_id):
        raise Invalid(Fault("/patientId", "not-a-subject", "This case is not about that patient."))
    row = Move(
        case_id=permit.case_id,
        id=move_id,
        patient_id=patient_id,
        municipality_code=municipality_code,
        moved_on=moved_on,
        moved_at=datetime.combine(moved_on, time.min, HERE),
        recorded_by_account_id=permit.actor.account_id,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    async with changing(db, permit, "moved"):
        await moves_store.add(db, permit, row)


async def find(db: AsyncSession, permit: CasePermit, move_id: UUID) -> RowMapping:
    """Return one move.

    Raises:
        NotFound: there is none that the actor may know of.
    """
    row = await moves_store.one(db, permit, move_id)
    if row is None:
        raise NotFound
    return row
