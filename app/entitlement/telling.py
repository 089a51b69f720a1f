"""Telling people that consent is asked of them, and that it was taken back; nobody is told of their own act."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import CASE_MANAGERS, PROFESSIONALS
from app.cases import service as cases
from app.consent import service as consent
from app.consent.deciders import regime_of
from app.consent.decisions import Status, needed
from app.consent.question import Question
from app.consent.rules import Terms
from app.core.ids import EngagementId
from app.crypto.service import Crypto
from app.entitlement import store
from app.entitlement.representing import SayRow, says
from app.notices import service as notices
from app.notices.kinds import Citizen, Engaged, Managers, NoticeKind, To

ASKED = (NoticeKind.CONSENT_ASKED,)
"""What is taken back when nothing is awaited any more."""


async def tell_citizen(db: AsyncSession, permit: CasePermit, row: RowMapping, kind: NoticeKind) -> None:
    """Confirm to the citizen what somebody else recorded on their word, with how to undo it."""
    if row["patient_id"] not in permit.standing.subject_of:
        await _tell(db, permit, row["id"], kind, [Citizen(row["patient_id"])])


async def tell_asked(db: AsyncSession, permit: CasePermit, crypto: Crypto, consent_id: UUID, terms: Terms) -> None:
    """Tell everybody who decides about what was just asked: the citizen, and representatives within their scope."""
    known = await says(db, permit, terms.patient_id)
    question = Question(
        regime=regime_of(terms.from_domains),
        birth=await cases.birth_date(db, permit, crypto, terms.patient_id),
        capacity=terms.capacity,
        departure=terms.departure.code if terms.departure else None,
        categories=frozenset(terms.categories),
        representations=tuple(one.say for one in known),
    )
    await _tell_awaited(db, permit, consent_id, terms.patient_id, question, known)


async def tell_decided(
    db: AsyncSession, permit: CasePermit, row: RowMapping, status: Status, question: Question, known: Sequence[SayRow]
) -> None:
    """Take back the asking when all is said, tell who is still awaited, and note that the actor's own is done.

    To one representative the no of another is as one that is awaited, so theirs stays.
    """
    if status in (Status.ASKED, Status.PROPOSED):
        await _tell_awaited(db, permit, row["id"], row["patient_id"], question, known)
    else:
        who = needed(question.asked(permit.now), question.representations, permit.now).everybody
        if status is Status.ACTIVE or len(who - {None}) <= 1:
            await notices.end_about(db, row["id"], ASKED)
    await notices.mark_own_read(db, permit, row["id"], NoticeKind.CONSENT_ASKED)


async def _tell_awaited(
    db: AsyncSession,
    permit: CasePermit,
    consent_id: UUID,
    patient_id: UUID,
    question: Question,
    known: Sequence[SayRow],
) -> None:
    who = needed(question.asked(permit.now), question.representations, permit.now)
    said = await consent.last_words(db, permit, consent_id)
    spoken_for = any(said.get(one) for one in who.one_of)
    awaited = (who.all_of if spoken_for else who.everybody) - said.keys()
    to: list[To] = [
        Engaged(one.engagement_id)
        for one in known
        if one.say.id in awaited
        and one.say.covers(question.categories)
        and one.engagement_id != permit.actor.engagement_id
    ]
    if None in awaited and patient_id not in permit.standing.subject_of:
        to.append(Citizen(patient_id))
    await _tell(db, permit, consent_id, NoticeKind.CONSENT_ASKED, to)


async def tell_withdrawn(
    db: AsyncSession, permit: CasePermit, row: RowMapping, concerned: Collection[EngagementId]
) -> None:
    """Tell the citizen, whoever manages the case and the professional who recorded it that a consent was taken back.

    ``concerned`` is who hears of that consent at all, without whom the citizen keeps away.
    """
    await tell_citizen(db, permit, row, NoticeKind.CONSENT_WITHDRAWN)
    own, recorder = permit.actor.engagement_id, row["recorded_by_engagement_id"]
    company = [one for one in await store.company(db, permit.case_id) if one["engagement_id"] in concerned]
    to: list[To] = [
        Engaged(one["engagement_id"])
        for one in company
        if one["engagement_id"] != own
        and (one["case_role"] in CASE_MANAGERS or (one["engagement_id"] == recorder and one["role"] in PROFESSIONALS))
    ]
    if not permit.standing.manages:
        to.append(Managers(row["patient_id"]))
    await _tell(db, permit, row["id"], NoticeKind.CONSENT_WITHDRAWN, to)


async def _tell(
    db: AsyncSession, permit: CasePermit, consent_id: UUID, kind: NoticeKind, told: Collection[To]
) -> None:
    for to in told:
        await notices.notify(db, case_id=permit.case_id, to=to, kind=kind, about=consent_id, now=permit.now)
