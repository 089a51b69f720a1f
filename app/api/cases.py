"""Cases: opening one, listing one's own, and who may see what in it, now or at a past moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, model_validator
from sqlalchemy.engine import RowMapping

from app.access.policy import CasePermit
from app.access.vocabulary import Action, CaseRole, Category, Domain, Ground, ReasonCode
from app.api.bodies import Body, Instant, Text, unfit
from app.api.deps import CaseContext, RoleContext, SelfContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.patients import PatientOut, patient_out
from app.api.schemas import At, PageQuery, PersonRef, WholeQuery, before, next_cursor, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.cases import service as cases
from app.cases.service import CaseView, MemberView
from app.core.errors import NotFound
from app.core.ids import CaseId, PatientId
from app.entitlement import seats
from app.entitlement import service as entitlement

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["cases"])

QUESTION = Text(1, 2000)
SUBJECTS_MAX = 20


class SubjectIn(Body):
    """One person of a household, with the question about them."""

    patient_id: UUID
    question: Annotated[str, QUESTION]


class CaseIn(Body):
    """A case to open: about one person, or about a household."""

    kind: Literal["individual", "household"]
    patient_ids: Annotated[list[UUID], Field(min_length=1, max_length=1)] | None = None
    question: Annotated[str, QUESTION] | None = None
    patients: Annotated[list[SubjectIn], Field(min_length=1, max_length=SUBJECTS_MAX)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        alone = self.patient_ids is not None and self.question is not None and self.patients is None
        together = self.patient_ids is None and self.question is None and self.patients is not None
        if not (alone if self.kind == "individual" else together):
            raise unfit("kind-mismatch", "An individual case has patientIds and question, a household has patients.")
        if self.patients and len({subject.patient_id for subject in self.patients}) < len(self.patients):
            raise unfit("repeated", "A person is named twice.")
        return self

    @property
    def questions(self) -> dict[PatientId, str]:
        """The question about each person."""
        if self.patients:
            return {PatientId(subject.patient_id): subject.question for subject in self.patients}
        return {PatientId(patient_id): self.question or "" for patient_id in self.patient_ids or ()}


class MemberOut(Out):
    """Who sits at the table."""

    id: UUID
    person: PersonRef
    case_role: CaseRole
    direct_treatment: bool
    status: str
    reason_code: ReasonCode | None
    invited_by: PersonRef | None
    invited_at: At
    accepted_at: At | None


class MembershipOut(Out):
    """The viewer's own seat, or the one whose occupant the viewer stands in for."""

    member_id: UUID
    case_role: CaseRole
    direct_treatment: bool
    status: str
    invited_by: PersonRef | None


class CasePatientOut(PatientOut):
    """A subject, in a household with the question about them."""

    question: str | None = None


class CaseOut(Out):
    """A case. Without any grant one sees its kind and status and one's own membership; the rest is absent."""

    id: UUID
    kind: str
    status: str
    membership: MembershipOut
    opened_at: At | None = None
    patients: list[CasePatientOut] | None = None
    question: str | None = None
    members: list[MemberOut] | None = None


class CasesOut(Out):
    """Cases, newest first."""

    items: list[CaseOut]
    next_cursor: str | None


class CasesQuery(PageQuery):
    """Which cases."""

    status: Literal["requested", "open", "closed"] | None = None


class AccessQuery(WholeQuery):
    """At which moment; now when absent. The list comes whole unless a limit is asked for."""

    at: Instant | None = None


class AccessOut(Out):
    """One open cell: who holds it by which seat, of whom, why and until when.

    A substitute holds it by the seat of whom they stand in for, who is ``onBehalfOf``.
    """

    member_id: UUID
    person: PersonRef | None
    on_behalf_of: PersonRef | None
    patient_id: UUID
    category: Category
    domain: Domain
    may_write: bool
    ground: Ground
    consent_id: UUID | None
    valid_until: At | None


class AccessListOut(Out):
    """Every open cell that the viewer may know of."""

    items: list[AccessOut]
    next_cursor: str | None


async def member_outs(ctx: CaseContext | SelfContext | RoleContext, members: Sequence[MemberView]) -> list[MemberOut]:
    """Return members as answers show them."""
    people = await ctx.services.directory.people(
        engagement for member in members for engagement in (member.engagement_id, member.invited_by)
    )
    return [
        MemberOut(
            id=member.id,
            person=person_ref(people[member.engagement_id]),
            case_role=member.case_role,
            direct_treatment=member.direct_treatment,
            status=member.status,
            reason_code=member.reason_code,
            invited_by=person_ref(people[member.invited_by]) if member.invited_by else None,
            invited_at=member.invited_at,
            accepted_at=member.decided_at if member.status == "accepted" else None,
        )
        for member in members
    ]


async def case_outs(ctx: CaseContext | SelfContext | RoleContext, views: Sequence[CaseView]) -> list[CaseOut]:
    """Return cases as this viewer may see them; what is hidden is absent."""
    mine = ctx.actor.engagement_id
    stood_for = await entitlement.seats_stood_for(ctx.db, mine, ctx.now)
    own = {
        view.id: replace(member, case_role=CaseRole.WAARNEMER, invited_by=None)
        for view in views
        for member in view.members
        if member.id in stood_for
    }
    own |= {view.id: member for view in views for member in view.members if member.engagement_id == mine}
    inviters = await ctx.services.directory.people(member.invited_by for member in own.values())
    outs = []
    for view in views:
        seat = own.get(view.id)
        if seat is None:
            continue  # it was taken away a moment ago
        inviter = inviters.get(seat.invited_by) if seat.invited_by else None
        visible: dict[str, Any] = {}
        if view.patients:
            visible["opened_at"] = view.opened_at
            visible["patients"] = [_subject(view, patient_out(info), view.questions) for info in view.patients]
            if view.kind == "individual" and view.questions:
                visible["question"] = next(iter(view.questions.values()))
            visible["members"] = await member_outs(ctx, view.members)
        outs.append(
            CaseOut(
                id=view.id,
                kind=view.kind,
                status=view.status,
                membership=MembershipOut(
                    member_id=seat.id,
                    case_role=seat.case_role,
                    direct_treatment=seat.direct_treatment,
                    status=seat.status,
                    invited_by=person_ref(inviter) if inviter else None,
                ),
                **visible,
            )
        )
    return outs


