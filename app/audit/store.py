"""SQL of the audit log: insert and read. No statement here changes a record, and there is no right to run one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import Ground, Purpose
from app.audit.model import AuditEvent
from app.audit.records import Record
from app.core.ids import new_id


async def add(db: AsyncSession, records: Sequence[Record], *, at: datetime, source: str) -> None:
    """Insert records in the caller's transaction."""
    await db.execute(insert(AuditEvent), [_row(record, at, source) for record in records])


def _row(record: Record, at: datetime, source: str) -> dict[str, object]:
    return {
        "id": new_id(),
        "recorded_at": at,
        "action": record.action,
        "action_code": record.action_code,
        "outcome": record.outcome,
        "reason": record.reason,
        "actor_account_id": record.who.account_id,
        "actor_engagement_id": record.who.engagement_id,
        "actor_role": record.who.role,
        "organisation_id": record.who.organisation_id,
        "on_behalf_of": record.touch.on_behalf_of or record.who.on_behalf_of,
        "purpose": Purpose.BTG if record.touch.ground is Ground.EMERGENCY else record.who.purpose,
        "login_session_id": record.who.login_session_id,
        "case_id": record.touch.case_id,
        "patient_id": record.touch.patient_id,
        "entity_type": record.touch.entity_type,
        "entity_id": record.touch.entity_id,
        "category": record.touch.category,
        "domain": record.touch.domain,
        "ground": record.touch.ground,
        "consent_id": record.touch.consent_id,
        "access_version": record.touch.access_version,
        "policy_version": record.policy_version,
        "origin": record.origin.channel,
        "access_point": record.origin.access_point,
        "trace_id": record.origin.trace_id,
        "source": source,
    }


@dataclass(frozen=True, slots=True)
class Search:
    """What an auditor asks for; None means any. ``start`` is inclusive, ``end`` exclusive."""

    patient_id: UUID | None = None
    actor_id: UUID | None = None
    organisation_id: UUID | None = None
    entity_id: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None
    action: str | None = None
    outcome: str | None = None
    ground: str | None = None


async def search(
    db: AsyncSession, permit: RolePermit, wanted: Search, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return up to ``limit`` records, newest first, those before a position if one is given."""
    log = AuditEvent.__table__.c  # type: ignore[attr-defined]  # SQLModel does not type its tables
    statement = select(AuditEvent.__table__)  # type: ignore[attr-defined]
    equal = {
        log.patient_id: wanted.patient_id,
        log.actor_account_id: wanted.actor_id,
        log.organisation_id: wanted.organisation_id,
        log.entity_id: wanted.entity_id,
        log.action: wanted.action,
        log.outcome: wanted.outcome,
        log.ground: wanted.ground,
    }
    for column, value in equal.items():
        if value is not None:
            statement = statement.where(column == value)
    if wanted.start is not None:
        statement = statement.where(log.recorded_at >= wanted.start)
    if wanted.end is not None:
        statement = statement.where(log.recorded_at < wanted.end)
    if before is not None:
        at, last_id = before
        statement = statement.where(or_(log.recorded_at < at, (log.recorded_at == at) & (log.id < last_id)))
    statement = statement.order_by(log.recorded_at.desc(), log.id.desc()).limit(limit)
    rows: Sequence[RowMapping] = (await db.execute(statement)).mappings().all()
    return rows
