"""Use cases that make consents of others: use a bundle, renew what was given, add a recipient to it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import CaseRole, Category, ConsentKind, Domain, Law, Purpose, Role
from app.consent import service as consent
from app.consent.bundle import Bundle
from app.consent.bundles import BUNDLES_VERSION, BY_CODE
from app.consent.deciders import Capacity, Departure
from app.consent.decisions import Status
from app.consent.lines import Choice, Guest, Opening, choice_faults, may_be_added, opening_faults, openings
from app.consent.rules import (
    Chair,
    Decision,
    Departing,
    NamedRecipient,
    Origin,
    Succession,
    Terms,
    reaches,
)
from app.core.errors import Conflict, Fault, Invalid
from app.core.ids import ConsentId, new_id
from app.entitlement import store
from app.entitlement.consents import Means, ask_consent, give_consent, recipients_of


class NobodyLeft(Conflict):
    """Raised by renewing what no recipient is at the table of any more: ask a new consent."""

    code = "no-recipient-left"
    title = "No recipient of this consent is at the table"


@dataclass(frozen=True, slots=True)
class BundleUse:
    """What somebody asks with a bundle: which lines, of whom, until when; ``decision`` None saves it to be asked."""

    use_id: UUID
    patient_id: UUID
    bundle: str
    version: str
    choices: tuple[Choice, ...]
    capacity: Capacity
    departure: Departing | None
    valid_until: datetime | None
    decision: Decision | None


async def use_bundle(db: AsyncSession, permit: CasePermit, means: Means, use: BundleUse) -> None:
    """Ask every consent of a bundle, and record the decision about those that the actor may record.

    What lifts another domain's secrecy than the recorder's own, or would open to the recorder, is saved to be asked:
    somebody of that domain, a colleague elsewhere or the citizen records it.

    Raises:
        Forbidden: the actor may not record consent about this patient.
        Invalid: the bundle would be widened, nobody at the table is meant, or anything of the decision is wrong.
    """
    await store.lock_case(db, permit.case_id)
    bundle = BY_CODE.get(use.bundle)
    if bundle is None:
        raise Invalid(Fault("/bundle", "unknown", "There is no such bundle."))
    guests, own = await _company(db, permit)
    wrong = list(choice_faults(bundle, use.version, use.choices, guests, use.valid_until, now=permit.now))
    found = () if wrong else openings(bundle, use.choices, guests)
    wrong += () if wrong else opening_faults(found)
    if wrong:
        raise Invalid(*wrong)
    for opening in _apart(found, permit, own):
        terms = _terms(bundle, use, opening, permit.now)
        consent_id = ConsentId(new_id())
        if use.decision is not None and _recordable(opening, permit, own):
            try:
                await give_consent(db, permit, means, consent_id, terms, use.decision)
            except Invalid as error:
                raise Invalid(*(_in_body(fault) for fault in error.faults)) from None
        else:
            await ask_consent(db, permit, means, consent_id, terms, for_others=True)


_OF_DECISION = ("/decidedBy", "/decidedAt", "/method", "/textVersion", "/language")


def _in_body(fault: Fault) -> Fault:
    """Return a fault of the decision where the request has it."""
    return replace(fault, pointer=f"/decision{fault.pointer}") if fault.pointer.startswith(_OF_DECISION) else fault


def _terms(bundle: Bundle, use: BundleUse, opening: Opening, now: datetime) -> Terms:
    return Terms(
        patient_id=use.patient_id,
        kind=ConsentKind.LIFT_SECRECY,
        from_domains=(opening.domain,),
        both_ways=bundle.both_ways,
        history=bundle.history,
        recipients=opening.recipients,
        categories=opening.categories,
        purpose=bundle.purpose,
        capacity=use.capacity,
        departure=use.departure,
        valid_from=now,
        valid_until=use.valid_until or bundle.term.end(now),
        origin=Origin(bundle.code, BUNDLES_VERSION, use.use_id, review_months=bundle.review_months),
    )


async def _company(db: AsyncSession, permit: CasePermit) -> tuple[list[Guest], list[Chair]]:
    """Return who sits at the table, described, and the actor's own seats as recipients would reach them."""
    rows = await store.company(db, permit.case_id)
    own = [row for row in rows if row["engagement_id"] == permit.actor.engagement_id]
    return [_guest(row) for row in rows], [_chair(row) for row in own]


def _guest(row: RowMapping) -> Guest:
    return Guest(
        member_id=row["member_id"],
        role=Role(row["role"]),
        profession=row["profession"],
        speciality=row["speciality"],
        domain=Domain(row["domain"]) if row["domain"] else None,
        law=Law(row["law"]) if row["law"] else None,
        case_role=CaseRole(row["case_role"]),
        organisation_id=row["organisation_id"],
        organisation_kind=row["organisation_kind"],
        team_ids=frozenset(row["team_ids"]),
    )


def _chair(row: RowMapping) -> Chair:
    return Chair(
        member_id=row["member_id"],
        engagement_id=row["engagement_id"],
        organisation_id=row["organisation_id"],
        role=Role(row["role"]),
        team_ids=frozenset(row["team_ids"]),
    )


