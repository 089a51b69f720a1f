"""SQL of disclosures for role ``app``; row-level security leaves what one may see."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, RolePermit
from app.safety.model import Disclosure

_PAGE = (
    " and (cast(:at as timestamptz) is null or (recorded_at, id) < (:at, :last))"
    " order by recorded_at desc, id desc limit :limit"
)


async def add(db: AsyncSession, permit: CasePermit, row: Disclosure) -> None:
    """Insert a disclosure; the database looks at its items through the actor's eyes."""
    await db.execute(insert(Disclosure).values(row.model_dump()))


async def readable(db: AsyncSession, permit: CasePermit, patient_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Return those of the messages about a patient that the actor reads."""
    statement = text(
        "select id from case_event where case_id = :case and patient_id = :patient and id = any(:ids)"
        " and type in ('message.posted', 'message.corrected') and retracted_seq is null"
    )
    values = {"case": permit.case_id, "patient": patient_id, "ids": list(ids)}
    return set((await db.execute(statement, values)).scalars().all())


async def held_until(db: AsyncSession, permit: CasePermit, ids: Collection[UUID]) -> datetime | None:
    """Return until when the last of the threads of these messages is, or was, held back; None if none ever was."""
    statement = text(
        "select max(t.release_at) from case_event e join thread t on t.case_id = e.case_id and t.id = e.thread_id"
        " where e.case_id = :case and e.id = any(:ids)"
    )
    found: datetime | None = (await db.execute(statement, {"case": permit.case_id, "ids": list(ids)})).scalar_one()
    return found


async def listed(
    db: AsyncSession,
    permit: CasePermit,
    *,
    disclosure_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 1,
) -> Sequence[RowMapping]:
    """Return the disclosures of the case that the actor may see, newest first, or the one with this id."""
    statement = text(
        "select * from disclosure where case_id = :case and (cast(:id as uuid) is null or id = :id)" + _PAGE  # noqa: S608  # constants
    )
    at, last = before or (None, None)
    values = {"case": permit.case_id, "id": disclosure_id, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()


async def of_the_region(
    db: AsyncSession, permit: RolePermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return every disclosure of the region to a privacy officer, newest first."""
    await db.execute(text("select set_config('app.door', 'disclosures', true)"))
    at, last = before or (None, None)
    values = {"at": at, "last": last or UUID(int=0), "limit": limit}
    statement = text("select * from disclosure where true" + _PAGE)  # noqa: S608  # constants
    return (await db.execute(statement, values)).mappings().all()
