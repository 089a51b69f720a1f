"""An organisation's people as rows: who they are, what they are engaged as, and until when. SQL for role ``app``.

Row-level security leaves only what the actor administers to change; who may ask at all is the permit's. The use cases
stand in ``app.entitlement.staffing``, because a change of an engagement changes grants.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import Domain, Law, Role
from app.core.ids import AccountId, EngagementId, OrganisationId
from app.crypto.sealing import key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.identity.capacity import Capacity
from app.identity.directory import NAME_CATEGORY, name_place


class State(StrEnum):
    """How an engagement stands: only ``active`` is in force, the others say why not."""

    ACTIVE = "active"
    PLANNED = "planned"
    ENDED = "ended"
    SUSPENDED = "suspended"
    LAPSED = "lapsed"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Colleague:
    """An engagement as those who manage it see it. ``INACTIVE`` is one whose account, organisation or GP is not."""

    id: EngagementId
    account_id: AccountId
    organisation_id: OrganisationId
    name_sealed: bytes
    role: Role
    profession: str
    speciality: str | None
    domain: Domain | None
    law: Law | None
    responsible_id: EngagementId | None
    valid_from: datetime
    valid_until: datetime | None
    suspended_at: datetime | None
    confirmed_until: datetime | None
    employee_number: str | None
    registrations: Mapping[str, str]
    state: State

    def editable(self) -> bytes:
        """Return what two admins can change at once, for an ETag: it must not move by time alone."""
        changing = (
            self.speciality,
            self.responsible_id,
            self.valid_until,
            self.suspended_at,
            self.confirmed_until,
            self.employee_number,
        )
        return repr([None if value is None else str(value) for value in (self.id, *changing)]).encode()


_COLLEAGUES = """
select e.id, e.account_id, e.organisation_id, a.name_sealed, e.role, e.profession, e.speciality, e.domain, e.law,
       e.responsible_engagement_id as responsible_id, e.valid_from, e.valid_until, e.suspended_at, e.confirmed_until,
       e.employee_number,
       coalesce((select jsonb_object_agg(r.kind, r.number) from account_registration r
                  where r.account_id = e.account_id), '{}') as registrations,
       case when e.valid_until <= :now then 'ended' when e.suspended_at is not null then 'suspended'
            when e.valid_from > :now then 'planned' when e.confirmed_until <= :now then 'lapsed'
            when not engagement_in_force(e.id, :now) then 'inactive' else 'active' end as state
  from engagement e join account a on a.id = e.account_id
