"""SQL of deaths and of what is asked afterwards."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.core.ids import CaseId
from app.entitlement.model import AfterDeathRequest


async def record(db: AsyncSession, permit: CasePermit, death_id: UUID, patient_id: UUID, died_on: date) -> bool:
    """Record a death, and take back what was still to be told; False when it was recorded before."""
    statement = text("select record_death(:case, :id, :patient, :on)")
    values = {"case": permit.case_id, "id": death_id, "patient": patient_id, "on": died_on}
    return bool((await db.execute(statement, values)).scalar_one())


async def undo(db: AsyncSession, permit: CasePermit, death_id: UUID, reason: bytes) -> bool:
    """Undo a death that somebody else recorded; False when it was undone before or stands for good."""
    statement = text("select undo_death(:case, :id, :reason)")
    values = {"case": permit.case_id, "id": death_id, "reason": reason}
    return bool((await db.execute(statement, values)).scalar_one())


async def cases_elsewhere(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> Sequence[CaseId]:
    """Return the other cases about somebody who died, of which this one's people know nothing."""
    statement = text("select cases_elsewhere(:case, :patient)")
    values = {"case": permit.case_id, "patient": patient_id}
    return (await db.execute(statement, values)).scalars().all()


async def one(db: AsyncSession, permit: CasePermit, death_id: UUID) -> RowMapping | None:
    """Return one recorded death of the permitted case."""
    statement = text("select * from death where case_id = :case and id = :id")
    return (await db.execute(statement, {"case": permit.case_id, "id": death_id})).mappings().first()


async def listed(db: AsyncSession, permit: CasePermit) -> Sequence[RowMapping]:
    """Return every recorded death of the permitted case, newest first."""
    statement = text("select * from death where case_id = :case order by recorded_at desc, id")
    return (await db.execute(statement, {"case": permit.case_id})).mappings().all()


async def has_died(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> bool:
    """Whether a subject of the permitted case died."""
    statement = text("select has_died(:case, :patient)")
    return bool((await db.execute(statement, {"case": permit.case_id, "patient": patient_id})).scalar_one())


async def add_request(db: AsyncSession, permit: CasePermit, row: AfterDeathRequest) -> None:
    """Insert a request with what was decided."""
    await db.execute(insert(AfterDeathRequest).values(row.model_dump()))


async def requests(
    db: AsyncSession,
    permit: CasePermit,
    *,
    request_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 1,
) -> Sequence[RowMapping]:
    """Return the requests of the permitted case, newest first, or one of them."""
    statement = text(
        "select * from after_death_request where case_id = :case and (cast(:id as uuid) is null or id = :id)"
        " and (cast(:at as timestamptz) is null or (recorded_at, id) < (:at, :last))"
        " order by recorded_at desc, id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {
        "case": permit.case_id,
        "id": request_id,
        "at": at,
        "last": last or UUID(int=0),
        "limit": limit,
    }
    return (await db.execute(statement, values)).mappings().all()
