"""SQL of the case stream for role ``app``: take positions, append, remember idempotency keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.ids import AccountId, CaseId, EngagementId
from app.events.drafts import Draft
from app.events.model import CaseEvent, CaseHead, Idempotency

_TAKE = text("update case_head set seq = seq + :n where case_id = :case returning seq")


async def open_head(db: AsyncSession, case_id: CaseId) -> None:
    """Create the head of a new case's stream, at position 0."""
    await db.execute(insert(CaseHead).values(case_id=case_id, seq=0, access_version=0, dirty=False))


async def append(
    db: AsyncSession,
    case_id: CaseId,
    drafts: Sequence[Draft],
    *,
    account_id: AccountId | None,
    engagement_id: EngagementId | None,
    at: datetime,
) -> int:
    """Insert the drafts at the next positions and return the last; holds the case's head until commit."""
    last = int((await db.execute(_TAKE, {"n": len(drafts), "case": case_id})).scalar_one())
    rows = [
        {
            "case_id": case_id,
            "seq": last - len(drafts) + 1 + index,
            "id": draft.id,
            "type": draft.type,
            "at": at,
            "actor_account_id": account_id,
            "actor_engagement_id": engagement_id,
            "thread_id": draft.thread_id,
            "patient_id": draft.audience.patient_id or draft.patient_id,
            "category": draft.audience.category,
            "domain": draft.audience.domain,
            "refers_to": draft.refers_to,
            "data": draft.data,
            "body_sealed": draft.body,
            "addressees": None if draft.audience.addressees is None else list(draft.audience.addressees),
        }
        for index, draft in enumerate(drafts)
    ]
    await db.execute(insert(CaseEvent), rows)
    return last


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a key was used for before."""

    resource_id: UUID
    body_digest: bytes


async def earlier(
    db: AsyncSession, account_id: AccountId, scope: str, key_digest: bytes, *, stale_before: datetime
) -> Earlier | None:
    """Return what a key stands for already; a concurrent twin waits here until the first commits or rolls back."""
    lock = int.from_bytes(key_digest[:8], "big", signed=True) ^ hash_of(account_id)
    await db.execute(text("select pg_advisory_xact_lock(:key)"), {"key": lock})
    where = {"account": account_id, "scope": scope, "key": key_digest}
    await db.execute(_FORGET, {**where, "stale": stale_before})
    row = (await db.execute(_EARLIER, where)).first()
    return None if row is None else Earlier(row.resource_id, row.body_digest)


def hash_of(account_id: UUID) -> int:
    """Return 62 bits of an account's id, to tell its locks from others'."""
    return account_id.int >> 66


async def remember(
    db: AsyncSession,
    account_id: AccountId,
    scope: str,
    key_digest: bytes,
    body_digest: bytes,
    resource_id: UUID,
    *,
    at: datetime,
) -> None:
    """Remember that this key now stands for this resource."""
    await db.execute(
        insert(Idempotency).values(
            account_id=account_id,
            scope=scope,
            key_digest=key_digest,
            body_digest=body_digest,
            resource_id=resource_id,
            created_at=at,
        )
    )


_FORGET = text(
    "delete from idempotency where account_id = :account and scope = :scope and key_digest = :key"
    " and created_at < :stale"
)
_EARLIER = text(
    "select resource_id, body_digest from idempotency"
    " where account_id = :account and scope = :scope and key_digest = :key"
)