"""


def _colleague(row: RowMapping) -> Colleague:
    parsed = {
        "role": Role(row["role"]),
        "domain": Domain(row["domain"]) if row["domain"] else None,
        "law": Law(row["law"]) if row["law"] else None,
        "state": State(row["state"]),
    }
    return Colleague(**{**row, **parsed})


async def colleagues(
    db: AsyncSession, permit: RolePermit, organisation_id: UUID, *, ids: Collection[UUID] | None = None
) -> list[Colleague]:
    """Return the people of an organisation, or those of them that are named, whoever began last first."""
    statement = text(
        f"{_COLLEAGUES} where e.organisation_id = :organisation"  # constants only
        " and (cast(:ids as uuid[]) is null or e.id = any(:ids)) order by e.valid_from desc, e.id"
    )
    values = {"organisation": organisation_id, "ids": None if ids is None else list(ids), "now": permit.now}
    return [_colleague(row) for row in (await db.execute(statement, values)).mappings()]


async def find(db: AsyncSession, permit: RolePermit, engagement_id: UUID) -> Colleague | None:
    """Return an engagement that the actor manages."""
    statement = text(f"{_COLLEAGUES} where e.id = :id and administers(e.organisation_id)")
    row = (await db.execute(statement, {"id": engagement_id, "now": permit.now})).mappings().first()
    return None if row is None else _colleague(row)


async def lock(db: AsyncSession, permit: RolePermit, engagement_ids: Collection[UUID]) -> Sequence[UUID]:
    """Lock those of these engagements that the actor may change, in one order, and return them."""
    statement = text("select id from engagement where id = any(:ids) order by id for no key update")
    return (await db.execute(statement, {"ids": list(engagement_ids)})).scalars().all()


async def manages(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> bool:
    """Whether there is such an organisation and the actor manages its people."""
    statement = text("select exists (select 1 from organisation where id = :id and administers(id))")
    return bool((await db.execute(statement, {"id": organisation_id})).scalar_one())


async def status_of_organisation(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> str | None:
    """Return the status of an organisation whose people the actor manages, or None; its staff waits for the commit.

    One organisation's people are changed one after another, so that a number is given once.
    """
    statement = text("select status from organisation where id = :id and administers(id)")
    status: str | None = (await db.execute(statement, {"id": organisation_id})).scalar_one_or_none()
    if status is not None:
        lock_staff = text("select pg_advisory_xact_lock(hashtext('overlegtafel staff'), hashtext(cast(:id as text)))")
        await db.execute(lock_staff, {"id": str(organisation_id)})
    return status


async def is_gp_in_force(db: AsyncSession, permit: RolePermit, engagement_id: UUID) -> bool:
    """Whether this is the engagement of a GP, in force; of any practice."""
    statement = text(
        "select exists (select 1 from engagement where id = :id and role = 'gp' and engagement_in_force(id, :now))"
    )
    return bool((await db.execute(statement, {"id": engagement_id, "now": permit.now})).scalar_one())


async def add_account(db: AsyncSession, permit: RolePermit, account_id: UUID, name_sealed: bytes) -> None:
    """Insert an account."""
    statement = text("insert into account (id, name_sealed, created_at) values (:id, :name, :now)")
    await db.execute(statement, {"id": account_id, "name": name_sealed, "now": permit.now})


async def rename(db: AsyncSession, permit: RolePermit, account_id: UUID, name_sealed: bytes) -> None:
    """Change the name of an account."""
    statement = text("update account set name_sealed = :name where id = :id")
    await db.execute(statement, {"id": account_id, "name": name_sealed})


async def add_engagement(
    db: AsyncSession,
    permit: RolePermit,
    engagement_id: UUID,
    account_id: UUID,
    organisation_id: UUID,
    capacity: Capacity,
    *,
    valid_from: datetime,
    valid_until: datetime | None,
    confirmed_until: datetime,
    employee_number: str | None,
) -> None:
    """Insert an engagement."""
    statement = text(
        "insert into engagement (id, account_id, organisation_id, role, profession, speciality, domain, law,"
        " responsible_engagement_id, valid_from, valid_until, confirmed_until, employee_number)"
        " values (:id, :account, :organisation, :role, :profession, :speciality, :domain, :law, :responsible,"
        " :start, :end, :confirmed, :number)"
    )
    values = {
        "id": engagement_id,
        "account": account_id,
        "organisation": organisation_id,
        "role": capacity.role,
        "profession": capacity.profession,
        "speciality": capacity.speciality,
        "domain": capacity.domain,
        "law": capacity.law,
        "responsible": capacity.responsible_id,
        "start": valid_from,
        "end": valid_until,
        "confirmed": confirmed_until,
        "number": employee_number,
    }
    await db.execute(statement, values)


COLUMNS = frozenset(
    {
        "speciality",
        "employee_number",
        "valid_until",
        "responsible_engagement_id",
        "suspended_at",
        "confirmed_until",
    }
)
"""What of an engagement can change; who somebody is engaged as does not: that is another engagement."""


async def update(
    db: AsyncSession, permit: RolePermit, engagement_ids: Collection[UUID], changes: Mapping[str, object]
) -> None:
    """Set columns of engagements."""
    if unknown := changes.keys() - COLUMNS:
        raise KeyError(f"{sorted(unknown)} of an engagement cannot change")
    assignments = ", ".join(f"{column} = :{column}" for column in sorted(changes))
    statement = text(f"update engagement set {assignments} where id = any(:ids)")  # noqa: S608  # our own names
    await db.execute(statement, {"ids": list(engagement_ids), **changes})


async def register(
    db: AsyncSession, permit: RolePermit, account_id: UUID, numbers: Mapping[str, str]
) -> Collection[str]:
    """Enter registrations of an account, return the kinds refused: taken, or another number is there."""
    refused = []
    for kind, number in sorted(numbers.items()):
        await db.execute(
            text(
                "insert into account_registration (account_id, kind, number) values (:account, :kind, :number)"
                " on conflict do nothing"
            ),
            {"account": account_id, "kind": kind, "number": number},
        )
        held = await db.execute(
            text(
                "select 1 from account_registration where account_id = :account and kind = :kind and number = :number"
            ),
            {"account": account_id, "kind": kind, "number": number},
        )
        if held.first() is None:
            refused.append(kind)
    return refused


async def holders(
    db: AsyncSession, permit: RolePermit, numbers: Collection[tuple[str, str]]
) -> dict[tuple[str, str], AccountId]:
    """Return whose account each of these numbers stands with, by register and number; free ones are absent."""
    statement = text("select kind, number, account_id from account_registration where number = any(:numbers)")
    rows = (await db.execute(statement, {"numbers": sorted({number for _, number in numbers})})).mappings()
    return {
        (row["kind"], row["number"]): row["account_id"] for row in rows if (row["kind"], row["number"]) in numbers
    }


async def keeps_account(db: AsyncSession, permit: RolePermit, account_id: UUID) -> bool:
    """Whether the actor manages every engagement of an account, and there is one."""
    return bool((await db.execute(text("select keeps_account(:id)"), {"id": account_id})).scalar_one())


async def never_signed_in(db: AsyncSession, permit: RolePermit, account_id: UUID) -> bool:
    """Whether the actor keeps an account that nobody ever signed in to."""
    return bool((await db.execute(text("select never_signed_in(:id)"), {"id": account_id})).scalar_one())


async def has_account_here(db: AsyncSession, permit: RolePermit, account_id: UUID) -> bool:
    """Whether an account has an engagement that the actor manages."""
    statement = text(
        "select exists (select 1 from engagement where account_id = :id and administers(organisation_id))"
    )
    return bool((await db.execute(statement, {"id": account_id})).scalar_one())


async def end_sessions_of(db: AsyncSession, permit: RolePermit, engagement_id: UUID, why: str) -> Sequence[UUID]:
    """End the sessions begun in an engagement, all of the account's if it can act in nothing else; return which."""
    statement = text("select end_sessions_of(:id, :why)")
    return (await db.execute(statement, {"id": engagement_id, "why": why})).scalars().all()


