"""SQL of codes and factors for role ``app``, through the keeper's functions where there is no actor yet."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def add_enrolment(
    db: AsyncSession,
    *,
    enrolment_id: UUID,
    digest: bytes,
    check_digest: bytes | None,
    purpose: str,
    account_id: UUID | None,
    patient_id: UUID | None,
    created_by: UUID | None,
    now: datetime,
    until: datetime,
) -> None:
    """Store a code's digest, and void what was issued for the same account or patient before."""
    statement = text("select add_enrolment(:id, :digest, :check, :purpose, :account, :patient, :by, :now, :until)")
    values = {
        "id": enrolment_id,
        "digest": digest,
        "check": check_digest,
        "purpose": purpose,
        "account": account_id,
        "patient": patient_id,
        "by": created_by,
        "now": now,
        "until": until,
    }
    await db.execute(statement, values)
