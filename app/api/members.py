"""Members: inviting, accepting, refusing, leaving; and the public tasks recorded for them."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.access.vocabulary import Action, CaseRole, Law, ReasonCode
from app.api.bodies import Body, Instant
from app.api.cases import MemberOut, member_outs
from app.api.deps import CaseContext, SelfContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, MemberIdPath, Out, Scope, TaskIdPath, operation
from app.api.schemas import At, PageQuery, PersonRef, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.cases import service as cases
from app.core.ids import AccountId, MemberId
from app.entitlement import seats
from app.entitlement.seats import Invitation

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["members"])


class MemberIn(Body):
    """Whom to invite. ``directTreatment`` marks a care professional who is directly involved.

    Without it, or a consent, an accepted member sees no content.
    """

    account_id: UUID
    case_role: CaseRole
    direct_treatment: bool = False
    history: Literal["all", "from-now"] = "all"
    reason_code: ReasonCode


class RefusalIn(Body):
    """Why an invitation is refused, as a code."""

    reason: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]


class MemberStatusOut(Out):
    """A seat and its status."""

    id: UUID
    status: str


class RefusedOut(MemberStatusOut):
    """A refused invitation."""

    reason: str


class MembersOut(Out):
    """The members of a case, newest first."""

    items: list[MemberOut]
    next_cursor: str | None


class InvitationOut(Out):
    """An open invitation: who invites, in what role and for what kind of reason. Nothing about the citizen."""

    member_id: UUID
    case_id: UUID
    case_role: CaseRole
    reason_code: ReasonCode | None
    invited_by: PersonRef
    invited_at: At


class InvitationsOut(Out):
    """One's own open invitations, newest first."""

    items: list[InvitationOut]
    next_cursor: str | None


class PublicTaskIn(Body):
    """A municipality's task: under which law, from when (now when absent)."""

    law: Law
    valid_from: Instant | None = None


class PublicTaskOut(Out):
    """A recorded public task."""

    id: UUID
    member_id: UUID
    law: Law
    valid_from: At


async def render_task(ctx: CaseContext, task_id: UUID) -> PublicTaskOut:
    """Return a recorded public task."""
    row = await cases.find_task(ctx.db, ctx.permit, task_id)
    ctx.touch(case_touch(ctx.permit, "public-task", task_id))
    return PublicTaskOut(id=task_id, member_id=row["member_id"], law=row["law"], valid_from=row["valid_from"])


async def render_member(ctx: CaseContext, member_id: UUID) -> MemberStatusOut:
    """Return a seat and its present status."""
    row = await cases.find_member(ctx.db, ctx.permit, member_id)
    ctx.touch(case_touch(ctx.permit, "member", member_id))
    return MemberStatusOut(id=member_id, status=row["status"])


@router.post("/cases/{caseId}/members", status_code=201)
@operation(Scope.CASE, Action.MEMBER_INVITE, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_member)
async def invite_member(ctx: CaseContext, case_id: CaseIdPath, body: MemberIn) -> MemberStatusOut:
    """Invite somebody with a coded reason; colleagues of the opener's own practice sit down at once."""
    member_id = MemberId(ctx.resource_id)
    invitation = Invitation(
        account_id=AccountId(body.account_id),
        case_role=body.case_role,
        direct_treatment=body.direct_treatment,
        history=body.history,
        reason_code=body.reason_code,
    )
    status = await seats.invite(ctx.db, ctx.permit, invitation, member_id=member_id)
    ctx.moved.add(ctx.permit.case_id)
    ctx.touch(case_touch(ctx.permit, "member", member_id))
    return MemberStatusOut(id=member_id, status=status)


