"""Going to another GP practice: announcing it, and what a GP there answers."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import PROFESSIONALS, Action
from app.api.bodies import Body
from app.api.deps import CaseContext, SelfContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import (
    At,
    OrganisationRef,
    PageQuery,
    PersonRef,
    before,
    next_cursor,
    page_of,
    person_ref,
)
from app.audit.records import ActionCode, Touch
from app.core.ids import CaseId, PatientId
from app.entitlement import practice_changes
from app.identity.directory import Person

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["members"])

ChangeIdPath = Annotated[UUID, Path(alias="changeId", description="The change of practice.")]


class PracticeChangeIn(Body):
    """To which practice the citizen goes, and from which: the one whose case it is, or the only one, when absent."""

    organisation_id: UUID
    from_organisation_id: UUID | None = None


class PracticeRefusalIn(Body):
    """Why the practice refuses, as a code."""

    reason: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]


class PracticeChangeOut(Out):
    """A change of practice. Nothing of whom it is about is in it.

    The practice that is asked is told which professional announced it, and null when the citizen did: whom it is
    about the citizen tells there, or whoever announced it.
    """

    id: UUID
    case_id: UUID
    from_: OrganisationRef = Field(alias="from")
    to: OrganisationRef
    state: Literal["announced", "accepted", "refused", "withdrawn"]
    announced_by: PersonRef | None
    announced_at: At
    decided_by: PersonRef | None
    decided_at: At | None
    reason: str | None


class PracticeChangesOut(Out):
    """Changes of practice, newest first."""

    items: list[PracticeChangeOut]
    next_cursor: str | None


def _out(row: RowMapping, people: "dict[UUID, Person]", *, outside: bool) -> PracticeChangeOut:
    decided = row["decided_by_engagement_id"]
    announced = people[row["recorded_by_engagement_id"]]
    hidden = outside and announced.role not in PROFESSIONALS
    return PracticeChangeOut(
        id=row["id"],
        case_id=row["case_id"],
        from_=OrganisationRef(id=row["from_organisation_id"], name=row["from_name"]),
        to=OrganisationRef(id=row["to_organisation_id"], name=row["to_name"]),
        state=row["state"],
        announced_by=None if hidden else person_ref(announced),
        announced_at=row["recorded_at"],
        decided_by=None if decided is None else person_ref(people[decided]),
        decided_at=row["decided_at"],
        reason=row["reason"],
    )


async def _outs(ctx: CaseContext | SelfContext, rows: list[RowMapping], *, outside: bool) -> list[PracticeChangeOut]:
    named = {row[by] for row in rows for by in ("recorded_by_engagement_id", "decided_by_engagement_id")}
    people = dict(await ctx.services.directory.people(named - {None}))
    return [_out(row, people, outside=outside) for row in rows]


async def render_change(ctx: CaseContext, change_id: UUID) -> PracticeChangeOut:
    """Return one change of practice."""
    row = await practice_changes.find(ctx.db, ctx.permit, change_id)
    ctx.touch(case_touch(ctx.permit, "practice-change", change_id))
    return (await _outs(ctx, [row], outside=not ctx.permit.standing.seated))[0]


@router.post("/cases/{caseId}/practice-changes", status_code=201)
@operation(
    Scope.CASE, Action.PRACTICE_CHANGE_ANNOUNCE, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_change
)
async def announce_practice_change(
    ctx: CaseContext, case_id: CaseIdPath, body: PracticeChangeIn
) -> PracticeChangeOut:
    """Announce that the citizen goes to another GP practice; nothing changes until a GP there accepts.

    For the citizen alone whom the case is about, the case manager, and the GP whose practice is left.
    """
    await practice_changes.announce(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        change_id=ctx.resource_id,
        to_organisation_id=body.organisation_id,
        from_organisation_id=body.from_organisation_id,
    )
    return await render_change(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/practice-changes")
@operation(Scope.CASE, Action.PRACTICE_CHANGE_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_practice_changes(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> PracticeChangesOut:
    """List the changes of practice of a case."""
    rows = await practice_changes.of_case(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, rows, query, f"practice-changes:{case_id}", lambda row: row["id"])
    return PracticeChangesOut(items=await _outs(ctx, list(shown), outside=False), next_cursor=cursor)


@router.get("/practice-changes")
@operation(Scope.SELF, Action.PRACTICE_CHANGE_RECEIVE, ActionCode.READ, Content.NONE)
async def list_practice_changes_asked(ctx: SelfContext, query: PageQuery) -> PracticeChangesOut:
    """List the changes that wait for a GP of one's own practice: who announced what, and nothing of the citizen."""
    label = "practice-changes"
    rows = list(
        await practice_changes.asked_of_me(
            ctx.db, ctx.permit, before=before(ctx, query.cursor, label), limit=query.limit + 1
        )
    )
    shown = rows[: query.limit]
    ctx.touch(*(Touch("practice-change", row["id"], CaseId(row["case_id"])) for row in shown))
    cursor = next_cursor(ctx, shown[-1]["recorded_at"], shown[-1]["id"], label) if len(rows) > query.limit else None
    return PracticeChangesOut(items=await _outs(ctx, shown, outside=True), next_cursor=cursor)


@router.post("/cases/{caseId}/practice-changes/{changeId}/acceptance", status_code=201)
@operation(
    Scope.CASE, Action.PRACTICE_CHANGE_ACCEPT, ActionCode.UPDATE, Content.CASE, entity=CASE, replay=render_change
)
async def accept_practice_change(ctx: CaseContext, case_id: CaseIdPath, change_id: ChangeIdPath) -> PracticeChangeOut:
    """Take the case over as a GP of the practice that was asked; the other practice leaves the table at once.

    What was agreed to for that practice is asked anew for this one, and opens nothing before.
    """
    ctx.resource_id = change_id
    offered = await practice_changes.accept(ctx.db, ctx.permit, ctx.crypto, change_id)
    ctx.moved.add(ctx.permit.case_id)
    for consent_id, patient_id in offered:
        ctx.touch(case_touch(ctx.permit, "consent", consent_id, patient_id=PatientId(patient_id)))
    return await render_change(ctx, change_id)


@router.post("/cases/{caseId}/practice-changes/{changeId}/refusal", status_code=201)
@operation(
    Scope.CASE, Action.PRACTICE_CHANGE_REFUSE, ActionCode.UPDATE, Content.CASE, entity=CASE, replay=render_change
)
async def refuse_practice_change(
    ctx: CaseContext, case_id: CaseIdPath, change_id: ChangeIdPath, body: PracticeRefusalIn
) -> PracticeChangeOut:
    """Refuse to take the case over, with a coded reason; nothing changes."""
    ctx.resource_id = change_id
    await practice_changes.refuse(ctx.db, ctx.permit, change_id, body.reason)
    return await render_change(ctx, change_id)


@router.post("/cases/{caseId}/practice-changes/{changeId}/withdrawal", status_code=201)
@operation(
    Scope.CASE, Action.PRACTICE_CHANGE_WITHDRAW, ActionCode.UPDATE, Content.CASE, entity=CASE, replay=render_change
)
async def withdraw_practice_change(
    ctx: CaseContext, case_id: CaseIdPath, change_id: ChangeIdPath
) -> PracticeChangeOut:
    """Take an announced change back, while nobody answered it."""
    ctx.resource_id = change_id
    await practice_changes.withdraw(ctx.db, ctx.permit, change_id)
    return await render_change(ctx, change_id)