def _subject(view: CaseView, patient: PatientOut, questions: Mapping[UUID, str]) -> CasePatientOut:
    fields = {name: getattr(patient, name) for name in PatientOut.model_fields}
    if view.kind == "household" and patient.id in questions:
        fields["question"] = questions[patient.id]
    return CasePatientOut(**fields)


def _touches(views: Sequence[CaseView]) -> list[Touch]:
    touches = []
    for view in views:
        patients: list[PatientId | None] = [info.id for info in view.patients] or [None]
        touches += [Touch("case", view.id, view.id, patient) for patient in patients]
    return touches


async def render_case(ctx: RoleContext, case_id: UUID) -> CaseOut:
    """Return a case that was opened with this request's key, under present rights."""
    entered = entitlement.Entered(ctx.actor, ctx.now)
    permit = await entitlement.case_permit(ctx.db, entered, Action.CASE_READ, "case", case_id)
    views = await cases.view(ctx.db, permit, ctx.crypto, [permit.case_id])
    ctx.touch(*_touches(views))
    return await _only(ctx, views)


@router.post("/cases", status_code=201)
@operation(Scope.ROLE, Action.CASE_OPEN, ActionCode.CREATE, Content.CASE, replay=render_case)
async def open_case(ctx: RoleContext, body: CaseIn) -> CaseOut:
    """Open a case with a question. A citizen asks for one about themselves; it opens when a professional accepts."""
    case_id = CaseId(ctx.resource_id)
    await seats.open_case(ctx.db, ctx.permit, ctx.crypto, case_id=case_id, kind=body.kind, questions=body.questions)
    ctx.moved.add(case_id)
    return await render_case(ctx, case_id)


@router.get("/cases")
@operation(Scope.SELF, Action.CASE_LIST, ActionCode.READ, Content.CASE)
async def list_cases(ctx: SelfContext, query: CasesQuery) -> CasesOut:
    """List the cases one sits at, newest first."""
    label = f"cases:{query.status}"
    rows = await cases.page(
        ctx.db,
        ctx.permit,
        status=query.status,
        before=before(ctx, query.cursor, label),
        limit=query.limit + 1,
    )
    shown = rows[: query.limit]
    views = await cases.view(ctx.db, ctx.permit, ctx.crypto, [CaseId(row["id"]) for row in shown], rows=shown)
    ctx.touch(*_touches(views))
    more = len(rows) > query.limit
    return CasesOut(
        items=await case_outs(ctx, views),
        next_cursor=next_cursor(ctx, shown[-1]["opened_at"], shown[-1]["id"], label) if more else None,
    )


@router.get("/cases/{caseId}")
@operation(Scope.CASE, Action.CASE_READ, ActionCode.READ, Content.CASE, entity=CASE)
async def read_case(ctx: CaseContext, case_id: CaseIdPath) -> CaseOut:
    """Read a case as far as one may see it."""
    views = await cases.view(ctx.db, ctx.permit, ctx.crypto, [CaseId(case_id)])
    ctx.touch(*_case_touches(ctx.permit, views[0]))
    return await _only(ctx, views)


async def _only(ctx: CaseContext | RoleContext, views: Sequence[CaseView]) -> CaseOut:
    outs = await case_outs(ctx, views)
    if not outs:
        raise NotFound
    return outs[0]


def _case_touches(permit: CasePermit, view: CaseView) -> list[Touch]:
    patients: list[PatientId | None] = [info.id for info in view.patients] or [None]
    return [case_touch(permit, "case", permit.case_id, patient_id=patient) for patient in patients]


@router.get("/cases/{caseId}/access")
@operation(Scope.CASE, Action.CASE_ACCESS, ActionCode.READ, Content.CASE, entity=CASE)
async def read_access(ctx: CaseContext, case_id: CaseIdPath, query: AccessQuery) -> AccessListOut:
    """Say who may see what, and why. Subject and case manager see all of it, others their own cells.

    A past moment is told as it was; one to come as it stands now.
    """
    at: datetime = query.at or ctx.now
    rows = await entitlement.case_access(ctx.db, ctx.permit, at)
    shown, cursor = page_of(ctx, rows, query, f"access:{case_id}:{query.at}", _cell_id)
    people = await people_of(ctx, shown)
    named = ("engagement_id", "on_behalf_of")
    found = [
        AccessOut(
            person=people.get(row["engagement_id"]),
            on_behalf_of=people.get(row["on_behalf_of"]),
            **{name: value for name, value in row.items() if name not in named},
        )
        for row in shown
    ]
    return AccessListOut(items=found, next_cursor=cursor)


async def people_of(ctx: CaseContext, rows: Sequence[RowMapping]) -> dict[UUID | None, PersonRef]:
    """Return who holds open cells, and for whom, by engagement."""
    ids = {row[name] for row in rows for name in ("engagement_id", "on_behalf_of")} - {None}
    people = await ctx.services.directory.people(ids)
    return {engagement_id: person_ref(person) for engagement_id, person in people.items()}


def _cell_id(row: RowMapping) -> str:
    """Return what tells one cell from the others, short enough for a cursor."""
    return sha256(repr(sorted(row.items(), key=str)).encode()).hexdigest()
