"""Consent records: recorded once with everything R-3 asks, never edited, ended once."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.consent import store
from app.consent.model import Consent, ConsentRecipient
from app.consent.rules import Terms
from app.consent.texts import BY_VERSION
from app.core.errors import Conflict, NotFound
from app.core.ids import ConsentId


class AlreadyWithdrawn(Conflict):
    """Raised by a second withdrawal: the first is final, so its instant is never rewritten."""

    code = "consent-already-withdrawn"
    title = "Consent was already withdrawn"


class AlreadyExpired(Conflict):
    """Raised by withdrawing what has run out: there is nothing left to withdraw."""

    code = "consent-expired"
    title = "Consent has run out"


async def record(db: AsyncSession, permit: CasePermit, consent_id: ConsentId, terms: Terms, *, position: int) -> None:
    """Insert a consent record with its recipients; it takes effect from ``permit.now`` on, never before.

    ``position`` is the stream's last, held by the caller: history from now and threads to answer in begin after it.
    """
    actor = permit.actor
    row = Consent(
        case_id=permit.case_id,
        id=consent_id,
        patient_id=terms.patient_id,
        kind=terms.kind,
        status="active",
        from_domains=list(terms.from_domains),
        categories=list(terms.categories),
        both_ways=terms.both_ways,
        history=terms.history,
        history_from_seq=position + 1 if terms.history == "from-now" else 0,
        threads_from_seq=position + 1,
        purpose=terms.purpose,
        decided_by=terms.decided_by,
        decided_by_account_id=terms.decided_by_id,
        decided_at=terms.decided_at,
        method=terms.method,
        text_version=terms.text_version,
        text_sha256=BY_VERSION[terms.text_version].sha256,
        recorded_by_account_id=actor.account_id,
        recorded_by_engagement_id=actor.engagement_id,
        recorded_at=permit.now,
        valid_from=terms.valid_from,
        valid_until=terms.valid_until,
    )
    recipients = [
        ConsentRecipient(
            case_id=permit.case_id,
            consent_id=consent_id,
            ordinal=index,
            type=recipient.type,
            recipient_id=recipient.id,
            role=recipient.role,
        )
        for index, recipient in enumerate(terms.recipients)
    ]
    await store.add(db, permit, row, recipients)


async def consents(
    db: AsyncSession, permit: CasePermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the consents the actor may read, newest first."""
    return await store.listed(db, permit, before=before, limit=limit)


async def find(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> RowMapping:
    """Return one consent.

    Raises:
        NotFound: there is none that the actor may read.
    """
    row = await store.one(db, permit, consent_id)
    if row is None:
        raise NotFound
    return row


async def withdraw(
    db: AsyncSession,
    permit: CasePermit,
    consent_id: UUID,
    *,
    decided_by: str,
    decided_at: datetime,
    method: str,
) -> None:
    """Withdraw a consent, for good.

    Raises:
        NotFound: there is none that the actor may read.
        AlreadyWithdrawn: a withdrawal is never moved or undone.
        AlreadyExpired: it ran out before.
    """
    changed = await store.withdraw(
        db, permit, consent_id, decided_by=decided_by, decided_at=decided_at, method=method
    )
    if not changed:
        row = await find(db, permit, consent_id)
        raise AlreadyExpired if row["status"] == "expired" else AlreadyWithdrawn
