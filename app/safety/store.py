"""SQL of what is recorded about safety, for role ``app``; row-level security leaves what one may see."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.safety.model import SafeContact


async def add_safe_contact(db: AsyncSession, permit: CasePermit, row: SafeContact) -> None:
    """Insert an entry; the flag on the subject follows it."""
    await db.execute(insert(SafeContact).values(row.model_dump()))


async def safe_contacts(
    db: AsyncSession,
    permit: CasePermit,
    *,
    entry_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 1,
) -> Sequence[RowMapping]:
    """Return the entries of the case that the actor may see, newest first, or the one with this id."""
    statement = text(
        "select s.*, e.organisation_id from safe_contact s join engagement e on e.id = s.recorded_by_engagement_id"
        " where s.case_id = :case and (cast(:id as uuid) is null or s.id = :id)"
        " and (cast(:at as timestamptz) is null or (s.recorded_at, s.id) < (:at, :last))"
        " order by s.recorded_at desc, s.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {"case": permit.case_id, "id": entry_id, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()
