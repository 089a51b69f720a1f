"""Breaking the glass: what one sees in an emergency without consent, who confirms it, and who reviews it."""

import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import Action, EmergencyReason, Ground
from app.api.bodies import Body, Instant, Text
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.patients import passes_eleven_test
from app.api.schemas import At, PageQuery, PersonRef, before, next_cursor, person_ref
from app.audit.records import ActionCode, Touch
from app.core.ids import CaseId, PatientId
from app.entitlement import emergencies
from app.entitlement.emergencies import EMERGENCY
from app.identity.look_ups import count_look_up

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["break-glass"])

BreakGlassIdPath = Annotated[UUID, Path(alias="breakGlassId", description="The emergency.")]
Answer = Annotated[str, Text(1, 2000)]


class SixTestsIn(Body):
    """What whoever sets secrecy aside answers for (R-17)."""

    consent_tried: Answer
    silence_harms: Answer
    moral_distress: Answer
    no_other_way: Answer
    breach_prevents_harm: Answer
    as_small_as_possible: Answer


class NoticeDelayIn(Body):
    """Until when the citizen is not told, at most 30 days, and why."""

    until: Instant
    reason: Annotated[str, Text(1, 2000)]


class BreakGlassIn(Body):
    """About whom, and why; the texts are sealed. ``sixTests`` go with a conflict of duties, and only with that."""

    bsn: Annotated[str, Field(pattern=r"^[0-9]{8,9}$"), AfterValidator(passes_eleven_test)]
    reason_code: EmergencyReason
    reason: Annotated[str, Text(10, 2000)]
    six_tests: SixTestsIn | None = None
    notice_delay: NoticeDelayIn | None = None


class ReviewIn(Body):
    """What a reviewer says."""

    verdict: Literal["justified", "not-justified"]
    remarks: Annotated[str, Text(1, 2000)]


class State(StrEnum):
    """Waiting for a second person, open, or over; ``lapsed`` when nobody confirmed it in time."""

    WAITING = "waiting"
    OPEN = "open"
    ENDED = "ended"
    LAPSED = "lapsed"


class OpenedOut(Out):
    """A case that it opened, and about whom."""

    case_id: UUID
    patient_id: UUID


class SixTestsOut(Out):
    """What whoever set secrecy aside answered."""

    consent_tried: str
    silence_harms: str
    moral_distress: str
    no_other_way: str
    breach_prevents_harm: str
    as_small_as_possible: str


class ReviewOut(Out):
    """What a reviewer said, and when; ``remarks`` are null for whom the emergency only concerns."""

    verdict: str
    remarks: str | None
    by: PersonRef
    at: At


class BreakGlassOut(Out):
    """Somebody broke the glass.

    No case means that nothing was opened: nobody has this BSN, no case is open, or it may not be. The texts are null
    for whom the emergency only concerns.
    """

    id: UUID
    by: PersonRef
    at: At
    reason_code: EmergencyReason
    reason: str | None
    six_tests: SixTestsOut | None
    state: State
    needs_second_person: bool
    confirmed_by: PersonRef | None
    started_at: At | None
    valid_until: At | None
    ended_at: At | None
    cases: list[OpenedOut]
    citizen_told_from: At
    notice_delay_reason: str | None
    review_due_at: At
    overdue: bool
    review: ReviewOut | None


class BreakGlassesOut(Out):
    """Emergencies, newest first."""

    items: list[BreakGlassOut]
    next_cursor: str | None


class BreakGlassQuery(PageQuery):
    """Which emergencies: all, or those that nobody reviewed yet."""

    to_review: bool = False


def _state(row: RowMapping, now: datetime) -> State:
    if row["started_at"] is None:
        waits = row["ended_at"] is None and row["created_at"] + EMERGENCY > now
        return State.WAITING if waits else State.LAPSED
    return State.OPEN if row["ended_at"] is None and row["valid_until"] > now else State.ENDED


