"""SQL of representations, and of what is withheld, for role ``app``; row-level security narrows it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import Role
from app.consent.grounds_model import Representation, Withholding
from app.core.ids import AccountId, EngagementId

_REPRESENTATION = """
    select r.*, (select coalesce(jsonb_agg(to_jsonb(w) - 'reason_sealed' || jsonb_build_object(
                            'reason_sealed', encode(w.reason_sealed, 'hex')) order by w.recorded_at, w.id), '[]')
                   from withholding w where w.case_id = r.case_id and w.representation_id = r.id) as withholdings
      from representation r where r.case_id = :case
"""


async def say_of(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> Sequence[RowMapping]:
    """Return everybody who has or had a say for a subject here, whoever asks: ids, kinds, scopes and periods."""
    statement = text("select * from say_of(:case, :patient)")
    values = {"case": permit.case_id, "patient": patient_id}
    return (await db.execute(statement, values)).mappings().all()


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who comes as one of a citizen's own people; with a sealed name the account is made, else it is there."""

    account_id: AccountId
    engagement_id: EngagementId
    role: Role
    name_sealed: bytes | None


async def engage(db: AsyncSession, permit: CasePermit, patient_id: UUID, newcomer: Newcomer) -> UUID | None:
    """Return the engagement in which somebody acts as one of the citizen's own, made if it is not there.

    None if there is no such account, or it is the patient's.
    """
    statement = text("select engage_relative(:case, :patient, :account, :name, :engagement, :role)")
    values = {
        "case": permit.case_id,
        "patient": patient_id,
        "account": newcomer.account_id,
        "name": newcomer.name_sealed,
        "engagement": newcomer.engagement_id,
        "role": newcomer.role,
    }
    found: UUID | None = (await db.execute(statement, values)).scalar_one()
    return found


async def may_let_in(db: AsyncSession, permit: CasePermit, account_id: UUID) -> bool:
    """Whether the actor may give one of the citizen's own a code to come in with."""
    return bool((await db.execute(text("select may_let_in(:account)"), {"account": account_id})).scalar_one())


async def newcomers(db: AsyncSession, permit: CasePermit, ids: Collection[UUID]) -> Sequence[RowMapping]:
    """Return (id, account_id, role, name_sealed) of engagements, as this transaction sees them."""
    statement = text(
        "select e.id, e.account_id, e.role, a.name_sealed from engagement e join account a on a.id = e.account_id"
        " where e.id = any(:ids)"
    )
    return (await db.execute(statement, {"ids": list(ids)})).mappings().all()


async def add(db: AsyncSession, permit: CasePermit, row: Representation) -> None:
    """Insert a representation."""
    await db.execute(insert(Representation).values(row.model_dump()))


async def add_withholding(db: AsyncSession, permit: CasePermit, row: Withholding) -> None:
    """Insert what is withheld from a representative."""
    await db.execute(insert(Withholding).values(row.model_dump()))


async def one(db: AsyncSession, permit: CasePermit, representation_id: UUID) -> RowMapping | None:
    """Return one representation that the actor may read."""
    statement = text(_REPRESENTATION + " and r.id = :id")
    values = {"case": permit.case_id, "id": representation_id}
    return (await db.execute(statement, values)).mappings().first()


async def withholding(db: AsyncSession, permit: CasePermit, withholding_id: UUID) -> RowMapping | None:
    """Return one withholding that the actor may read."""
    statement = text("select * from withholding where case_id = :case and id = :id")
    return (await db.execute(statement, {"case": permit.case_id, "id": withholding_id})).mappings().first()


async def listed(
    db: AsyncSession,
    permit: CasePermit,
    patients: Collection[UUID],
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Return the representations of these subjects that the actor may read, newest first."""
    statement = text(
        _REPRESENTATION + " and r.patient_id = any(:patients)"
        " and (cast(:at as timestamptz) is null or (r.recorded_at, r.id) < (:at, :last))"
        " order by r.recorded_at desc, r.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {
        "case": permit.case_id,
        "patients": list(patients),
        "at": at,
        "last": last or UUID(int=0),
        "limit": limit,
    }
    return (await db.execute(statement, values)).mappings().all()


async def end(db: AsyncSession, permit: CasePermit, table: str, row_id: UUID) -> int:
    """End a representation or withholding that nobody ended; return how many rows that changed, 0 or 1."""
    statement = text(
        f"update {_ENDING[table]} set ended_at = :now, ended_by_engagement_id = :engagement"  # noqa: S608  # constants
        " where case_id = :case and id = :id and ended_at is null"
    )
    values = {
        "now": permit.now,
        "engagement": permit.actor.engagement_id,
        "case": permit.case_id,
        "id": row_id,
    }
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result


_ENDING = {"representation": "representation", "withholding": "withholding"}


async def seats_left(db: AsyncSession, permit: CasePermit, member_id: UUID) -> int:
    """Return how many representations in force still rest on a seat."""
    statement = text(
        "select count(*) from representation where case_id = :case and member_id = :member and ended_at is null"
        " and (valid_until is null or valid_until > :now)"
    )
    values = {"case": permit.case_id, "member": member_id, "now": permit.now}
    return int((await db.execute(statement, values)).scalar_one())
