"""Changing one cell: taking categories, recipients, or both together out of a consent, and looking ahead at that."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.access.vocabulary import Action, Category
from app.api.bodies import Body
from app.api.consent_bodies import (
    RECIPIENTS_MAX,
    ConsentOut,
    RecipientIn,
    WithdrawalIn,
    consent_outs,
    consent_touch,
    named_recipient,
)
from app.api.consents import PreviewOut, means, preview_out
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CONSENT, ConsentIdPath, Content, Out, Scope, operation
from app.audit.records import ActionCode
from app.consent import service as consent
from app.consent.narrowing import Cut
from app.core.ids import ConsentId
from app.entitlement import narrowing

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["consents"])


class CutIn(Body):
    """What is taken out: categories, recipients, or, where both are named, those categories of those recipients."""

    categories: Annotated[list[Category], Field(min_length=1, max_length=len(Category))] | None = None
    recipients: Annotated[list[RecipientIn], Field(min_length=1, max_length=RECIPIENTS_MAX)] | None = None

    def cut(self) -> Cut:
        """Return what is taken out."""
        named = self.recipients
        return Cut(
            categories=tuple(self.categories) if self.categories else None,
            recipients=tuple(named_recipient(one) for one in named) if named else None,
        )


class NarrowingIn(CutIn, WithdrawalIn):
    """What is taken out, and how that came about; one's own word, or the patient's, now, when absent."""


class NarrowingOut(Out):
    """What a consent gave way to: one consent, or two where a corner was taken out of it."""

    superseded: UUID
    items: list[ConsentOut]


async def render_narrowing(ctx: CaseContext, consent_id: UUID) -> NarrowingOut:
    """Return what is left of a consent that was narrowed, as far as the actor may read it."""
    rows = await consent.left_of(ctx.db, ctx.permit, consent_id)
    ctx.touch(*(consent_touch(ctx, row) for row in rows))
    return NarrowingOut(superseded=consent_id, items=await consent_outs(ctx, rows))


@router.post("/consents/{consentId}/narrowing", status_code=201)
@operation(
    Scope.CASE, Action.CONSENT_NARROW, ActionCode.UPDATE, Content.CASE, entity=CONSENT, replay=render_narrowing
)
async def narrow_consent(ctx: CaseContext, consent_id: ConsentIdPath, body: NarrowingIn) -> NarrowingOut:
    """Take a part out of a consent and leave the rest as it is; what rested on that part closes at once.

    To take all of it out, withdraw it. Nothing is ever added here.
    """
    ctx.resource_id = consent_id
    await narrowing.narrow_consent(
        ctx.db, ctx.permit, means(ctx), ConsentId(consent_id), body.cut(), body.wish(ctx.permit.actor)
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_narrowing(ctx, consent_id)


@router.post("/consents/{consentId}/narrowing-preview")
@operation(Scope.CASE, Action.CONSENT_PREVIEW, ActionCode.READ, Content.CASE, entity=CONSENT)
async def preview_narrowing(ctx: CaseContext, consent_id: ConsentIdPath, body: CutIn) -> PreviewOut:
    """Say who would lose what if this were taken out of the consent now. Nothing changes."""
    losses = await narrowing.preview_narrowing(ctx.db, ctx.permit, consent_id, body.cut())
    ctx.touch(case_touch(ctx.permit, "consent", consent_id, consent_id=ConsentId(consent_id)))
    return await preview_out(ctx, losses)
