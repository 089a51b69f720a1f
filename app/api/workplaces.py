"""Registered workplaces of one's organisation."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from app.access.vocabulary import Action
from app.api.bodies import Body, Text
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, PageQuery, page_of
from app.audit.records import ActionCode, Touch
from app.identity.factors import workplaces
from app.identity.factors.workplaces import NAME_CHARS_MAX, WorkplaceInfo

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["workplaces"])


class WorkplaceIn(Body):
    """What people call it."""

    name: Annotated[str, Text(1, NAME_CHARS_MAX)]


class WorkplaceOut(Out):
    """A computer where the screen locks after ten minutes and one factor opens it again."""

    id: UUID
    name: str
    created_at: At


class NewWorkplaceOut(WorkplaceOut):
    """A workplace that was registered just now, with the key that is kept on it; shown once."""

    key: str


class WorkplacesOut(Out):
    """The registered workplaces of one's organisation, newest first."""

    items: list[WorkplaceOut]
    next_cursor: str | None


def _out(workplace: WorkplaceInfo) -> WorkplaceOut:
    return WorkplaceOut(id=workplace.id, name=workplace.name, created_at=workplace.created_at)


@router.post("/workplaces", status_code=201)
@operation(Scope.ROLE, Action.WORKPLACE_REGISTER, ActionCode.CREATE, Content.NONE)
async def register_workplace(ctx: RoleContext, body: WorkplaceIn) -> NewWorkplaceOut:
    """Register a workplace of one's organisation; a retry registers another, whose key is the one that was shown."""
    made, key = await workplaces.register(
        ctx.db, ctx.permit, ctx.crypto.digests, name=body.name, workplace_id=ctx.resource_id
    )
    ctx.touch(Touch("workplace", made.id))
    return NewWorkplaceOut(id=made.id, name=made.name, created_at=made.created_at, key=key)


@router.get("/workplaces")
@operation(Scope.ROLE, Action.WORKPLACE_LIST, ActionCode.READ, Content.NONE)
async def list_workplaces(ctx: RoleContext, query: PageQuery) -> WorkplacesOut:
    """List the registered workplaces of one's organisation."""
    found = await workplaces.list_workplaces(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, found, query, "workplaces", lambda workplace: workplace.id)
    return WorkplacesOut(items=[_out(workplace) for workplace in shown], next_cursor=cursor)


@router.delete("/workplaces/{workplaceId}", status_code=204)
@operation(Scope.ROLE, Action.WORKPLACE_END, ActionCode.DELETE, Content.NONE)
async def end_workplace(
    ctx: RoleContext, workplace_id: Annotated[UUID, Path(alias="workplaceId", description="The workplace.")]
) -> None:
    """End a workplace: its key opens nothing more, and the sessions there end."""
    ctx.ended_sessions.update(await workplaces.end(ctx.db, ctx.permit, workplace_id))
    ctx.touch(Touch("workplace", workplace_id))
