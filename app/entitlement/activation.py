"""Codes become people: a member's code for a citizen, and what any one-time code opens.

A citizen who comes in by a code sits at the table of every open case about them in the same commit.
"""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access import policy
from app.access.policy import CasePermit, RolePermit
from app.access.vocabulary import Acr, Action, CaseRole, Category, Domain
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who
from app.cases import service as cases
from app.cases.service import Seating
from app.core.errors import Conflict, NotFound, RateLimited
from app.core.ids import AccountId, CaseId, EngagementId, MemberId, PatientId, new_id
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.entitlement import store
from app.entitlement.derivation import rederive
from app.events import service as events
from app.events.drafts import Draft, EventType, contacts
from app.identity import enrolment
from app.identity import service as identity
from app.identity.directory import NAME_CATEGORY, name_place
from app.identity.enrolment import (
    CITIZEN_LIFETIME,
    Citizen,
    CodeDelivery,
    EnrolmentFailed,
    IdentityDocument,
    Purpose,
    Taken,
)
from app.identity.factors import service as factors
from app.identity.factors.means import Means
from app.identity.factors.throttle import CODES_FROM_HERE, LINKS
from app.identity.sessions import Method
from app.identity.signing_in import Delivery, NothingToEnter, SignedIn, sign_in


class PatientLinked(Conflict):
    """Raised when a citizen who has an account would get a code: a lost factor is reset by two people."""

    code = "patient-linked"
    title = "This citizen has an account already"


@dataclass(frozen=True, slots=True)
class Checked:
    """How a member saw who the citizen is, and how the code reaches them."""

    patient_id: PatientId
    document: IdentityDocument
    delivery: CodeDelivery


async def issue_code(db: AsyncSession, permit: CasePermit, crypto: Crypto, checked: Checked) -> tuple[str, datetime]:
    """Return a code for a citizen whom the case is about, and when it ends; the one before it is void.

    Raises:
        NotFound: the case is not about that patient, or the actor may not know who that is.
        PatientLinked: the citizen has an account.
    """
    patient_id = checked.patient_id
    if not permit.standing.holds_category(Category.IDENTIFICATION, permit.now, patient_id):
        raise NotFound
    patient = (await cases.patients(db, permit, crypto, [patient_id])).get(patient_id)
    if patient is None or patient_id not in permit.standing.subjects:
        raise NotFound
    if patient.linked:
        raise PatientLinked
    enrolment_id = new_id()
    key = await crypto.data_keys.sealing(patient_id, Category.IDENTIFICATION)
    name = " ".join(part for part in (patient.name.given, patient.name.prefix, patient.name.family) if part)
    code = await enrolment.issue_enrolment(
        db,
        crypto.digests,
        account_id=None,
        purpose=Purpose.CITIZEN,
        citizen=Citizen(
            patient_id=patient_id,
            birth_date=patient.birth_date,
            enrolment_id=enrolment_id,
            name_sealed=seal_text(key, name, _place(enrolment_id, patient_id)),
            document=checked.document,
            delivery=checked.delivery,
        ),
        created_by=permit.actor.engagement_id,
        now=permit.now,
        lifetime=CITIZEN_LIFETIME,
    )
    return code, permit.now + CITIZEN_LIFETIME


def _place(enrolment_id: UUID, patient_id: UUID) -> Place:
    return Place("enrolment", "name_sealed", enrolment_id, patient_id, Category.IDENTIFICATION, None)


async def enrol(
    means: Means, code: str, birth_date: date | None, delivery: Delivery, origin: Origin
) -> tuple[SignedIn, list[CaseId]]:
    """Use a one-time code: begin a session that may set up factors, and seat a citizen at their open cases.

    Returns:
        The session, and the cases in which that changed something.

    Raises:
        TooManyAttempts: from this address there were too many that opened nothing.
        EnrolmentFailed: the code opens nothing, whatever the reason.
    """
    attempt = means.throttle.from_here("enrolment", origin.access_point, CODES_FROM_HERE)
    await factors.count(means.database, means.clock, attempt)
    entered: tuple[SignedIn, list[CaseId]] | None = None
    try:
        async with means.database.session() as db, db.begin():
            now = await identity.present_instant(db, means.clock())
            taken = await enrolment.take_enrolment(db, means.crypto.digests, code, birth_date, linking=False, now=now)
            if taken is not None:  # else what was counted against the code is to stand
                entered = await _let_in(db, means, taken, delivery, origin, now)
                await factors.forgive(db, attempt)
    except (EnrolmentFailed, NothingToEnter):
        entered = None
    if entered is None:
        await _record_failure(means, origin)
        raise EnrolmentFailed
    return entered


