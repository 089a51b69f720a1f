"""Consents: recording a citizen's decision, reading it, looking ahead at a withdrawal, and withdrawing."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import Action, Category, ConsentKind, Domain, Purpose, Role
from app.api.bodies import Body, Instant
from app.api.deps import CaseContext, SelfContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CONSENT, CaseIdPath, ConsentIdPath, Content, Out, Scope, operation
from app.api.schemas import At, AuthorRef, PageQuery, PersonRef, author_ref, before, next_cursor, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.consent import service as consent
from app.consent.rules import NamedRecipient, RecipientType, Terms
from app.consent.texts import TEXTS
from app.core.errors import Fault, Invalid
from app.core.ids import ConsentId, PatientId
from app.entitlement import consents as entitlement

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["consents"])

RECIPIENTS_MAX = 50


class FromIn(Body):
    """A domain whose secrecy the consent lifts."""

    domain: Domain


class IdRecipientIn(Body):
    """A member, organisation or team."""

    type: Literal["member", "organisation", "team"]
    id: UUID


class RoleRecipientIn(Body):
    """A role within the case."""

    type: Literal["role"]
    role: Role


class DeciderIn(Body):
    """Who decided: the patient, or a representative by id."""

    type: Literal["patient", "representative"]
    id: UUID | None = None


class ConsentIn(Body):
    """A decision to record, with everything that DOMAIN R-3 asks. Nothing is assumed but the defaults shown."""

    patient_id: UUID
    kind: ConsentKind
    from_: Annotated[list[FromIn], Field(min_length=1, max_length=3)] | None = Field(default=None, alias="from")
    both_ways: bool = True
    history: Literal["all", "from-now"] = "all"
    recipients: Annotated[
        list[Annotated[IdRecipientIn | RoleRecipientIn, Field(discriminator="type")]],
        Field(min_length=1, max_length=RECIPIENTS_MAX),
    ]
    categories: Annotated[list[Category], Field(min_length=1, max_length=len(Category))]
    purpose: Literal[Purpose.TREAT, Purpose.CAREMGT, Purpose.SOCSUPPORT]
    decided_by: DeciderIn
    decided_at: Instant | None = None
    method: Literal["digital_2fa", "written", "oral_recorded"]
    text_version: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class WithdrawalIn(Body):
    """How the withdrawal came about; the patient's word, now, when absent."""

    decided_by: DeciderIn | None = None
    decided_at: Instant | None = None
    method: Literal["digital_2fa", "written", "oral_recorded"] = "oral_recorded"


class FromOut(Out):
    """A domain whose secrecy is lifted."""

    domain: Domain


class RecipientOut(Out):
    """To whom."""

    type: RecipientType
    id: UUID | None
    role: Role | None


class DeciderOut(Out):
    """Who decided."""

    type: str
    id: UUID | None


class WithdrawalOut(Out):
    """The end of a consent."""

    withdrawn_at: At
    decided_by: str
    decided_at: At
    method: str


class ConsentOut(Out):
    """A consent record."""

    id: UUID
    status: str
    patient_id: UUID
    kind: ConsentKind
    from_: list[FromOut] = Field(alias="from")
    both_ways: bool
    history: str
    recipients: list[RecipientOut]
    categories: list[Category]
    purpose: Purpose
    decided_by: DeciderOut
    decided_at: At
    method: str
    text_version: str
    text_sha256: str = Field(alias="textSha256")
    recorded_by: AuthorRef
    recorded_at: At
    valid_from: At
    valid_until: At | None
    withdrawal: WithdrawalOut | None


class ConsentsOut(Out):
    """Consents, newest first."""

    items: list[ConsentOut]
    next_cursor: str | None


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
    """A category in a domain."""

    category: Category
    domain: Domain


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


def _terms(ctx: CaseContext, body: ConsentIn) -> Terms:
    """Return the terms as given, with the recorder's own domain where none is named."""
    own = ctx.actor.domain
    if body.from_ is None and own is None:
        raise Invalid(Fault("/from", "missing", "Say whose secrecy is lifted."))
    domains = tuple(item.domain for item in body.from_) if body.from_ else (own or Domain.CARE,)
    recipients = tuple(
        NamedRecipient(RecipientType.ROLE, role=item.role)
        if isinstance(item, RoleRecipientIn)
        else NamedRecipient(RecipientType(item.type), id=item.id)
        for item in body.recipients
    )
    return Terms(
        patient_id=body.patient_id,
        kind=body.kind,
        from_domains=domains,
        both_ways=body.both_ways,
        history=body.history,
        recipients=recipients,
        categories=tuple(body.categories),
        purpose=body.purpose,
        decided_by=body.decided_by.type,
        decided_by_id=None,
        decided_at=body.decided_at or ctx.now,
        method=body.method,
        text_version=body.text_version,
        valid_from=body.valid_from or ctx.now,
        valid_until=body.valid_until,
    )


