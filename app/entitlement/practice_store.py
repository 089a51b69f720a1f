"""SQL of changes of GP practice, through the keeper's functions where one looks beyond one's own eyes."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, SelfPermit
from app.entitlement.model import PracticeChange

_CHANGE = """
    select p.*, f.name as from_name, t.name as to_name
      from practice_change p
      join organisation f on f.id = p.from_organisation_id
      join organisation t on t.id = p.to_organisation_id
"""


async def practices_at(db: AsyncSession, permit: CasePermit) -> Sequence[RowMapping]:
    """Return (organisation_id, home) of the GP practices that treat at the permitted table."""
    statement = text("select * from practices_at(:case)")
    return (await db.execute(statement, {"case": permit.case_id})).mappings().all()


async def organisation(db: AsyncSession, permit: CasePermit, organisation_id: UUID) -> RowMapping | None:
    """Return (kind, status) of an organisation, if there is one."""
    statement = text("select kind, status from organisation where id = :id")
    return (await db.execute(statement, {"id": organisation_id})).mappings().first()


async def gps_to_ask(db: AsyncSession, permit: CasePermit, organisation_id: UUID) -> Sequence[RowMapping]:
    """Return (engagement_id, kept_away) of the GPs in force of a practice, to whoever announces or is asked."""
    statement = text("select * from gps_to_ask(:case, :organisation)")
    return (await db.execute(statement, {"case": permit.case_id, "organisation": organisation_id})).mappings().all()


async def is_announced(db: AsyncSession, permit: CasePermit) -> bool:
    """Whether a change is open in the permitted case."""
    statement = text("select exists (select 1 from practice_change where case_id = :case and state = 'announced')")
    return bool((await db.execute(statement, {"case": permit.case_id})).scalar_one())


async def is_shut_out(db: AsyncSession, permit: CasePermit) -> bool:
    """Whether everybody whom the permitted case is about keeps the actor away."""
    return bool((await db.execute(text("select shut_out(:case)"), {"case": permit.case_id})).scalar_one())


async def add(db: AsyncSession, permit: CasePermit, row: PracticeChange) -> None:
    """Insert a change that is announced."""
    await db.execute(insert(PracticeChange).values(row.model_dump()))


async def one(db: AsyncSession, permit: CasePermit, change_id: UUID) -> RowMapping | None:
    """Return one change of the permitted case, if the actor may know of it."""
    statement = text(_CHANGE + " where p.case_id = :case and p.id = :id")
    return (await db.execute(statement, {"case": permit.case_id, "id": change_id})).mappings().first()


async def of_case(db: AsyncSession, permit: CasePermit) -> Sequence[RowMapping]:
    """Return the changes of the permitted case, newest first."""
    statement = text(_CHANGE + " where p.case_id = :case order by p.recorded_at desc, p.id")
    return (await db.execute(statement, {"case": permit.case_id})).mappings().all()


async def asked_of(
    db: AsyncSession, permit: SelfPermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the changes to the actor's practice that wait for an answer, newest first."""
    statement = text(
        _CHANGE + " where p.to_organisation_id = :organisation and p.state = 'announced'"
        " and receives_practice(p.case_id)"
        " and (cast(:at as timestamptz) is null or (p.recorded_at, p.id) < (:at, :last))"
        " order by p.recorded_at desc, p.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {"organisation": permit.actor.organisation_id, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()


async def close(db: AsyncSession, permit: CasePermit, change_id: UUID, state: str, reason: str | None = None) -> bool:
    """Refuse or withdraw an open change; False when it is open no longer."""
    statement = text("select close_practice_change(:case, :id, :state, :reason)")
    values = {"case": permit.case_id, "id": change_id, "state": state, "reason": reason}
    return bool((await db.execute(statement, values)).scalar_one())


async def accept(db: AsyncSession, permit: CasePermit, change_id: UUID, member_id: UUID) -> Sequence[RowMapping]:
    """Accept an open change: end the seats of the one practice, and seat the actor; empty when it is open no longer.

    Returns:
        (member_id, engagement_id, was): ``was`` is what an ended seat was, and of the actor's ``new`` or ``there``.
    """
    statement = text("select * from accept_practice_change(:case, :id, :member)")
    values = {"case": permit.case_id, "id": change_id, "member": member_id}
    return (await db.execute(statement, values)).mappings().all()


async def consents_left(db: AsyncSession, permit: CasePermit) -> Sequence[RowMapping]:
    """Return what was asked or given for the practice that was just left; ``recipients`` are that practice's."""
    statement = text("select (l.c).*, l.recipients, l.alone from consents_left(:case) l")
    return (await db.execute(statement, {"case": permit.case_id})).mappings().all()


async def close_consents_left(db: AsyncSession, permit: CasePermit) -> None:
    """Let what was for that practice alone give way to what is asked anew."""
    await db.execute(text("select close_consents_left(:case)"), {"case": permit.case_id})
