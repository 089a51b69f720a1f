"""Representations: recording who speaks for a patient, letting them in, ending it, withholding from a parent."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from app.access.vocabulary import Action
from app.api.activation import CodeOut
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Scope, operation
from app.api.representation_bodies import (
    RelativeCodeIn,
    RepresentationIn,
    RepresentationOut,
    RepresentationsOut,
    WithholdingIn,
    representation_outs,
    representation_touch,
)
from app.api.schemas import PageQuery, before, next_cursor
from app.audit.records import ActionCode
from app.entitlement import representing

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["representations"])

RepresentationIdPath = Annotated[UUID, Path(alias="representationId", description="The representation.")]
WithholdingIdPath = Annotated[UUID, Path(alias="withholdingId", description="What is withheld.")]


async def render_representation(ctx: CaseContext, representation_id: UUID) -> RepresentationOut:
    """Return one representation that the actor may read."""
    row = await representing.find(ctx.db, ctx.permit, representation_id)
    ctx.touch(representation_touch(ctx, row))
    return (await representation_outs(ctx, [row]))[0]


async def render_withheld(ctx: CaseContext, withholding_id: UUID) -> RepresentationOut:
    """Return the representation from which something is withheld."""
    return await render_representation(ctx, await representing.withheld_from(ctx.db, ctx.permit, withholding_id))


@router.post("/cases/{caseId}/representations", status_code=201)
@operation(
    Scope.CASE,
    Action.REPRESENTATION_RECORD,
    ActionCode.CREATE,
    Content.CASE,
    entity=CASE,
    replay=render_representation,
)
async def record_representation(ctx: CaseContext, case_id: CaseIdPath, body: RepresentationIn) -> RepresentationOut:
    """Record that somebody speaks for a patient, on evidence; they sit at the table and see what the patient sees.

    Whoever comes after them in the legal order speaks no longer.
    """
    await representing.record(ctx.db, ctx.permit, ctx.crypto, ctx.resource_id, body.claim(), body.who())
    ctx.moved.add(ctx.permit.case_id)
    return await render_representation(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/representations")
@operation(Scope.CASE, Action.REPRESENTATION_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_representations(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> RepresentationsOut:
    """List who speaks or spoke for the patients, newest first; a representative sees their own say alone."""
    label = f"representations:{case_id}"
    position = before(ctx, query.cursor, label)
    rows = await representing.listed(ctx.db, ctx.permit, before=position, limit=query.limit + 1)
    shown = rows[: query.limit]
    ctx.touch(*(representation_touch(ctx, row) for row in shown))
    more = len(rows) > query.limit
    cursor = next_cursor(ctx, shown[-1]["recorded_at"], shown[-1]["id"], label) if more else None
    return RepresentationsOut(items=await representation_outs(ctx, shown), next_cursor=cursor)


@router.post("/cases/{caseId}/representations/{representationId}/ending", status_code=204)
@operation(Scope.CASE, Action.REPRESENTATION_END, ActionCode.UPDATE, Content.NONE, entity=CASE)
async def end_representation(ctx: CaseContext, case_id: CaseIdPath, representation_id: RepresentationIdPath) -> None:
    """End a representation; what it opened closes at once, on every open socket."""
    await representing.end(ctx.db, ctx.permit, representation_id)
    ctx.moved.add(ctx.permit.case_id)
    ctx.touch(case_touch(ctx.permit, "representation", representation_id))


@router.post("/cases/{caseId}/representations/{representationId}/activation-codes", status_code=201)
@operation(Scope.CASE, Action.REPRESENTATION_RECORD, ActionCode.CREATE, Content.NONE, entity=CASE)
async def issue_representative_code(
    ctx: CaseContext, case_id: CaseIdPath, representation_id: RepresentationIdPath, body: RelativeCodeIn
) -> CodeOut:
    """Make a code for a representative who has no log-in yet: good once, for 14 days, with their birth date."""
    code, expires_at = await representing.issue_code(
        ctx.db, ctx.permit, ctx.crypto, representation_id, body.relative()
    )
    ctx.touch(case_touch(ctx.permit, "representation", representation_id))
    return CodeOut(code=code, expires_at=expires_at)


@router.post("/cases/{caseId}/representations/{representationId}/withholdings", status_code=201)
@operation(
    Scope.CASE, Action.WITHHOLDING_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_withheld
)
async def withhold(
    ctx: CaseContext, case_id: CaseIdPath, representation_id: RepresentationIdPath, body: WithholdingIn
) -> RepresentationOut:
    """Withhold categories from a parent or guardian, with a reason that they do not read."""
    await representing.withhold(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        ctx.resource_id,
        representation_id,
        categories=frozenset(body.categories) if body.categories else None,
        reason=body.reason,
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_representation(ctx, representation_id)


@router.post("/cases/{caseId}/withholdings/{withholdingId}/ending", status_code=204)
@operation(Scope.CASE, Action.WITHHOLDING_END, ActionCode.UPDATE, Content.NONE, entity=CASE)
async def end_withholding(ctx: CaseContext, case_id: CaseIdPath, withholding_id: WithholdingIdPath) -> None:
    """Withhold no longer; what it closed is open to the parent at once."""
    await representing.end_withholding(ctx.db, ctx.permit, withholding_id)
    ctx.moved.add(ctx.permit.case_id)
    ctx.touch(case_touch(ctx.permit, "withholding", withholding_id))
