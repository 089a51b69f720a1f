"""Looking ahead: who would lose what if a consent, or a part of it, were taken back; derived as ever, without it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import Category, Domain, Role
from app.consent import service as consent
from app.core.ids import EngagementId, PatientId
from app.entitlement import store
from app.entitlement.derivation import parse_inputs
from app.entitlement.grants import Grant, Inputs
from app.entitlement.rules import derive


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
    return losses(permit, inputs, without)


def losses(permit: CasePermit, before: Inputs, after: Inputs) -> list[Loss]:
    """Return who would lose what, of what the actor may know, if what grants rest on changed so."""
    was = _read_cells(derive(before, now=permit.now), permit.now)
    would_be = _read_cells(derive(after, now=permit.now), permit.now)
    standing, own = permit.standing, permit.actor.engagement_id
    hidden = {one.engagement_id for one in before.seats if one.role is Role.REPRESENTATIVE and standing.represents}
    found: dict[tuple[EngagementId, PatientId], list[tuple[Category, Domain]]] = {}
    for engagement, patient, category, domain in sorted(was - would_be, key=str):
        sees = standing.manages or (patient in standing.speaks_for and engagement not in hidden)
        if sees or engagement == own:
            found.setdefault((engagement, patient), []).append((category, domain))
    return [Loss(engagement, patient, tuple(cells)) for (engagement, patient), cells in found.items()]


def _read_cells(grants: Iterable[Grant], now: datetime) -> set[tuple[EngagementId, PatientId, Category, Domain]]:
    return {
        (grant.engagement_id, grant.patient_id, grant.category, grant.domain)
        for grant in grants
        if grant.period.holds(now)
    }
