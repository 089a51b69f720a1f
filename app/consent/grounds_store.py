"""SQL of what grants meet beside consents, for role ``app``; row-level security leaves what one may see."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.consent.grounds_model import Exclusion, Objection, Opening

Recorded = type[Exclusion] | type[Objection] | type[Opening]


async def add(db: AsyncSession, permit: CasePermit, row: Exclusion | Objection | Opening) -> None:
    """Insert what somebody recorded."""
    await db.execute(insert(type(row)).values(row.model_dump()))


async def in_force(db: AsyncSession, permit: CasePermit, table: Recorded) -> Sequence[RowMapping]:
    """Return those that the actor may see and nobody ended."""
    columns = table.__table__.c  # type: ignore[union-attr]
    statement = select(*columns).where(columns.case_id == permit.case_id, columns.ended_at.is_(None))
    return (await db.execute(statement)).mappings().all()


async def end(db: AsyncSession, permit: CasePermit, table: Recorded, row_id: UUID) -> int:
    """End one that is in force; return how many rows that changed, 0 or 1."""
    columns = table.__table__.c  # type: ignore[union-attr]  # SQLModel's metaclass adds it
    statement = (
        update(table)
        .where(columns.case_id == permit.case_id, columns.id == row_id, columns.ended_at.is_(None))
        .values(ended_at=permit.now, ended_by_engagement_id=permit.actor.engagement_id)
    )
    return (await db.execute(statement)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result


async def one(db: AsyncSession, permit: CasePermit, table: Recorded, row_id: UUID) -> RowMapping | None:
    """Return one, if the actor may see it."""
    columns = table.__table__.c  # type: ignore[union-attr]
    statement = select(*columns).where(columns.case_id == permit.case_id, columns.id == row_id)
    return (await db.execute(statement)).mappings().first()


async def listed(
    db: AsyncSession, permit: CasePermit, table: Recorded, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return those that the actor may see, the ended ones too, newest first."""
    columns = table.__table__.c  # type: ignore[union-attr]
    statement = select(*columns).where(columns.case_id == permit.case_id)
    if before is not None:
        statement = statement.where(tuple_(columns.recorded_at, columns.id) < before)
    ordered = statement.order_by(columns.recorded_at.desc(), columns.id.desc()).limit(limit)
    return (await db.execute(ordered)).mappings().all()
