"""Standing in for one another, and who may at an organisation."""

from collections.abc import Iterable
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import Action
from app.api.bodies import Body, Instant
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, PageQuery, PersonRef, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.entitlement import replacing
from app.entitlement.replacing import Kind, NewReplacement

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["replacements"])

ReplacementIdPath = Annotated[UUID, Path(alias="replacementId", description="The replacement.")]
OrganisationIdPath = Annotated[UUID, Path(alias="organisationId", description="The organisation.")]
EngagementIdPath = Annotated[UUID, Path(alias="engagementId", description="The engagement.")]


class ReplacementIn(Body):
    """Who stands in, for oneself or (among GPs) a colleague of the practice, from when, for at most 92 days."""

    kind: Kind
    substitute_engagement_id: UUID
    replaced_engagement_id: UUID | None = None
    valid_from: Instant | None = None
    valid_until: Instant


class StandingInOut(Out):
    """One side of a replacement."""

    engagement_id: UUID
    person: PersonRef


class ReplacementOut(Out):
    """A replacement. ``endedAt`` is when it was ended early; else it ends by itself."""

    id: UUID
    kind: Kind
    replaced: StandingInOut
    substitute: StandingInOut
    started_by: PersonRef
    valid_from: At
    valid_until: At
    ended_at: At | None
    status: Literal["planned", "running", "ended"]


class ReplacementsOut(Out):
    """One's own replacements and those of one's practice, the latest to begin first."""

    items: list[ReplacementOut]
    next_cursor: str | None


class SubstituteIn(Body):
    """Whom to put on the list: a professional's engagement elsewhere, as they see it under ``/me``."""

    engagement_id: UUID


class SubstituteOut(StandingInOut):
    """Somebody who may stand in: on the list, or a colleague."""

    registered: bool


class SubstitutesOut(Out):
    """Who may stand in at an organisation, those on its list first."""

    items: list[SubstituteOut]
    next_cursor: str | None


async def _rendered(ctx: RoleContext, rows: Iterable[RowMapping]) -> list[ReplacementOut]:
    found = list(rows)
    sides = ("replaced_engagement_id", "substitute_engagement_id", "started_by_engagement_id")
    people = await ctx.services.directory.people(row[side] for row in found for side in sides)

    def side_of(engagement_id: UUID) -> StandingInOut:
        return StandingInOut(engagement_id=engagement_id, person=person_ref(people[engagement_id]))

    return [
        ReplacementOut(
            id=row["id"],
            kind=row["kind"],
            replaced=side_of(row["replaced_engagement_id"]),
            substitute=side_of(row["substitute_engagement_id"]),
            started_by=person_ref(people[row["started_by_engagement_id"]]),
            valid_from=row["valid_from"],
            valid_until=row["valid_until"],
            ended_at=row["cancelled_at"],
            status=replacing.state_of(row, ctx.now),
        )
        for row in found
    ]


async def render_replacement(ctx: RoleContext, replacement_id: UUID) -> ReplacementOut:
    """Return one replacement."""
    row = await replacing.find(ctx.db, ctx.permit, replacement_id)
    ctx.touch(Touch("replacement", replacement_id))
    return (await _rendered(ctx, [row]))[0]


@router.post("/replacements", status_code=201)
@operation(Scope.ROLE, Action.REPLACEMENT_START, ActionCode.CREATE, Content.DIRECTORY, replay=render_replacement)
async def start_replacement(ctx: RoleContext, body: ReplacementIn) -> ReplacementOut:
    """Let a peer stand in: exactly the cells of the one replaced, for the period, labelled so in the log."""
    new = NewReplacement(
        kind=body.kind,
        substitute=body.substitute_engagement_id,
        valid_until=body.valid_until,
        replaced=body.replaced_engagement_id,
        valid_from=body.valid_from,
    )
    ctx.moved.update(await replacing.start(ctx.db, ctx.permit, new, replacement_id=ctx.resource_id))
    return await render_replacement(ctx, ctx.resource_id)


@router.get("/replacements")
@operation(Scope.ROLE, Action.REPLACEMENT_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_replacements(ctx: RoleContext, query: PageQuery) -> ReplacementsOut:
    """List the replacements of oneself, by oneself and of one's practice."""
    rows = await replacing.listed(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, rows, query, "replacements", lambda row: row["id"])
    return ReplacementsOut(items=await _rendered(ctx, shown), next_cursor=cursor)


@router.post("/replacements/{replacementId}/ending", status_code=201)
@operation(Scope.ROLE, Action.REPLACEMENT_END, ActionCode.UPDATE, Content.DIRECTORY)
async def end_replacement(ctx: RoleContext, replacement_id: ReplacementIdPath) -> ReplacementOut:
    """End a replacement early, from either side; what it opened closes at once, on sockets too."""
    ctx.moved.update(await replacing.end(ctx.db, ctx.permit, replacement_id))
    return await render_replacement(ctx, replacement_id)


@router.get("/organisations/{organisationId}/substitutes")
@operation(Scope.ROLE, Action.SUBSTITUTE_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_substitutes(ctx: RoleContext, organisation_id: OrganisationIdPath, query: PageQuery) -> SubstitutesOut:
    """List who may stand in at one's own organisation: colleagues, and who was registered."""
    rows = await replacing.substitutes(ctx.db, ctx.permit, organisation_id)
    shown, cursor = page_of(ctx, rows, query, f"substitutes:{organisation_id}", lambda row: row["engagement_id"])
    ctx.touch(Touch("organisation", organisation_id))
    people = await ctx.services.directory.people(row["engagement_id"] for row in shown)
    items = [
        SubstituteOut(
            engagement_id=row["engagement_id"],
            person=person_ref(people[row["engagement_id"]]),
            registered=row["registered"],
        )
        for row in shown
    ]
    return SubstitutesOut(items=items, next_cursor=cursor)


@router.post("/organisations/{organisationId}/substitutes", status_code=201)
@operation(Scope.ROLE, Action.SUBSTITUTE_REGISTER, ActionCode.CREATE, Content.DIRECTORY)
async def register_substitute(
    ctx: RoleContext, organisation_id: OrganisationIdPath, body: SubstituteIn
) -> SubstituteOut:
    """Put a professional of elsewhere on the list of who may stand in without an admin from then on."""
    await replacing.register(ctx.db, ctx.permit, organisation_id, body.engagement_id)
    ctx.touch(Touch("engagement", body.engagement_id))
    people = await ctx.services.directory.people([body.engagement_id])
    person = person_ref(people[body.engagement_id])
    return SubstituteOut(engagement_id=body.engagement_id, person=person, registered=True)


@router.delete("/organisations/{organisationId}/substitutes/{engagementId}", status_code=204)
@operation(Scope.ROLE, Action.SUBSTITUTE_END, ActionCode.DELETE, Content.NONE)
async def strike_substitute(
    ctx: RoleContext, organisation_id: OrganisationIdPath, engagement_id: EngagementIdPath
) -> None:
    """Take somebody off the list; what runs, runs on until it ends."""
    await replacing.strike(ctx.db, ctx.permit, organisation_id, engagement_id)
    ctx.touch(Touch("engagement", engagement_id))
