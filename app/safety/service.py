"""Safe contact: that nothing goes to somebody's home, known to the professionals of the case and to nobody else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import Category, Ground
from app.core.errors import Fault, Invalid, NotFound
from app.core.ids import EngagementId, PatientId
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.entitlement.inputs import changing
from app.safety import store
from app.safety.model import SafeContact


@dataclass(frozen=True, slots=True)
class SafeContactInfo:
    """One entry; ``reason`` is None for whoever does not work at the recorder's organisation."""

    id: UUID
    patient_id: PatientId
    safe: bool
    reason: str | None
    recorded_by: EngagementId
    recorded_at: datetime


def require_subject(permit: CasePermit, patient_id: UUID) -> None:
    """Let through a subject of the case of whom the actor sees something, by another ground than a broken glass.

    Raises:
        Invalid: it is none, or one that the actor may not know of: the same answer.
    """
    known = any(
        held.cell.patient_id == patient_id and held.active(permit.now) and held.ground is not Ground.EMERGENCY
        for held in permit.standing.holdings
    )
    if not known or patient_id not in permit.standing.subjects:
        raise Invalid(Fault("/patientId", "not-a-subject", "This case is not about that patient."))


def _place(case_id: UUID, entry_id: UUID, author: UUID) -> Place:
    return Place("safe_contact", "reason_sealed", entry_id, case_id, Category.CONTACT_NETWORK, author)


async def record_safe_contact(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, *, entry_id: UUID, patient_id: UUID, safe: bool, reason: str
) -> None:
    """Record that nothing goes to a subject's home from now on, or that it may again.

    Nothing is told of it in the stream: whoever lives there may be listening.

    Raises:
        Invalid: the case is not about that patient, as far as the actor may know.
    """
    require_subject(permit, patient_id)
    place = _place(permit.case_id, entry_id, permit.actor.account_id)
    key = await crypto.data_keys.sealing(permit.case_id, place.category)
    row = SafeContact(
        case_id=permit.case_id,
        id=entry_id,
        patient_id=patient_id,
        safe=safe,
        reason_sealed=seal_text(key, reason, place),
        recorded_by_account_id=permit.actor.account_id,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    async with changing(db, permit, "inputs-changed"):
        await store.add_safe_contact(db, permit, row)


async def safe_contacts(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[SafeContactInfo]:
    """Return what was recorded of the subjects whom the actor sees something of, newest first."""
    return await _infos(permit, crypto, await store.safe_contacts(db, permit, before=before, limit=limit))


async def safe_contact(db: AsyncSession, permit: CasePermit, crypto: Crypto, entry_id: UUID) -> SafeContactInfo:
    """Return one entry.

    Raises:
        NotFound: there is none that the actor may see.
    """
    rows = await store.safe_contacts(db, permit, entry_id=entry_id)
    if not rows:
        raise NotFound
    return (await _infos(permit, crypto, rows))[0]


async def _infos(permit: CasePermit, crypto: Crypto, rows: Sequence[RowMapping]) -> list[SafeContactInfo]:
    own = permit.actor.organisation_id
    shown = {row["id"] for row in rows if own is not None and row["organisation_id"] == own}
    keys = await crypto.data_keys.opening(row["reason_sealed"] for row in rows if row["id"] in shown)

    def reason_of(row: RowMapping) -> str | None:
        if row["id"] not in shown:
            return None
        sealed = row["reason_sealed"]
        place = _place(row["case_id"], row["id"], row["recorded_by_account_id"])
        return open_text(keys[key_id_of(sealed)], sealed, place)

    return [
        SafeContactInfo(
            id=row["id"],
            patient_id=row["patient_id"],
            safe=row["safe"],
            reason=reason_of(row),
            recorded_by=row["recorded_by_engagement_id"],
            recorded_at=row["recorded_at"],
        )
        for row in rows
    ]
