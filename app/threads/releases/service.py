"""Threads held back from the citizen's side: until a moment, or earlier by a professional or on request.

Whoever is no professional learns nothing of such a thread before its release, and a release is for good. What time
releases, the sweeper tells. Source: DESIGN 5, ground ``subject``; DOMAIN R-23; ADR 0011.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import PROFESSIONALS, Category, HoldReason
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import AccountId, PatientId, ThreadId
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.notices.kinds import Citizen, NoticeKind
from app.notices.service import notify
from app.threads import store
from app.threads.model import AccessRequest

HELD_MAX = timedelta(days=14)


class NotHeldBack(Conflict):
    """Raised by releasing what is shown already: a release is for good."""

    code = "thread-not-held-back"
    title = "The thread is not held back"


@dataclass(frozen=True, slots=True)
class Hold:
    """Until when a thread is held back and why; ``reason`` is None where it was given before the reader's bound."""

    until: datetime
    code: HoldReason
    reason: str | None


def faults_of(permit: CasePermit, hold: Hold) -> list[Fault]:
    """Return what is wrong with holding a thread back from now on like this.

    Raises:
        Forbidden: only professionals hold something back.
    """
    if permit.actor.role not in PROFESSIONALS:
        raise Forbidden("Only a professional holds a thread back.")
    if hold.until <= permit.now:
        return [Fault("/onRelease/at", "past", "The release must lie in the future.")]
    if hold.until > permit.now + HELD_MAX:
        return [Fault("/onRelease/at", "too-late", "A thread is held back for at most fourteen days.")]
    return []


async def columns_of(
    crypto: Crypto, permit: CasePermit, thread_id: ThreadId, category: Category, hold: Hold
) -> dict[str, Any]:
    """Return what a thread that is held back is stored with; the reason is sealed in the thread's own category."""
    place = _place(thread_id, permit.case_id, category, permit.actor.account_id)
    key = await crypto.data_keys.sealing(permit.case_id, category)
    return {
        "release_at": hold.until,
        "release_reason": hold.code,
        "release_reason_sealed": seal_text(key, hold.reason or "", place),
    }


async def holds_of(crypto: Crypto, rows: Sequence[RowMapping]) -> dict[UUID, Hold]:
    """Return by thread until when each was or is held back; the others are absent."""
    held = [row for row in rows if row["release_at"] is not None]
    told = [row for row in held if row["event_id"] is not None]
    keys = await crypto.data_keys.opening(row["release_reason_sealed"] for row in told)
    reasons = {
        row["id"]: open_text(
            keys[key_id_of(row["release_reason_sealed"])],
            row["release_reason_sealed"],
            _place(row["id"], row["case_id"], Category(row["category"]), row["opened_by_account_id"]),
        )
        for row in told
    }
    return {
        row["id"]: Hold(row["release_at"], HoldReason(row["release_reason"]), reasons.get(row["id"])) for row in held
    }


async def release(db: AsyncSession, permit: CasePermit, thread_id: ThreadId) -> None:
    """Show a thread to everybody who reads its category, from now on and for good; tells it to them.

    Raises:
        NotHeldBack: it never was, or no more.
    """
    if not await store.release(db, permit, thread_id):
        raise NotHeldBack


async def record_request(
    db: AsyncSession, permit: CasePermit, request_id: UUID, patient_id: PatientId
) -> Sequence[RowMapping]:
    """Record that a citizen asks to see what there is, which is answered in full: nothing is held back any more.

    A representative asks for what it reads itself. On the citizen's word a member asks, which is confirmed to the
    citizen.

    Returns:
        The threads that this released: ``thread_id``, ``patient_id``, ``category``, ``domain``; the actor may read
        none of them.

    Raises:
        Forbidden: a citizen asks for themselves alone.
        Invalid: the case is not about that patient, or the patient has died.
    """
    standing = permit.standing
    if standing.speaks_for and patient_id in set(standing.subjects) - standing.speaks_for:
        raise Forbidden("Each person asks for themselves.")
    known = patient_id in standing.speaks_for or standing.holds_any(permit.now, patient_id)
    if patient_id not in standing.subjects or not known:
        raise Invalid(Fault("/patientId", "not-a-subject", "This case is not about that patient."))
    if await store.has_died(db, permit, patient_id):
        raise Invalid(Fault("/patientId", "died", "After a death other rules decide who sees what (R-25)."))
    represents = patient_id in standing.represents and patient_id not in standing.subject_of
    await store.add_request(
        db,
        permit,
        AccessRequest(
            case_id=permit.case_id,
            id=request_id,
            patient_id=patient_id,
            asked_by="representative" if represents else "patient",
            method="digital_2fa" if standing.speaks_for else "oral_recorded",
            recorded_by_account_id=permit.actor.account_id,
            recorded_by_engagement_id=permit.actor.engagement_id,
            recorded_at=permit.now,
        ),
    )
    if not standing.speaks_for:
        await notify(
            db,
            case_id=permit.case_id,
            to=Citizen(patient_id),
            kind=NoticeKind.ORAL_CONFIRMATION,
            about=request_id,
            now=permit.now,
        )
    return await store.release_asked(db, permit, request_id)


async def request(db: AsyncSession, permit: CasePermit, request_id: UUID) -> RowMapping:
    """Return a request that was recorded.

    Raises:
        NotFound: there is none that the actor may see.
    """
    row = await store.request(db, permit, request_id)
    if row is None:
        raise NotFound
    return row


def _place(thread_id: UUID, case_id: UUID, category: Category, author: AccountId | UUID) -> Place:
    return Place("thread", "release_reason_sealed", thread_id, case_id, category, author)
