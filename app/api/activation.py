"""Letting others in: a citizen with a code after an identity check, and somebody who lost a factor, by two people."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path

from app.access.vocabulary import Action
from app.api.bodies import Body, Day
from app.api.deps import CaseContext, RoleContext, case_touch
from app.api.edge import OperationRoute
from app.api.login import TypedCode
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import At, PageQuery, PersonRef, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.core.errors import NotFound
from app.core.ids import AccountId, PatientId
from app.entitlement import activation
from app.entitlement.activation import Checked
from app.identity.enrolment import CodeDelivery, IdentityDocument
from app.identity.factors import resets
from app.identity.factors.resets import ResetReason

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["activation"])


class IdentityCheckIn(Body):
    """By what it was seen who the citizen is."""

    document: Literal["passport", "identity-card", "driving-licence", "known-in-person"]


class ActivationCodeIn(Body):
    """For whom, how their identity was checked, and how the code reaches them."""

    patient_id: UUID
    identity_check: IdentityCheckIn
    delivery: Literal["handed-over", "posted"]


class CodeOut(Out):
    """A one-time code, shown once, and when it ends."""

    code: str
    expires_at: At


class PatientLinkIn(Body):
    """The code for a further patient of one's own, and one's birth date."""

    code: TypedCode
    birth_date: Day


class PatientLinkOut(Out):
    """The patient that one's account is linked to from now on."""

    patient_id: UUID


class FactorResetIn(Body):
    """Whose factors are lost, and why."""

    account_id: UUID
    reason_code: Literal["lost-device", "stolen-device", "forgotten", "compromised"]


class FactorResetOut(Out):
    """A request that waits for a second person."""

    id: UUID
    account_id: UUID
    reason_code: ResetReason
    requested_by: PersonRef
    requested_at: At
    expires_at: At


class FactorResetsOut(Out):
    """Open requests that are for oneself to see, newest first."""

    items: list[FactorResetOut]
    next_cursor: str | None


@router.post("/cases/{caseId}/activation-codes", status_code=201)
@operation(Scope.CASE, Action.ACTIVATION_ISSUE, ActionCode.CREATE, Content.NONE, entity=CASE)
async def issue_activation_code(ctx: CaseContext, case_id: CaseIdPath, body: ActivationCodeIn) -> CodeOut:
    """Make a code for a citizen whose identity was checked: good once, for 14 days, with the birth date."""
    checked = Checked(
        PatientId(body.patient_id),
        IdentityDocument(body.identity_check.document),
        CodeDelivery(body.delivery),
    )
    code, expires_at = await activation.issue_code(ctx.db, ctx.permit, ctx.crypto, checked)
    ctx.touch(case_touch(ctx.permit, "patient", body.patient_id, patient_id=PatientId(body.patient_id)))
    return CodeOut(code=code, expires_at=expires_at)


@router.post("/patient-links", status_code=201)
@operation(Scope.ROLE, Action.ACTIVATION_USE, ActionCode.CREATE, Content.NONE)
async def link_patient(ctx: RoleContext, body: PatientLinkIn) -> PatientLinkOut:
    """Use a code while logged in: one's account is linked to that patient too, and one sits at the open cases."""
    patient_id, moved = await activation.link_patient(
        ctx.db, ctx.permit, ctx.services.means, body.code, body.birth_date
    )
    ctx.moved.update(moved)
    ctx.touch(Touch("patient", patient_id, patient_id=patient_id))
    return PatientLinkOut(patient_id=patient_id)


async def render_reset(ctx: RoleContext, reset_id: UUID) -> FactorResetOut:
    """Return an open request that the actor may see."""
    found = [one for one in await _resets(ctx) if one.id == reset_id]
    if not found:
        raise NotFound
    ctx.touch(Touch("factor-reset", reset_id))
    return found[0]


async def _resets(ctx: RoleContext) -> list[FactorResetOut]:
    found = await resets.list_resets(ctx.db, ctx.permit)
    people = await ctx.services.directory.people([one.requested_by for one in found])
    return [
        FactorResetOut(
            id=one.id,
            account_id=one.account_id,
            reason_code=one.reason_code,
            requested_by=person_ref(people[one.requested_by]),
            requested_at=one.requested_at,
            expires_at=one.expires_at,
        )
        for one in found
    ]


@router.post("/factor-resets", status_code=201)
@operation(Scope.ROLE, Action.FACTOR_RESET_REQUEST, ActionCode.CREATE, Content.DIRECTORY, replay=render_reset)
async def request_factor_reset(ctx: RoleContext, body: FactorResetIn) -> FactorResetOut:
    """Ask that somebody may begin anew; another person confirms it within a day."""
    await resets.request(
        ctx.db,
        ctx.permit,
        AccountId(body.account_id),
        ResetReason(body.reason_code),
        reset_id=ctx.resource_id,
    )
    return await render_reset(ctx, ctx.resource_id)


@router.get("/factor-resets")
@operation(Scope.ROLE, Action.FACTOR_RESET_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_factor_resets(ctx: RoleContext, query: PageQuery) -> FactorResetsOut:
    """List the open requests about people whom one may help."""
    shown, cursor = page_of(ctx, await _resets(ctx), query, "factor-resets", lambda one: one.id)
    return FactorResetsOut(items=list(shown), next_cursor=cursor)


@router.post("/factor-resets/{resetId}/confirmation", status_code=201)
@operation(Scope.ROLE, Action.FACTOR_RESET_CONFIRM, ActionCode.UPDATE, Content.NONE)
async def confirm_factor_reset(
    ctx: RoleContext, reset_id: Annotated[UUID, Path(alias="resetId", description="The request.")]
) -> CodeOut:
    """Confirm as the second person: factors and sessions of the account end, and a code to hand over comes back."""
    code, expires_at, account_id, ended = await resets.confirm(ctx.db, ctx.permit, ctx.crypto.digests, reset_id)
    ctx.ended_sessions.update(ended)
    ctx.touch(Touch("factor-reset", reset_id), Touch("account", account_id))
    return CodeOut(code=code, expires_at=expires_at)
