"""SQL of notices. A function of the keeper makes the rows and finds whom each is for; row-level security reads."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, SelfPermit
from app.core.ids import CaseId

_SHOWN = (
    "n.id, n.kind, n.about, n.case_id, n.patient_id, n.created_at, n.not_before, n.read_at,"
    " case when n.patient_id is null then 'account' else notice_channel(n.patient_id) end as channel"
)
# Row-level security narrows; this lets it look at few rows.
_NEAR = (
    "(n.engagement_id = current_engagement() or n.case_id in ("
    "select m.case_id from member m where m.engagement_id = current_engagement() and m.status = 'accepted'))"
)


async def add(
    db: AsyncSession,
    *,
    kind: str,
    case_id: CaseId | None,
    to: str,
    whom: UUID | None,
    about: UUID,
    not_before: datetime,
) -> None:
    """Make a notice for everybody that ``to`` and ``whom`` name; who was told the same before is told nothing."""
    statement = text("select notify(:kind, :case, :to, :whom, :about, :not_before)")
    values = {"kind": kind, "case": case_id, "to": to, "whom": whom, "about": about, "not_before": not_before}
    await db.execute(statement, values)


async def end(
    db: AsyncSession,
    *,
    about: UUID | None = None,
    case_id: CaseId | None = None,
    patient_id: UUID | None = None,
    kinds: Collection[str] | None = None,
) -> int:
    """Take back what was not read yet: about a thing, or to a citizen of a case; return how many that were."""
    statement = text("select end_notices(:about, :case, :patient, :kinds)").bindparams(
        bindparam("kinds", type_=ARRAY(Text))
    )
    names = None if kinds is None else [str(kind) for kind in kinds]
    values = {"about": about, "case": case_id, "patient": patient_id, "kinds": names}
    return int((await db.execute(statement, values)).scalar_one())


async def listed(
    db: AsyncSession, permit: SelfPermit, *, unread: bool, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the actor's notices, newest first by when they could first be read."""
    statement = text(
        f"select {_SHOWN} from notice n where {_NEAR}"  # noqa: S608  # constants
        " and (not :unread or n.read_at is null)"
        " and (cast(:at as timestamptz) is null or (n.not_before, n.id) < (:at, :last))"
        " order by n.not_before desc, n.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {"unread": unread, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()


async def one(db: AsyncSession, permit: SelfPermit, notice_id: UUID) -> RowMapping | None:
    """Return one of the actor's notices."""
    statement = text(f"select {_SHOWN} from notice n where n.id = :id")  # noqa: S608  # constants
    return (await db.execute(statement, {"id": notice_id})).mappings().first()


async def mark_read(db: AsyncSession, permit: SelfPermit, notice_id: UUID) -> None:
    """Note when a notice was first read, or its letter sent."""
    statement = text("update notice set read_at = :now where id = :id and read_at is null")
    await db.execute(statement, {"id": notice_id, "now": permit.now})


async def mark_own_read(db: AsyncSession, permit: CasePermit, about: UUID, kind: str) -> None:
    """Note that the actor read what they were themselves told about a thing, and no letter that they send."""
    statement = text(
        "update notice set read_at = :now where about = :about and kind = :kind and read_at is null"
        " and (engagement_id = current_engagement() or is_me(patient_id))"
    )
    await db.execute(statement, {"now": permit.now, "about": about, "kind": kind})
