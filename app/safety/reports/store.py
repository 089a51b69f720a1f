"""SQL of reports of unsafety for role ``app``; row-level security leaves those of one's own organisation."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.safety.model import SafetyReport, SafetyStep


async def add(db: AsyncSession, permit: CasePermit, report: SafetyReport) -> None:
    """Insert a report."""
    await db.execute(insert(SafetyReport).values(report.model_dump()))


async def add_step(db: AsyncSession, permit: CasePermit, step: SafetyStep) -> None:
    """Append the next step of a report."""
    await db.execute(insert(SafetyStep).values(step.model_dump(exclude={"previous"})))


async def reports(
    db: AsyncSession,
    permit: CasePermit,
    *,
    report_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 1,
) -> Sequence[RowMapping]:
    """Return the reports of the case that the actor may see, newest first, or the one with this id."""
    statement = text(
        "select * from safety_report where case_id = :case and (cast(:id as uuid) is null or id = :id)"
        " and (cast(:at as timestamptz) is null or (recorded_at, id) < (:at, :last))"
        " order by recorded_at desc, id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {"case": permit.case_id, "id": report_id, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()


async def steps(db: AsyncSession, permit: CasePermit, report_ids: Collection[UUID]) -> Sequence[RowMapping]:
    """Return the steps of these reports in their order."""
    statement = text(
        "select * from safety_step where case_id = :case and report_id = any(:ids) order by report_id, ordinal"
    )
    return (await db.execute(statement, {"case": permit.case_id, "ids": list(report_ids)})).mappings().all()
