"""Use cases that change consent: give, withdraw, and look ahead at a withdrawal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, require_domain
from app.access.vocabulary import Category, ConsentKind, Domain
from app.consent import service as consent
from app.consent.rules import Chair, NamedRecipient, Terms, faults, reaches
from app.consent.texts import BY_VERSION
from app.core.errors import Fault, Forbidden, Invalid
from app.core.ids import ConsentId, EngagementId, PatientId
from app.entitlement import store
from app.entitlement.derivation import Change, parse_inputs, rederive
from app.entitlement.rules import Grant, Seat, derive
from app.events import service as events
from app.events.drafts import Draft, EventType, only


async def give_consent(db: AsyncSession, permit: CasePermit, consent_id: ConsentId, terms: Terms) -> None:
    """Record a citizen's consent; what it opens is open from this commit on, and never before.

    Raises:
        Forbidden: the recorder would lift another domain's secrecy than its own, or be its own recipient.
        Invalid: anything of R-3 is missing or wrong; every fault is named.
    """
    standing = permit.standing
    position = await store.lock_case(db, permit.case_id)
    seats = parse_inputs(await store.grant_inputs(db, permit.case_id)).seats
    chairs = [_chair(seat, permit.now) for seat in seats]
    if standing.subject_of and terms.patient_id in set(standing.subjects) - standing.subject_of:
        raise Forbidden("Each person decides for themselves.")
    if terms.kind is ConsentKind.LIFT_SECRECY:
        require_domain(permit.actor, terms.from_domains, standing)
        mine = [_chair(seat, permit.now) for seat in seats if seat.account_id == permit.actor.account_id]
        _refuse_own_recipient(permit, terms.recipients, mine)
    if terms.decided_by == "representative":
        raise Forbidden("No representative is recorded for this patient.")
    wrong = list(faults(terms, chairs, known_texts=frozenset(BY_VERSION), now=permit.now))
    if terms.patient_id not in standing.subjects:
        wrong.insert(0, Fault("/patientId", "not-a-subject", "This case is not about that patient."))
    if wrong:
        raise Invalid(*wrong)
    effective = replace(terms, valid_from=max(terms.valid_from, permit.now))
    await consent.record(db, permit, consent_id, effective, position=position)
    change = await rederive(db, permit.case_id, now=permit.now)
    await _append(db, permit, EventType.CONSENT_GIVEN, consent_id, terms.patient_id, change)


def _refuse_own_recipient(permit: CasePermit, recipients: Sequence[NamedRecipient], own: Sequence[Chair]) -> None:
    """Refuse who would open to oneself, directly or through organisation, team or role, in whichever engagement."""
    if not permit.standing.subject_of and any(reaches(one, chair) for one in recipients for chair in own):
        raise Forbidden("Nobody records consent in their own favour; ask the citizen or a colleague.")


def _chair(seat: Seat, now: datetime) -> Chair:
    return Chair(
        member_id=seat.member_id,
        engagement_id=seat.engagement_id,
        organisation_id=seat.organisation_id,
        role=seat.role,
        team_ids=frozenset(team for team, period in seat.teams if period.holds(now)),
    )


async def withdraw_consent(
    db: AsyncSession,
    permit: CasePermit,
    consent_id: ConsentId,
    *,
    decided_by: str,
    decided_at: datetime | None,
    method: str,
) -> None:
    """Withdraw one consent of the permitted case and everything that rested on it, in the caller's transaction.

    Raises:
        NotFound: the permitted case has no such consent that the actor may read.
        AlreadyWithdrawn: a withdrawal is never moved or undone.
        Invalid: the decision would lie in the future.
    """
    if decided_at is not None and decided_at > permit.now:
        raise Invalid(Fault("/decidedAt", "in-future", "A decision cannot lie in the future."))
    await store.lock_case(db, permit.case_id)
    row = await consent.find(db, permit, consent_id)
    concerned = await store.consent_audience(db, permit.case_id, consent_id)
    await consent.withdraw(
        db, permit, consent_id, decided_by=decided_by, decided_at=decided_at or permit.now, method=method
    )
    change = await rederive(db, permit.case_id, now=permit.now)
    await _append(db, permit, EventType.CONSENT_WITHDRAWN, consent_id, row["patient_id"], change, concerned)


async def _append(
    db: AsyncSession,
    permit: CasePermit,
    kind: EventType,
    consent_id: ConsentId,
    patient_id: UUID,
    change: Change,
    concerned: Sequence[EngagementId] | None = None,
) -> None:
    if concerned is None:
        concerned = await store.consent_audience(db, permit.case_id, consent_id)
    told = Draft(
        type=kind,
        audience=only(*concerned),
        patient_id=PatientId(patient_id),
        refers_to=consent_id,
        data={"id": str(consent_id), "patientId": str(patient_id)},
    )
    why = "consent-given" if kind is EventType.CONSENT_GIVEN else "consent-withdrawn"
    await events.append(db, permit.case_id, [told, *change.drafts(why)], actor=permit.actor, at=permit.now)


@dataclass(frozen=True, slots=True)
class Loss:
    """What one engagement would no longer read of one patient after a withdrawal."""

    engagement_id: EngagementId
    patient_id: PatientId
    cells: tuple[tuple[Category, Domain], ...]


async def preview_withdrawal(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> list[Loss]:
    """Return who would lose what if this consent were withdrawn now: the same derivation, without this consent.

    As with the list of who may see what: subject and case manager see all of it, others what they would lose.

    Raises:
        NotFound: there is no such consent that the actor may read.
    """
    await consent.find(db, permit, consent_id)
    inputs = parse_inputs(await store.grant_inputs(db, permit.case_id))
    without = replace(inputs, consents=tuple(c for c in inputs.consents if c.consent_id != consent_id))
    before = _read_cells(derive(inputs, now=permit.now), permit.now)
    after = _read_cells(derive(without, now=permit.now), permit.now)
    sees_all = permit.standing.manages or bool(permit.standing.subject_of)
    losses: dict[tuple[EngagementId, PatientId], list[tuple[Category, Domain]]] = {}
    for engagement, patient, category, domain in sorted(before - after, key=str):
        if not (sees_all or engagement == permit.actor.engagement_id):
            continue
        losses.setdefault((engagement, patient), []).append((category, domain))
    return [Loss(engagement, patient, tuple(cells)) for (engagement, patient), cells in losses.items()]


def _read_cells(grants: Iterable[Grant], now: datetime) -> set[tuple[EngagementId, PatientId, Category, Domain]]:
    return {
        (grant.engagement_id, grant.patient_id, grant.category, grant.domain)
        for grant in grants
        if grant.period.holds(now)
    }
