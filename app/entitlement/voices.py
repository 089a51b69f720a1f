"""Whose word a decision about consent is: the patient's, or that of somebody whose say is recorded.

Citizens and representatives speak for themselves, in their own log-in; professionals record anybody's word. Another
representative's id is to a representative as one that is not there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import PROFESSIONALS, Category, Role
from app.cases import service as cases
from app.consent.deciders import AgeBand, Capacity, Departure, Regime, band_on
from app.consent.decisions import needed
from app.consent.question import Question, day_of
from app.consent.rules import Terms
from app.core.errors import Fault, Invalid
from app.crypto.service import Crypto
from app.entitlement.representing import SayRow, says

PATIENT, REPRESENTATIVE = "patient", "representative"


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks: None is the patient, else the id of a recorded representation; and everybody who has a say."""

    person: UUID | None
    says: Sequence[SayRow]

    @property
    def decider(self) -> str:
        """How a record names it."""
        return PATIENT if self.person is None else REPRESENTATIVE


async def voice_of(
    db: AsyncSession, permit: CasePermit, patient_id: UUID, decider: str, named: UUID | None, method: str
) -> Voice:
    """Return whose word this is.

    Raises:
        Invalid: nobody by that id speaks for this patient, or the actor may not say this word.
    """
    known = await says(db, permit, patient_id)
    own = own_say(permit, known)
    wrong: list[Fault] = []
    person = named
    if decider == PATIENT:
        person = None
        if permit.actor.role is Role.REPRESENTATIVE:
            wrong.append(Fault("/decidedBy", "not-yours", "You decide as whom you are: a representative."))
    elif permit.actor.role not in PROFESSIONALS:
        if own is None or named not in (None, own.say.id):
            wrong.append(_nobody())
        person = own.say.id if own else None
    elif named is None:
        wrong.append(Fault("/decidedBy/id", "missing", "Say which representation this rests on."))
    elif all(one.say.id != named for one in known):
        wrong.append(_nobody())
    if decider == PATIENT:
        in_own_log_in = permit.actor.role is Role.REPRESENTATIVE or patient_id in permit.standing.subject_of
    else:
        in_own_log_in = own is not None and person == own.say.id
    if method == "digital_2fa" and not in_own_log_in:
        wrong.append(Fault("/method", "not-own-login", "One decides digitally in one's own log-in."))
    if wrong:
        raise Invalid(*wrong)
    return Voice(person, known)


def _nobody() -> Fault:
    return Fault("/decidedBy/id", "not-a-representative", "No such representative is recorded for this patient.")


def own_say(permit: CasePermit, known: Sequence[SayRow]) -> SayRow | None:
    """Return the actor's own say for a patient, if it is a representative whose say is in force."""
    mine = permit.actor.engagement_id
    return next((one for one in known if one.engagement_id == mine and one.say.holds(permit.now)), None)


def judgement_faults(permit: CasePermit, terms: Terms, known: Sequence[SayRow]) -> Iterator[Fault]:
    """Yield what only a professional may judge: that the table is departed from, and that somebody cannot decide."""
    if permit.actor.role in PROFESSIONALS:
        return
    if terms.departure is not None:
        yield Fault("/departure", "for-professionals", "Only a professional records why others are not asked.")
    own = own_say(permit, known)
    if terms.capacity is Capacity.INCAPABLE and not (own is not None and own.capacity_lost):
        yield Fault("/capacity", "for-professionals", "Only a professional judges that somebody cannot weigh this.")


async def question_of(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, row: RowMapping, known: Sequence[SayRow]
) -> Question:
    """Return the question that a recorded consent puts, to everybody who has a say."""
    return Question(
        regime=Regime(row["regime"]),
        birth=await cases.birth_date(db, permit, crypto, row["patient_id"]),
        capacity=Capacity(row["capacity"]),
        departure=Departure(row["departure"]) if row["departure"] else None,
        categories=frozenset(Category(one) for one in row["categories"]),
        representations=tuple(one.say for one in known),
    )


def withdrawal_faults(
    question: Question, person: UUID | None, last_words: dict[UUID | None, bool], now: datetime
) -> Iterator[Fault]:
    """Yield why this person may not take a consent back: any one of those who decide may, and a child from twelve on.

    Where a court's order stands in for a parent, only who said yes takes it back.
    """
    if person is None:
        who = needed(question.asked(now), question.representations, now)
        if None not in who.everybody and band_on(question.birth, day_of(now)) is AgeBand.UNDER_12:
            yield Fault("/decidedBy", "patient-does-not-decide", "At this age others decide.")
        return
    yield from question.faults(person, now, now)
    if question.departure is Departure.COURT_ORDER and not last_words.get(person):
        yield Fault("/decidedBy/id", "no-say", "A court's order stands in for this decision.")
