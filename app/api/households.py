"""Households: asking somebody to join one that is open. They take part as long as a consent of theirs holds."""

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.access.vocabulary import Action, Category, ConsentKind, Purpose
from app.api.bodies import Body
from app.api.cases import QUESTION
from app.api.consent_bodies import RECIPIENTS_MAX, DecidedIn, IdRecipientIn, RoleRecipientIn, TermsIn
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.audit.records import ActionCode
from app.consent.deciders import Capacity
from app.consent.decisions import Status
from app.core.ids import ConsentId, PatientId
from app.entitlement import households
from app.entitlement.consents import Means
from app.entitlement.households import Joining

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["cases"])


class AgreedIn(DecidedIn):
    """What somebody who is asked to join said at once: only a yes is recorded here."""

    decision: Literal["yes"]


class JoiningIn(Body):
    """Who is asked to join, with the question about them, with whom and about what; and their yes, if they gave it.

    Where others must say yes too, or nobody did yet, they join by ``POST /consents/{consentId}/decisions``.
    """

    patient_id: UUID
    question: Annotated[str, QUESTION]
    recipients: Annotated[
        list[Annotated[IdRecipientIn | RoleRecipientIn, Field(discriminator="type")]],
        Field(min_length=1, max_length=RECIPIENTS_MAX),
    ]
    categories: Annotated[list[Category], Field(min_length=1, max_length=len(Category))]
    purpose: Literal[Purpose.TREAT, Purpose.CAREMGT, Purpose.SOCSUPPORT] = Purpose.CAREMGT
    capacity: Capacity = Capacity.CAPABLE
    agreed: AgreedIn | None = None

    def joining(self, ctx: CaseContext) -> Joining:
        """Return who is asked what."""
        asked = TermsIn.model_construct(
            patient_id=self.patient_id,
            kind=ConsentKind.AGREE_TO_HELP,
            recipients=self.recipients,
            categories=self.categories,
            purpose=self.purpose,
            capacity=self.capacity,
        )
        decision = self.agreed.decided(ctx, yes=True) if self.agreed else None
        return Joining(PatientId(self.patient_id), self.question, asked.terms(ctx), decision)


class JoiningOut(Out):
    """Whether somebody takes part, and by which consent."""

    patient_id: UUID
    consent_id: UUID
    takes_part: bool
    status: str


async def render_joining(ctx: CaseContext, consent_id: UUID) -> JoiningOut:
    """Return how it stands with somebody who was asked to join."""
    patient_id, status = await households.patient_of(ctx.db, ctx.permit, consent_id)
    touch = case_touch(ctx.permit, "consent", consent_id, patient_id=PatientId(patient_id))
    ctx.touch(touch)
    return JoiningOut(patient_id=patient_id, consent_id=consent_id, takes_part=status == Status.ACTIVE, status=status)


@router.post("/cases/{caseId}/subjects", status_code=201)
@operation(Scope.CASE, Action.SUBJECT_ADD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_joining)
async def add_subject(ctx: CaseContext, case_id: CaseIdPath, body: JoiningIn) -> JoiningOut:
    """Ask somebody to join a household. Nothing opens on them until everybody whose yes is needed gave it."""
    means = Means(ctx.crypto, timedelta(days=ctx.services.settings.consent_renewal_days))
    consent_id = ConsentId(ctx.resource_id)
    await households.add_subject(ctx.db, ctx.permit, means, consent_id, body.joining(ctx))
    ctx.moved.add(ctx.permit.case_id)
    return await render_joining(ctx, consent_id)
