"""Joining a household that is open: a person is asked, and takes part as long as a consent of theirs holds.

Until then the table is not about them: no cell opens on them, for anybody. Source: DOMAIN R-14.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.cases import service as cases
from app.consent.decisions import Status
from app.consent.rules import Decision, Terms
from app.core.errors import Conflict, Fault, Forbidden, Invalid
from app.core.ids import ConsentId, PatientId
from app.entitlement import consents, seats, store
from app.entitlement.consents import Means
from app.entitlement.seats import CaseClosed
from app.events import service as events


class NotAHousehold(Conflict):
    """Raised when somebody would join the case of one person: that stays about them alone."""

    code = "not-a-household"
    title = "This case is about one person"


class AlreadySubject(Conflict):
    """Raised when somebody whom the case is about, or who was asked to join, would join again."""

    code = "already-subject"
    title = "This person takes part, or was asked to"


@dataclass(frozen=True, slots=True)
class Joining:
    """Who is to join, the question about them, what they are asked to agree to, and what they said, if they did."""

    patient_id: PatientId
    question: str
    terms: Terms
    decision: Decision | None


async def add_subject(
    db: AsyncSession, permit: CasePermit, means: Means, consent_id: ConsentId, joining: Joining
) -> Status:
    """Ask somebody to join a household, in one commit with what they said; return where their consent stands.

    Only when it is ``active`` does the case become about them; a citizen with an account sits down then.

    Raises:
        Forbidden: the actor did not open the case.
        NotAHousehold, CaseClosed, AlreadySubject: see there.
        Invalid: there is no such patient in the actor's organisation, or anything of the consent is wrong.
    """
    standing = permit.standing
    if not standing.opened_by_me:
        raise Forbidden("Whoever opened the household asks who joins it.")
    if standing.kind != "household":
        raise NotAHousehold
    if standing.status != "open":
        raise CaseClosed
    position = await store.lock_case(db, permit.case_id)
    if joining.patient_id in standing.subjects:
        raise AlreadySubject
    known = await cases.own_patients(db, permit, [joining.patient_id])
    if joining.patient_id not in known:
        raise Invalid(Fault("/patientId", "not-found", "There is no such patient in your organisation."))
    await cases.ask_to_join(db, permit, joining.patient_id)
    opened = await seats.opening(
        means.crypto, permit, permit.case_id, joining.patient_id, standing.domain, joining.question
    )
    await events.append(db, permit.case_id, [opened], actor=permit.actor, at=permit.now)
    return await consents.ask_to_join(db, permit, means, consent_id, joining.terms, joining.decision, position + 1)


async def patient_of(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> tuple[UUID, str]:
    """Return whom a consent to join is about, and where it stands.

    Raises:
        NotFound: there is none that the actor may read.
    """
    return await consents.about(db, permit, consent_id)
