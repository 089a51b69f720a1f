"""Sessions: which there are, ending and locking them, and carrying one on with other tokens."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path

from app.access.vocabulary import Acr, Action, Role
from app.api.bodies import Body, Text
from app.api.cookies import CLEARED
from app.api.deps import Context, PublicContext, RoleContext, SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, OrganisationRef, PageQuery, page_of, person_ref
from app.api.signing_in import SignedInOut, signed_in_out
from app.audit.records import ActionCode, Touch
from app.core.ids import EngagementId
from app.identity import carrying_on
from app.identity import service as identity
from app.identity.service import SessionInfo
from app.identity.sessions import Method

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["identity"])

REFRESH_TOKEN_CHARS_MAX = 512
OPEN: dict[str, Any] = {"security": []}
NO_TOKEN: dict[int | str, dict[str, Any]] = {401: {"description": "The refresh token is not valid."}}

SessionIdPath = Annotated[UUID, Path(alias="sessionId", description="The session.")]
AccountIdPath = Annotated[UUID, Path(alias="accountId", description="The account.")]


class SessionEngagementOut(Out):
    """In which engagement a session was last."""

    id: UUID
    role: Role
    organisation: OrganisationRef | None


class SessionOut(Out):
    """A signed-in device: how it signed in, and where."""

    id: UUID
    method: Method
    acr: Acr
    engagement: SessionEngagementOut
    workplace_id: UUID | None
    created_at: At
    expires_at: At
    current: bool


class SessionsOut(Out):
    """Live sessions, newest first."""

    items: list[SessionOut]
    next_cursor: str | None


class EngagementSwitchIn(Body):
    """In which of one's own engagements to go on."""

    engagement_id: UUID


class TokenRefreshIn(Body):
    """The refresh token that the last sign-in, switch or refresh gave; it works once."""

    refresh_token: Annotated[str, Text(1, REFRESH_TOKEN_CHARS_MAX)]


@router.get("/sessions")
@operation(Scope.SELF, Action.SESSION_LIST, ActionCode.READ, Content.NONE)
async def list_sessions(ctx: SelfContext, query: PageQuery) -> SessionsOut:
    """List one's own signed-in devices, newest first."""
    return await _page(ctx, await identity.list_sessions(ctx.db, ctx.permit), query, "sessions")


@router.delete("/sessions/current", status_code=204)
@operation(Scope.SELF, Action.SESSION_END, ActionCode.DELETE, Content.NONE)
async def end_current_session(ctx: SelfContext) -> None:
    """Sign out: this session's tokens and cookie fail from the next request on, and its sockets close."""
    await _end(ctx, ctx.actor.login_session_id)


@router.post("/sessions/current/lock", status_code=204)
@operation(Scope.SELF, Action.SESSION_LOCK, ActionCode.UPDATE, Content.NONE)
async def lock_current_session(ctx: SelfContext) -> None:
    """Lock the screen: until a factor is shown the session does nothing but end, and its sockets close."""
    await identity.lock_session(ctx.db, ctx.permit)
    ctx.ended_sessions.add(ctx.actor.login_session_id)
    ctx.touch(Touch("session", ctx.actor.login_session_id))


@router.delete("/sessions/{sessionId}", status_code=204)
@operation(Scope.SELF, Action.SESSION_END, ActionCode.DELETE, Content.NONE)
async def end_session(ctx: SelfContext, session_id: SessionIdPath) -> None:
    """Sign out another device of one's own."""
    await _end(ctx, session_id)


async def _end(ctx: SelfContext, session_id: UUID) -> None:
    await identity.end_session(ctx.db, ctx.permit, session_id)
    ctx.ended_sessions.add(session_id)
    ctx.touch(Touch("session", session_id))
    if ctx.browser is not None and session_id == ctx.actor.login_session_id:
        ctx.cookies.append(CLEARED)


@router.get("/accounts/{accountId}/sessions")
@operation(Scope.ROLE, Action.SESSION_LIST_OTHER, ActionCode.READ, Content.DIRECTORY)
async def list_account_sessions(ctx: RoleContext, account_id: AccountIdPath, query: PageQuery) -> SessionsOut:
    """List the signed-in devices of somebody else: of one's own people, or of anybody for the region."""
    sessions = await identity.list_sessions_of(ctx.db, ctx.permit, account_id)
    ctx.touch(Touch("account", account_id))
    return await _page(ctx, sessions, query, f"sessions:{account_id}")


@router.delete("/accounts/{accountId}/sessions/{sessionId}", status_code=204)
@operation(Scope.ROLE, Action.SESSION_END_OTHER, ActionCode.DELETE, Content.NONE)
async def end_account_session(ctx: RoleContext, account_id: AccountIdPath, session_id: SessionIdPath) -> None:
    """Sign out a device of somebody else, likewise; its sockets close."""
    await identity.end_session_of(ctx.db, ctx.permit, account_id, session_id)
    ctx.ended_sessions.add(session_id)
    ctx.touch(Touch("session", session_id))


async def _page(ctx: Context[Any], sessions: Sequence[SessionInfo], query: PageQuery, label: str) -> SessionsOut:
    shown, cursor = page_of(ctx, sessions, query, label, lambda session: session.id)
    people = await ctx.services.directory.people({session.engagement_id for session in shown})
    items = []
    for session in shown:
        person = person_ref(people[session.engagement_id])
        items.append(
            SessionOut(
                id=session.id,
                method=session.method,
                acr=session.acr,
                engagement=SessionEngagementOut(
                    id=session.engagement_id, role=person.role, organisation=person.organisation
                ),
                workplace_id=session.workplace_id,
                created_at=session.created_at,
                expires_at=session.expires_at,
                current=session.id == ctx.actor.login_session_id,
            )
        )
    return SessionsOut(items=items, next_cursor=cursor)


@router.post("/engagement-switches", status_code=201)
@operation(Scope.SELF, Action.SESSION_SWITCH, ActionCode.EXECUTE, Content.DIRECTORY)
async def switch_engagement(ctx: SelfContext, body: EngagementSwitchIn) -> SignedInOut:
    """Go on in another of one's own engagements, without signing in again.

    A program gets further tokens and keeps those it has, so that two windows can act in two capacities. A browser
    acts in one at a time: it gets another cookie and ``csrfToken``, and its sockets close.
    """
    switched = await carrying_on.switch(
        ctx.db,
        ctx.permit,
        EngagementId(body.engagement_id),
        browser=None if ctx.browser is None else ctx.browser.digest,
        issuer=ctx.services.issuer,
        digests=ctx.crypto.digests,
    )
    if ctx.browser is not None:
        ctx.ended_sessions.add(switched.session_id)
    ctx.touch(Touch("engagement", switched.engagement_id))
    return await signed_in_out(ctx, switched)


@router.post("/token-refreshes", status_code=201, openapi_extra=OPEN, responses=NO_TOKEN)
@operation(Scope.PUBLIC, Action.TOKEN_REFRESH, ActionCode.EXECUTE, Content.NONE)
async def refresh_token(ctx: PublicContext, body: TokenRefreshIn) -> SignedInOut:
    """Get the next access token, and the next refresh token: this one is used up.

    Using one a second time ends its session.
    """
    services = ctx.services
    refreshed = await carrying_on.refresh(
        services.database,
        services.clock,
        body.refresh_token,
        issuer=services.issuer,
        digests=services.crypto.digests,
        origin=ctx.origin,
        source=services.settings.audit_source,
        after_commit=services.after_commit,
    )
    return await signed_in_out(ctx, refreshed)
