"""What a citizen says of one person at the table, and what is opened for one: exclusions, objections, openings."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import Action, Category
from app.api.bodies import Body, Instant, Text
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, before, next_cursor
from app.audit.records import ActionCode
from app.consent.grounds_model import Exclusion, Objection, Opening
from app.core.ids import PatientId
from app.entitlement import per_person
from app.entitlement.per_person import Common

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["per person"])

Recorded = type[Exclusion] | type[Objection] | type[Opening]

ExclusionIdPath = Annotated[UUID, Path(alias="exclusionId", description="The exclusion.")]
ObjectionIdPath = Annotated[UUID, Path(alias="objectionId", description="The objection.")]
OpeningIdPath = Annotated[UUID, Path(alias="openingId", description="The opening.")]


class ExclusionIn(Body):
    """Who is not to see anything of whom; at the table or not."""

    patient_id: UUID
    account_id: UUID


class ObjectionIn(Body):
    """What one member is not to see by treatment; without categories all of it."""

    patient_id: UUID
    member_id: UUID
    categories: Annotated[list[Category], Field(min_length=1, max_length=len(Category))] | None = None


class OpeningIn(Body):
    """Which closed category is opened for which member, and why; the reason is sealed."""

    patient_id: UUID
    member_id: UUID
    category: Category
    reason: Annotated[str, Text(1, 2000)]
    valid_until: Instant | None = None


class RecordedOut(Out):
    """In whose name something stands, since when, and when it was ended."""

    id: UUID
    patient_id: UUID
    recorded_by: AuthorRef
    recorded_at: At
    ended_at: At | None


class ExclusionOut(RecordedOut):
    """Somebody sees nothing of the citizen, whatever it would rest on, but where a life is in danger."""

    account_id: UUID


class ObjectionOut(RecordedOut):
    """What one member does not see by treatment; ``categories`` null is all of it."""

    member_id: UUID
    categories: list[Category] | None


class OpeningOut(RecordedOut):
    """A category that is open to one member who is directly involved."""

    member_id: UUID
    category: Category
    reason: str
    valid_until: At | None


class ExclusionsOut(Out):
    """Exclusions, the ended ones too, newest first."""

    items: list[ExclusionOut]
    next_cursor: str | None


class ObjectionsOut(Out):
    """Objections, the ended ones too, newest first."""

    items: list[ObjectionOut]
    next_cursor: str | None


class OpeningsOut(Out):
    """Openings, the ended ones too, newest first."""

    items: list[OpeningOut]
    next_cursor: str | None


async def _page(ctx: CaseContext, table: Recorded, query: PageQuery) -> tuple[list[RowMapping], str | None]:
    label = f"{table.__tablename__}:{ctx.permit.case_id}"
    found = await per_person.listed(
        ctx.db, ctx.permit, table, before=before(ctx, query.cursor, label), limit=query.limit + 1
    )
    shown = list(found[: query.limit])
    cursor = None
    if len(found) > query.limit:
        cursor = next_cursor(ctx, shown[-1]["recorded_at"], shown[-1]["id"], label)
    return shown, cursor


async def _common(ctx: CaseContext, kind: str, rows: list[RowMapping]) -> list[dict[str, object]]:
    people = await ctx.services.directory.people(row["recorded_by_engagement_id"] for row in rows)
    ctx.touch(*(case_touch(ctx.permit, kind, row["id"], patient_id=PatientId(row["patient_id"])) for row in rows))
    return [
        {
            "id": row["id"],
            "patient_id": row["patient_id"],
            "recorded_by": author_ref(people, row["recorded_by_engagement_id"]),
            "recorded_at": row["recorded_at"],
            "ended_at": row["ended_at"],
        }
        for row in rows
    ]


async def _exclusions(ctx: CaseContext, rows: list[RowMapping]) -> list[ExclusionOut]:
    shared = await _common(ctx, "exclusion", rows)
    return [ExclusionOut(account_id=row["account_id"], **one) for row, one in zip(rows, shared, strict=True)]


async def _objections(ctx: CaseContext, rows: list[RowMapping]) -> list[ObjectionOut]:
    shared = await _common(ctx, "objection", rows)
    return [
        ObjectionOut(member_id=row["member_id"], categories=row["categories"], **one)
        for row, one in zip(rows, shared, strict=True)
    ]


async def _openings(ctx: CaseContext, rows: list[RowMapping]) -> list[OpeningOut]:
    shared, reasons = await _common(ctx, "opening", rows), await per_person.reasons(ctx.crypto, rows)
    return [
        OpeningOut(
            member_id=row["member_id"],
            category=row["category"],
            reason=reason,
            valid_until=row["valid_until"],
            **one,
        )
        for row, reason, one in zip(rows, reasons, shared, strict=True)
    ]


async def render_exclusion(ctx: CaseContext, row_id: UUID) -> ExclusionOut:
    """Return an exclusion that was recorded."""
    return (await _exclusions(ctx, [await per_person.find(ctx.db, ctx.permit, Exclusion, row_id)]))[0]


async def render_objection(ctx: CaseContext, row_id: UUID) -> ObjectionOut:
    """Return an objection that was recorded."""
    return (await _objections(ctx, [await per_person.find(ctx.db, ctx.permit, Objection, row_id)]))[0]


async def render_opening(ctx: CaseContext, row_id: UUID) -> OpeningOut:
    """Return an opening that was recorded."""
    return (await _openings(ctx, [await per_person.find(ctx.db, ctx.permit, Opening, row_id)]))[0]


@router.post("/cases/{caseId}/exclusions", status_code=201)
@operation(Scope.CASE, Action.EXCLUSION_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_exclusion)
async def record_exclusion(ctx: CaseContext, case_id: CaseIdPath, body: ExclusionIn) -> ExclusionOut:
    """Keep one person away from everything about a citizen, in every case, at once. Whoever is meant is not told."""
    ctx.moved |= set(
        await per_person.exclude(ctx.db, ctx.permit, Common(ctx.resource_id, body.patient_id), body.account_id)
    )
    return await render_exclusion(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/exclusions")
@operation(Scope.CASE, Action.EXCLUSION_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_exclusions(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> ExclusionsOut:
    """List who is kept away: one's own to the citizen, all to the case manager, but never to whom it is about."""
    rows, cursor = await _page(ctx, Exclusion, query)
    return ExclusionsOut(items=await _exclusions(ctx, rows), next_cursor=cursor)


