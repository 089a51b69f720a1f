"""SQL of consent records for role ``app``; row-level security leaves what one may read."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, LargeBinary, Text, bindparam, insert, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from app.access.policy import CasePermit
from app.consent.model import Consent, ConsentDecision, ConsentRecipient

_CONSENT = """
    select c.*, (select jsonb_agg(jsonb_build_object('type', r.type, 'id', r.recipient_id, 'role', r.role)
                                  order by r.ordinal)
                   from consent_recipient r where r.case_id = c.case_id and r.consent_id = c.id) as recipients,
           (select coalesce(jsonb_agg(to_jsonb(d) order by d.ordinal), '[]')
              from consent_decision d where d.case_id = c.case_id and d.consent_id = c.id) as decisions
      from consent c
"""

_NARROW = text(
    "select narrow_consent(:case, :consent, :ids, :reasons, :categories, :recipients, :representation, :decided_at,"
    " :method)"
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("reasons", type_=ARRAY(LargeBinary)),
    bindparam("categories", type_=ARRAY(Text)),
    bindparam("recipients", type_=ARRAY(Integer)),
)


async def add(db: AsyncSession, permit: CasePermit, consent: Consent, recipients: Sequence[ConsentRecipient]) -> None:
    """Insert a consent with its recipients."""
    await db.execute(insert(Consent).values(consent.model_dump()))
    await db.execute(insert(ConsentRecipient), [recipient.model_dump() for recipient in recipients])


async def add_decision(db: AsyncSession, permit: CasePermit, decision: ConsentDecision) -> None:
    """Append a decision to an asked or proposed consent."""
    await db.execute(insert(ConsentDecision).values(decision.model_dump()))


async def said(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> Sequence[RowMapping]:
    """Return (ordinal, representation_id, yes) of every decision, also of those that the actor may not read."""
    statement = text("select * from said_about(:case, :consent)")
    values = {"case": permit.case_id, "consent": consent_id}
    return (await db.execute(statement, values)).mappings().all()


async def settle(
    db: AsyncSession,
    permit: CasePermit,
    consent_id: UUID,
    *,
    status: str,
    until: datetime | None,
    renew_on: date | None,
) -> None:
    """Move a consent to where its decisions leave it; the one way to make it active."""
    statement = text("select settle_consent(:case, :consent, :status, :until, :renew)")
    values = {
        "case": permit.case_id,
        "consent": consent_id,
        "status": status,
        "until": until,
        "renew": renew_on,
    }
    await db.execute(statement, values)


async def listed(
    db: AsyncSession, permit: CasePermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the consents of the case that the actor may read, newest first."""
    statement = text(
        _CONSENT + " where c.case_id = :case"
        " and (cast(:at as timestamptz) is null or (c.recorded_at, c.id) < (:at, :last))"
        " order by c.recorded_at desc, c.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {"case": permit.case_id, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()


async def of_use(db: AsyncSession, permit: CasePermit, use_id: UUID) -> Sequence[RowMapping]:
    """Return the consents that one use of a bundle asked and that the actor may read, in a lasting order."""
    statement = text(_CONSENT + " where c.case_id = :case and c.bundle_use_id = :use order by c.from_domains, c.id")
    return (await db.execute(statement, {"case": permit.case_id, "use": use_id})).mappings().all()


async def remind(db: AsyncSession, permit: CasePermit, consent_id: UUID, *, at: datetime | None) -> None:
    """Say when the citizen is next reminded of an active consent."""
    statement = text("select remind_of(:case, :consent, :at)")
    await db.execute(statement, {"case": permit.case_id, "consent": consent_id, "at": at})


async def succeed(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> None:
    """Let what a consent renews give way to it."""
    statement = text("select succeed_consent(:case, :consent)")
    await db.execute(statement, {"case": permit.case_id, "consent": consent_id})


async def narrow(db: AsyncSession, permit: CasePermit, consent_id: UUID, values: Mapping[str, Any]) -> None:
    """Let a consent give way to what is left of it; ``values`` are those of ``narrow_consent``."""
    await db.execute(_NARROW, {"case": permit.case_id, "consent": consent_id, **values})


async def that_narrow(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> Sequence[RowMapping]:
    """Return the consents that a consent gave way to when it was narrowed and that the actor may read."""
    statement = text(
        _CONSENT
        + " where c.case_id = :case and c.refers_to_id = :consent and c.refers_as = 'narrowing' order by c.id"
    )
    return (await db.execute(statement, {"case": permit.case_id, "consent": consent_id})).mappings().all()


async def one(db: AsyncSession, permit: CasePermit, consent_id: UUID) -> RowMapping | None:
    """Return one consent, if the actor may read it."""
    statement = text(_CONSENT + " where c.case_id = :case and c.id = :consent")
    values = {"case": permit.case_id, "consent": consent_id}
    return (await db.execute(statement, values)).mappings().first()


async def withdraw(
    db: AsyncSession,
    permit: CasePermit,
    consent_id: UUID,
    *,
    decided_by: str,
    representation_id: UUID | None,
    decided_at: datetime,
    method: str,
) -> int:
    """Withdraw a consent that is active; return how many rows that changed, 0 or 1."""
    statement = text(
        "update consent set status = 'withdrawn', withdrawn_at = :now, withdrawal_decided_by = :decided_by,"
        " withdrawal_representation_id = :representation, withdrawal_decided_at = :decided_at,"
        " withdrawal_method = :method, withdrawn_by_engagement_id = :engagement"
        " where case_id = :case and id = :consent and status = 'active'"
    )
    values = {
        "now": permit.now,
        "decided_by": decided_by,
        "representation": representation_id,
        "decided_at": decided_at,
        "method": method,
        "engagement": permit.actor.engagement_id,
        "case": permit.case_id,
        "consent": consent_id,
    }
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result
