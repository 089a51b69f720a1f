"""Who is signed in, and in which engagement."""

from uuid import UUID

from fastapi import APIRouter

from app.access.vocabulary import Action, Role
from app.api.deps import SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import OrganisationRef, person_ref
from app.api.signing_in import EngagementOut, engagement_out
from app.audit.records import ActionCode
from app.identity import service as identity

router = APIRouter(prefix="/api/v1", route_class=OperationRoute)


class MeOut(Out):
    """Oneself, in exactly one engagement, and what else one is; ``csrfToken`` in a browser session only."""

    id: UUID
    name: str
    role: Role
    organisation: OrganisationRef | None
    engagement: EngagementOut
    engagements: list[EngagementOut]
    csrf_token: str | None = None


@router.get("/me", tags=["identity"])
@operation(Scope.SELF, Action.ME_READ, ActionCode.READ, Content.DIRECTORY)
async def read_me(ctx: SelfContext) -> MeOut:
    """Say who one is, in which engagement this request acts, and in which others one can."""
    actor = ctx.actor
    ref = person_ref((await ctx.services.directory.people([actor.engagement_id]))[actor.engagement_id])
    held = await identity.engagements_in_force(ctx.db, actor.account_id, now=ctx.now)
    said = {} if ctx.browser is None else {"csrf_token": ctx.browser.csrf_token}
    return MeOut(
        id=ref.id,
        name=ref.name,
        role=ref.role,
        organisation=ref.organisation,
        engagement=engagement_out(next(one for one in held if one.id == actor.engagement_id)),
        engagements=[engagement_out(one) for one in held],
        **said,
    )
