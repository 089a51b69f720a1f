"""Moving to another municipality, whose tasks are its own."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.access.vocabulary import Action
from app.api.bodies import Body, Day
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import At
from app.audit.records import ActionCode
from app.core.ids import PatientId
from app.entitlement import moving

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["members"])


class MoveIn(Body):
    """Who lives in which municipality (CBS code) from a day on."""

    patient_id: UUID
    municipality_code: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    on: Day


class MoveOut(Out):
    """A recorded move."""

    id: UUID
    patient_id: UUID
    municipality_code: str
    on: date
    recorded_at: At


async def render_move(ctx: CaseContext, move_id: UUID) -> MoveOut:
    """Return one recorded move."""
    row = await moving.find(ctx.db, ctx.permit, move_id)
    ctx.touch(case_touch(ctx.permit, "move", move_id, patient_id=PatientId(row["patient_id"])))
    return MoveOut(
        id=row["id"],
        patient_id=row["patient_id"],
        municipality_code=row["municipality_code"],
        on=row["moved_on"],
        recorded_at=row["recorded_at"],
    )


@router.post("/cases/{caseId}/moves", status_code=201)
@operation(Scope.CASE, Action.MOVE_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_move)
async def record_move(ctx: CaseContext, case_id: CaseIdPath, body: MoveIn) -> MoveOut:
    """Record that somebody moves; the public tasks of the municipality that they leave end on that day."""
    await moving.record_move(
        ctx.db,
        ctx.permit,
        move_id=ctx.resource_id,
        patient_id=body.patient_id,
        municipality_code=body.municipality_code,
        moved_on=body.on,
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_move(ctx, ctx.resource_id)
