"""SQL of patients, cases and members for role ``app``; row-level security leaves what one may see."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, RolePermit, SelfPermit
from app.cases.model import CareCase, Member, Patient, PublicTask, Subject
from app.core.ids import CaseId, PatientId

_PATIENT = "id, name_sealed, birth_date_sealed, neighbourhood, account_id"


async def add_patient(db: AsyncSession, permit: RolePermit, row: Patient) -> None:
    """Insert a patient of the actor's own organisation."""
    await db.execute(insert(Patient).values(row.model_dump()))


async def patient_with_bsn(db: AsyncSession, permit: RolePermit, organisation_index: bytes) -> PatientId | None:
    """Return the actor's organisation's patient with this BSN, found by its blind index."""
    statement = text(
        "select id from patient where organisation_id = :organisation and bsn_organisation_index = :index"
    )
    values = {"organisation": permit.actor.organisation_id, "index": organisation_index}
    found: PatientId | None = (await db.execute(statement, values)).scalar_one_or_none()
    return found


async def lock_bsn(db: AsyncSession, organisation_index: bytes) -> None:
    """Make a twin registration of the same person wait until this transaction ends."""
    await db.execute(
        text("select pg_advisory_xact_lock(:key)"), {"key": int.from_bytes(organisation_index[:8], signed=True)}
    )


async def account_with_bsn(db: AsyncSession, link_index: bytes) -> UUID | None:
    """Return the citizen's account that this BSN links to."""
    found: UUID | None = (
        await db.execute(text("select account_with_bsn(:index)"), {"index": link_index})
    ).scalar_one_or_none()
    return found


async def search_patients(
    db: AsyncSession, permit: RolePermit, *, bsn_link_index: bytes | None, name_index: bytes | None
) -> Sequence[RowMapping]:
    """Return the patients with this BSN or name that the actor may identify."""
    where = "bsn_link_index = :index" if bsn_link_index is not None else "name_index = :index"
    statement = text(f"select {_PATIENT} from patient where {where} order by id limit 100")  # noqa: S608  # constants
    return (await db.execute(statement, {"index": bsn_link_index or name_index})).mappings().all()


async def patients(
    db: AsyncSession, permit: RolePermit | SelfPermit | CasePermit, ids: Collection[UUID]
) -> Sequence[RowMapping]:
    """Return those of the patients that the actor may identify, by id."""
    statement = text(f"select {_PATIENT}, organisation_id from patient where id = any(:ids) order by id")  # noqa: S608
    return (await db.execute(statement, {"ids": list(ids)})).mappings().all()


