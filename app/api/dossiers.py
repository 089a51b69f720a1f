"""Dossier keepers, and what an organisation's people wrote: the duty to keep it does not end with an employment."""

from uuid import UUID

from fastapi import APIRouter

from app.access.vocabulary import Action, Ground
from app.api.bodies import Body
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.messages import ContributionsOut, ContributionsQuery, contribution_outs
from app.api.operations import Content, Out, Scope, operation
from app.api.replacements import EngagementIdPath, OrganisationIdPath
from app.api.schemas import At, PageQuery, PersonRef, before, next_cursor, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.core.ids import CaseId
from app.identity.offices import dossiers
from app.threads import service as threads

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["organisations"])


class KeeperIn(Body):
    """Whom to name: a professional's engagement with the organisation."""

    engagement_id: UUID


class KeeperOut(Out):
    """A dossier keeper."""

    engagement_id: UUID
    person: PersonRef


class NamedKeeperOut(KeeperOut):
    """A dossier keeper, and since when."""

    named_at: At


class KeepersOut(Out):
    """The dossier keepers of an organisation, first named first."""

    items: list[NamedKeeperOut]
    next_cursor: str | None


@router.get("/organisations/{organisationId}/dossier-keepers")
@operation(Scope.ROLE, Action.DOSSIER_KEEPER_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_dossier_keepers(ctx: RoleContext, organisation_id: OrganisationIdPath, query: PageQuery) -> KeepersOut:
    """List who keeps the dossiers of one's own organisation; of another there is nothing to see."""
    rows = await dossiers.listed(ctx.db, ctx.permit, organisation_id)
    shown, cursor = page_of(ctx, rows, query, f"dossier-keepers:{organisation_id}", lambda row: row["engagement_id"])
    ctx.touch(Touch("organisation", organisation_id))
    people = await ctx.services.directory.people(row["engagement_id"] for row in shown)
    items = [
        NamedKeeperOut(
            engagement_id=row["engagement_id"],
            person=person_ref(people[row["engagement_id"]]),
            named_at=row["named_at"],
        )
        for row in shown
    ]
    return KeepersOut(items=items, next_cursor=cursor)


@router.post("/organisations/{organisationId}/dossier-keepers", status_code=201)
@operation(Scope.ROLE, Action.DOSSIER_KEEPER_NAME, ActionCode.CREATE, Content.DIRECTORY)
async def name_dossier_keeper(ctx: RoleContext, organisation_id: OrganisationIdPath, body: KeeperIn) -> KeeperOut:
    """Name one of at most five who read what the organisation's people wrote, also when those have gone."""
    await dossiers.name(ctx.db, ctx.permit, organisation_id, body.engagement_id)
    ctx.touch(Touch("engagement", body.engagement_id))
    person = (await ctx.services.directory.people([body.engagement_id]))[body.engagement_id]
    return KeeperOut(engagement_id=body.engagement_id, person=person_ref(person))


@router.delete("/organisations/{organisationId}/dossier-keepers/{engagementId}", status_code=204)
@operation(Scope.ROLE, Action.DOSSIER_KEEPER_END, ActionCode.DELETE, Content.NONE)
async def end_dossier_keeper(
    ctx: RoleContext, organisation_id: OrganisationIdPath, engagement_id: EngagementIdPath
) -> None:
    """Let somebody keep the dossiers no longer."""
    await dossiers.end(ctx.db, ctx.permit, organisation_id, engagement_id)
    ctx.touch(Touch("engagement", engagement_id))


@router.get("/dossier-contributions")
@operation(Scope.ROLE, Action.DOSSIER_READ, ActionCode.READ, Content.CASE)
async def list_dossier_contributions(ctx: RoleContext, query: ContributionsQuery) -> ContributionsOut:
    """List what the people of one's organisation wrote, newest first; for its dossier keepers, each look logged."""
    await dossiers.require_keeper(ctx.db, ctx.permit)
    label = f"dossier-contributions:{query.case_id}"
    found = await threads.dossier(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        case_id=query.case_id,
        before=before(ctx, query.cursor, label),
        limit=query.limit + 1,
    )
    shown = found[: query.limit]
    ctx.touch(
        *(
            Touch(
                "message",
                one.id,
                CaseId(one.case_id),
                one.patient_id,
                one.category,
                one.domain,
                ground=Ground.AUTHOR,
            )
            for one in shown
        )
    )
    cursor = next_cursor(ctx, shown[-1].at, shown[-1].id, label) if len(found) > query.limit else None
    people = await ctx.services.directory.people(one.author for one in shown)
    return ContributionsOut(items=contribution_outs(shown, people), next_cursor=cursor)
