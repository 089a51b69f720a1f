"""SQL of organisations for role ``app``; row-level security lets region administrators alone write."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.identity.offices.rules import OfficeStatus, OrganisationKind, Registrations

_COLUMNS = (
    "id, kind, name, municipality_code, status, merged_into_id, agb, ura, oin, kvk, agreement_reference,"
    " agreement_on, created_at"
)


async def insert(
    db: AsyncSession,
    permit: RolePermit,
    organisation_id: UUID,
    kind: OrganisationKind,
    name: str,
    given: Registrations,
) -> bool:
    """Insert an organisation; False when one of its numbers is in use."""
    statement = text(
        "insert into organisation (id, kind, name, municipality_code, agb, ura, oin, kvk, created_at)"
        " values (:id, :kind, :name, :municipality_code, :agb, :ura, :oin, :kvk, :now)"
        " on conflict do nothing returning id"
    )
    values = {"id": organisation_id, "kind": kind, "name": name, **_numbers(given), "now": permit.now}
    return (await db.execute(statement, values)).first() is not None


def _numbers(given: Registrations) -> dict[str, str | None]:
    return {
        "agb": given.agb,
        "ura": given.ura,
        "oin": given.oin,
        "kvk": given.kvk,
        "municipality_code": given.municipality_code,
    }


async def find(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> RowMapping | None:
    """Return an organisation whose people the actor administers."""
    statement = text(f"select {_COLUMNS} from organisation where id = :id and administers(id)")  # noqa: S608  # ours
    return (await db.execute(statement, {"id": organisation_id})).mappings().first()


async def lock(db: AsyncSession, permit: RolePermit, organisation_ids: Collection[UUID]) -> Sequence[RowMapping]:
    """Return organisations, locked in one order until the transaction ends."""
    statement = text(
        f"select {_COLUMNS} from organisation where id = any(:ids) and administers(id)"  # noqa: S608  # our columns
        " order by id for update"
    )
    return (await db.execute(statement, {"ids": list(organisation_ids)})).mappings().all()


async def update(
    db: AsyncSession, permit: RolePermit, organisation_id: UUID, name: str, given: Registrations
) -> bool:
    """Change name and numbers; False when one of the numbers is in use."""
    statement = text(
        "update organisation set name = :name, municipality_code = :municipality_code, agb = :agb, ura = :ura,"
        " oin = :oin, kvk = :kvk where id = :id"
    )
    try:
        async with db.begin_nested():
            await db.execute(statement, {"id": organisation_id, "name": name, **_numbers(given)})
    except IntegrityError:
        return False
    return True


async def suspend(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> None:
    """Suspend an organisation and what merged into it."""
    statement = text("update organisation set status = 'suspended' where id = :id or merged_into_id = :id")
    await db.execute(statement, {"id": organisation_id})


async def resume(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> None:
    """Resume an organisation; what merged into it is merged again."""
    statement = text(
        "update organisation set status = case when merged_into_id is null then 'active' else 'merged' end"
        " where id = :id or merged_into_id = :id"
    )
    await db.execute(statement, {"id": organisation_id})


async def merge(db: AsyncSession, permit: RolePermit, organisation_id: UUID, into_id: UUID) -> None:
    """Merge one into another, and with it whatever had merged into it: mergers make no chains."""
    statement = text(
        "update organisation set status = :merged, merged_into_id = :into where id = :id or merged_into_id = :id"
    )
    await db.execute(statement, {"id": organisation_id, "into": into_id, "merged": OfficeStatus.MERGED})


async def agree(db: AsyncSession, permit: RolePermit, organisation_id: UUID, reference: str, on: date) -> None:
    """Record the cooperation agreement."""
    statement = text("update organisation set agreement_reference = :reference, agreement_on = :on where id = :id")
    await db.execute(statement, {"id": organisation_id, "reference": reference, "on": on})


async def people_by_role(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Sequence[RowMapping]:
    """Return (role, people) of the engagements in force; somebody of two roles counts in both."""
    statement = text(
        "select role, count(distinct account_id) as people from engagement"
        " where organisation_id = :id and engagement_in_force(id, :now) group by role order by role"
    )
    return (await db.execute(statement, {"id": organisation_id, "now": permit.now})).mappings().all()


async def engagements_of(db: AsyncSession, organisation_id: UUID, now: datetime) -> Sequence[UUID]:
    """Return the engagements of an organisation, and of what merged into it, that are not over."""
    statement = text(
        "select e.id from engagement e join organisation o on o.id = e.organisation_id"
        " where (o.id = :id or o.merged_into_id = :id) and (e.valid_until is null or e.valid_until > :now) order by 1"
    )
    return (await db.execute(statement, {"id": organisation_id, "now": now})).scalars().all()


async def of_the_same_people(db: AsyncSession, engagement_ids: Collection[UUID]) -> Sequence[UUID]:
    """Return every engagement of whoever has one of these."""
    statement = text(
        "select id from engagement where account_id in (select account_id from engagement where id = any(:ids))"
    )
    return (await db.execute(statement, {"ids": list(engagement_ids)})).scalars().all()


async def end_sessions_of(db: AsyncSession, engagement_ids: Collection[UUID], why: str, now: datetime) -> list[UUID]:
    """End every session that began in one of these engagements; return them."""
    statement = text("select end_sessions_of(:ids, :why, :now)")
    ended = await db.execute(statement, {"ids": list(engagement_ids), "why": why, "now": now})
    return list(ended.scalars().all())


async def may_cooperate(db: AsyncSession, organisation_ids: Collection[UUID]) -> bool:
    """Whether these organisations are one, or each has its agreement."""
    statement = text("select may_cooperate(:ids)")
    return bool((await db.execute(statement, {"ids": list(organisation_ids)})).scalar_one())


async def table_may_cooperate(db: AsyncSession, case_id: UUID, engagement_id: UUID) -> bool:
    """Whether the organisations at a table may cooperate once this engagement sits there too."""
    statement = text("select table_may_cooperate(:case, :engagement)")
    return bool((await db.execute(statement, {"case": case_id, "engagement": engagement_id})).scalar_one())


async def keepers(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Sequence[RowMapping]:
    """Return the dossier keepers of an organisation that the actor may know, first named first."""
    statement = text(
        "select engagement_id, named_at from dossier_keeper where organisation_id = :id"
        " order by named_at, engagement_id"
    )
    return (await db.execute(statement, {"id": organisation_id})).mappings().all()


async def may_keep(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> bool:
    """Whether an engagement is a professional's of the organisation, and there is room for another keeper."""
    statement = text("select may_keep_dossiers(:organisation, :engagement)")
    values = {"organisation": organisation_id, "engagement": engagement_id}
    return bool((await db.execute(statement, values)).scalar_one())


async def add_keeper(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> None:
    """Insert a dossier keeper."""
    statement = text(
        "insert into dossier_keeper (organisation_id, engagement_id, named_by_engagement_id, named_at)"
        " values (:organisation, :engagement, :actor, :now)"
    )
    values = {
        "organisation": organisation_id,
        "engagement": engagement_id,
        "actor": permit.actor.engagement_id,
        "now": permit.now,
    }
    await db.execute(statement, values)


async def remove_keeper(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> bool:
    """Delete a dossier keeper of an organisation that the actor administers; False if there is none."""
    statement = text(
        "delete from dossier_keeper where organisation_id = :organisation and engagement_id = :engagement"
        " returning engagement_id"
    )
    values = {"organisation": organisation_id, "engagement": engagement_id}
    return (await db.execute(statement, values)).first() is not None
