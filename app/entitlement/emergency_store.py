"""SQL of breaking the glass. Rows are inserted in one's own name; what follows is done by functions of the keeper."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.core.ids import CaseId, EngagementId
from app.entitlement.model import BreakGlass

# Without the index of whom it is about, which nobody reads.
_SHOWN = ", ".join(f"b.{name}" for name in BreakGlass.model_fields if name != "subject_index")
_CASES = (
    "(select coalesce(jsonb_agg(jsonb_build_array(x.case_id, x.patient_id) order by x.case_id, x.patient_id), '[]')"
    " from break_glass_case x where x.break_glass_id = b.id) as cases"
)


async def overdue(db: AsyncSession, permit: RolePermit) -> int:
    """Return how many of the actor's own emergencies ought to have been reviewed by now."""
    statement = text("select overdue_reviews(:account)")
    return int((await db.execute(statement, {"account": permit.actor.account_id})).scalar_one())


async def add(db: AsyncSession, permit: RolePermit, row: BreakGlass) -> None:
    """Insert what the actor does or asks for."""
    await db.execute(insert(BreakGlass).values(row.model_dump()))


async def second_people(
    db: AsyncSession, permit: RolePermit, roles: Collection[str]
) -> Sequence[tuple[EngagementId, str, str | None]]:
    """Return engagement, role and speciality of the colleagues in these roles who could confirm."""
    statement = text(
        "select id, role, speciality from engagement where organisation_id = current_organisation()"
        " and account_id <> current_account() and role = any(:roles) and engagement_in_force(id, :now) order by id"
    )
    rows = await db.execute(statement, {"roles": list(roles), "now": permit.now})
    return [(row.id, row.role, row.speciality) for row in rows]


async def cases_to_open(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> Sequence[CaseId]:
    """Return the open cases about whom the glass was broken for, in the order in which cases are locked."""
    return (await db.execute(text("select emergency_cases(:id)"), {"id": break_glass_id})).scalars().all()


async def seat(db: AsyncSession, permit: RolePermit, break_glass_id: UUID, case_id: CaseId) -> Sequence[RowMapping]:
    """Open one case, whose lock the caller holds; return (patient_id, member_id), nothing where that may not be."""
    statement = text("select patient_id, member_id from seat_in_emergency(:id, :case)")
    return (await db.execute(statement, {"id": break_glass_id, "case": case_id})).mappings().all()


async def leave(db: AsyncSession, permit: RolePermit, break_glass_id: UUID, case_id: CaseId) -> Sequence[RowMapping]:
    """Close one case, whose lock the caller holds; return (member_id, engagement_id) of the seat that ended."""
    statement = text("select member_id, engagement_id from leave_emergency(:id, :case)")
    return (await db.execute(statement, {"id": break_glass_id, "case": case_id})).mappings().all()


async def confirm(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> bool:
    """Confirm as the second person; False when nothing waits for the actor."""
    return bool((await db.execute(text("select confirm_break_glass(:id)"), {"id": break_glass_id})).scalar_one())


async def end(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> bool:
    """End the actor's own; False when it is over."""
    return bool((await db.execute(text("select end_break_glass(:id)"), {"id": break_glass_id})).scalar_one())


async def review(db: AsyncSession, permit: RolePermit, break_glass_id: UUID, *, verdict: str, remarks: bytes) -> bool:
    """Record what the reviewer says; False when somebody did before."""
    statement = text("select review_break_glass(:id, :verdict, :remarks)")
    values = {"id": break_glass_id, "verdict": verdict, "remarks": remarks}
    return bool((await db.execute(statement, values)).scalar_one())


async def one(db: AsyncSession, permit: RolePermit, break_glass_id: UUID) -> RowMapping | None:
    """Return one that the actor may know of, with the cases of it that the actor may know of."""
    statement = text(f"select {_SHOWN}, {_CASES} from break_glass b where b.id = :id")  # noqa: S608  # constants
    return (await db.execute(statement, {"id": break_glass_id})).mappings().first()


async def listed(
    db: AsyncSession, permit: RolePermit, *, to_review: bool, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return those the actor may know of, newest first."""
    statement = text(
        f"select {_SHOWN}, {_CASES} from break_glass b"  # noqa: S608  # constants
        " where (not :to_review or b.reviewed_at is null)"
        " and (cast(:at as timestamptz) is null or (b.created_at, b.id) < (:at, :last))"
        " order by b.created_at desc, b.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {"to_review": to_review, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()
