"""Who is signed in, and in which engagement; organisations and the people one can invite."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.access.vocabulary import Action, Role
from app.api.deps import RoleContext, SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import OrganisationRef, PageQuery, PersonRef, page_of, person_ref
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


class OrganisationOut(OrganisationRef):
    """An organisation of the region."""

    kind: str


class OrganisationsOut(Out):
    """Organisations, by name."""

    items: list[OrganisationOut]
    next_cursor: str | None


class AccountsOut(Out):
    """People who can be invited."""

    items: list[PersonRef]
    next_cursor: str | None


class AccountsQuery(PageQuery):
    """Of which organisation and role; all when absent."""

    organisation_id: UUID | None = None
    role: Annotated[Role | None, Field(description="Role class.")] = None


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


@router.get("/organisations", tags=["organisations"])
@operation(Scope.ROLE, Action.ORGANISATION_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_organisations(ctx: RoleContext, query: PageQuery) -> OrganisationsOut:
    """List the organisations of the region, by name."""
    found = await identity.list_organisations(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, found, query, "organisations", lambda organisation: organisation.id)
    items = [
        OrganisationOut(id=organisation.id, name=organisation.name, kind=organisation.kind) for organisation in shown
    ]
    return OrganisationsOut(items=items, next_cursor=cursor)


@router.get("/accounts", tags=["organisations"])
@operation(Scope.ROLE, Action.ACCOUNT_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_accounts(ctx: RoleContext, query: AccountsQuery) -> AccountsOut:
    """List the professionals one can invite; never citizens and their relatives."""
    found = await identity.list_engagements(
        ctx.db, ctx.permit, organisation_id=query.organisation_id, role=query.role
    )
    label = f"accounts:{query.organisation_id}:{query.role}"
    shown, cursor = page_of(ctx, found, query, label, lambda engagement: engagement)
    people = await ctx.services.directory.people(shown)
    return AccountsOut(items=[person_ref(people[engagement]) for engagement in shown], next_cursor=cursor)