async def birth_date(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> bytes | None:
    """Return the sealed birth date of a subject of the permitted case."""
    statement = text("select birth_date_of(:case, :patient)")
    values = {"case": permit.case_id, "patient": patient_id}
    found: bytes | None = (await db.execute(statement, values)).scalar_one()
    return found


async def add_case(db: AsyncSession, permit: RolePermit, case: CareCase) -> None:
    """Insert a case that the actor opens."""
    await db.execute(insert(CareCase).values(case.model_dump()))


async def add_subjects(
    db: AsyncSession,
    permit: RolePermit | CasePermit,
    case_id: CaseId,
    ids: Collection[UUID],
    *,
    by_consent: bool = False,
) -> None:
    """Insert the subjects of a new case, or those who take part ``by_consent``."""
    rows = [{"case_id": case_id, "patient_id": patient_id, "by_consent": by_consent} for patient_id in ids]
    await db.execute(insert(Subject), rows)


async def add_member(db: AsyncSession, permit: RolePermit | CasePermit, member: Member) -> None:
    """Insert a member."""
    await db.execute(insert(Member).values(member.model_dump()))


async def citizen_engagement(db: AsyncSession, account_id: UUID) -> UUID | None:
    """Return the engagement in which this account acts as a citizen."""
    found: UUID | None = (
        await db.execute(text("select citizen_engagement(:account)"), {"account": account_id})
    ).scalar_one_or_none()
    return found


async def case_row(db: AsyncSession, permit: CasePermit) -> RowMapping | None:
    """Return the permitted case, if the actor still sits there."""
    statement = text("select id, kind, status, domain, organisation_id, opened_at from care_case where id = :case")
    return (await db.execute(statement, {"case": permit.case_id})).mappings().first()


async def case_rows(
    db: AsyncSession, permit: SelfPermit, *, status: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the cases the actor sits at, newest first."""
    statement = text(
        """
        select c.id, c.kind, c.status, c.domain, c.organisation_id, c.opened_at from care_case c
         where seated(c.id)
           and (cast(:status as text) is null or c.status = :status)
           and (cast(:at as timestamptz) is null or (c.opened_at, c.id) < (:at, :last))
         order by c.opened_at desc, c.id desc limit :limit
        """
    )
    at, last = before or (None, None)
    values = {
        "status": status,
        "at": at,
        "last": last or UUID(int=0),
        "limit": limit,
    }
    return (await db.execute(statement, values)).mappings().all()


async def set_status(db: AsyncSession, permit: CasePermit, status: str) -> None:
    """Change the permitted case's status."""
    await db.execute(text("update care_case set status = :s where id = :c"), {"s": status, "c": permit.case_id})


async def subject_ids(db: AsyncSession, case_ids: Collection[UUID]) -> Sequence[RowMapping]:
    """Return (case_id, patient_id) of the subjects that the actor may know of."""
    statement = text("select case_id, patient_id from subject where case_id = any(:cases) order by patient_id")
    return (await db.execute(statement, {"cases": list(case_ids)})).mappings().all()


async def questions(db: AsyncSession, case_ids: Collection[UUID]) -> Sequence[RowMapping]:
    """Return the questions the actor may read: the bodies of the opening events."""
    statement = text(
        "select id, case_id, patient_id, category, actor_account_id, body_sealed from case_event"
        " where case_id = any(:cases) and type = 'case.opened' order by seq"
    )
    return (await db.execute(statement, {"cases": list(case_ids)})).mappings().all()


async def members(db: AsyncSession, case_ids: Collection[UUID]) -> Sequence[RowMapping]:
    """Return the members of these cases that the actor may see, in the order they came."""
    statement = text(
        """
        select case_id, id, engagement_id, case_role, direct_treatment, status, reason_code, invited_by_engagement_id,
               invited_at, decided_at, history
          from member where case_id = any(:cases) and status in ('invited', 'accepted') order by invited_at, id
        """
    )
    return (await db.execute(statement, {"cases": list(case_ids)})).mappings().all()


async def member(db: AsyncSession, permit: CasePermit, member_id: UUID) -> RowMapping | None:
    """Return one member of the permitted case, if the actor may see it."""
    statement = text(
        """
        select case_id, id, kind, engagement_id, case_role, direct_treatment, status, reason_code,
               invited_by_engagement_id, invited_at, decided_at, history
          from member where case_id = :case and id = :member
        """
    )
    return (await db.execute(statement, {"case": permit.case_id, "member": member_id})).mappings().first()


async def decide(db: AsyncSession, permit: CasePermit, member_id: UUID, *, status: str, from_seq: int) -> int:
    """Accept or refuse an invitation that is still open; return how many rows that changed, 0 or 1."""
    statement = text(
        "update member set status = :status, decided_at = :now, history_from_seq ="
        " case when history = 'from-now' then cast(:from_seq as bigint) else 0 end"
        " where case_id = :case and id = :member and status = 'invited'"
    )
    values = {
        "status": status,
        "now": permit.now,
        "from_seq": from_seq,
        "case": permit.case_id,
        "member": member_id,
    }
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result


async def end_member(db: AsyncSession, permit: CasePermit, member_id: UUID) -> int:
    """End a membership or take an invitation back; return how many rows that changed, 0 or 1."""
    statement = text(
        "update member set status = 'ended', ended_at = :now"
        " where case_id = :case and id = :member and status in ('invited', 'accepted')"
    )
    values = {"now": permit.now, "case": permit.case_id, "member": member_id}
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result


async def invitations(db: AsyncSession, permit: SelfPermit) -> Sequence[RowMapping]:
    """Return the actor's open invitations, newest first."""
    return (await db.execute(text("select * from invitations()"))).mappings().all()


async def add_task(db: AsyncSession, permit: RolePermit | CasePermit, task: PublicTask) -> None:
    """Insert a public task."""
    await db.execute(insert(PublicTask).values(task.model_dump()))


async def task(db: AsyncSession, permit: CasePermit, task_id: UUID) -> RowMapping | None:
    """Return one public task of the permitted case, if the actor may see it."""
    statement = text("select id, member_id, law, valid_from from public_task where case_id = :case and id = :task")
    return (await db.execute(statement, {"case": permit.case_id, "task": task_id})).mappings().first()


async def end_task(db: AsyncSession, permit: CasePermit, task_id: UUID) -> int:
    """End a public task that is in force; return how many rows that changed, 0 or 1."""
    statement = text(
        "update public_task set"
        " valid_until = greatest(cast(:now as timestamptz), valid_from + interval '1 microsecond')"
        " where case_id = :case and id = :task and (valid_until is null or valid_until > :now)"
    )
    values = {"now": permit.now, "case": permit.case_id, "task": task_id}
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result