async def _let_in(
    db: AsyncSession, means: Means, taken: Taken, delivery: Delivery, origin: Origin, now: datetime
) -> tuple[SignedIn, list[CaseId]]:
    account_id, engagement_id = taken.account_id, None
    if taken.patient_id is not None:
        account_id, engagement_id = await _account_of(db, means.crypto, taken, now)
    assert account_id is not None
    signed_in = await sign_in(
        db,
        account_id=account_id,
        engagement_id=engagement_id,
        method=Method.ENROLMENT,
        acr=Acr.ENROLMENT,
        issuer=means.issuer,
        digests=means.crypto.digests,
        now=now,
        delivery=delivery,
    )
    moved: list[CaseId] = []
    if taken.patient_id is not None:
        entered = await identity.enter(db, signed_in.session_id, now, engagement_id=signed_in.engagement_id)
        permit = policy.authorize_role(entered.actor, Action.ENROLMENT_USE, now=now)
        moved = await sit_down(db, permit, taken.patient_id)
    who = Who(account_id=account_id, engagement_id=signed_in.engagement_id, login_session_id=signed_in.session_id)
    touch = Touch("enrolment", taken.id, patient_id=taken.patient_id)
    await audit.record(db, [_record(who, Outcome.SUCCESS, touch, origin)], at=now, source=means.source)
    return signed_in, moved


async def _account_of(
    db: AsyncSession, crypto: Crypto, taken: Taken, now: datetime
) -> tuple[AccountId, EngagementId]:
    """Return the account and engagement of a citizen, made if they are not there yet.

    Raises:
        EnrolmentFailed: the patient was linked meanwhile.
    """
    account_id = taken.account_id or AccountId(new_id())
    assert taken.name_sealed is not None
    assert taken.patient_id is not None
    keys = await crypto.data_keys.opening([taken.name_sealed])
    name = open_text(keys[key_id_of(taken.name_sealed)], taken.name_sealed, _place(taken.id, taken.patient_id))
    key = await crypto.data_keys.sealing(account_id, NAME_CATEGORY)
    engagement_id = await enrolment.activate_citizen(
        db, taken, account_id=account_id, name_sealed=seal_text(key, name, name_place(account_id)), now=now
    )
    if engagement_id is None:
        raise EnrolmentFailed
    return account_id, engagement_id


async def link_patient(
    db: AsyncSession, permit: RolePermit, means: Means, code: str, birth_date: date
) -> tuple[PatientId, list[CaseId]]:
    """Link a patient to the citizen who is logged in, and seat them; return whom, and the cases that changed.

    Raises:
        TooManyAttempts: this citizen tried too often today.
        EnrolmentFailed: the code opens nothing for this citizen.
    """
    # Counting takes a connection beside this request's own: never so many that none is left for it.
    if means.beside.locked():
        raise RateLimited(1)
    async with means.beside:
        attempt = means.throttle.within("patient-link", permit.actor.account_id.bytes, LINKS)
        await factors.count(means.database, means.clock, attempt)
    taken = await enrolment.take_enrolment(db, means.crypto.digests, code, birth_date, linking=True, now=permit.now)
    if taken is None or taken.patient_id is None or taken.name_sealed is None:
        raise EnrolmentFailed
    linked = await enrolment.activate_citizen(
        db, taken, account_id=permit.actor.account_id, name_sealed=taken.name_sealed, now=permit.now
    )
    if linked is None:
        raise EnrolmentFailed
    await factors.forgive(db, attempt)
    return taken.patient_id, await sit_down(db, permit, taken.patient_id)


async def sit_down(db: AsyncSession, permit: RolePermit, patient_id: PatientId) -> list[CaseId]:
    """Seat the citizen who acts at every open case about this patient, and derive what that opens; return these."""
    moved = []
    for row in await factors.cases_of_mine(db, patient_id):
        case_id = CaseId(row["case_id"])
        await store.lock_case(db, case_id)
        drafts: list[Draft] = []
        if not row["seated"]:
            member_id = MemberId(new_id())
            seating = Seating(permit.actor.engagement_id, CaseRole.PATIENT, False, "accepted")
            await cases.seat(db, permit, case_id, member_id, seating)
            data = {"memberId": str(member_id), "engagementId": str(permit.actor.engagement_id)}
            audience = contacts(Domain(row["domain"]))
            drafts.append(Draft(type=EventType.MEMBER_ACCEPTED, audience=audience, refers_to=member_id, data=data))
        change = await rederive(db, case_id, now=permit.now)
        drafts += change.drafts("member-joined")
        if drafts:
            await events.append(db, case_id, drafts, actor=permit.actor, at=permit.now)
        moved.append(case_id)
    return moved


async def _record_failure(means: Means, origin: Origin) -> None:
    async with means.database.session() as db, db.begin():
        now = await identity.present_instant(db, means.clock())
        record = _record(Who(), Outcome.DENIED, Touch("enrolment"), origin)
        await audit.record(db, [record], at=now, source=means.source)


def _record(who: Who, outcome: Outcome, touch: Touch, origin: Origin) -> Record:
    return Record(
        action=Action.ENROLMENT_USE,
        action_code=ActionCode.EXECUTE,
        outcome=outcome,
        who=who,
        touch=touch,
        origin=origin,
        reason=EnrolmentFailed.code if outcome is Outcome.DENIED else None,
    )