async def _outs(ctx: CaseContext, rows: list[RowMapping]) -> list[ConsentOut]:
    people = await ctx.services.directory.people(row["recorded_by_engagement_id"] for row in rows)
    return [_out(row, author_ref(people, row["recorded_by_engagement_id"]), ctx.now) for row in rows]


def _out(row: RowMapping, recorder: AuthorRef, now: datetime) -> ConsentOut:
    lapsed = row["status"] == "active" and row["valid_until"] is not None and row["valid_until"] <= now
    withdrawal = None
    if row["withdrawn_at"] is not None:
        withdrawal = WithdrawalOut(
            withdrawn_at=row["withdrawn_at"],
            decided_by=row["withdrawal_decided_by"],
            decided_at=row["withdrawal_decided_at"],
            method=row["withdrawal_method"],
        )
    fields: dict[str, Any] = {name: row[name] for name in _PLAIN}
    return ConsentOut(
        status="expired" if lapsed else row["status"],
        from_=[FromOut(domain=domain) for domain in row["from_domains"]],
        recipients=[RecipientOut(**recipient) for recipient in row["recipients"]],
        decided_by=DeciderOut(type=row["decided_by"], id=row["decided_by_account_id"]),
        recorded_by=recorder,
        withdrawal=withdrawal,
        **fields,
    )


_PLAIN = (
    "id",
    "patient_id",
    "kind",
    "both_ways",
    "history",
    "categories",
    "purpose",
    "decided_at",
    "method",
    "text_version",
    "text_sha256",
    "recorded_at",
    "valid_from",
    "valid_until",
)


def _touch(ctx: CaseContext, row: RowMapping) -> Touch:
    return case_touch(ctx.permit, "consent", row["id"], patient_id=PatientId(row["patient_id"]), consent_id=row["id"])


async def render_consent(ctx: CaseContext, consent_id: UUID) -> ConsentOut:
    """Return one consent that the actor may read."""
    row = await consent.find(ctx.db, ctx.permit, consent_id)
    ctx.touch(_touch(ctx, row))
    return (await _outs(ctx, [row]))[0]


@router.post("/cases/{caseId}/consents", status_code=201)
@operation(Scope.CASE, Action.CONSENT_GIVE, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_consent)
async def give_consent(ctx: CaseContext, case_id: CaseIdPath, body: ConsentIn) -> ConsentOut:
    """Record a citizen's consent. What it opens is open at once, on open sockets too."""
    consent_id = ConsentId(ctx.resource_id)
    await entitlement.give_consent(ctx.db, ctx.permit, consent_id, _terms(ctx, body))
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
    ctx.touch(*(_touch(ctx, row) for row in shown))
    cursor = next_cursor(ctx, shown[-1]["recorded_at"], shown[-1]["id"], label) if len(rows) > query.limit else None
    return ConsentsOut(items=await _outs(ctx, shown), next_cursor=cursor)


@router.get("/consents/{consentId}")
@operation(Scope.CASE, Action.CONSENT_READ, ActionCode.READ, Content.CASE, entity=CONSENT)
async def read_consent(ctx: CaseContext, consent_id: ConsentIdPath) -> ConsentOut:
    """Read one consent."""
    return await render_consent(ctx, consent_id)


@router.get("/consents/{consentId}/withdrawal-preview")
@operation(Scope.CASE, Action.CONSENT_PREVIEW, ActionCode.READ, Content.CASE, entity=CONSENT)
async def preview_withdrawal(ctx: CaseContext, consent_id: ConsentIdPath) -> PreviewOut:
    """Say who would lose what if this consent were withdrawn now."""
    losses = await entitlement.preview_withdrawal(ctx.db, ctx.permit, consent_id)
    people = await ctx.services.directory.people(loss.engagement_id for loss in losses)
    ctx.touch(case_touch(ctx.permit, "consent", consent_id, consent_id=ConsentId(consent_id)))
    return PreviewOut(
        losses=[
            LossOut(
                person=person_ref(people[loss.engagement_id]),
                patient_id=loss.patient_id,
                cells=[CellOut(category=category, domain=domain) for category, domain in loss.cells],
            )
            for loss in losses
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
    """Withdraw a consent; what rested on it closes at once, on every open socket. As easy as giving."""
    ctx.resource_id = consent_id
    decider = body.decided_by.type if body.decided_by else "patient"
    await entitlement.withdraw_consent(
        ctx.db,
        ctx.permit,
        ConsentId(consent_id),
        decided_by=decider,
        decided_at=body.decided_at,
        method=body.method,
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_consent(ctx, consent_id)
