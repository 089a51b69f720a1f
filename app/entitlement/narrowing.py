"""Use cases of changing one cell: take a part out of a consent in force, and look ahead at who loses what by it."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import PROFESSIONALS, Category, ConsentKind
from app.consent import service as consent
from app.consent.narrowing import Cut, cut_faults, rests
from app.core.errors import Invalid
from app.core.ids import ConsentId, new_id
from app.entitlement import store
from app.entitlement.consents import (
    TO_COME,
    Means,
    Withdrawing,
    flag_renewal,
    recipients_of,
    taking_back,
    told_of,
)
from app.entitlement.derivation import parse_inputs, rederive
from app.entitlement.grants import Recipient
from app.entitlement.previews import Loss, losses
from app.events import service as events
from app.events.drafts import EventType
from app.notices import service as notices
from app.notices.kinds import Citizen, NoticeKind

WHY = "consent-narrowed"


async def narrow_consent(
    db: AsyncSession, permit: CasePermit, means: Means, consent_id: ConsentId, cut: Cut, wish: Withdrawing
) -> None:
    """Take a part out of a consent, in the caller's transaction; what rested on it closes as at a withdrawal.

    Any one of those who decide may. What is left takes the consent's place: the same text, period and bounds, and
    everybody's yes; where a corner is taken out it is in two parts.

    Raises:
        NotFound: the permitted case has no such consent that the actor may read.
        NotActive, AlreadyExpired, AlreadyWithdrawn, AlreadySuperseded: it is not in force.
        NotNarrowable: it lifts no secrecy.
        Forbidden: somebody of a household, or a carer whom it names, would do so for another.
        Invalid: it would be widened, nothing would be left, or this is not who decides.
    """
    await store.lock_case(db, permit.case_id)
    row = await _standing_consent(db, permit, consent_id)
    voice, wrong = await taking_back(db, permit, means, row, wish)
    named, categories = recipients_of(row), _categories(row)
    if wrong := [*wrong, *cut_faults(cut, named, categories)]:
        raise Invalid(*wrong)
    ids = [ConsentId(new_id()) for _ in rests(cut, named, categories)]
    heard = await store.consent_audience(db, permit.case_id, consent_id)
    await consent.narrow(
        db,
        permit,
        means.crypto,
        row,
        cut,
        ids,
        representation_id=voice.person,
        decided_at=wish.decided_at or permit.now,
        method=wish.method,
    )
    await notices.end_about(db, consent_id, TO_COME)
    for one in ids:
        await flag_renewal(db, permit, one, row["patient_id"], row["renew_on"])
    if permit.actor.role in PROFESSIONALS:
        to, kind = Citizen(row["patient_id"]), NoticeKind.ORAL_CONFIRMATION
        await notices.notify(db, case_id=permit.case_id, to=to, kind=kind, about=ids[0], now=permit.now)
    change = await rederive(db, permit.case_id, now=permit.now)
    drafts, reached = [], set()
    for one in ids:
        concerned = await store.consent_audience(db, permit.case_id, one)
        reached |= set(concerned)
        drafts.append(told_of(EventType.CONSENT_GIVEN, one, row["patient_id"], concerned))
    if out := [one for one in heard if one not in reached]:
        drafts.append(told_of(EventType.CONSENT_WITHDRAWN, consent_id, row["patient_id"], out))
    await events.append(db, permit.case_id, [*drafts, *change.drafts(WHY)], actor=permit.actor, at=permit.now)


async def preview_narrowing(db: AsyncSession, permit: CasePermit, consent_id: UUID, cut: Cut) -> list[Loss]:
    """Return who would lose what if this were taken out now: the same derivation, with what would be left.

    Raises:
        NotFound, NotActive, AlreadyExpired, AlreadyWithdrawn, AlreadySuperseded, NotNarrowable: as for narrowing.
        Invalid: it would be widened, or nothing would be left.
    """
    row = await _standing_consent(db, permit, consent_id)
    named, categories = recipients_of(row), _categories(row)
    if wrong := list(cut_faults(cut, named, categories)):
        raise Invalid(*wrong)
    inputs = parse_inputs(await store.grant_inputs(db, permit.case_id))
    kept = []
    for one in inputs.consents:
        if one.consent_id != consent_id:
            kept.append(one)
            continue
        for rest in rests(cut, named, categories):
            to = tuple(Recipient(type=named.type, id=named.id, role=named.role) for named in rest.recipients)
            kept.append(replace(one, recipients=to, categories=frozenset(rest.categories)))
    return losses(permit, inputs, replace(inputs, consents=tuple(kept)))


async def _standing_consent(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> RowMapping:
    row = await consent.find(db, permit, consent_id)
    consent.require_active(row, permit.now)
    if row["kind"] != ConsentKind.LIFT_SECRECY:
        raise consent.NotNarrowable
    return row


def _categories(row: RowMapping) -> list[Category]:
    return [Category(one) for one in row["categories"]]
