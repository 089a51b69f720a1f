"""Use cases on teams that touch no case: creating, changing, merging, and who is in which.

A team crosses organisations and municipalities. Whatever changes who is in one, or whether it counts, reaches grants,
so ``app.entitlement.offices`` calls what is marked so here.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import PARTICIPANTS, Role
from app.core.errors import Fault, Invalid, NotFound
from app.core.ids import EngagementId, TeamId
from app.identity.offices.refusals import AlreadyInTeam, NoCooperationAgreement, NoMerger, NotActive, NotSuspended
from app.identity.offices.rules import (
    Moves,
    OfficeStatus,
    Wanted,
    Working,
    moves,
    period_faults,
    working_faults,
)
from app.identity.teams import store

TEAM_ROLES = PARTICIPANTS - {Role.CITIZEN, Role.REPRESENTATIVE, Role.INFORMAL_CARER}
"""Who can be in a team: who works for an organisation, never whom a case is about or who stands beside them."""


@dataclass(frozen=True, slots=True)
class Team:
    """A team, and the neighbourhoods it works in or will."""

    id: TeamId
    name: str
    status: OfficeStatus
    merged_into_id: TeamId | None
    created_at: datetime
    neighbourhoods: tuple[Working, ...]

    def state(self) -> bytes:
        """Return what an update is based on; not the members."""
        return repr(self).encode()


@dataclass(frozen=True, slots=True)
class Membership:
    """An engagement in a team, half-open ``[valid_from, valid_until)``."""

    engagement_id: EngagementId
    valid_from: datetime
    valid_until: datetime | None


def _teams(rows: Iterable[RowMapping], working: Iterable[RowMapping]) -> list[Team]:
    by_team: dict[UUID, list[Working]] = {}
    for one in working:
        found = Working(one["neighbourhood"], one["valid_from"], one["valid_until"])
        by_team.setdefault(one["team_id"], []).append(found)
    return [
        Team(
            id=row["id"],
            name=row["name"],
            status=OfficeStatus(row["status"]),
            merged_into_id=row["merged_into_id"],
            created_at=row["created_at"],
            neighbourhoods=tuple(by_team.get(row["id"], ())),
        )
        for row in rows
    ]


async def list_teams(db: AsyncSession, permit: RolePermit) -> list[Team]:
    """Return every team of the region, by name."""
    return _teams(await store.teams(db, permit), await store.neighbourhoods(db, permit))


async def read(db: AsyncSession, permit: RolePermit, team_id: UUID) -> Team:
    """Return a team.

    Raises:
        NotFound: there is none.
    """
    found = _teams(await store.teams(db, permit, team_id), await store.neighbourhoods(db, permit, team_id))
    if not found:
        raise NotFound
    return found[0]


async def lock(db: AsyncSession, permit: RolePermit, team_id: UUID) -> Team:
    """Return a team that stays as it is until the transaction ends, but for what the transaction changes.

    Raises:
        NotFound: there is none.
    """
    await store.lock(db, team_id)
    return await read(db, permit, team_id)


async def create(
    db: AsyncSession, permit: RolePermit, team_id: TeamId, *, name: str, neighbourhoods: Sequence[Wanted]
) -> None:
    """Create a team without members.

    Raises:
        Invalid: a period lies in the past or ends early, or a neighbourhood is named twice.
    """
    _check(neighbourhoods, permit.now)
    await store.insert(db, permit, team_id, name)
    await store.move(db, permit, team_id, moves((), neighbourhoods, now=permit.now))


def _check(neighbourhoods: Sequence[Wanted], now: datetime) -> None:
    faults = tuple(working_faults(neighbourhoods, now=now))
    if faults:
        raise Invalid(*faults)


async def change(
    db: AsyncSession,
    permit: RolePermit,
    locked: Team,
    *,
    name: str | None,
    neighbourhoods: Sequence[Wanted] | None,
) -> None:
    """Change the name, or the neighbourhoods from now on: those that are not named end, or are taken back.

    Raises:
        NotActive: what merged keeps its name.
        Invalid: as when creating.
    """
    if locked.status is OfficeStatus.MERGED:
        raise NotActive
    if name is not None:
        await store.rename(db, permit, locked.id, name)
    if neighbourhoods is not None:
        _check(neighbourhoods, permit.now)
        await store.move(db, permit, locked.id, moves(locked.neighbourhoods, neighbourhoods, now=permit.now))


async def mark_suspended(db: AsyncSession, permit: RolePermit, team_id: UUID) -> None:
    """Mark an active team as suspended. Reaches grants: a suspended team opens nothing.

    Raises:
        NotFound: there is none.
        NotActive: it is suspended, or merged into another.
    """
    if (await lock(db, permit, team_id)).status is not OfficeStatus.ACTIVE:
        raise NotActive
    await store.set_status(db, permit, team_id, OfficeStatus.SUSPENDED)


async def mark_resumed(db: AsyncSession, permit: RolePermit, team_id: UUID) -> None:
    """Undo a suspension. Reaches grants.

    Raises:
        NotFound: there is none.
        NotSuspended: it is not suspended.
    """
    if (await lock(db, permit, team_id)).status is not OfficeStatus.SUSPENDED:
        raise NotSuspended
    await store.set_status(db, permit, team_id, OfficeStatus.ACTIVE)


async def merge(db: AsyncSession, permit: RolePermit, team_id: UUID, into_id: UUID) -> None:
    """Merge a team into another, which works in its neighbourhoods from now on; nobody joins that any more.

    Its members stay in it, and in no other: consents name teams, so that moving people would widen or cut what the
    citizen agreed to. Whoever is to work in the other team is added there.

    Raises:
        NotFound: there is no such team.
        Invalid: there is none to merge into.
        NoMerger: with itself, or one of the two is suspended or merged.
    """
    for one in sorted({team_id, into_id}):
        await store.lock(db, one)
    team = await read(db, permit, team_id)
    try:
        into = await read(db, permit, into_id)
    except NotFound:
        raise Invalid(Fault("/intoTeamId", "not-found", "There is no such team.")) from None
    if team_id == into_id or {team.status, into.status} != {OfficeStatus.ACTIVE}:
        raise NoMerger
    await store.repoint(db, permit, team_id, into_id)
    await store.set_status(db, permit, team_id, OfficeStatus.MERGED, into_id)
    await store.move(db, permit, team_id, moves(team.neighbourhoods, (), now=permit.now))
    known = {one.neighbourhood for one in into.neighbourhoods}
    inherited = [
        Working(one.neighbourhood, max(one.valid_from, permit.now), one.valid_until)
        for one in team.neighbourhoods
        if one.neighbourhood not in known
    ]
    await store.move(db, permit, into_id, Moves((), (), tuple(inherited)))


async def list_members(db: AsyncSession, permit: RolePermit, team_id: UUID) -> list[Membership]:
    """Return who is in a team or will be, the longest first.

    Raises:
        NotFound: there is no such team.
    """
    await read(db, permit, team_id)
    return [Membership(**row) for row in await store.members(db, permit, team_id)]


async def add_member(
    db: AsyncSession,
    permit: RolePermit,
    team_id: UUID,
    engagement_id: UUID,
    *,
    valid_from: datetime | None,
    valid_until: datetime | None,
) -> Membership:
    """Put an engagement into a team. Reaches grants.

    Raises:
        NotFound: there is no such team.
        NotActive: it is suspended or merged.
        Invalid: a past or empty period, or no engagement of the actor's people that can be in a team and is not over.
        AlreadyInTeam: the period overlaps another one.
        NoCooperationAgreement: people of several organisations would be in the team, one without an agreement.
    """
    if (await lock(db, permit, team_id)).status is not OfficeStatus.ACTIVE:
        raise NotActive
    faults = list(period_faults(valid_from, valid_until, "", now=permit.now))
    row = await store.candidate(db, permit, engagement_id)
    start = valid_from or permit.now
    if row is None or Role(row["role"]) not in TEAM_ROLES:
        faults.append(Fault("/engagementId", "not-found", "There is no such engagement that can be in a team."))
    elif row["valid_until"] is not None and row["valid_until"] <= start:
        faults.append(Fault("/engagementId", "ended", "This engagement is over by then."))
    if faults:
        raise Invalid(*faults)
    if await store.overlapping(db, team_id, engagement_id, start, valid_until):
        raise AlreadyInTeam
    if not await store.team_may_cooperate(db, team_id, engagement_id):
        raise NoCooperationAgreement
    await store.add_member(db, permit, team_id, engagement_id, start, valid_until)
    return Membership(EngagementId(engagement_id), start, valid_until)


async def end_member(db: AsyncSession, permit: RolePermit, team_id: UUID, engagement_id: UUID) -> None:
    """End a membership now, and take back one that has not begun. Reaches grants.

    Raises:
        NotFound: there is no such team or membership, or the engagement is not of the actor's people.
    """
    await lock(db, permit, team_id)
    if await store.candidate(db, permit, engagement_id) is None:
        raise NotFound
    if not await store.end_member(db, permit, team_id, engagement_id):
        raise NotFound


async def engagements_of(db: AsyncSession, permit: RolePermit, team_id: UUID) -> Collection[UUID]:
    """Return the engagements that are in a team or will be."""
    return {row["engagement_id"] for row in await store.members(db, permit, team_id)}
