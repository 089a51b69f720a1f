"""Ready consent bundles: the table of them, and using one; renewing what was given, and adding a recipient to it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.access.vocabulary import Action, CaseRole, Category, Domain, Law, Purpose, Role
from app.api.bodies import Body, Instant
from app.api.consent_bodies import (
    RECIPIENTS_MAX,
    ConsentOut,
    DecidedIn,
    DepartureIn,
    IdRecipientIn,
    RecipientIn,
    consent_outs,
    consent_touch,
    named_recipient,
)
from app.api.consents import means, render_consent
from app.api.deps import CaseContext, SelfContext
from app.api.edge import OperationRoute
from app.api.operations import CASE, CONSENT, CaseIdPath, ConsentIdPath, Content, Out, Scope, operation
from app.api.schemas import PageQuery, page_of
from app.audit.records import ActionCode
from app.consent import service as consent
from app.consent.bundle import Bundle, Line
from app.consent.bundles import BUNDLES, BUNDLES_VERSION
from app.consent.deciders import Capacity
from app.consent.lines import Choice
from app.consent.rules import Departing, NamedRecipient, RecipientType
from app.core.ids import ConsentId
from app.entitlement import bundling

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["consents"])

LINES_MAX = 10
Categories = Annotated[list[Category], Field(min_length=1, max_length=len(Category))]


class LineIn(Body):
    """A line that is switched on; without recipients it is for everybody at the table whom it fits."""

    line: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    recipients: Annotated[list[IdRecipientIn], Field(min_length=1, max_length=RECIPIENTS_MAX)] | None = None
    categories: Categories | None = None
    ticks: Annotated[list[Category], Field(max_length=len(Category), default_factory=list)]

    def choice(self) -> Choice:
        """Return the line as it is chosen."""
        named = self.recipients
        return Choice(
            line=self.line,
            recipients=tuple(NamedRecipient(RecipientType(one.type), one.id) for one in named) if named else None,
            categories=frozenset(self.categories) if self.categories else None,
            ticks=frozenset(self.ticks),
        )


class BundleIn(Body):
    """A bundle to use: the lines that are switched on, and the decision; without one it is saved to be asked."""

    patient_id: UUID
    bundle: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    version: Annotated[str, Field(pattern=r"^[0-9-]{1,16}$")]
    lines: Annotated[list[LineIn], Field(min_length=1, max_length=LINES_MAX)]
    capacity: Capacity = Capacity.CAPABLE
    departure: DepartureIn | None = None
    valid_until: Instant | None = None
    decision: DecidedIn | None = None


class AdditionIn(DecidedIn):
    """One more recipient of what is consented, and the decision about that."""

    recipient: RecipientIn


class TermOut(Out):
    """How long a bundle holds: until withdrawn when nothing is set; ``until`` is a day of the year, ``MM-DD``."""

    months: int
    weeks: int
    until: str | None
    days_at_most: int


class BundleLineOut(Out):
    """Whom a line opens to, and what; an empty description asks nothing."""

    line: str
    label: str
    reach: list[RecipientType]
    named: bool
    roles: list[Role]
    professions: list[str]
    specialities: list[str]
    organisation_kinds: list[str]
    laws: list[Law]
    case_roles: list[CaseRole]
    lifts: list[Domain]
    categories: list[Category]
    care_only: list[Category]


class BundleOut(Out):
    """A ready bundle."""

    bundle: str
    number: str
    version: str
    name: str
    purpose: Purpose
    term: TermOut
    both_ways: bool
    history: str
    review_months: int | None
    ticks: list[Category]
    chosen: bool
    note: str
    lines: list[BundleLineOut]


class BundlesOut(Out):
    """Every bundle."""

    items: list[BundleOut]
    next_cursor: str | None


class BundleUseOut(Out):
    """What one use of a bundle asked: what is active opens at once, what is asked waits for who may record it."""

    id: UUID
    bundle: str
    version: str
    items: list[ConsentOut]


def _line_out(line: Line) -> BundleLineOut:
    return BundleLineOut(
        line=line.key,
        label=line.label,
        reach=list(line.reach),
        named=line.named,
        roles=sorted(line.roles),
        professions=sorted(line.professions),
        specialities=sorted(line.specialities),
        organisation_kinds=sorted(line.organisation_kinds),
        laws=sorted(line.laws),
        case_roles=sorted(line.case_roles),
        lifts=list(line.lifts),
        categories=_in_order(line.categories),
        care_only=_in_order(line.care_only),
    )


def _in_order(categories: frozenset[Category]) -> list[Category]:
    return [one for one in Category if one in categories]


def _bundle_out(bundle: Bundle) -> BundleOut:
    until = bundle.term.until
    return BundleOut(
        bundle=bundle.code,
        number=bundle.number,
        version=BUNDLES_VERSION,
        name=bundle.name,
        purpose=bundle.purpose,
        term=TermOut(
            months=bundle.term.months,
            weeks=bundle.term.weeks,
            until=f"{until[0]:02}-{until[1]:02}" if until else None,
            days_at_most=bundle.term.days_at_most,
        ),
        both_ways=bundle.both_ways,
        history=bundle.history,
        review_months=bundle.review_months,
        ticks=_in_order(bundle.ticks),
        chosen=bundle.chosen,
        note=bundle.note,
        lines=[_line_out(line) for line in bundle.lines],
    )


@router.get("/consent-bundles")
@operation(Scope.SELF, Action.CONSENT_BUNDLE_LIST, ActionCode.READ, Content.NONE)
async def list_consent_bundles(ctx: SelfContext, query: PageQuery) -> BundlesOut:
    """List the ready bundles with their lines; the names are Dutch, as citizens read them."""
    shown, cursor = page_of(ctx, BUNDLES, query, "consent-bundles", lambda bundle: bundle.code)
    return BundlesOut(items=[_bundle_out(bundle) for bundle in shown], next_cursor=cursor)


async def render_use(ctx: CaseContext, use_id: UUID) -> BundleUseOut:
    """Return what one use of a bundle asked, as far as the actor may read it."""
    rows = await consent.used_together(ctx.db, ctx.permit, use_id)
    ctx.touch(*(consent_touch(ctx, row) for row in rows))
    first = rows[0]
    items = await consent_outs(ctx, rows)
    return BundleUseOut(id=use_id, bundle=first["bundle"], version=first["bundle_version"], items=items)


@router.post("/cases/{caseId}/consent-bundles", status_code=201)
@operation(Scope.CASE, Action.CONSENT_BUNDLE_USE, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_use)
async def use_consent_bundle(ctx: CaseContext, case_id: CaseIdPath, body: BundleIn) -> BundleUseOut:
    """Ask everything of a bundle at once: all of it is recorded, or nothing.

    What the recorder may not record is saved to be asked, for somebody of that domain or the citizen.
    """
    use = bundling.BundleUse(
        use_id=ctx.resource_id,
        patient_id=body.patient_id,
        bundle=body.bundle,
        version=body.version,
        choices=tuple(line.choice() for line in body.lines),
        capacity=body.capacity,
        departure=Departing(body.departure.code, body.departure.reason) if body.departure else None,
        valid_until=body.valid_until,
        decision=body.decision.decided(ctx, yes=True) if body.decision else None,
    )
    await bundling.use_bundle(ctx.db, ctx.permit, means(ctx), use)
    ctx.moved.add(ctx.permit.case_id)
    return await render_use(ctx, use.use_id)


@router.post("/consents/{consentId}/renewal", status_code=201)
@operation(Scope.CASE, Action.CONSENT_RENEW, ActionCode.CREATE, Content.CASE, entity=CONSENT, replay=render_consent)
async def renew_consent(ctx: CaseContext, consent_id: ConsentIdPath, body: DecidedIn) -> ConsentOut:
    """Ask the same again with a new decision; active, it takes the older one's place at once."""
    renewal_id = ConsentId(ctx.resource_id)
    decision = body.decided(ctx, yes=True)
    await bundling.renew_consent(ctx.db, ctx.permit, means(ctx), renewal_id, consent_id, decision)
    ctx.moved.add(ctx.permit.case_id)
    return await render_consent(ctx, renewal_id)


@router.post("/consents/{consentId}/additions", status_code=201)
@operation(Scope.CASE, Action.CONSENT_EXTEND, ActionCode.CREATE, Content.CASE, entity=CONSENT, replay=render_consent)
async def add_consent_recipient(ctx: CaseContext, consent_id: ConsentIdPath, body: AdditionIn) -> ConsentOut:
    """Give one more recipient what a consent opens; somebody of a consented team or organisation needs none."""
    addition_id = ConsentId(ctx.resource_id)
    recipient = named_recipient(body.recipient)
    decision = body.decided(ctx, yes=True)
    await bundling.add_recipient(ctx.db, ctx.permit, means(ctx), addition_id, consent_id, recipient, decision)
    ctx.moved.add(ctx.permit.case_id)
    return await render_consent(ctx, addition_id)
