"""Consents: asking, recording a citizen's decisions, reading, looking ahead at a withdrawal, and withdrawing."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter

from app.access.labels import CATEGORIES, DOMAINS
from app.access.vocabulary import Action, Category, Domain
from app.api.consent_bodies import (
    ConsentIn,
    ConsentOut,
    ConsentsOut,
    DecisionIn,
    TermsIn,
    WithdrawalIn,
    consent_outs,
    consent_touch,
)
from app.api.deps import CaseContext, SelfContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CONSENT, CaseIdPath, ConsentIdPath, Content, Out, Scope, operation
from app.api.schemas import PageQuery, PersonRef, before, next_cursor, page_of, person_ref
from app.audit.records import ActionCode
from app.consent import service as consent
from app.consent.texts import TEXTS
from app.core.ids import ConsentId
from app.entitlement import consents as entitlement
from app.entitlement import previews

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["consents"])


class ConsentTextOut(Out):
    """A text that citizens decide on."""

    version: str
    language: str
    level: str
    text: str
    sha256: str


class ConsentTextsOut(Out):
    """Every text in use."""

    items: list[ConsentTextOut]
    next_cursor: str | None


class CellOut(Out):
    """A category in a domain, also in everyday Dutch."""

    category: Category
    label: str
    domain: Domain
    domain_label: str


class LossOut(Out):
    """What one person would no longer see."""

    person: PersonRef
    patient_id: UUID
    cells: list[CellOut]


class PreviewOut(Out):
    """Who loses what if the consent is withdrawn."""

    losses: list[LossOut]


@router.get("/consent-texts")
@operation(Scope.SELF, Action.CONSENT_TEXT_LIST, ActionCode.READ, Content.NONE)
async def list_consent_texts(ctx: SelfContext, query: PageQuery) -> ConsentTextsOut:
    """List the texts that citizens are shown or read, with their hashes."""
    shown, cursor = page_of(ctx, TEXTS, query, "consent-texts", lambda text: text.version)
    items = [
        ConsentTextOut(
            version=text.version, language=text.language, level=text.level, text=text.text, sha256=text.sha256
        )
        for text in shown
    ]
    return ConsentTextsOut(items=items, next_cursor=cursor)


def means(ctx: CaseContext) -> entitlement.Means:
    """Return what deciding needs besides the database."""
    return entitlement.Means(ctx.crypto, timedelta(days=ctx.services.settings.consent_renewal_days))


async def render_consent(ctx: CaseContext, consent_id: UUID) -> ConsentOut:
    """Return one consent that the actor may read."""
    row = await consent.find(ctx.db, ctx.permit, consent_id)
    ctx.touch(consent_touch(ctx, row))
    return (await consent_outs(ctx, [row]))[0]


@router.post("/cases/{caseId}/consents", status_code=201)
@operation(Scope.CASE, Action.CONSENT_GIVE, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_consent)
async def give_consent(ctx: CaseContext, case_id: CaseIdPath, body: ConsentIn) -> ConsentOut:
    """Record a citizen's consent. What it opens is open at once, on open sockets too.

    Where others must decide too it is ``proposed``, and opens nothing until everybody said yes.
    """
    consent_id = ConsentId(ctx.resource_id)
    decision = body.decided(ctx, yes=True)
    await entitlement.give_consent(ctx.db, ctx.permit, means(ctx), consent_id, body.terms(ctx), decision)
    ctx.moved.add(ctx.permit.case_id)
    return await render_consent(ctx, consent_id)


@router.post("/cases/{caseId}/consent-requests", status_code=201)
@operation(Scope.CASE, Action.CONSENT_ASK, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_consent)
async def ask_consent(ctx: CaseContext, case_id: CaseIdPath, body: TermsIn) -> ConsentOut:
    """Save a consent that is to be asked. It opens nothing; its recipients do not learn of it."""
    consent_id = ConsentId(ctx.resource_id)
    await entitlement.ask_consent(ctx.db, ctx.permit, means(ctx), consent_id, body.terms(ctx))
    return await render_consent(ctx, consent_id)


@router.post("/consents/{consentId}/decisions", status_code=201)
@operation(Scope.CASE, Action.CONSENT_DECIDE, ActionCode.UPDATE, Content.CASE, entity=CONSENT, replay=render_consent)
async def decide_consent(ctx: CaseContext, consent_id: ConsentIdPath, body: DecisionIn) -> ConsentOut:
    """Record somebody's yes or no about what is asked. A needed person's no is final; a new consent may be asked."""
    ctx.resource_id = consent_id
    decision = body.decided(ctx, yes=body.decision == "yes")
    await entitlement.decide_consent(ctx.db, ctx.permit, means(ctx), ConsentId(consent_id), decision)
    ctx.moved.add(ctx.permit.case_id)
    return await render_consent(ctx, consent_id)


@router.get("/cases/{caseId}/consents")
@operation(Scope.CASE, Action.CONSENT_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_consents(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> ConsentsOut:
    """List the consents of a case that one may read, newest first."""
    label = f"consents:{case_id}"
    rows = list(
        await consent.consents(ctx.db, ctx.permit, before=before(ctx, query.cursor, label), limit=query.limit + 1)
    )
    shown = rows[: query.limit]
    ctx.touch(*(consent_touch(ctx, row) for row in shown))
    cursor = next_cursor(ctx, shown[-1]["recorded_at"], shown[-1]["id"], label) if len(rows) > query.limit else None
    return ConsentsOut(items=await consent_outs(ctx, shown), next_cursor=cursor)


@router.get("/consents/{consentId}")
@operation(Scope.CASE, Action.CONSENT_READ, ActionCode.READ, Content.CASE, entity=CONSENT)
async def read_consent(ctx: CaseContext, consent_id: ConsentIdPath) -> ConsentOut:
    """Read one consent."""
    return await render_consent(ctx, consent_id)


@router.get("/consents/{consentId}/withdrawal-preview")
@operation(Scope.CASE, Action.CONSENT_PREVIEW, ActionCode.READ, Content.CASE, entity=CONSENT)
async def preview_withdrawal(ctx: CaseContext, consent_id: ConsentIdPath) -> PreviewOut:
    """Say who would lose what if this consent were withdrawn now."""
    losses = await previews.preview_withdrawal(ctx.db, ctx.permit, consent_id)
    ctx.touch(case_touch(ctx.permit, "consent", consent_id, consent_id=ConsentId(consent_id)))
    return await preview_out(ctx, losses)


async def preview_out(ctx: CaseContext, losses: Iterable[previews.Loss]) -> PreviewOut:
    """Return who would lose what, in everyday words."""
    found = list(losses)
    people = await ctx.services.directory.people(loss.engagement_id for loss in found)
    return PreviewOut(
        losses=[
            LossOut(
                person=person_ref(people[loss.engagement_id]),
                patient_id=loss.patient_id,
                cells=[
                    CellOut(
                        category=category,
                        label=CATEGORIES[category].name,
                        domain=domain,
                        domain_label=DOMAINS[domain],
                    )
                    for category, domain in loss.cells
                ],
            )
            for loss in found
        ]
    )


@router.post("/consents/{consentId}/withdrawal", status_code=201)
@operation(
    Scope.CASE,
    Action.CONSENT_WITHDRAW,
    ActionCode.UPDATE,
    Content.CASE,
    entity=CONSENT,
    body_optional=True,
    replay=render_consent,
)
async def withdraw_consent(ctx: CaseContext, consent_id: ConsentIdPath, body: WithdrawalIn) -> ConsentOut:
    """Withdraw a consent; what rested on it closes at once, on every open socket. As easy as giving.

    By whoever may decide about it, or on their word by any professional at the table.
    """
    ctx.resource_id = consent_id
    await entitlement.withdraw_consent(
        ctx.db, ctx.permit, means(ctx), ConsentId(consent_id), body.wish(ctx.permit.actor)
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_consent(ctx, consent_id)
