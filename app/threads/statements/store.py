"""SQL of statements for role ``app``; row-level security shows those beside what one may read."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.threads.statements.model import Statement


async def add(db: AsyncSession, permit: CasePermit, statement: Statement) -> None:
    """Insert a statement."""
    await db.execute(insert(Statement).values(statement.model_dump()))


async def beside(db: AsyncSession, permit: CasePermit, records: Collection[UUID]) -> Sequence[RowMapping]:
    """Return the statements beside these messages and consents, oldest first.

    ``superseded`` says that the same speaker has said something later: the citizen in whoever's record, or one
    representative.
    """
    statement = text(
        "select s.*, coalesce(s.message_id, s.consent_id) as about_id,"
        "       lead(s.id) over (partition by coalesce(s.message_id, s.consent_id), s.stated_by,"
        "            case when s.stated_by = 'representative' then s.recorded_by_engagement_id end"
        "            order by s.seq) is not null as superseded"
        "  from statement s"
        " where s.case_id = :case and (s.message_id = any(:records) or s.consent_id = any(:records)) order by s.seq"
    )
    return (await db.execute(statement, {"case": permit.case_id, "records": list(records)})).mappings().all()


async def record_of(db: AsyncSession, permit: CasePermit, statement_id: UUID) -> UUID | None:
    """Return beside which record a statement stands, if the actor may see it."""
    statement = text("select coalesce(message_id, consent_id) from statement where case_id = :case and id = :id")
    found: UUID | None = (
        await db.execute(statement, {"case": permit.case_id, "id": statement_id})
    ).scalar_one_or_none()
    return found


async def has_died(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> bool:
    """Whether the death of a subject was recorded."""
    values = {"case": permit.case_id, "patient": patient_id}
    return bool((await db.execute(text("select has_died(:case, :patient)"), values)).scalar_one())


async def told_of_consent(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> Sequence[UUID]:
    """Return the seated engagements an event about this consent concerns; nobody whom the citizen excluded."""
    values = {"case": permit.case_id, "consent": consent_id}
    return (await db.execute(text("select told_of_consent(:case, :consent)"), values)).scalars().all()
