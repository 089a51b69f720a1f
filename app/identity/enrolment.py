"""One-time codes that let somebody in to set up factors: handed over, used once, soon ended."""

from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.ids import AccountId, EngagementId, PatientId, new_id
from app.crypto.digests import Digests
from app.identity.factors import store
from app.identity.factors.codes import new_code, plain_code

STAFF_LIFETIME = timedelta(days=7)
CITIZEN_LIFETIME = timedelta(days=14)
RESET_LIFETIME = timedelta(hours=24)


class Purpose(StrEnum):
    """What a code is for: a new colleague, a citizen, somebody who lost a factor, the first region admin."""

    STAFF = "staff"
    CITIZEN = "citizen"
    RESET = "reset"
    INIT = "init"


async def issue_enrolment(
    db: AsyncSession,
    digests: Digests,
    *,
    account_id: AccountId | None,
    purpose: Purpose,
    patient_id: PatientId | None = None,
    birth_date: date | None = None,
    created_by: EngagementId | None,
    now: datetime,
    lifetime: timedelta,
) -> str:
    """Return a one-time code, which is shown now and never again; codes issued before for the same person are void.

    ``created_by`` is the engagement of the transaction, None for ``INIT`` alone. A citizen's code names a patient and
    opens only together with that patient's birth date.

    Raises:
        ValueError: the parts do not fit the purpose.
    """
    citizen = purpose is Purpose.CITIZEN
    if citizen != (patient_id is not None and birth_date is not None) or (account_id is None and not citizen):
        raise ValueError("A citizen's code needs a patient and a birth date, any other an account.")
    code = new_code()
    plain = plain_code(code)
    await store.add_enrolment(
        db,
        enrolment_id=new_id(),
        digest=digests.digest("enrolment", plain),
        check_digest=check_digest(digests, plain, birth_date),
        purpose=purpose,
        account_id=account_id,
        patient_id=patient_id,
        created_by=created_by,
        now=now,
        until=now + lifetime,
    )
    return code


def check_digest(digests: Digests, plain: bytes, birth_date: date | None) -> bytes | None:
    """Return the digest that binds a code to a birth date."""
    return None if birth_date is None else digests.digest("enrolment-check", plain, birth_date.isoformat().encode())
