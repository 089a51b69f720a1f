"""Who is signed in, in which engagement and sessions; organisations and the people one can invite."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field

from app.access.vocabulary import Action, Domain, Law, Role
from app.api.deps import RoleContext, SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, OrganisationRef, PageQuery, PersonRef, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.identity import service as identity

router = APIRouter(prefix="/api/v1", route_class=OperationRoute)


class EngagementOut(Out):
    """In what capacity one acts in this request."""

    id: UUID
    role: Role
    speciality: str | None
    domain: Domain | None
    law: Law | None
    organisation: OrganisationRef | None
    responsible_account_id: UUID | None


class MeOut(Out):
    """Oneself, in exactly one engagement."""

    id: UUID
    name: str
    role: Role
    organisation: OrganisationRef | None
    engagement: EngagementOut


class SessionOut(Out):
    """A signed-in device of one's own."""

    id: UUID
    acr: str
    created_at: At
    expires_at: At
    current: bool


class SessionsOut(Out):
    """One's own live sessions, newest first."""

    items: list[SessionOut]
    next_cursor: str | None


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
    """Say who one is and in which engagement this request acts."""
    person = (await ctx.services.directory.people([ctx.actor.engagement_id]))[ctx.actor.engagement_id]
    ref = person_ref(person)
    return MeOut(
        id=ref.id,
        name=ref.name,
        role=ref.role,
        organisation=ref.organisation,
        engagement=EngagementOut(
            id=ctx.actor.engagement_id,
            role=ctx.actor.role,
            speciality=ctx.actor.speciality,
            domain=ctx.actor.domain,
            law=ctx.actor.law,
            organisation=ref.organisation,
            responsible_account_id=ctx.actor.responsible_account_id,
        ),
    )


@router.get("/sessions", tags=["identity"])
@operation(Scope.SELF, Action.SESSION_LIST, ActionCode.READ, Content.NONE)
async def list_sessions(ctx: SelfContext, query: PageQuery) -> SessionsOut:
    """List one's own signed-in devices, newest first."""
    sessions = await identity.list_sessions(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, sessions, query, "sessions", lambda session: session.id)
    items = [
        SessionOut(
            id=session.id,
            acr=session.acr,
            created_at=session.created_at,
            expires_at=session.expires_at,
            current=session.id == ctx.actor.login_session_id,
        )
        for session in shown
    ]
    return SessionsOut(items=items, next_cursor=cursor)


@router.delete("/sessions/current", status_code=204, tags=["identity"])
@operation(Scope.SELF, Action.SESSION_END, ActionCode.DELETE, Content.NONE)
async def end_current_session(ctx: SelfContext) -> None:
    """Sign out: this session's tokens fail from the next request on, and its sockets close."""
    await _end(ctx, ctx.actor.login_session_id)


@router.delete("/sessions/{sessionId}", status_code=204, tags=["identity"])
@operation(Scope.SELF, Action.SESSION_END, ActionCode.DELETE, Content.NONE)
async def end_session(
    ctx: SelfContext, session_id: Annotated[UUID, Path(alias="sessionId", description="The session.")]
) -> None:
    """Sign out another device of one's own."""
    await _end(ctx, session_id)


async def _end(ctx: SelfContext, session_id: UUID) -> None:
    await identity.end_session(ctx.db, ctx.permit, session_id)
    ctx.ended_sessions.add(session_id)
    ctx.touch(Touch("session", session_id))


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
