"""SQL of teams for role ``app``; row-level security lets administrators write, each its own people."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.identity.offices.rules import Moves, OfficeStatus, Working


async def lock(db: AsyncSession, team_id: UUID) -> None:
    """Let nobody else change this team or its members until the transaction ends; also who may not write its row."""
    await db.execute(text("select pg_advisory_xact_lock(hashtextextended('team ' || :id, 0))"), {"id": str(team_id)})


async def teams(db: AsyncSession, permit: RolePermit, team_id: UUID | None = None) -> Sequence[RowMapping]:
    """Return every team, or one, by name."""
    statement = text(
        "select id, name, status, merged_into_id, created_at from team"
        " where cast(:id as uuid) is null or id = :id order by name, id"
    )
    return (await db.execute(statement, {"id": team_id})).mappings().all()


async def neighbourhoods(db: AsyncSession, permit: RolePermit, team_id: UUID | None = None) -> Sequence[RowMapping]:
    """Return (team_id, neighbourhood, valid_from, valid_until) of every team, or one, that is not over."""
    statement = text(
        "select team_id, neighbourhood, valid_from, valid_until from team_neighbourhood"
        " where (cast(:id as uuid) is null or team_id = :id) and (valid_until is null or valid_until > :now)"
        " order by team_id, neighbourhood, valid_from"
    )
    return (await db.execute(statement, {"id": team_id, "now": permit.now})).mappings().all()


async def insert(db: AsyncSession, permit: RolePermit, team_id: UUID, name: str) -> None:
    """Insert a team."""
    statement = text("insert into team (id, name, created_at) values (:id, :name, :now)")
    await db.execute(statement, {"id": team_id, "name": name, "now": permit.now})


async def rename(db: AsyncSession, permit: RolePermit, team_id: UUID, name: str) -> None:
    """Change a team's name."""
    await db.execute(text("update team set name = :name where id = :id"), {"id": team_id, "name": name})


async def move(db: AsyncSession, permit: RolePermit, team_id: UUID, moves: Moves) -> None:
    """Take back, end and add neighbourhoods, in this order."""
    for working in moves.withdrawn:
        await db.execute(
            text(
                "delete from team_neighbourhood where team_id = :team and neighbourhood = :name and valid_from = :at"
            ),
            {"team": team_id, "name": working.neighbourhood, "at": working.valid_from},
        )
    for working, end in moves.ended:
        await db.execute(
            text(
                "update team_neighbourhood set valid_until = :end"
                " where team_id = :team and neighbourhood = :name and valid_from = :at"
            ),
            {"team": team_id, "name": working.neighbourhood, "at": working.valid_from, "end": end},
        )
    for working in moves.added:
        await _add_neighbourhood(db, team_id, working)


async def _add_neighbourhood(db: AsyncSession, team_id: UUID, working: Working) -> None:
    await db.execute(
        text(
            "insert into team_neighbourhood (team_id, neighbourhood, valid_from, valid_until)"
            " values (:team, :name, :start, :end)"
        ),
        {"team": team_id, "name": working.neighbourhood, "start": working.valid_from, "end": working.valid_until},
    )


async def set_status(
    db: AsyncSession, permit: RolePermit, team_id: UUID, status: OfficeStatus, merged_into_id: UUID | None = None
) -> None:
    """Set how a team stands."""
    statement = text("update team set status = :status, merged_into_id = :into where id = :id")
    await db.execute(statement, {"id": team_id, "status": status, "into": merged_into_id})


async def repoint(db: AsyncSession, permit: RolePermit, team_id: UUID, into_id: UUID) -> None:
    """Let what merged into a team belong to that team's own successor."""
    statement = text("update team set merged_into_id = :into where merged_into_id = :id")
    await db.execute(statement, {"id": team_id, "into": into_id})


async def members(db: AsyncSession, permit: RolePermit, team_id: UUID) -> Sequence[RowMapping]:
    """Return (engagement_id, valid_from, valid_until) of the memberships that are not over, the oldest first."""
    statement = text(
        "select engagement_id, valid_from, valid_until from team_member"
        " where team_id = :id and (valid_until is null or valid_until > :now) order by valid_from, engagement_id"
    )
    return (await db.execute(statement, {"id": team_id, "now": permit.now})).mappings().all()


async def candidate(db: AsyncSession, permit: RolePermit, engagement_id: UUID) -> RowMapping | None:
    """Return (role, valid_until) of an engagement whose organisation the actor administers."""
    statement = text("select role, valid_until from engagement where id = :id and administers(organisation_id)")
    return (await db.execute(statement, {"id": engagement_id})).mappings().first()


async def overlapping(
    db: AsyncSession, team_id: UUID, engagement_id: UUID, start: datetime, end: datetime | None
) -> bool:
    """Whether a membership of this engagement in this team overlaps a period."""
    statement = text(
        "select exists (select 1 from team_member where team_id = :team and engagement_id = :engagement"
        " and (valid_until is null or valid_until > :start)"
        " and (cast(:end as timestamptz) is null or valid_from < :end))"
    )
    values = {"team": team_id, "engagement": engagement_id, "start": start, "end": end}
    return bool((await db.execute(statement, values)).scalar_one())


async def add_member(
    db: AsyncSession, permit: RolePermit, team_id: UUID, engagement_id: UUID, start: datetime, end: datetime | None
) -> None:
    """Insert a membership."""
    statement = text(
        "insert into team_member (team_id, engagement_id, valid_from, valid_until)"
        " values (:team, :engagement, :start, :end)"
    )
    await db.execute(statement, {"team": team_id, "engagement": engagement_id, "start": start, "end": end})


async def end_member(db: AsyncSession, permit: RolePermit, team_id: UUID, engagement_id: UUID) -> bool:
    """End the membership that is in force and take back those to come; False when there is none."""
    values = {"team": team_id, "engagement": engagement_id, "now": permit.now}
    where = " where team_id = :team and engagement_id = :engagement"
    taken_back = await db.execute(
        text(f"delete from team_member{where} and valid_from >= :now returning team_id"),  # noqa: S608  # ours
        values,
    )
    ended = await db.execute(
        text(
            f"update team_member set valid_until = :now{where} and valid_from < :now"  # noqa: S608  # ours
            " and (valid_until is null or valid_until > :now) returning team_id"
        ),
        values,
    )
    return len(taken_back.all()) + len(ended.all()) > 0


async def team_may_cooperate(db: AsyncSession, team_id: UUID, engagement_id: UUID) -> bool:
    """Whether the organisations in a team may cooperate once this engagement is in it too."""
    statement = text("select team_may_cooperate(:team, :engagement)")
    return bool((await db.execute(statement, {"team": team_id, "engagement": engagement_id})).scalar_one())
