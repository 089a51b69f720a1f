"""Reports of unsafety by the steps of the meldcode, for the colleagues of whoever suspects it and for nobody else."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from app.access.vocabulary import Action, Category
from app.api.bodies import Body, Text, unfit
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, before, next_cursor
from app.audit.records import ActionCode
from app.core.ids import PatientId
from app.safety.reports import service as reports
from app.safety.reports.service import ReportInfo

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["safety"])

ReportIdPath = Annotated[UUID, Path(alias="reportId", description="The report of unsafety.")]
WORDS = Text(1, 8000)


class SafetyReportIn(Body):
    """About whom, and the signals: the first step."""

    patient_id: UUID
    signals: Annotated[str, WORDS]


class ConsultationIn(Body):
    """The second step: asking a colleague or Veilig Thuis for advice."""

    step: Literal["consultation"]
    text: Annotated[str, WORDS]
    consulted_with: Literal["colleague", "veilig-thuis"]


class TalkIn(Body):
    """The third step: talking with the person, or why that could not be done."""

    step: Literal["talk"]
    text: Annotated[str, WORDS]
    talked: bool


class WeighingIn(Body):
    """The fourth step: weighing what is known."""

    step: Literal["weighing"]
    text: Annotated[str, WORDS]


class QuestionsIn(Body):
    """The five weighing questions, all of them."""

    suspicion: bool
    unsafe: bool
    able_to_help: bool
    help_accepted: bool
    lasting_safety: bool


class DecisionStepIn(Body):
    """The fifth step: deciding by five questions. Who reports without telling the person says why."""

    step: Literal["decision"]
    text: Annotated[str, WORDS]
    questions: QuestionsIn
    reported: bool
    patient_informed: bool
    not_informed_reason: Annotated[str, WORDS] | None = None

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if (self.reported and not self.patient_informed) != (self.not_informed_reason is not None):
            raise unfit("reason-mismatch", "A report that the person was not told of says why, and no other.")
        return self


class SafetyStepIn(Body):
    """The next step of a report."""

    taken: Annotated[ConsultationIn | TalkIn | WeighingIn | DecisionStepIn, Field(discriminator="step")]


class QuestionsOut(Out):
    """The answers to the five weighing questions."""

    suspicion: bool
    unsafe: bool
    able_to_help: bool
    help_accepted: bool
    lasting_safety: bool


class SafetyStepOut(Out):
    """A step as it was taken; what belongs to other steps is absent."""

    step: str
    text: str
    consulted_with: str | None = None
    talked: bool | None = None
    questions: QuestionsOut | None = None
    reported: bool | None = None
    patient_informed: bool | None = None
    not_informed_reason: str | None = None
    recorded_by: AuthorRef
    recorded_at: At


class SafetyReportOut(Out):
    """A report with the steps taken so far."""

    id: UUID
    patient_id: UUID
    recorded_by: AuthorRef
    recorded_at: At
    steps: list[SafetyStepOut]


class SafetyReportsOut(Out):
    """One's own organisation's reports in a case, newest first."""

    items: list[SafetyReportOut]
    next_cursor: str | None


async def _outs(ctx: CaseContext, found: list[ReportInfo]) -> list[SafetyReportOut]:
    people = await ctx.services.directory.people(
        author for one in found for author in (one.recorded_by, *(step.recorded_by for step in one.steps))
    )
    ctx.touch(
        *(
            case_touch(
                ctx.permit,
                "safety-report",
                one.id,
                patient_id=PatientId(one.patient_id),
                category=Category.SAFETY_MELDCODE,
            )
            for one in found
        )
    )
    return [
        SafetyReportOut(
            id=one.id,
            patient_id=one.patient_id,
            recorded_by=author_ref(people, one.recorded_by),
            recorded_at=one.recorded_at,
            steps=[
                SafetyStepOut(
                    step=step.step,
                    recorded_by=author_ref(people, step.recorded_by),
                    recorded_at=step.recorded_at,
                    **step.body,
                )
                for step in one.steps
            ],
        )
        for one in found
    ]


async def render_report(ctx: CaseContext, report_id: UUID) -> SafetyReportOut:
    """Return a report that was recorded."""
    return (await _outs(ctx, [await reports.report(ctx.db, ctx.permit, ctx.crypto, report_id)]))[0]


@router.post("/cases/{caseId}/safety-reports", status_code=201)
@operation(
    Scope.CASE, Action.SAFETY_REPORT_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_report
)
async def open_safety_report(ctx: CaseContext, case_id: CaseIdPath, body: SafetyReportIn) -> SafetyReportOut:
    """Record the signals that somebody is not safe. Only one's own organisation learns that there is a report."""
    await reports.open_report(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        report_id=ctx.resource_id,
        patient_id=body.patient_id,
        signals=body.signals,
    )
    return await render_report(ctx, ctx.resource_id)


@router.post("/cases/{caseId}/safety-reports/{reportId}/steps", status_code=201)
@operation(
    Scope.CASE, Action.SAFETY_REPORT_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_report
)
async def take_safety_step(
    ctx: CaseContext, case_id: CaseIdPath, report_id: ReportIdPath, body: SafetyStepIn
) -> SafetyReportOut:
    """Record the next of the five steps; each rests on the one before it."""
    ctx.resource_id = report_id
    taken: dict[str, Any] = body.taken.model_dump(mode="json", exclude={"step"}, exclude_none=True)
    await reports.take_step(ctx.db, ctx.permit, ctx.crypto, report_id, step=body.taken.step, body=taken)
    return await render_report(ctx, report_id)


@router.get("/cases/{caseId}/safety-reports")
@operation(Scope.CASE, Action.SAFETY_REPORT_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_safety_reports(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> SafetyReportsOut:
    """List the reports of one's own organisation about people of whom one sees something, newest first."""
    label = f"safety-reports:{case_id}"
    found = await reports.reports(
        ctx.db, ctx.permit, ctx.crypto, before=before(ctx, query.cursor, label), limit=query.limit + 1
    )
    shown = found[: query.limit]
    cursor = next_cursor(ctx, shown[-1].recorded_at, shown[-1].id, label) if len(found) > query.limit else None
    return SafetyReportsOut(items=await _outs(ctx, shown), next_cursor=cursor)
