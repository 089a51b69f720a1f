"""When somebody dies: recording it, undoing a mistake, and what is asked of the file afterwards."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import Action
from app.api.bodies import Body, Day, Text
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, before, next_cursor, page_of
from app.audit.records import ActionCode
from app.core.ids import PatientId
from app.entitlement import deaths
from app.entitlement.deaths import InspectionGround
from app.entitlement.rules import CLOSING_ROUND

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["deaths"])

DeathIdPath = Annotated[UUID, Path(alias="deathId", description="The recorded death.")]


class DeathIn(Body):
    """Who died, and on which day."""

    patient_id: UUID
    died_on: Day


class UndoingIn(Body):
    """Why it was a mistake; the text is sealed."""

    reason: Annotated[str, Text(1, 2000)]


class UndoneOut(Out):
    """Who undid it, when and why."""

    by: AuthorRef
    at: At
    reason: str | None


class DeathOut(Out):
    """A recorded death. Professionals round off until ``closesAt``; it is ``undone`` when it was a mistake."""

    id: UUID
    patient_id: UUID
    died_on: date
    recorded_by: AuthorRef
    recorded_at: At
    closes_at: At
    undone: UndoneOut | None


class DeathsOut(Out):
    """Recorded deaths, newest first."""

    items: list[DeathOut]
    next_cursor: str | None


class AfterDeathRequestIn(Body):
    """Who asks to see something of somebody who died, on which ground, and what is decided.

    ``given`` says what of the file was given; null refuses. The texts are sealed.
    """

    patient_id: UUID
    requester: Annotated[str, Text(1, 500)]
    ground: InspectionGround
    reason: Annotated[str, Text(1, 2000)]
    given: Annotated[str, Text(1, 2000)] | None = None


class AfterDeathRequestOut(Out):
    """A request after death, and what was decided."""

    id: UUID
    patient_id: UUID
    requester: str
    ground: InspectionGround
    granted: bool
    reason: str
    given: str | None
    decided_by: AuthorRef
    decided_at: At


class AfterDeathRequestsOut(Out):
    """Requests after death, newest first."""

    items: list[AfterDeathRequestOut]
    next_cursor: str | None


async def _death(ctx: CaseContext, row: RowMapping) -> DeathOut:
    named = [row["recorded_by_engagement_id"], row["undone_by_engagement_id"]]
    people = await ctx.services.directory.people(one for one in named if one is not None)
    texts = await deaths.open_texts(ctx.permit, ctx.crypto, row, table="death")
    ctx.touch(case_touch(ctx.permit, "death", row["id"], patient_id=PatientId(row["patient_id"])))
    undone = None
    if row["undone_at"] is not None:
        by = author_ref(people, row["undone_by_engagement_id"])
        undone = UndoneOut(by=by, at=row["undone_at"], reason=texts["undo_reason_sealed"])
    return DeathOut(
        id=row["id"],
        patient_id=row["patient_id"],
        died_on=row["died_on"],
        recorded_by=author_ref(people, row["recorded_by_engagement_id"]),
        recorded_at=row["recorded_at"],
        closes_at=row["recorded_at"] + CLOSING_ROUND,
        undone=undone,
    )


async def render_death(ctx: CaseContext, death_id: UUID) -> DeathOut:
    """Return one recorded death."""
    return await _death(ctx, await deaths.find(ctx.db, ctx.permit, death_id))


@router.post("/cases/{caseId}/deaths", status_code=201)
@operation(Scope.CASE, Action.DEATH_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_death)
async def record_death(ctx: CaseContext, case_id: CaseIdPath, body: DeathIn) -> DeathOut:
    """Record that somebody died. It closes at once for them and theirs, after thirty days for everybody.

    Letters and reminders stop. Of other cases about the same person their managers are told, and record it there.
    """
    await deaths.record_death(
        ctx.db, ctx.permit, death_id=ctx.resource_id, patient_id=body.patient_id, died_on=body.died_on
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_death(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/deaths")
@operation(Scope.CASE, Action.DEATH_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_deaths(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> DeathsOut:
    """List the recorded deaths of a case, those undone included."""
    rows = await deaths.deaths(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, rows, query, f"deaths:{case_id}", lambda row: row["id"])
    return DeathsOut(items=[await _death(ctx, row) for row in shown], next_cursor=cursor)


@router.post("/cases/{caseId}/deaths/{deathId}/undoing", status_code=201)
@operation(Scope.CASE, Action.DEATH_UNDO, ActionCode.UPDATE, Content.CASE, entity=CASE, replay=render_death)
async def undo_death(ctx: CaseContext, case_id: CaseIdPath, death_id: DeathIdPath, body: UndoingIn) -> DeathOut:
    """Undo a death that somebody else recorded by mistake, within the closing round."""
    ctx.resource_id = death_id
    await deaths.undo_death(ctx.db, ctx.permit, ctx.crypto, death_id=death_id, reason=body.reason)
    ctx.moved.add(ctx.permit.case_id)
    return await render_death(ctx, death_id)


async def _request(ctx: CaseContext, row: RowMapping) -> AfterDeathRequestOut:
    people = await ctx.services.directory.people([row["recorded_by_engagement_id"]])
    texts = await deaths.open_texts(ctx.permit, ctx.crypto, row, table="after_death_request")
    ctx.touch(case_touch(ctx.permit, "after-death-request", row["id"], patient_id=PatientId(row["patient_id"])))
    return AfterDeathRequestOut(
        id=row["id"],
        patient_id=row["patient_id"],
        requester=texts["requester_sealed"] or "",
        ground=row["ground"],
        granted=row["granted"],
        reason=texts["reason_sealed"] or "",
        given=texts["given_sealed"],
        decided_by=author_ref(people, row["recorded_by_engagement_id"]),
        decided_at=row["recorded_at"],
    )


async def render_request(ctx: CaseContext, request_id: UUID) -> AfterDeathRequestOut:
    """Return one request after death."""
    return await _request(ctx, await deaths.find_request(ctx.db, ctx.permit, request_id))


@router.post("/cases/{caseId}/after-death-requests", status_code=201)
@operation(Scope.CASE, Action.AFTER_DEATH_DECIDE, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_request)
async def decide_after_death_request(
    ctx: CaseContext, case_id: CaseIdPath, body: AfterDeathRequestIn
) -> AfterDeathRequestOut:
    """Record who asked to see something after a death, and what the case manager decided; it opens nothing."""
    request = deaths.Request(body.patient_id, body.requester, body.ground, body.reason, body.given)
    await deaths.decide_request(ctx.db, ctx.permit, ctx.crypto, ctx.resource_id, request)
    return await render_request(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/after-death-requests")
@operation(Scope.CASE, Action.AFTER_DEATH_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_after_death_requests(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> AfterDeathRequestsOut:
    """List what was asked after deaths in this case; for its manager."""
    label = f"after-death-requests:{case_id}"
    rows = list(
        await deaths.requests(ctx.db, ctx.permit, before=before(ctx, query.cursor, label), limit=query.limit + 1)
    )
    shown = rows[: query.limit]
    cursor = next_cursor(ctx, shown[-1]["recorded_at"], shown[-1]["id"], label) if len(rows) > query.limit else None
    return AfterDeathRequestsOut(items=[await _request(ctx, row) for row in shown], next_cursor=cursor)
