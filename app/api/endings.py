"""Ending an employment: what has to be handed over first, and the ending itself."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field

from app.access.vocabulary import Action, CaseRole
from app.api.bodies import Body
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.audit.records import ActionCode, Touch
from app.core.errors import Fault, Invalid
from app.entitlement import ending

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["staff"])

EngagementIdPath = Annotated[UUID, Path(alias="engagementId", description="The engagement.")]
HANDED_MAX = 1000


class OwnerlessCaseOut(Out):
    """A case that needs a successor, and in which role; nothing else of it."""

    case_id: UUID
    case_role: CaseRole


class EndingPreviewOut(Out):
    """What would become ownerless: cases and practice nurses need somebody; replacements and teams just end."""

    cases: list[OwnerlessCaseOut]
    responsible_for: list[UUID]
    replacements: list[UUID]
    teams: list[UUID]


class SuccessorIn(Body):
    """Who takes over a case."""

    case_id: UUID
    engagement_id: UUID


class ResponsibleIn(Body):
    """Under whom a practice nurse works on."""

    engagement_id: UUID
    responsible_engagement_id: UUID


class EndingIn(Body):
    """A successor for each case and a responsible GP for each practice nurse of the preview."""

    successors: list[SuccessorIn] = Field(default_factory=list, max_length=HANDED_MAX)
    responsibles: list[ResponsibleIn] = Field(default_factory=list, max_length=HANDED_MAX)


class EndedOut(Out):
    """An engagement that ended, and how many cases heard of it."""

    id: UUID
    cases: int


@router.get("/engagements/{engagementId}/ending-preview")
@operation(Scope.ROLE, Action.ENGAGEMENT_PREVIEW, ActionCode.READ, Content.NONE)
async def preview_ending(ctx: RoleContext, engagement_id: EngagementIdPath) -> EndingPreviewOut:
    """List what would become ownerless if this engagement ended; ids and codes alone."""
    found = await ending.preview(ctx.db, ctx.permit, engagement_id)
    ctx.touch(Touch("engagement", engagement_id))
    return EndingPreviewOut(
        cases=[OwnerlessCaseOut(case_id=case_id, case_role=role) for case_id, role in found.cases.items()],
        responsible_for=sorted(found.responsible_for),
        replacements=list(found.replacements),
        teams=list(found.teams),
    )


@router.post("/engagements/{engagementId}/ending", status_code=201)
@operation(Scope.ROLE, Action.ENGAGEMENT_END, ActionCode.UPDATE, Content.NONE)
async def end_engagement(ctx: RoleContext, engagement_id: EngagementIdPath, body: EndingIn) -> EndedOut:
    """End an engagement at once, seats, sessions and sockets with it, after everything has somebody."""
    successors = {one.case_id: one.engagement_id for one in body.successors}
    responsibles = {one.engagement_id: one.responsible_engagement_id for one in body.responsibles}
    if len(successors) < len(body.successors) or len(responsibles) < len(body.responsibles):
        raise Invalid(Fault("", "repeated", "A case or practice nurse is named twice."))
    effects = await ending.end(ctx.db, ctx.permit, engagement_id, successors=successors, responsibles=responsibles)
    ctx.moved |= effects.cases
    ctx.ended_sessions |= effects.sessions
    ctx.touch(Touch("engagement", engagement_id))
    return EndedOut(id=engagement_id, cases=len(effects.cases))