@router.get("/cases/{caseId}/members")
@operation(Scope.CASE, Action.MEMBER_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_members(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> MembersOut:
    """List who sits at the table, newest first."""
    members = (await cases.members(ctx.db, ctx.permit))[::-1]
    shown, cursor = page_of(ctx, members, query, f"members:{case_id}", lambda member: member.id)
    return MembersOut(items=await member_outs(ctx, shown), next_cursor=cursor)


@router.get("/invitations")
@operation(Scope.SELF, Action.INVITATION_LIST, ActionCode.READ, Content.NONE)
async def list_invitations(ctx: SelfContext, query: PageQuery) -> InvitationsOut:
    """List one's own open invitations, newest first; the case itself stays hidden until one accepts."""
    found = await cases.invitations(ctx.db, ctx.permit)
    rows, cursor = page_of(ctx, found, query, "invitations", lambda row: row["member_id"])
    people = await ctx.services.directory.people(row["invited_by"] for row in rows)
    ctx.touch(*(Touch("invitation", row["member_id"], row["case_id"]) for row in rows))
    items = [
        InvitationOut(
            member_id=row["member_id"],
            case_id=row["case_id"],
            case_role=row["case_role"],
            reason_code=row["reason_code"],
            invited_by=person_ref(people[row["invited_by"]]),
            invited_at=row["invited_at"],
        )
        for row in rows
    ]
    return InvitationsOut(items=items, next_cursor=cursor)


@router.post("/cases/{caseId}/members/{memberId}/acceptance", status_code=201)
@operation(Scope.CASE, Action.INVITATION_ACCEPT, ActionCode.UPDATE, Content.NONE, entity=CASE, replay=render_member)
async def accept_invitation(ctx: CaseContext, case_id: CaseIdPath, member_id: MemberIdPath) -> MemberStatusOut:
    """Accept one's own invitation."""
    ctx.resource_id = member_id
    await seats.accept(ctx.db, ctx.permit, member_id)
    ctx.moved.add(ctx.permit.case_id)
    ctx.touch(case_touch(ctx.permit, "member", member_id))
    return MemberStatusOut(id=member_id, status="accepted")


@router.post("/cases/{caseId}/members/{memberId}/refusal", status_code=201)
@operation(Scope.CASE, Action.INVITATION_REFUSE, ActionCode.UPDATE, Content.NONE, entity=CASE)
async def refuse_invitation(
    ctx: CaseContext, case_id: CaseIdPath, member_id: MemberIdPath, body: RefusalIn
) -> RefusedOut:
    """Refuse one's own invitation, with a coded reason."""
    await seats.refuse(ctx.db, ctx.permit, member_id, body.reason)
    ctx.moved.add(ctx.permit.case_id)
    ctx.touch(case_touch(ctx.permit, "member", member_id))
    return RefusedOut(id=member_id, status="refused", reason=body.reason)


@router.delete("/cases/{caseId}/members/{memberId}", status_code=204)
@operation(Scope.CASE, Action.MEMBER_END, ActionCode.DELETE, Content.NONE, entity=CASE)
async def end_member(ctx: CaseContext, case_id: CaseIdPath, member_id: MemberIdPath) -> None:
    """Leave, or end another's membership; what the member wrote stays theirs under the contributions."""
    await seats.end_membership(ctx.db, ctx.permit, member_id)
    ctx.moved.add(ctx.permit.case_id)
    ctx.touch(case_touch(ctx.permit, "member", member_id))


@router.post("/cases/{caseId}/members/{memberId}/public-tasks", status_code=201)
@operation(Scope.CASE, Action.PUBLIC_TASK_RECORD, ActionCode.CREATE, Content.NONE, entity=CASE, replay=render_task)
async def record_public_task(
    ctx: CaseContext, case_id: CaseIdPath, member_id: MemberIdPath, body: PublicTaskIn
) -> PublicTaskOut:
    """Record that a member carries out a public task under a law; citizen or case manager only."""
    await seats.record_task(
        ctx.db, ctx.permit, member_id, task_id=ctx.resource_id, law=body.law, valid_from=body.valid_from
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_task(ctx, ctx.resource_id)


@router.post("/cases/{caseId}/public-tasks/{taskId}/ending", status_code=204)
@operation(Scope.CASE, Action.PUBLIC_TASK_END, ActionCode.UPDATE, Content.NONE, entity=CASE)
async def end_public_task(ctx: CaseContext, case_id: CaseIdPath, task_id: TaskIdPath) -> None:
    """End a public task; what it opened closes at once."""
    await seats.end_task(ctx.db, ctx.permit, task_id)
    ctx.moved.add(ctx.permit.case_id)
    ctx.touch(case_touch(ctx.permit, "public-task", task_id))
