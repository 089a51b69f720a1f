"""One-time codes that let somebody in to set up factors: handed over, used once, soon ended."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import Conflict, Unauthenticated
from app.core.ids import AccountId, EngagementId, PatientId, new_id
from app.crypto.digests import Digests
from app.identity.factors import store
from app.identity.factors.codes import new_code, plain_code
from app.identity.factors.model import Enrolment

STAFF_LIFETIME = timedelta(days=7)
CITIZEN_LIFETIME = timedelta(days=14)
RESET_LIFETIME = timedelta(hours=24)


class Purpose(StrEnum):
    """What a code is for: a colleague, a citizen, a citizen's own people, a lost factor, the first region admin."""

    STAFF = "staff"
    CITIZEN = "citizen"
    RESET = "reset"
    INIT = "init"
    RELATIVE = "relative"


class IdentityDocument(StrEnum):
    """By what a member saw who the citizen is."""

    PASSPORT = "passport"
    IDENTITY_CARD = "identity-card"
    DRIVING_LICENCE = "driving-licence"
    KNOWN_IN_PERSON = "known-in-person"


class CodeDelivery(StrEnum):
    """How a code reaches the citizen."""

    HANDED_OVER = "handed-over"
    POSTED = "posted"


class AlreadyEnrolled(Conflict):
    """Raised when somebody who can log in would get a code: two people together may let them begin anew."""

    code = "already-enrolled"
    title = "This person can log in already"


class EnrolmentFailed(Unauthenticated):
    """Raised for every code that opens nothing: wrong, used, voided, too old, or with another birth date."""

    code = "enrolment-failed"
    title = "This code opens nothing"


@dataclass(frozen=True, slots=True)
class Citizen:
    """Of whom a citizen's code is: the name is sealed for this code's own place, under the patient's key."""

    patient_id: PatientId
    birth_date: date
    enrolment_id: UUID
    name_sealed: bytes
    document: IdentityDocument
    delivery: CodeDelivery


@dataclass(frozen=True, slots=True)
class Relative:
    """How it was seen who somebody of the citizen's own is, and how the code reaches them; never their BSN (R-40)."""

    birth_date: date
    document: IdentityDocument
    delivery: CodeDelivery


@dataclass(frozen=True, slots=True)
class Taken:
    """A code that was used up just now, and whom it lets in; of a citizen there may be no account yet."""

    id: UUID
    purpose: Purpose
    account_id: AccountId | None
    patient_id: PatientId | None
    name_sealed: bytes | None


async def issue_enrolment(
    db: AsyncSession,
    digests: Digests,
    *,
    account_id: AccountId | None,
    purpose: Purpose,
    patient_id: PatientId | None = None,
    citizen: Citizen | None = None,
    relative: Relative | None = None,
    created_by: EngagementId | None,
    now: datetime,
    lifetime: timedelta,
) -> str:
    """Return a one-time code, which is shown now and never again; codes issued before for the same person are void.

    ``created_by`` is the engagement of the transaction, None for ``INIT`` alone. A citizen's code is of a patient,
    and opens only together with that patient's birth date; that of their own people together with theirs.

    Raises:
        AlreadyEnrolled: the account can log in; only a reset by two people lets it begin anew.
        ValueError: the parts do not fit the purpose.
    """
    if (purpose is Purpose.CITIZEN) != (citizen is not None) or (account_id is None) != (citizen is not None):
        raise ValueError("A citizen's code is of a patient, any other of an account.")
    if (purpose is Purpose.RELATIVE) != (relative is not None):
        raise ValueError("Only of a citizen's own people it is kept how they were seen.")
    if patient_id is not None and (citizen is None or citizen.patient_id != patient_id):
        raise ValueError("A patient is named for a citizen's code alone.")
    if account_id is not None and purpose is not Purpose.RESET and await store.can_log_in(db, account_id):
        raise AlreadyEnrolled
    code = new_code()
    plain = plain_code(code)
    person = citizen or relative
    row = Enrolment(
        id=new_id() if citizen is None else citizen.enrolment_id,
        digest=digests.digest("enrolment", plain),
        check_digest=None if person is None else _check_digest(digests, plain, person.birth_date),
        purpose=purpose,
        account_id=account_id,
        patient_id=None if citizen is None else citizen.patient_id,
        name_sealed=None if citizen is None else citizen.name_sealed,
        identity_document=None if person is None else person.document,
        delivery=None if person is None else person.delivery,
        created_by_engagement_id=created_by,
        created_at=now,
        expires_at=now + lifetime,
    )
    await store.add_enrolment(db, row)
    return code


async def is_enrolled(db: AsyncSession, account_id: AccountId) -> bool:
    """Whether an account can log in with factors of its own, and so needs no code."""
    return await store.can_log_in(db, account_id)


async def take_enrolment(
    db: AsyncSession, digests: Digests, code: str, birth_date: date | None, *, linking: bool, now: datetime
) -> Taken | None:
    """Use a code up and return whom it lets in, or None. The caller commits in either case: a wrong try is counted.

    With ``linking`` it is the citizen who is logged in that uses it.
    """
    plain = plain_code(code)
    row = await store.take_enrolment(
        db,
        digest=digests.digest("enrolment", plain),
        check=_check_digest(digests, plain, birth_date),
        linking=linking,
        now=now,
    )
    if row is None:
        return None
    return Taken(
        id=row["id"],
        purpose=Purpose(row["purpose"]),
        account_id=row["account_id"],
        patient_id=row["patient_id"],
        name_sealed=row["name_sealed"],
    )


async def activate_citizen(
    db: AsyncSession, taken: Taken, *, account_id: AccountId, name_sealed: bytes, now: datetime
) -> EngagementId | None:
    """Link the patient of a code that was just used to an account, made if it is not there; return its engagement.

    None when the patient was linked meanwhile, or is somebody else by BSN.
    """
    found = await store.activate_citizen(
        db,
        enrolment_id=taken.id,
        account_id=account_id,
        engagement_id=new_id(),
        name_sealed=name_sealed,
        now=now,
    )
    return None if found is None else EngagementId(found)


def _check_digest(digests: Digests, plain: bytes, birth_date: date | None) -> bytes:
    """Return the digest that binds a code to a birth date."""
    day = b"" if birth_date is None else birth_date.isoformat().encode()
    return digests.digest("enrolment-check", plain, day)