@router.delete("/cases/{caseId}/exclusions/{exclusionId}", status_code=204)
@operation(Scope.CASE, Action.EXCLUSION_END, ActionCode.DELETE, Content.NONE, entity=CASE)
async def end_exclusion(ctx: CaseContext, case_id: CaseIdPath, exclusion_id: ExclusionIdPath) -> None:
    """Let somebody see again what they would see otherwise, unless another case keeps them away too."""
    row, cases = await per_person.end_exclusion(ctx.db, ctx.permit, exclusion_id)
    ctx.touch(case_touch(ctx.permit, "exclusion", exclusion_id, patient_id=PatientId(row["patient_id"])))
    ctx.moved |= set(cases)


@router.post("/cases/{caseId}/objections", status_code=201)
@operation(Scope.CASE, Action.OBJECTION_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_objection)
async def record_objection(ctx: CaseContext, case_id: CaseIdPath, body: ObjectionIn) -> ObjectionOut:
    """Close to one member what treatment opens about a citizen, all of it or by category."""
    about = Common(ctx.resource_id, body.patient_id)
    await per_person.object_to(ctx.db, ctx.permit, about, body.member_id, body.categories)
    ctx.moved.add(ctx.permit.case_id)
    return await render_objection(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/objections")
@operation(Scope.CASE, Action.OBJECTION_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_objections(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> ObjectionsOut:
    """List objections: one's own to the citizen, what one recorded to others, all to the case manager."""
    rows, cursor = await _page(ctx, Objection, query)
    return ObjectionsOut(items=await _objections(ctx, rows), next_cursor=cursor)


@router.delete("/cases/{caseId}/objections/{objectionId}", status_code=204)
@operation(Scope.CASE, Action.OBJECTION_END, ActionCode.DELETE, Content.NONE, entity=CASE)
async def end_objection(ctx: CaseContext, case_id: CaseIdPath, objection_id: ObjectionIdPath) -> None:
    """Take an objection back."""
    await _end(ctx, Objection, objection_id)


@router.post("/cases/{caseId}/openings", status_code=201)
@operation(Scope.CASE, Action.OPENING_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_opening)
async def record_opening(ctx: CaseContext, case_id: CaseIdPath, body: OpeningIn) -> OpeningOut:
    """Open mental health, addiction or advance care planning to one member who is directly involved."""
    await per_person.open_for(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        Common(ctx.resource_id, body.patient_id),
        member_id=body.member_id,
        category=body.category,
        reason=body.reason,
        valid_until=body.valid_until,
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_opening(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/openings")
@operation(Scope.CASE, Action.OPENING_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_openings(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> OpeningsOut:
    """List what was opened for one member: to the citizen, the case manager, who opened it and for whom it is."""
    rows, cursor = await _page(ctx, Opening, query)
    return OpeningsOut(items=await _openings(ctx, rows), next_cursor=cursor)


@router.delete("/cases/{caseId}/openings/{openingId}", status_code=204)
@operation(Scope.CASE, Action.OPENING_END, ActionCode.DELETE, Content.NONE, entity=CASE)
async def end_opening(ctx: CaseContext, case_id: CaseIdPath, opening_id: OpeningIdPath) -> None:
    """Close again what was opened for one member."""
    await _end(ctx, Opening, opening_id)


async def _end(ctx: CaseContext, table: type[Objection] | type[Opening], row_id: UUID) -> None:
    row = await per_person.end(ctx.db, ctx.permit, table, row_id)
    ctx.touch(case_touch(ctx.permit, str(table.__tablename__), row_id, patient_id=PatientId(row["patient_id"])))
    ctx.moved.add(ctx.permit.case_id)
