"""SQL of the register: consents of the whole region, for whoever watches over them, through a door of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit

# What has run out is expired, also before the sweeper has said so.
_STATUS = "case when c.status = 'active' and c.valid_until <= :now then 'expired' else c.status end"

# Named one by one: nothing sealed, no name, nobody's account but the recorder's.
_REGISTER = f"""
    select c.id, c.case_id, c.patient_id, c.kind, {_STATUS} as status, c.from_domains, c.categories, c.both_ways,
           c.history, c.purpose, c.regime, c.capacity, c.departure, c.renew_on, c.decided_by, c.decided_at, c.method,
           c.text_version, c.text_sha256, c.recorded_at, c.valid_from, c.valid_until, c.withdrawn_at,
           c.withdrawal_decided_by, c.withdrawal_decided_at, c.withdrawal_method, c.superseded_at, c.bundle,
           c.bundle_version,
           c.recorded_by_account_id, e.role as recorded_by_role, e.organisation_id as recorded_by_organisation_id,
           (select coalesce(jsonb_agg(jsonb_build_object('type', r.type, 'id', r.recipient_id, 'role', r.role)
                                      order by r.ordinal), '[]')
              from consent_recipient r where r.case_id = c.case_id and r.consent_id = c.id) as recipients,
           (select coalesce(jsonb_agg(jsonb_build_object('decider', d.decider, 'yes', d.yes,
                       'decided_at', d.decided_at, 'method', d.method, 'text_version', d.text_version,
                       'language', d.language, 'interpreter', d.interpreter, 'recorded_at', d.recorded_at)
                                      order by d.ordinal), '[]')
              from consent_decision d where d.case_id = c.case_id and d.consent_id = c.id) as decisions,
           l.recorded_at as decision_recorded_at, l.recorded_by_account_id as decision_recorded_by_account_id,
           l.role as decision_recorded_by_role, l.organisation_id as decision_recorded_by_organisation_id
      from consent c join engagement e on e.id = c.recorded_by_engagement_id
      -- the last decision moved it to where it stands; while it is open none has
      left join lateral (select d.recorded_at, d.recorded_by_account_id, w.role, w.organisation_id
                           from consent_decision d join engagement w on w.id = d.recorded_by_engagement_id
                          where d.case_id = c.case_id and d.consent_id = c.id
                            and c.status not in ('asked', 'proposed')
                          order by d.ordinal desc limit 1) l on true
     where (cast(:at as timestamptz) is null or (c.recorded_at, c.id) < (:at, :last))
"""  # noqa: S608  # constants

_WHERE = {
    "status": f"{_STATUS} = :status",
    "kind": "c.kind = :kind",
    "domain": "cast(:domain as text) = any (c.from_domains)",
    "category": "cast(:category as text) = any (c.categories)",
    "case_id": "c.case_id = :case_id",
    "patient_id": "c.patient_id = :patient_id",
    "organisation_id": "(e.organisation_id = :organisation_id or exists (select 1 from consent_recipient r"
    " where r.case_id = c.case_id and r.consent_id = c.id and r.type = 'organisation'"
    " and r.recipient_id = :organisation_id))",
    "recorded_from": "c.recorded_at >= :recorded_from",
    "recorded_to": "c.recorded_at < :recorded_to",
    "expiring_before": "c.status = 'active' and c.valid_until > :now and c.valid_until < :expiring_before",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which consents; None means any.

    ``organisation_id`` is whose people recorded it, or to whom it is; ``recorded_from`` is inclusive,
    ``recorded_to`` exclusive; ``expiring_before`` means active and ending before then.
    """

    status: str | None = None
    kind: str | None = None
    domain: str | None = None
    category: str | None = None
    case_id: UUID | None = None
    patient_id: UUID | None = None
    organisation_id: UUID | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    expiring_before: datetime | None = None


async def through_door(db: AsyncSession) -> None:
    """Say, for this transaction, that rows are read by the door of the register."""
    await db.execute(text("select set_config('app.door', 'register', true)"))


async def page(
    db: AsyncSession, permit: RolePermit, wanted: Wanted, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return up to ``limit`` consents, newest first, those before a position if one is given."""
    given = {name: value for name in _WHERE if (value := getattr(wanted, name)) is not None}
    conditions = "".join(f" and {_WHERE[name]}" for name in given)
    statement = text(_REGISTER + conditions + " order by c.recorded_at desc, c.id desc limit :limit")
    at, last = before or (None, None)
    values = {**given, "now": permit.now, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()
