"""Use cases of representation: record who speaks for a patient, end it, and withhold a category from a parent.

Each takes the case's lock first, changes its rows, derives the grants, and appends its events last. Other
representatives of the same patient hear of none of it: separated parents need not learn of each other here.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.tables import IMPLIED
from app.access.vocabulary import PROFESSIONALS, CaseRole, Category, Role
from app.cases import service as cases
from app.cases.service import Name, Seating
from app.consent.decisions import AUTHORITY_KINDS, RepresentationKind
from app.consent.decisions import Representation as Say
from app.consent.grounds_model import Representation, Withholding
from app.consent.representations import Claim, claim_faults, displaced, end_of
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import AccountId, EngagementId, MemberId, PatientId, new_id
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.entitlement import representing_store as own_store
from app.entitlement import store
from app.entitlement.deaths import require_alive
from app.entitlement.derivation import Change, parse_inputs, rederive
from app.entitlement.grants import Inputs
from app.entitlement.seats import CaseClosed
from app.events import service as events
from app.events.drafts import Draft, EventType, only
from app.identity import enrolment
from app.identity.directory import NAME_CATEGORY, Person, name_place
from app.identity.enrolment import CITIZEN_LIFETIME, Purpose, Relative

CHANGED = "representation-changed"
"""Why a representative's cells changed, as it is told: the same word for all, so that it tells nothing more."""


class AlreadyRepresents(Conflict):
    """Raised when somebody who speaks for this patient is recorded as doing so again."""

    code = "already-represents"
    title = "This person represents this patient already"


class RepresentationEnded(Conflict):
    """Raised by ending, or withholding from, what has ended."""

    code = "representation-ended"
    title = "This representation has ended"


class WithholdingEnded(Conflict):
    """Raised by ending what has ended."""

    code = "withholding-ended"
    title = "This is withheld no longer"


@dataclass(frozen=True, slots=True)
class Spokesperson:
    """Who speaks: an account that is there, or a new person by name. Never a BSN (R-40)."""

    account_id: AccountId | None = None
    name: Name | None = None


@dataclass(frozen=True, slots=True)
class SayRow:
    """A recorded say with whose it is."""

    say: Say
    engagement_id: EngagementId
    account_id: AccountId
    capacity_lost: bool


