"""A lost factor: one person asks, another confirms, and whoever lost it begins anew with a code from the second."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.core.errors import Conflict, Forbidden, NotFound
from app.core.ids import AccountId, EngagementId
from app.crypto.digests import Digests
from app.identity import store as identity_store
from app.identity.enrolment import RESET_LIFETIME, Purpose, issue_enrolment
from app.identity.factors import store
from app.identity.factors.model import FactorReset

OPEN_FOR = timedelta(hours=24)


class ResetReason(StrEnum):
    """Why somebody cannot log in any more."""

    LOST_DEVICE = "lost-device"
    STOLEN_DEVICE = "stolen-device"
    FORGOTTEN = "forgotten"
    COMPROMISED = "compromised"


class ResetDecided(Conflict):
    """Raised when a reset was confirmed before, or waited too long."""

    code = "reset-decided"
    title = "This reset is not open any more"


class ResetNeedsAnother(Forbidden):
    """Raised when one of the two would be both, or they may not do this together.

    The two are different people, neither of them the one who is helped; two of an organisation are of the same one.
    """

    code = "reset-needs-another"
    title = "This reset needs another person"


@dataclass(frozen=True, slots=True)
class ResetInfo:
    """An open request."""

    id: UUID
    account_id: AccountId
    reason_code: ResetReason
    requested_by: EngagementId
    requested_at: datetime
    expires_at: datetime


async def request(
    db: AsyncSession, permit: RolePermit, account_id: AccountId, reason: ResetReason, *, reset_id: UUID
) -> None:
    """Ask, as the first of two, that an account may begin anew; it stays open for a day.

    Raises:
        NotFound: there is no such account that is for the actor to help; one's own is not.
    """
    if not await store.may_reset(db, permit, account_id):
        raise NotFound
    row = FactorReset(
        id=reset_id,
        account_id=account_id,
        reason_code=reason,
        requested_by_account_id=permit.actor.account_id,
        requested_by_engagement_id=permit.actor.engagement_id,
        requested_at=permit.now,
        expires_at=permit.now + OPEN_FOR,
    )
    await store.add_reset(db, permit, row)


async def list_resets(db: AsyncSession, permit: RolePermit) -> list[ResetInfo]:
    """Return the open requests about accounts that are for the actor to help, newest first."""
    return [
        ResetInfo(
            id=row["id"],
            account_id=row["account_id"],
            reason_code=ResetReason(row["reason_code"]),
            requested_by=row["requested_by_engagement_id"],
            requested_at=row["requested_at"],
            expires_at=row["expires_at"],
        )
        for row in await store.resets(db, permit)
    ]


async def confirm(
    db: AsyncSession, permit: RolePermit, digests: Digests, reset_id: UUID
) -> tuple[str, datetime, AccountId, Sequence[UUID]]:
    """Confirm as the second of two: every factor and session of the account ends.

    Returns:
        The one-time code to hand over, when it ends, whose it is, and the sessions that ended.

    Raises:
        NotFound: there is no such request that the actor may see.
        ResetDecided: it was confirmed before, or waited too long.
        ResetNeedsAnother: the actor asked for it, or may not confirm it together with whoever did.
    """
    row = await store.reset(db, permit, reset_id)
    if row is None:
        raise NotFound
    if row["confirmed_at"] is not None or row["expires_at"] <= permit.now:
        raise ResetDecided
    account_id = await store.confirm_reset(db, permit, reset_id)
    if account_id is None:
        again = await store.reset(db, permit, reset_id)
        raise ResetDecided if again is not None and again["confirmed_at"] is not None else ResetNeedsAnother
    ended = await identity_store.end_sessions(db, account_id, None, "factor-reset", permit.now)
    code = await issue_enrolment(
        db,
        digests,
        account_id=AccountId(account_id),
        purpose=Purpose.RESET,
        created_by=permit.actor.engagement_id,
        now=permit.now,
        lifetime=RESET_LIFETIME,
    )
    return code, permit.now + RESET_LIFETIME, AccountId(account_id), ended