async def offer_handover(db: AsyncSession, account_id: UUID, digest: bytes, expires_at: datetime) -> None:
    """Keep the digest of an account's handover code; its earlier ones are void."""
    await db.execute(text("delete from account_handover where account_id = :account"), {"account": account_id})
    await db.execute(
        text("insert into account_handover (digest, account_id, expires_at) values (:digest, :account, :until)"),
        {"digest": digest, "account": account_id, "until": expires_at},
    )


async def take_handover(db: AsyncSession, permit: RolePermit, digest: bytes) -> AccountId | None:
    """Use a handover code up and return whose account it opens; None if it was used, is too old, or never was."""
    found: AccountId | None = (
        await db.execute(text("select take_handover(:digest)"), {"digest": digest})
    ).scalar_one()
    return found


async def sealed_name(crypto: Crypto, account_id: UUID, name: str) -> bytes:
    """Return an account's name as it is kept."""
    return seal_text(await crypto.data_keys.sealing(account_id, NAME_CATEGORY), name, name_place(account_id))


async def names(crypto: Crypto, people: Collection[Colleague]) -> dict[EngagementId, str]:
    """Return the names of colleagues, by engagement, as they are now."""
    keys = await crypto.data_keys.opening(person.name_sealed for person in people)
    return {
        person.id: open_text(keys[key_id_of(person.name_sealed)], person.name_sealed, name_place(person.account_id))
        for person in people
    }