async def _outs(ctx: RoleContext, rows: Sequence[RowMapping]) -> list[BreakGlassOut]:
    named = ("engagement_id", "confirmed_by_engagement_id", "reviewed_by_engagement_id")
    people = await ctx.services.directory.people(row[name] for row in rows for name in named if row[name] is not None)
    texts = await emergencies.open_texts(ctx.permit, ctx.crypto, rows)

    def person(engagement_id: UUID | None) -> PersonRef | None:
        return None if engagement_id is None else person_ref(people[engagement_id])

    return [
        BreakGlassOut(
            id=row["id"],
            by=person_ref(people[row["engagement_id"]]),
            at=row["created_at"],
            reason_code=row["reason_code"],
            reason=text["reason_sealed"],
            six_tests=_six_tests(text["six_tests_sealed"]),
            state=_state(row, ctx.now),
            needs_second_person=row["needs_second"],
            confirmed_by=person(row["confirmed_by_engagement_id"]),
            started_at=row["started_at"],
            valid_until=row["valid_until"],
            ended_at=row["ended_at"],
            cases=[OpenedOut(case_id=UUID(case), patient_id=UUID(patient)) for case, patient in row["cases"]],
            citizen_told_from=row["citizen_told_from"],
            notice_delay_reason=text["delay_reason_sealed"],
            review_due_at=row["review_due_at"],
            overdue=row["reviewed_at"] is None and row["review_due_at"] <= ctx.now,
            review=_review(row, people, text["remarks_sealed"]),
        )
        for row, text in zip(rows, texts, strict=True)
    ]


def _six_tests(text: str | None) -> SixTestsOut | None:
    return None if text is None else SixTestsOut(**json.loads(text))


def _review(row: RowMapping, people: Any, remarks: str | None) -> ReviewOut | None:
    if row["reviewed_at"] is None:
        return None
    by = person_ref(people[row["reviewed_by_engagement_id"]])
    return ReviewOut(verdict=row["verdict"], remarks=remarks, by=by, at=row["reviewed_at"])


def _touch(ctx: RoleContext, row: RowMapping) -> None:
    """Record the emergency itself, the same whether anybody was found, and each person whom it opened anything of.

    Breaking the glass is done on that ground; to list, confirm, end or review it is not.
    """
    ground = Ground.EMERGENCY if ctx.action is Action.BREAK_GLASS_USE else None
    ctx.touch(Touch("break-glass", row["id"], ground=ground))
    for case_id, patient_id in row["cases"]:
        patient = PatientId(UUID(patient_id))
        ctx.touch(Touch("break-glass", row["id"], CaseId(UUID(case_id)), patient, ground=ground))


async def render_break_glass(ctx: RoleContext, break_glass_id: UUID) -> BreakGlassOut:
    """Return one emergency that the actor may know of."""
    row = await emergencies.find(ctx.db, ctx.permit, break_glass_id)
    _touch(ctx, row)
    return (await _outs(ctx, [row]))[0]


@router.post("/break-glass", status_code=201)
@operation(Scope.ROLE, Action.BREAK_GLASS_USE, ActionCode.EXECUTE, Content.IDENTIFICATION, replay=render_break_glass)
async def break_glass(ctx: RoleContext, body: BreakGlassIn) -> BreakGlassOut:
    """See the emergency subset of somebody for an hour, without consent; everybody concerned is told at once.

    For GPs, specialists and district nurses who showed a factor just now (``POST /reauthentications``).
    Found or not is recorded and reviewed alike. Where a review of one's own is overdue a second person confirms it
    first, but never for a threatened life.
    """
    services = ctx.services
    await count_look_up(
        services.database, ctx.actor.account_id, services.clock(), most=services.settings.limits.bsn_look_ups
    )
    emergency = emergencies.Emergency(
        bsn=body.bsn,
        reason_code=body.reason_code,
        reason=body.reason,
        six_tests=None if body.six_tests is None else body.six_tests.model_dump(),
        delay=None
        if body.notice_delay is None
        else emergencies.Delay(body.notice_delay.until, body.notice_delay.reason),
    )
    ctx.moved |= set(
        await emergencies.break_glass(
            ctx.db,
            ctx.permit,
            ctx.crypto,
            emergency,
            break_glass_id=ctx.resource_id,
            review_days=services.settings.break_glass_review_days,
        )
    )
    return await render_break_glass(ctx, ctx.resource_id)