async def says(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> list[SayRow]:
    """Return everybody who has or had a say for a subject here; for deciding, and shown to nobody as it is."""
    return [
        SayRow(
            say=Say(
                id=row["id"],
                kind=RepresentationKind(row["kind"]),
                scope=None if row["scope"] is None else frozenset(Category(one) for one in row["scope"]),
                start=row["valid_from"],
                end=row["valid_until"],
            ),
            engagement_id=EngagementId(row["engagement_id"]),
            account_id=AccountId(row["account_id"]),
            capacity_lost=row["capacity_lost"],
        )
        for row in await own_store.say_of(db, permit, patient_id)
    ]


async def record(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, representation_id: UUID, claim: Claim, who: Spokesperson
) -> None:
    """Record that somebody speaks for a subject, and seat them; who comes after them in the legal order ends.

    Raises:
        CaseClosed: the case is closed.
        PatientDied: nobody speaks for somebody of whom a death is recorded.
        AlreadyRepresents: they do so already.
        Forbidden: one would record oneself.
        Invalid: the case is not about that patient, there is no such account, or the law does not know it so.
    """
    if permit.standing.status == "closed":
        raise CaseClosed
    await store.lock_case(db, permit.case_id)
    patient = (await cases.patients(db, permit, crypto, [claim.patient_id])).get(claim.patient_id)
    if patient is None or claim.patient_id not in permit.standing.subjects:
        raise Invalid(Fault("/patientId", "not-a-subject", "This case is not about that patient."))
    known = await says(db, permit, claim.patient_id)
    await require_alive(db, permit, claim.patient_id)
    _refuse_twice(permit, known, who)
    before = [one.say for one in known]
    if wrong := list(claim_faults(claim, patient.birth_date, before, permit.now)):
        raise Invalid(*wrong)
    engagement_id = await _engaged(db, permit, crypto, claim.patient_id, who)
    for ending in displaced(claim, before, permit.now):
        await own_store.end(db, permit, "representation", ending)
    member_id, fresh = await _seated(db, permit, engagement_id)
    row = Representation(
        case_id=permit.case_id,
        id=representation_id,
        patient_id=claim.patient_id,
        member_id=member_id,
        engagement_id=engagement_id,
        kind=claim.kind,
        evidence=claim.evidence,
        evidence_sealed=await _sealed(
            crypto,
            evidence_place(permit.case_id, representation_id, permit.actor.account_id),
            claim.evidence_text,
        ),
        scope=sorted(claim.scope) if claim.scope is not None else None,
        capacity_lost=claim.capacity_lost,
        valid_from=claim.valid_from,
        valid_until=end_of(claim, patient.birth_date),
        recorded_by_account_id=permit.actor.account_id,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    await own_store.add(db, permit, row)
    change = await rederive(db, permit.case_id, now=permit.now)
    drafts = []
    if fresh:
        inputs = parse_inputs(await store.grant_inputs(db, permit.case_id))
        drafts.append(_told(EventType.MEMBER_ACCEPTED, inputs, change, member_id, engagement_id, claim.patient_id))
    await _append(db, permit, [*drafts, *change.drafts(CHANGED)])


def _refuse_twice(permit: CasePermit, known: Iterable[SayRow], who: Spokesperson) -> None:
    if who.account_id is None:
        return
    if who.account_id == permit.actor.account_id:
        raise Forbidden("Nobody records themselves as a representative; ask a colleague.")
    if any(one.account_id == who.account_id and one.say.holds(permit.now) for one in known):
        raise AlreadyRepresents


async def _engaged(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, patient_id: UUID, who: Spokesperson
) -> EngagementId:
    account_id = who.account_id or AccountId(new_id())
    sealed = None
    if who.name is not None:
        key = await crypto.data_keys.sealing(account_id, NAME_CATEGORY)
        name = " ".join(part for part in (who.name.given, who.name.prefix, who.name.family) if part)
        sealed = seal_text(key, name, name_place(account_id))
    newcomer = own_store.Newcomer(account_id, EngagementId(new_id()), Role.REPRESENTATIVE, sealed)
    found = await own_store.engage(db, permit, patient_id, newcomer)
    if found is None:
        raise Invalid(Fault("/representative/accountId", "not-found", "There is no such account of another person."))
    return EngagementId(found)


async def _seated(db: AsyncSession, permit: CasePermit, engagement_id: EngagementId) -> tuple[MemberId, bool]:
    """Return the representative's seat at this table, taken now if there is none, and whether it is new."""
    seats = parse_inputs(await store.grant_inputs(db, permit.case_id)).seats
    held = next((seat.member_id for seat in seats if seat.engagement_id == engagement_id), None)
    if held is not None:
        return held, False
    member_id = MemberId(new_id())
    seating = Seating(engagement_id, CaseRole.WETTELIJK_VERTEGENWOORDIGER, False, "accepted")
    await cases.seat(db, permit, permit.case_id, member_id, seating)
    return member_id, True


def _told(
    kind: EventType,
    inputs: Inputs,
    change: Change,
    member_id: UUID,
    engagement_id: UUID,
    patient_id: UUID,
) -> Draft:
    """Return what professionals who see who is at the table, the patient, and the representative hear of a seat."""
    contacts = {cell[0] for cell in change.after if cell[2] is Category.CONTACT_NETWORK}
    patients = {one.account_id for one in inputs.subjects if one.patient_id == patient_id}
    hearing = [
        seat.engagement_id
        for seat in inputs.seats
        if seat.engagement_id in contacts
        and (seat.role in PROFESSIONALS or (seat.role is Role.CITIZEN and seat.account_id in patients))
    ]
    return Draft(
        type=kind,
        audience=only(*hearing, EngagementId(engagement_id)),
        refers_to=member_id,
        data={"memberId": str(member_id), "engagementId": str(engagement_id)},
    )


async def find(db: AsyncSession, permit: CasePermit, representation_id: UUID) -> RowMapping:
    """Return one representation.

    Raises:
        NotFound: there is none that the actor may read.
    """
    row = await own_store.one(db, permit, representation_id)
    if row is None or not _may_know(permit, row["patient_id"]):
        raise NotFound
    return row


def _may_know(permit: CasePermit, patient_id: UUID) -> bool:
    standing = permit.standing
    known = permit.actor.role not in PROFESSIONALS or standing.manages or standing.opened_by_me
    return known or standing.holds_any(permit.now, PatientId(patient_id))


async def listed(
    db: AsyncSession, permit: CasePermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the representations that the actor may read, newest first; representatives see their own alone."""
    patients = [one for one in permit.standing.subjects if _may_know(permit, one)]
    return await own_store.listed(db, permit, patients, before=before, limit=limit)


async def end(db: AsyncSession, permit: CasePermit, representation_id: UUID) -> None:
    """End a representation; what it opened closes at once, and the seat goes with the last that rests on it.

    Raises:
        NotFound: there is none that the actor may read.
        RepresentationEnded: it has ended.
    """
    await store.lock_case(db, permit.case_id)
    row = await find(db, permit, representation_id)
    if not await own_store.end(db, permit, "representation", representation_id):
        raise RepresentationEnded
    member_id, leaving = row["member_id"], False
    if not await own_store.seats_left(db, permit, member_id):
        member = await cases.find_member(db, permit, member_id)
        leaving = member["status"] == "accepted"
        if leaving:
            await cases.end_member(db, permit, member_id)
    change = await rederive(db, permit.case_id, now=permit.now)
    drafts: list[Draft] = list(change.drafts(CHANGED))
    if leaving:
        inputs = parse_inputs(await store.grant_inputs(db, permit.case_id))
        left = _told(EventType.MEMBER_LEFT, inputs, change, member_id, row["engagement_id"], row["patient_id"])
        drafts.append(
            Draft(
                type=left.type,
                audience=left.audience,
                refers_to=member_id,
                data={**(left.data or {}), "why": "membership-ended"},
            )
        )
    await _append(db, permit, drafts)


async def issue_code(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, representation_id: UUID, relative: Relative
) -> tuple[str, datetime]:
    """Return a code with which a representative comes in, together with their birth date; the one before is void.

    Raises:
        NotFound: there is no such representation.
        RepresentationEnded: it is not in force.
        AlreadyEnrolled: they can log in already; a lost factor is reset by two people.
        Forbidden: they sit at tables too that the actor does not answer for.
    """
    row = await find(db, permit, representation_id)
    (one,) = [one for one in await says(db, permit, row["patient_id"]) if one.say.id == representation_id]
    if not one.say.holds(permit.now):
        raise RepresentationEnded
    if not await own_store.may_let_in(db, permit, one.account_id):
        if await enrolment.is_enrolled(db, one.account_id):
            raise enrolment.AlreadyEnrolled
        raise Forbidden("This person sits at other tables too; two people together let them begin anew.")
    code = await enrolment.issue_enrolment(
        db,
        crypto.digests,
        account_id=one.account_id,
        purpose=Purpose.RELATIVE,
        relative=relative,
        created_by=permit.actor.engagement_id,
        now=permit.now,
        lifetime=CITIZEN_LIFETIME,
    )
    return code, permit.now + CITIZEN_LIFETIME


async def withhold(
    db: AsyncSession,
    permit: CasePermit,
    crypto: Crypto,
    withholding_id: UUID,
    representation_id: UUID,
    *,
    categories: frozenset[Category] | None,
    reason: str,
) -> None:
    """Withhold categories (None: everything) from a parent or guardian, with a reason that they never read (R-9).

    Raises:
        NotFound: there is no such representation that the actor may read.
        RepresentationEnded: it is not in force.
        Invalid: it is no parent's or guardian's, or a category is named that goes with any other.
    """
    await store.lock_case(db, permit.case_id)
    row = await find(db, permit, representation_id)
    if row["ended_at"] is not None or (row["valid_until"] is not None and row["valid_until"] <= permit.now):
        raise RepresentationEnded
    wrong = []
    if row["kind"] not in AUTHORITY_KINDS:
        wrong.append(Fault("/representationId", "not-a-parent", "Only from parents and guardians is it withheld."))
    if categories is not None and categories & set(IMPLIED):
        wrong.append(Fault("/categories", "implied", "This goes with any other category; withhold those."))
    if wrong:
        raise Invalid(*wrong)
    place = reason_place(permit.case_id, withholding_id, permit.actor.account_id)
    sealed = await _sealed(crypto, place, reason)
    assert sealed is not None
    await own_store.add_withholding(
        db,
        permit,
        Withholding(
            case_id=permit.case_id,
            id=withholding_id,
            representation_id=representation_id,
            categories=sorted(categories) if categories is not None else None,
            reason_sealed=sealed,
            recorded_by_account_id=permit.actor.account_id,
            recorded_by_engagement_id=permit.actor.engagement_id,
            recorded_at=permit.now,
        ),
    )
    change = await rederive(db, permit.case_id, now=permit.now)
    await _append(db, permit, change.drafts(CHANGED))


async def withheld_from(db: AsyncSession, permit: CasePermit, withholding_id: UUID) -> UUID:
    """Return the representation from which something is withheld.

    Raises:
        NotFound: there is none that the actor may read.
    """
    row = await own_store.withholding(db, permit, withholding_id)
    if row is None:
        raise NotFound
    representation: UUID = row["representation_id"]
    return representation


async def end_withholding(db: AsyncSession, permit: CasePermit, withholding_id: UUID) -> None:
    """Withhold no longer; what the parent may see is open to them at once.

    Raises:
        NotFound: there is none that the actor may read.
        Forbidden: it is for who recorded it, or the case manager, to say.
        WithholdingEnded: it has ended.
    """
    await store.lock_case(db, permit.case_id)
    row = await own_store.withholding(db, permit, withholding_id)
    if row is None:
        raise NotFound
    await find(db, permit, row["representation_id"])
    if not (permit.standing.manages or row["recorded_by_engagement_id"] == permit.actor.engagement_id):
        raise Forbidden
    if not await own_store.end(db, permit, "withholding", withholding_id):
        raise WithholdingEnded
    change = await rederive(db, permit.case_id, now=permit.now)
    await _append(db, permit, change.drafts(CHANGED))


async def newcomers(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, ids: Collection[UUID]
) -> dict[UUID, Person]:
    """Return people who were made in this transaction, whom the directory cannot know yet."""
    rows = await own_store.newcomers(db, permit, ids)
    keys = await crypto.data_keys.opening(row["name_sealed"] for row in rows)
    return {
        row["id"]: Person(
            engagement_id=EngagementId(row["id"]),
            account_id=AccountId(row["account_id"]),
            name=open_text(keys[key_id_of(row["name_sealed"])], row["name_sealed"], name_place(row["account_id"])),
            role=Role(row["role"]),
            organisation_id=None,
            organisation=None,
        )
        for row in rows
    }


def evidence_place(case_id: UUID, representation_id: UUID, author: UUID) -> Place:
    """Return where the words about the evidence belong."""
    return Place("representation", "evidence_sealed", representation_id, case_id, Category.PLAN_GOALS_ACTIONS, author)


def reason_place(case_id: UUID, withholding_id: UUID, author: UUID) -> Place:
    """Return where the reason for withholding belongs."""
    return Place("withholding", "reason_sealed", withholding_id, case_id, Category.PLAN_GOALS_ACTIONS, author)


async def _sealed(crypto: Crypto, place: Place, text: str | None) -> bytes | None:
    if text is None:
        return None
    key = await crypto.data_keys.sealing(place.scope, place.category)
    return seal_text(key, text, place)


async def open_sealed(crypto: Crypto, sealed: bytes | None, place: Place) -> str | None:
    """Return sealed words, if there are any."""
    if sealed is None:
        return None
    keys = await crypto.data_keys.opening([sealed])
    return open_text(keys[key_id_of(sealed)], sealed, place)


async def _append(db: AsyncSession, permit: CasePermit, drafts: Sequence[Draft]) -> None:
    if drafts:
        await events.append(db, permit.case_id, drafts, actor=permit.actor, at=permit.now)