def _to_oneself(recipient: NamedRecipient, own: Iterable[Chair]) -> bool:
    return any(reaches(recipient, chair) for chair in own)


def _apart(found: Iterable[Opening], permit: CasePermit, own: Sequence[Chair]) -> Iterator[Opening]:
    """Yield the openings, with what would open to the recorder apart, so that the rest can be recorded."""
    for one in found:
        mine = tuple(recipient for recipient in one.recipients if _to_oneself(recipient, own))
        others = tuple(recipient for recipient in one.recipients if recipient not in mine)
        if permit.standing.speaks_for or not mine or not others:
            yield one
        else:
            yield replace(one, recipients=others)
            yield replace(one, recipients=mine)


def _recordable(opening: Opening, permit: CasePermit, own: Sequence[Chair]) -> bool:
    if permit.standing.speaks_for:
        return True
    return opening.domain is permit.actor.domain and not any(_to_oneself(one, own) for one in opening.recipients)


async def renew_consent(
    db: AsyncSession, permit: CasePermit, means: Means, renewal_id: ConsentId, consent_id: UUID, decision: Decision
) -> Status:
    """Ask the last terms again, for as long as they were agreed for, with a new decision.

    Active, it takes the place of what it renews in the same commit. A recipient who left the table is left out.

    Raises:
        NotFound: there is no such consent that the actor may read.
        AlreadyWithdrawn, AlreadySuperseded, NotActive: it cannot be renewed.
        NobodyLeft: no recipient is at the table any more.
        Forbidden, Invalid: as for a consent that is given.
    """
    await store.lock_case(db, permit.case_id)
    row = await consent.find(db, permit, consent_id)
    consent.renewable(row)
    chairs = [_chair(one) for one in await store.company(db, permit.case_id)]
    there = tuple(one for one in recipients_of(row) if _to_oneself(one, chairs))
    if not there:
        raise NobodyLeft
    origin = _origin(row, renewal_id, Succession.RENEWAL)
    terms = await _repeated(permit, means, row, there, _next_end(row, permit.now), origin)
    return await give_consent(db, permit, means, renewal_id, terms, decision)


async def add_recipient(
    db: AsyncSession,
    permit: CasePermit,
    means: Means,
    addition_id: ConsentId,
    consent_id: UUID,
    recipient: NamedRecipient,
    decision: Decision,
) -> Status:
    """Give one more recipient what an active consent opens, until that ends; it names the new one alone.

    Raises:
        NotFound: there is no such consent that the actor may read.
        NotActive, AlreadyExpired, AlreadyWithdrawn, AlreadySuperseded: there is nothing to add to.
        Forbidden, Invalid: as for a consent that is given, or the bundle it came from has no line for that recipient.
    """
    await store.lock_case(db, permit.case_id)
    row = await consent.find(db, permit, consent_id)
    consent.require_active(row, permit.now)
    bundle = BY_CODE.get(row["bundle"]) if row["bundle"] else None
    if bundle is not None:
        guests, _ = await _company(db, permit)
        opened = frozenset(Category(one) for one in row["categories"])
        if not may_be_added(bundle, recipient, Domain(row["from_domains"][0]), opened, guests):
            raise Invalid(Fault("/recipient", "not-in-bundle", "The bundle has no line for this recipient."))
    origin = _origin(row, addition_id, Succession.ADDITION)
    terms = await _repeated(permit, means, row, (recipient,), row["valid_until"], origin)
    return await give_consent(db, permit, means, addition_id, terms, decision)


def _origin(row: RowMapping, successor_id: ConsentId, succession: Succession) -> Origin:
    return Origin(
        bundle=row["bundle"],
        bundle_version=row["bundle_version"],
        bundle_use_id=successor_id if row["bundle"] else None,
        refers_to_id=row["id"],
        refers_as=succession,
        review_months=row["review_months"],
    )


def _next_end(row: RowMapping, now: datetime) -> datetime | None:
    """Return the end of a renewal: what the bundle says now, else as long as was agreed."""
    bundle = BY_CODE.get(row["bundle"]) if row["bundle"] else None
    if bundle is not None and not bundle.term.days_at_most:
        return bundle.term.end(now)
    if row["valid_until"] is None:
        return None
    ends: datetime = now + (row["valid_until"] - row["valid_from"])
    return ends


async def _repeated(
    permit: CasePermit,
    means: Means,
    row: RowMapping,
    recipients: tuple[NamedRecipient, ...],
    valid_until: datetime | None,
    origin: Origin,
) -> Terms:
    departure = None
    if row["departure"]:
        departure = Departing(Departure(row["departure"]), await consent.open_reason(means.crypto, row) or "")
    return Terms(
        patient_id=row["patient_id"],
        kind=ConsentKind(row["kind"]),
        from_domains=tuple(Domain(one) for one in row["from_domains"]),
        both_ways=row["both_ways"],
        history=row["history"],
        recipients=recipients,
        categories=tuple(Category(one) for one in row["categories"]),
        purpose=Purpose(row["purpose"]),
        capacity=Capacity(row["capacity"]),
        departure=departure,
        valid_from=permit.now,
        valid_until=valid_until,
        origin=origin,
    )