@router.get("/break-glass")
@operation(Scope.ROLE, Action.BREAK_GLASS_LIST, ActionCode.READ, Content.IDENTIFICATION)
async def list_break_glass(ctx: RoleContext, query: BreakGlassQuery) -> BreakGlassesOut:
    """List emergencies: one's own, and those that wait for one or concern one; for privacy officers the region's."""
    label = f"break-glass:{query.to_review}"
    rows = list(
        await emergencies.listed(
            ctx.db,
            ctx.permit,
            to_review=query.to_review,
            before=before(ctx, query.cursor, label),
            limit=query.limit + 1,
        )
    )
    shown = rows[: query.limit]
    for row in shown:
        _touch(ctx, row)
    cursor = next_cursor(ctx, shown[-1]["created_at"], shown[-1]["id"], label) if len(rows) > query.limit else None
    return BreakGlassesOut(items=await _outs(ctx, shown), next_cursor=cursor)


@router.get("/break-glass/{breakGlassId}")
@operation(Scope.ROLE, Action.BREAK_GLASS_READ, ActionCode.READ, Content.IDENTIFICATION)
async def read_break_glass(ctx: RoleContext, break_glass_id: BreakGlassIdPath) -> BreakGlassOut:
    """Read one emergency."""
    return await render_break_glass(ctx, break_glass_id)


@router.post("/break-glass/{breakGlassId}/confirmation", status_code=201)
@operation(
    Scope.ROLE, Action.BREAK_GLASS_CONFIRM, ActionCode.EXECUTE, Content.IDENTIFICATION, replay=render_break_glass
)
async def confirm_break_glass(ctx: RoleContext, break_glass_id: BreakGlassIdPath) -> BreakGlassOut:
    """Confirm a colleague's emergency as the second person; the hour of whoever asked begins now."""
    ctx.resource_id = break_glass_id
    ctx.moved |= set(await emergencies.confirm(ctx.db, ctx.permit, break_glass_id))
    return await render_break_glass(ctx, break_glass_id)


@router.post("/break-glass/{breakGlassId}/ending", status_code=201)
@operation(Scope.ROLE, Action.BREAK_GLASS_END, ActionCode.UPDATE, Content.IDENTIFICATION, replay=render_break_glass)
async def end_break_glass(ctx: RoleContext, break_glass_id: BreakGlassIdPath) -> BreakGlassOut:
    """End one's own emergency before its hour is over; it closes at once, on open sockets too."""
    ctx.resource_id = break_glass_id
    ctx.moved |= set(await emergencies.end(ctx.db, ctx.permit, break_glass_id))
    return await render_break_glass(ctx, break_glass_id)


@router.post("/break-glass/{breakGlassId}/review", status_code=201)
@operation(
    Scope.ROLE, Action.BREAK_GLASS_REVIEW, ActionCode.UPDATE, Content.IDENTIFICATION, replay=render_break_glass
)
async def review_break_glass(ctx: RoleContext, break_glass_id: BreakGlassIdPath, body: ReviewIn) -> BreakGlassOut:
    """Say, as another person, whether breaking the glass was justified; of what was not, the citizen is told."""
    ctx.resource_id = break_glass_id
    ctx.moved |= set(
        await emergencies.review(
            ctx.db,
            ctx.permit,
            ctx.crypto,
            break_glass_id,
            justified=body.verdict == "justified",
            remarks=body.remarks,
        )
    )
    return await render_break_glass(ctx, break_glass_id)
