"""Use cases on organisations and teams that change who may see what: each derives again in its own commit."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.core.ids import CaseId
from app.entitlement.engagements import hold_cases_of, rederive_for
from app.identity.offices import organisations
from app.identity.teams import service as teams
from app.identity.teams.service import Membership


@dataclass(frozen=True, slots=True)
class Reached:
    """What a change reached: cases to look at again, sessions that ended."""

    cases: Collection[CaseId] = ()
    sessions: Collection[UUID] = ()


async def suspend_organisation(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Reached:
    """Stop every engagement of an organisation, and of what merged into it, at once: grants, sessions, tickets.

    Raises:
        NotFound, NotActive: as :func:`app.identity.offices.organisations.mark_suspended`.
    """
    concerned = await organisations.engagements_of(db, organisation_id, now=permit.now)
    await hold_cases_of(db, concerned)
    await organisations.mark_suspended(db, permit, organisation_id)
    sessions = await organisations.end_sessions_of(db, concerned, why="organisation-suspended", now=permit.now)
    cases = await rederive_for(db, concerned, actor=permit.actor, why="organisation-suspended", now=permit.now)
    return Reached(cases, sessions)


async def resume_organisation(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Reached:
    """Let the engagements of a suspended organisation count again; whoever was logged out logs in.

    Raises:
        NotFound, NotSuspended: as :func:`app.identity.offices.organisations.mark_resumed`.
    """
    concerned = await organisations.engagements_of(db, organisation_id, now=permit.now)
    await hold_cases_of(db, concerned)
    await organisations.mark_resumed(db, permit, organisation_id)
    return Reached(await rederive_for(db, concerned, actor=permit.actor, why="organisation-resumed", now=permit.now))


async def suspend_team(db: AsyncSession, permit: RolePermit, team_id: UUID) -> Reached:
    """Close at once what is open through a team alone.

    Raises:
        NotFound, NotActive: as :func:`app.identity.teams.service.mark_suspended`.
    """
    concerned = await teams.engagements_of(db, permit, team_id)
    await hold_cases_of(db, concerned)
    await teams.mark_suspended(db, permit, team_id)
    return Reached(await rederive_for(db, concerned, actor=permit.actor, why="team-suspended", now=permit.now))


async def resume_team(db: AsyncSession, permit: RolePermit, team_id: UUID) -> Reached:
    """Open again what is open through a team.

    Raises:
        NotFound, NotSuspended: as :func:`app.identity.teams.service.mark_resumed`.
    """
    concerned = await teams.engagements_of(db, permit, team_id)
    await hold_cases_of(db, concerned)
    await teams.mark_resumed(db, permit, team_id)
    return Reached(await rederive_for(db, concerned, actor=permit.actor, why="team-resumed", now=permit.now))


async def add_team_member(
    db: AsyncSession,
    permit: RolePermit,
    team_id: UUID,
    engagement_id: UUID,
    *,
    valid_from: datetime | None,
    valid_until: datetime | None,
) -> tuple[Membership, Reached]:
    """Put an engagement into a team; what consents to that team open is open to it within the period.

    Raises:
        NotFound, NotActive, Invalid, AlreadyInTeam, NoCooperationAgreement: as
            :func:`app.identity.teams.service.add_member`.
    """
    made = await teams.add_member(db, permit, team_id, engagement_id, valid_from=valid_from, valid_until=valid_until)
    cases = await rederive_for(db, [engagement_id], actor=permit.actor, why="team-joined", now=permit.now)
    return made, Reached(cases)


async def end_team_member(db: AsyncSession, permit: RolePermit, team_id: UUID, engagement_id: UUID) -> Reached:
    """End a membership; what was open through that team alone closes at once.

    Raises:
        NotFound: as :func:`app.identity.teams.service.end_member`.
    """
    await teams.end_member(db, permit, team_id, engagement_id)
    return Reached(await rederive_for(db, [engagement_id], actor=permit.actor, why="team-left", now=permit.now))
