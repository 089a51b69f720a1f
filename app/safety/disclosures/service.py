"""Disclosures: what somebody who holds it gave to whom outside of the case, and why. A record, never access.

Source: DOMAIN R-17, R-18; KNMG, conflict van plichten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, RolePermit
from app.core.errors import Fault, Forbidden, Invalid, NotFound
from app.core.ids import CaseId, EngagementId, PatientId
from app.crypto.service import Crypto
from app.notices import service as notices
from app.notices.kinds import Citizen, NoticeKind
from app.safety.disclosures import store
from app.safety.model import Disclosure
from app.safety.sealing import open_json, place_of, seal_json
from app.safety.service import require_subject

CONFLICT = "conflict_of_duties"
TOLD = frozenset({CONFLICT, "adviser"})
"""Of what the citizen gets a notice, in their own account once a delay is over; never of what Veilig Thuis gets."""

DELAY_MAX = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class NewDisclosure:
    """What is recorded; ``tests`` are the six answers of a conflict of duties, ``delay`` until when and why."""

    patient_id: UUID
    kind: str
    message_ids: tuple[UUID, ...]
    recipient: str
    reason: str
    tests: Mapping[str, str] | None
    delay: tuple[datetime, str] | None


@dataclass(frozen=True, slots=True)
class DisclosureInfo:
    """A disclosure; ``delay_reason`` is shown to the citizen neither before nor after."""

    id: UUID
    case_id: CaseId
    patient_id: PatientId
    kind: str
    message_ids: tuple[UUID, ...]
    recipient: str
    reason: str
    tests: Mapping[str, str] | None
    delayed_until: datetime | None
    delay_reason: str | None
    recorded_by: EngagementId
    recorded_at: datetime


async def record(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, new: NewDisclosure, *, disclosure_id: UUID
) -> None:
    """Record what the actor gave away of what the actor holds; nothing opens by it.

    Raises:
        Forbidden: the actor works for no organisation.
        Invalid: the patient or an item is none that the actor sees, the six tests are not answered or not asked, or
            the delay is over already or too long; every fault is named.
    """
    require_subject(permit, new.patient_id)
    organisation = permit.actor.organisation_id
    if organisation is None:
        raise Forbidden
    wrong = _faults(new, permit.now)
    held = await store.readable(db, permit, new.patient_id, new.message_ids)
    wrong += [
        Fault(f"/messageIds/{number}", "not-found", "There is no such message about this patient that you may read.")
        for number, one in enumerate(new.message_ids)
        if one not in held
    ]
    if wrong:
        raise Invalid(*wrong)
    author = permit.actor.account_id

    async def sealed(column: str, value: object) -> bytes:
        return await seal_json(crypto, value, place_of("disclosure", column, disclosure_id, permit.case_id, author))

    row = Disclosure(
        case_id=permit.case_id,
        id=disclosure_id,
        patient_id=new.patient_id,
        organisation_id=organisation,
        kind=new.kind,
        message_ids=list(new.message_ids),
        body_sealed=await sealed(
            "body_sealed", {"recipient": new.recipient, "reason": new.reason, "tests": new.tests}
        ),
        delayed_until=new.delay[0] if new.delay else None,
        delay_reason_sealed=await sealed("delay_reason_sealed", new.delay[1]) if new.delay else None,
        recorded_by_account_id=author,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    await store.add(db, permit, row)
    if new.kind in TOLD:
        waits = await store.held_until(db, permit, new.message_ids)
        await notices.notify(
            db,
            case_id=permit.case_id,
            to=Citizen(new.patient_id),
            kind=NoticeKind.DISCLOSURE_RECORDED,
            about=disclosure_id,
            now=permit.now,
            not_before=max((one for one in (row.delayed_until, waits) if one and one > permit.now), default=None),
        )


def _faults(new: NewDisclosure, now: datetime) -> list[Fault]:
    wrong = []
    if (new.kind == CONFLICT) != (new.tests is not None):
        wrong.append(Fault("/tests", "six-tests", "A conflict of duties answers six tests, and nothing else does."))
    if new.delay is not None and not now < new.delay[0] <= now + DELAY_MAX:
        wrong.append(Fault("/delay/until", "out-of-range", "A delay ends in the year to come."))
    return wrong


async def disclosures(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[DisclosureInfo]:
    """Return the disclosures of the permitted case that the actor may see, newest first."""
    rows = await store.listed(db, permit, before=before, limit=limit)
    return await _infos(crypto, rows, own=bool(permit.standing.subject_of))


async def disclosure(db: AsyncSession, permit: CasePermit, crypto: Crypto, disclosure_id: UUID) -> DisclosureInfo:
    """Return one disclosure.

    Raises:
        NotFound: there is none that the actor may see.
    """
    rows = await store.listed(db, permit, disclosure_id=disclosure_id)
    if not rows:
        raise NotFound
    return (await _infos(crypto, rows, own=bool(permit.standing.subject_of)))[0]


async def of_the_region(
    db: AsyncSession, permit: RolePermit, crypto: Crypto, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[DisclosureInfo]:
    """Return every disclosure of the region to a privacy officer, newest first."""
    return await _infos(crypto, await store.of_the_region(db, permit, before=before, limit=limit), own=False)


async def _infos(crypto: Crypto, rows: Sequence[RowMapping], *, own: bool) -> list[DisclosureInfo]:
    bodies = await open_json(crypto, "disclosure", "body_sealed", rows, "id")
    reasons: list[Any] = [None] * len(rows)
    if not own:
        reasons = await open_json(crypto, "disclosure", "delay_reason_sealed", rows, "id")
    return [
        DisclosureInfo(
            **{name: row[name] for name in ("id", "case_id", "patient_id", "kind", "recorded_at")},
            message_ids=tuple(row["message_ids"]),
            **body,
            delayed_until=None if own else row["delayed_until"],
            delay_reason=reason,
            recorded_by=row["recorded_by_engagement_id"],
        )
        for row, body, reason in zip(rows, bodies, reasons, strict=True)
    ]
