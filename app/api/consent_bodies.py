"""Consents as requests bring them and answers show them."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.engine import RowMapping

from app.access.actor import Actor
from app.access.vocabulary import PROFESSIONALS, Category, ConsentKind, Domain, Purpose, Role
from app.api.bodies import Body, Instant, Text
from app.api.deps import CaseContext, case_touch
from app.api.operations import Out
from app.api.schemas import At, AuthorRef, author_ref
from app.api.statements import StatementOut, statements_beside
from app.audit.records import Touch
from app.consent import service as consent
from app.consent.carers import Level
from app.consent.deciders import Capacity, Departure
from app.consent.decisions import Status
from app.consent.question import day_of
from app.consent.rules import LATE_AFTER, Decision, Departing, NamedRecipient, RecipientType, Succession, Terms
from app.consent.texts import BY_VERSION
from app.core.errors import Fault, Invalid
from app.core.ids import PatientId
from app.entitlement.consents import Withdrawing

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


RecipientIn = Annotated[IdRecipientIn | RoleRecipientIn, Field(discriminator="type")]


def named_recipient(recipient: IdRecipientIn | RoleRecipientIn) -> NamedRecipient:
    """Return a recipient as the rules know it."""
    if isinstance(recipient, RoleRecipientIn):
        return NamedRecipient(RecipientType.ROLE, role=recipient.role)
    return NamedRecipient(RecipientType(recipient.type), id=recipient.id)


class DeciderIn(Body):
    """Who decided: the patient, or a representative by the id of the representation (one's own, when absent)."""

    type: Literal["patient", "representative"]
    id: UUID | None = None


class DepartureIn(Body):
    """That the table of deciders is departed from, and why; the reason is sealed."""

    code: Departure
    reason: Annotated[str, Text(1, 2000)]


class TermsIn(Body):
    """What is asked: of whom, whose secrecy is lifted, for whom, which categories, to what end, and for how long.

    Nothing is assumed but the defaults shown: ``from`` is one's own domain, and without ``validUntil`` it holds until
    it is withdrawn. It never works back: an earlier ``validFrom`` counts from now.
    """

    patient_id: UUID
    kind: ConsentKind
    from_: Annotated[list[FromIn], Field(min_length=1, max_length=3)] | None = Field(default=None, alias="from")
    both_ways: bool = True
    history: Literal["all", "from-now"] = "all"
    recipients: Annotated[list[RecipientIn], Field(min_length=1, max_length=RECIPIENTS_MAX)]
    categories: Annotated[list[Category], Field(min_length=1, max_length=len(Category))]
    purpose: Literal[Purpose.TREAT, Purpose.CAREMGT, Purpose.SOCSUPPORT]
    capacity: Capacity = Capacity.CAPABLE
    departure: DepartureIn | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    carer_level: Level | None = None

    def terms(self, ctx: CaseContext) -> Terms:
        """Return the terms as given, with the recorder's own domain where none is named."""
        own = ctx.actor.domain
        if self.from_ is None and own is None:
            raise Invalid(Fault("/from", "missing", "Say whose secrecy is lifted."))
        return Terms(
            patient_id=self.patient_id,
            kind=self.kind,
            from_domains=tuple(item.domain for item in self.from_) if self.from_ else (own or Domain.CARE,),
            both_ways=self.both_ways and self.carer_level is None,
            history=self.history,
            recipients=tuple(named_recipient(item) for item in self.recipients),
            categories=tuple(self.categories),
            purpose=self.purpose,
            capacity=self.capacity,
            departure=Departing(self.departure.code, self.departure.reason) if self.departure else None,
            valid_from=self.valid_from or ctx.now,
            valid_until=self.valid_until,
            carer_level=self.carer_level,
        )


class DecidedIn(Body):
    """How somebody decided: who, when (now, when absent), by what means, on which text, in which language."""

    decided_by: DeciderIn
    decided_at: Instant | None = None
    method: Literal["digital_2fa", "written", "oral_recorded"]
    text_version: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None
    interpreter: Literal["professional", "informal"] | None = None

    def decided(self, ctx: CaseContext, *, yes: bool) -> Decision:
        """Return the decision, in the language of the text where none is named."""
        text = BY_VERSION.get(self.text_version)
        return Decision(
            decider=self.decided_by.type,
            representation_id=self.decided_by.id,
            yes=yes,
            decided_at=self.decided_at or ctx.now,
            method=self.method,
            text_version=self.text_version,
            language=self.language or (text.language if text else "nl"),
            interpreter=self.interpreter,
        )


class ConsentIn(TermsIn, DecidedIn):
    """Terms and a first yes to them."""


class DecisionIn(DecidedIn):
    """Somebody's yes or no about what is asked."""

    decision: Literal["yes", "no"]


class WithdrawalIn(Body):
    """How the withdrawal came about; one's own word, or the patient's, now, when absent.

    Without a method it is ``digital_2fa`` in one's own log-in and ``oral_recorded`` when a professional records it.
    """

    decided_by: DeciderIn | None = None
    decided_at: Instant | None = None
    method: Literal["digital_2fa", "written", "oral_recorded"] | None = None

    def wish(self, actor: Actor) -> Withdrawing:
        """Return who takes it back, and how."""
        who = self.decided_by
        method = self.method or ("oral_recorded" if actor.role in PROFESSIONALS else "digital_2fa")
        return Withdrawing(who.type if who else None, who.id if who else None, self.decided_at, method)


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
    """The end of a consent. Whose word it was is null for another representative of the same person."""

    withdrawn_at: At
    decided_by: str | None
    decided_at: At | None
    method: str | None


class DecisionOut(Out):
    """One person's yes or no; ``late`` when it was recorded more than seven days after it was made."""

    decided_by: DeciderOut
    decision: Literal["yes", "no"]
    decided_at: At
    method: str
    text_version: str
    text_sha256: str = Field(alias="textSha256")
    language: str
    interpreter: str | None
    recorded_by: AuthorRef
    recorded_at: At
    late: bool


class DepartureOut(Out):
    """That the table of deciders was departed from. The reason is shown to subject, recorder and case manager."""

    code: Departure
    reason: str | None = None


class BundleRef(Out):
    """The bundle that a consent was asked with, and what of it was asked together."""

    bundle: str
    version: str
    use_id: UUID


class ReferenceOut(Out):
    """The consent that this one renews, narrows or adds to."""

    id: UUID
    as_: Succession = Field(alias="as")


class ConsentOut(Out):
    """A consent record. ``decidedBy`` and its fellows are of the first yes, and null before there is one.

    A representative is shown their own decision alone; another's no is to them as one that is waited for. What
    citizens said beside it is in ``statements``, absent where there is nothing.
    """

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
    capacity: Capacity
    departure: DepartureOut | None
    decisions: list[DecisionOut]
    decided_by: DeciderOut | None
    decided_at: At | None
    method: str | None
    text_version: str | None
    text_sha256: str | None = Field(alias="textSha256")
    recorded_by: AuthorRef | None
    recorded_at: At
    valid_from: At
    valid_until: At | None
    renew_on: date | None
    to_be_renewed: bool
    withdrawal: WithdrawalOut | None
    superseded_at: At | None
    bundle: BundleRef | None
    refers_to: ReferenceOut | None
    statements: list[StatementOut] | None = None


class ConsentsOut(Out):
    """Consents, newest first."""

    items: list[ConsentOut]
    next_cursor: str | None


async def consent_outs(ctx: CaseContext, rows: Sequence[RowMapping]) -> list[ConsentOut]:
    """Return consents as answers show them."""
    people = await ctx.services.directory.people(
        engagement
        for row in rows
        for engagement in (
            row["recorded_by_engagement_id"],
            *(UUID(one["recorded_by_engagement_id"]) for one in row["decisions"]),
        )
    )
    said = await statements_beside(ctx, [row["id"] for row in rows])
    outs = []
    for row in rows:
        authors = {UUID(one["recorded_by_engagement_id"]) for one in row["decisions"]}
        refs = {one: author_ref(people, one) for one in authors | {row["recorded_by_engagement_id"]}}
        out = _out(row, refs, await _departure(ctx, row), ctx)
        outs.append(out.model_copy(update={"statements": said[row["id"]]}) if row["id"] in said else out)
    return outs


async def _departure(ctx: CaseContext, row: RowMapping) -> DepartureOut | None:
    if row["departure"] is None:
        return None
    standing = ctx.permit.standing
    own = row["patient_id"] in standing.subject_of or row["recorded_by_engagement_id"] == ctx.actor.engagement_id
    reason = await consent.open_reason(ctx.crypto, row) if own or standing.manages else None
    return DepartureOut(code=Departure(row["departure"]), reason=reason)


def _decider(one: dict[str, Any]) -> DeciderOut:
    named = one["representation_id"]
    return DeciderOut(type=one["decider"], id=UUID(named) if named else None)


def _decision(one: dict[str, Any], recorder: AuthorRef) -> DecisionOut:
    decided_at, recorded_at = (datetime.fromisoformat(one[name]) for name in ("decided_at", "recorded_at"))
    return DecisionOut(
        decided_by=_decider(one),
        decision="yes" if one["yes"] else "no",
        decided_at=decided_at,
        recorded_by=recorder,
        recorded_at=recorded_at,
        late=recorded_at - decided_at > LATE_AFTER,
        **{name: one[name] for name in ("method", "text_version", "text_sha256", "language", "interpreter")},
    )


def _out(
    row: RowMapping, authors: dict[UUID, AuthorRef], departure: DepartureOut | None, ctx: CaseContext
) -> ConsentOut:
    now, narrowed = ctx.now, ctx.actor.role is Role.REPRESENTATIVE
    active = row["status"] == Status.ACTIVE
    lapsed = active and row["valid_until"] is not None and row["valid_until"] <= now
    decisions = [_decision(one, authors[UUID(one["recorded_by_engagement_id"])]) for one in row["decisions"]]
    first = next((one for one in decisions if one.decision == "yes"), None)
    fields: dict[str, Any] = {name: row[name] for name in _PLAIN}
    if narrowed:
        fields |= {name: getattr(first, name) if first else None for name in _OF_FIRST}
    recorder = authors[row["recorded_by_engagement_id"]]
    foreign = narrowed and recorder.role is Role.REPRESENTATIVE and recorder.id != ctx.actor.account_id
    return ConsentOut(
        status=Status.EXPIRED if lapsed else _status(row["status"], decisions, narrowed=narrowed),
        from_=[FromOut(domain=domain) for domain in row["from_domains"]],
        recipients=[RecipientOut(**recipient) for recipient in row["recipients"]],
        departure=departure,
        decisions=decisions,
        decided_by=first.decided_by if first else _first_decider(row, narrowed=narrowed),
        recorded_by=None if foreign else recorder,
        to_be_renewed=active and not lapsed and row["renew_on"] is not None and row["renew_on"] <= day_of(now),
        withdrawal=_withdrawal(row, decisions, narrowed=narrowed),
        bundle=_bundle(row),
        refers_to=ReferenceOut(id=row["refers_to_id"], as_=row["refers_as"]) if row["refers_to_id"] else None,
        **fields,
    )


def _bundle(row: RowMapping) -> BundleRef | None:
    if row["bundle"] is None:
        return None
    return BundleRef(bundle=row["bundle"], version=row["bundle_version"], use_id=row["bundle_use_id"])


def _status(status: str, decisions: Sequence[DecisionOut], *, narrowed: bool) -> str:
    """Return the status as it is shown: that another parent refused is for neither of them to know."""
    if narrowed and status == Status.REFUSED and not any(one.decision == "no" for one in decisions):
        return Status.PROPOSED
    return status


def _first_decider(row: RowMapping, *, narrowed: bool) -> DeciderOut | None:
    return DeciderOut(type=row["decided_by"], id=None) if row["decided_by"] and not narrowed else None


def _withdrawal(row: RowMapping, decisions: Sequence[DecisionOut], *, narrowed: bool) -> WithdrawalOut | None:
    if row["withdrawn_at"] is None:
        return None
    named = row["withdrawal_representation_id"]
    foreign = narrowed and not any(one.decided_by.id == named for one in decisions)
    if foreign:
        return WithdrawalOut(withdrawn_at=row["withdrawn_at"], decided_by=None, decided_at=None, method=None)
    return WithdrawalOut(
        withdrawn_at=row["withdrawn_at"],
        decided_by=row["withdrawal_decided_by"],
        decided_at=row["withdrawal_decided_at"],
        method=row["withdrawal_method"],
    )


_OF_FIRST = ("decided_at", "method", "text_version", "text_sha256")
_PLAIN = (
    *("id", "patient_id", "kind", "both_ways", "history", "categories", "purpose", "capacity", "decided_at"),
    *("method", "text_version", "text_sha256", "recorded_at", "valid_from", "valid_until", "renew_on"),
    "superseded_at",
)


def consent_touch(ctx: CaseContext, row: RowMapping) -> Touch:
    """Return the touch of one consent, for the log."""
    return case_touch(ctx.permit, "consent", row["id"], patient_id=PatientId(row["patient_id"]), consent_id=row["id"])
