"""Teams across organisations and municipalities: where they work, when, and who is in them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field

from app.access.vocabulary import Action
from app.api.bodies import Body, Instant, Text
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.organisations import note_reach
from app.api.schemas import At, PageQuery, PersonRef, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.core.ids import TeamId
from app.entitlement import offices
from app.identity.offices.rules import OfficeStatus, Wanted
from app.identity.teams import service as teams
from app.identity.teams.service import Team

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["teams"])

TeamIdPath = Annotated[UUID, Path(alias="teamId", description="The team.")]
EngagementIdPath = Annotated[UUID, Path(alias="engagementId", description="The engagement.")]
NEIGHBOURHOODS_MAX = 50


class NeighbourhoodIn(Body):
    """A neighbourhood a team works in; as it is or from now on when there is no beginning."""

    neighbourhood: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    valid_from: Instant | None = None
    valid_until: Instant | None = None


Neighbourhoods = Annotated[list[NeighbourhoodIn], Field(max_length=NEIGHBOURHOODS_MAX)]


class TeamIn(Body):
    """A team to create."""

    name: Annotated[str, Text(1, 200)]
    neighbourhoods: Neighbourhoods = Field(default_factory=list)


class TeamChangeIn(Body):
    """What changes: what is absent stays. ``neighbourhoods`` are those from now on; one that is not named ends."""

    name: Annotated[str, Text(1, 200)] | None = None
    neighbourhoods: Neighbourhoods | None = None


class TeamMergerIn(Body):
    """Which team it merges into."""

    into_team_id: UUID


class TeamMemberIn(Body):
    """Who joins a team, from when (now when absent), and until when (for good when absent)."""

    engagement_id: UUID
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class NeighbourhoodOut(Out):
    """A neighbourhood a team works in, or will."""

    neighbourhood: str
    valid_from: At
    valid_until: At | None


class TeamOut(Out):
    """A team of the region."""

    id: UUID
    name: str
    status: OfficeStatus
    merged_into_team_id: UUID | None
    neighbourhoods: list[NeighbourhoodOut]


class TeamsOut(Out):
    """Teams, by name."""

    items: list[TeamOut]
    next_cursor: str | None


class TeamMemberOut(Out):
    """Somebody in a team, in one engagement, and when."""

    engagement_id: UUID
    person: PersonRef
    valid_from: At
    valid_until: At | None


class TeamMembersOut(Out):
    """Who is in a team or will be, the longest first."""

    items: list[TeamMemberOut]
    next_cursor: str | None


def _wanted(given: list[NeighbourhoodIn]) -> list[Wanted]:
    return [Wanted(one.neighbourhood, one.valid_from, one.valid_until) for one in given]


def team_out(team: Team) -> TeamOut:
    """Return a team as answers show it."""
    return TeamOut(
        id=team.id,
        name=team.name,
        status=team.status,
        merged_into_team_id=team.merged_into_id,
        neighbourhoods=[
            NeighbourhoodOut(neighbourhood=one.neighbourhood, valid_from=one.valid_from, valid_until=one.valid_until)
            for one in team.neighbourhoods
        ],
    )


async def render_team(ctx: RoleContext, team_id: UUID) -> TeamOut:
    """Return a team with its ETag, and note that it was touched."""
    found = await teams.read(ctx.db, ctx.permit, team_id)
    ctx.touch(Touch("team", team_id))
    ctx.etag(found.state())
    return team_out(found)


@router.get("/teams")
@operation(Scope.ROLE, Action.TEAM_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_teams(ctx: RoleContext, query: PageQuery) -> TeamsOut:
    """List the teams of the region, by name."""
    found = await teams.list_teams(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, found, query, "teams", lambda team: team.id)
    return TeamsOut(items=[team_out(team) for team in shown], next_cursor=cursor)


@router.post("/teams", status_code=201)
@operation(Scope.ROLE, Action.TEAM_CREATE, ActionCode.CREATE, Content.DIRECTORY, replay=render_team)
async def create_team(ctx: RoleContext, body: TeamIn) -> TeamOut:
    """Create a team without members."""
    team_id = TeamId(ctx.resource_id)
    await teams.create(ctx.db, ctx.permit, team_id, name=body.name, neighbourhoods=_wanted(body.neighbourhoods))
    return await render_team(ctx, team_id)


@router.get("/teams/{teamId}")
@operation(Scope.ROLE, Action.TEAM_LIST, ActionCode.READ, Content.DIRECTORY)
async def read_team(ctx: RoleContext, team_id: TeamIdPath) -> TeamOut:
    """Return a team; its ETag is for changes."""
    return await render_team(ctx, team_id)


@router.patch("/teams/{teamId}")
@operation(Scope.ROLE, Action.TEAM_CHANGE, ActionCode.UPDATE, Content.DIRECTORY)
async def change_team(ctx: RoleContext, team_id: TeamIdPath, body: TeamChangeIn) -> TeamOut:
    """Change name or neighbourhoods, based on the ETag in If-Match: whoever comes second reads again."""
    found = await teams.lock(ctx.db, ctx.permit, team_id)
    ctx.require_match(found.state())
    wanted = None if body.neighbourhoods is None else _wanted(body.neighbourhoods)
    await teams.change(ctx.db, ctx.permit, found, name=body.name, neighbourhoods=wanted)
    return await render_team(ctx, team_id)


@router.post("/teams/{teamId}/suspension", status_code=201)
@operation(Scope.ROLE, Action.TEAM_SUSPEND, ActionCode.UPDATE, Content.DIRECTORY)
async def suspend_team(ctx: RoleContext, team_id: TeamIdPath) -> TeamOut:
    """Close at once what is open through a team alone."""
    note_reach(ctx, await offices.suspend_team(ctx.db, ctx.permit, team_id))
    return await render_team(ctx, team_id)


@router.post("/teams/{teamId}/resumption", status_code=201)
@operation(Scope.ROLE, Action.TEAM_SUSPEND, ActionCode.UPDATE, Content.DIRECTORY)
async def resume_team(ctx: RoleContext, team_id: TeamIdPath) -> TeamOut:
    """Undo a suspension."""
    note_reach(ctx, await offices.resume_team(ctx.db, ctx.permit, team_id))
    return await render_team(ctx, team_id)


@router.post("/teams/{teamId}/merger", status_code=201)
@operation(Scope.ROLE, Action.TEAM_MERGE, ActionCode.UPDATE, Content.DIRECTORY)
async def merge_team(ctx: RoleContext, team_id: TeamIdPath, body: TeamMergerIn) -> TeamOut:
    """Merge a team into another, which takes over its neighbourhoods; nobody joins the old one any more."""
    await teams.merge(ctx.db, ctx.permit, team_id, body.into_team_id)
    ctx.touch(Touch("team", body.into_team_id))
    return await render_team(ctx, team_id)


@router.get("/teams/{teamId}/members")
@operation(Scope.ROLE, Action.TEAM_MEMBER_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_team_members(ctx: RoleContext, team_id: TeamIdPath, query: PageQuery) -> TeamMembersOut:
    """List who is in a team or will be."""
    found = await teams.list_members(ctx.db, ctx.permit, team_id)
    label = f"team-members:{team_id}"
    shown, cursor = page_of(ctx, found, query, label, lambda one: (one.engagement_id, one.valid_from))
    ctx.touch(Touch("team", team_id))
    people = await ctx.services.directory.people(one.engagement_id for one in shown)
    items = [
        TeamMemberOut(
            engagement_id=one.engagement_id,
            person=person_ref(people[one.engagement_id]),
            valid_from=one.valid_from,
            valid_until=one.valid_until,
        )
        for one in shown
    ]
    return TeamMembersOut(items=items, next_cursor=cursor)


@router.post("/teams/{teamId}/members", status_code=201)
@operation(Scope.ROLE, Action.TEAM_MEMBER_ADD, ActionCode.CREATE, Content.DIRECTORY)
async def add_team_member(ctx: RoleContext, team_id: TeamIdPath, body: TeamMemberIn) -> TeamMemberOut:
    """Put an engagement of one's own people into a team; twice the same period is a conflict."""
    made, reached = await offices.add_team_member(
        ctx.db,
        ctx.permit,
        team_id,
        body.engagement_id,
        valid_from=body.valid_from,
        valid_until=body.valid_until,
    )
    note_reach(ctx, reached)
    ctx.touch(Touch("team", team_id), Touch("engagement", made.engagement_id))
    people = await ctx.services.directory.people([made.engagement_id])
    return TeamMemberOut(
        engagement_id=made.engagement_id,
        person=person_ref(people[made.engagement_id]),
        valid_from=made.valid_from,
        valid_until=made.valid_until,
    )


@router.delete("/teams/{teamId}/members/{engagementId}", status_code=204)
@operation(Scope.ROLE, Action.TEAM_MEMBER_END, ActionCode.DELETE, Content.NONE)
async def end_team_member(ctx: RoleContext, team_id: TeamIdPath, engagement_id: EngagementIdPath) -> None:
    """End a membership now, or take one back that has not begun; what it opened closes at once."""
    note_reach(ctx, await offices.end_team_member(ctx.db, ctx.permit, team_id, engagement_id))
    ctx.touch(Touch("team", team_id), Touch("engagement", engagement_id))
