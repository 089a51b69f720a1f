"""SQL of replacements and lists of substitutes for role ``app``; row-level security narrows it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import PROFESSIONALS
from app.entitlement.model import Replacement

_REPLACEMENT = """
    select id, replaced_engagement_id, substitute_engagement_id, kind, valid_from, valid_until,
           started_by_engagement_id, created_at, cancelled_at
      from replacement
"""


async def peers(db: AsyncSession, replaced: UUID, substitute: UUID, now: datetime) -> RowMapping | None:
    """Return how two engagements in force stand to one another; None if there are no such two."""
    statement = text(
        """
        select r.account_id = s.account_id as same_person, s.account_id = current_account() as by_me,
               r.organisation_id as at, s.organisation_id as of,
               (r.role, r.domain, r.law, r.speciality) is not distinct from (s.role, s.domain, s.law, s.speciality)
                   as same_profession,
               coalesce(r.organisation_id = s.organisation_id, false) as colleague,
               exists (select 1 from substitute l
                        where l.organisation_id = r.organisation_id and l.engagement_id = s.id) as registered,
               coalesce(current_role_class() = 'gp' and r.role = 'gp' and r.organisation_id = current_organisation(),
                        false) as colleague_gp
          from engagement r join engagement s on s.id = :substitute
         where r.id = :replaced and r.role = any(:professionals)
           and engagement_in_force(r.id, :now) and engagement_in_force(s.id, :now)
        """
    )
    values = {"replaced": replaced, "substitute": substitute, "professionals": sorted(PROFESSIONALS), "now": now}
    return (await db.execute(statement, values)).mappings().first()


async def chained(db: AsyncSession, replaced: UUID, substitute: UUID, begins: datetime, ends: datetime) -> bool:
    """Whether in that time the substitute is replaced too, or the one replaced stands in for somebody."""
    statement = text("select chained(:replaced, :substitute, :begins, :ends)")
    values = {"replaced": replaced, "substitute": substitute, "begins": begins, "ends": ends}
    return bool((await db.execute(statement, values)).scalar_one())


async def add(db: AsyncSession, permit: RolePermit, row: Mapping[str, Any]) -> None:
    """Insert a replacement."""
    await db.execute(insert(Replacement).values(row))


async def one(db: AsyncSession, permit: RolePermit, replacement_id: UUID) -> RowMapping | None:
    """Return one replacement that the actor may see."""
    statement = text(_REPLACEMENT + " where id = :id")
    return (await db.execute(statement, {"id": replacement_id})).mappings().first()


async def listed(db: AsyncSession, permit: RolePermit) -> Sequence[RowMapping]:
    """Return the replacements that the actor may see, the latest to begin first."""
    return (await db.execute(text(_REPLACEMENT + " order by valid_from desc, id"))).mappings().all()


async def cancel(db: AsyncSession, permit: RolePermit, replacement_id: UUID) -> int:
    """End a replacement; return how many rows that changed, 0 or 1."""
    statement = text("update replacement set cancelled_at = :now where id = :id and cancelled_at is null")
    values = {"id": replacement_id, "now": permit.now}
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result


async def serves(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> bool:
    """Whether the actor works at an organisation, or manages it."""
    statement = text("select coalesce(:id = current_organisation(), false) or administers(:id)")
    return bool((await db.execute(statement, {"id": organisation_id})).scalar_one()) and await _exists(
        db, organisation_id
    )


async def manages(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> bool:
    """Whether the actor manages an organisation that there is."""
    statement = text("select administers(:id)")
    return bool((await db.execute(statement, {"id": organisation_id})).scalar_one()) and await _exists(
        db, organisation_id
    )


async def _exists(db: AsyncSession, organisation_id: UUID) -> bool:
    statement = text("select exists (select 1 from organisation where id = :id)")
    return bool((await db.execute(statement, {"id": organisation_id})).scalar_one())


async def substitutes(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Sequence[RowMapping]:
    """Return (engagement_id, registered) of the professionals in force who may stand in at an organisation."""
    statement = text(
        """
        select e.id as engagement_id, l.engagement_id is not null as registered
          from engagement e
          left join substitute l on l.organisation_id = :organisation and l.engagement_id = e.id
         where (e.organisation_id = :organisation or l.engagement_id is not null)
           and e.role = any(:professionals) and engagement_in_force(e.id, :now)
         order by registered desc, e.role, e.id
        """
    )
    values = {"organisation": organisation_id, "professionals": sorted(PROFESSIONALS), "now": permit.now}
    return (await db.execute(statement, values)).mappings().all()


async def professional(db: AsyncSession, engagement_id: UUID, now: datetime) -> RowMapping | None:
    """Return where a professional's engagement in force is."""
    statement = text(
        "select organisation_id from engagement where id = :id and role = any(:professionals)"
        " and engagement_in_force(id, :now)"
    )
    values = {"id": engagement_id, "professionals": sorted(PROFESSIONALS), "now": now}
    return (await db.execute(statement, values)).mappings().first()


async def register(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> int:
    """Put somebody on a list; return 0 if they were on it."""
    statement = text(
        "insert into substitute (organisation_id, engagement_id, registered_by_engagement_id, registered_at)"
        " values (:organisation, :engagement, :by, :now) on conflict do nothing"
    )
    values = {
        "organisation": organisation_id,
        "engagement": engagement_id,
        "by": permit.actor.engagement_id,
        "now": permit.now,
    }
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result


async def strike(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> int:
    """Take somebody off a list that the actor manages; return 0 if nobody such was on it."""
    statement = text("delete from substitute where organisation_id = :organisation and engagement_id = :engagement")
    values = {"organisation": organisation_id, "engagement": engagement_id}
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result
