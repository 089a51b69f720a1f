"""SQL of log-in with a provider elsewhere, for role ``app``."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import SelfPermit


async def begin(
    db: AsyncSession,
    *,
    digest: bytes,
    provider: str,
    purpose: str,
    delivery: str,
    return_to: str,
    fresh: bool,
    session_id: UUID | None,
    engagement_id: UUID | None,
    now: datetime | None,
    seconds: int,
) -> None:
    """Keep a log-in that begins, and clear away those that nobody finished."""
    statement = text(
        "select begin_oidc_log_in(:digest, :provider, :purpose, :delivery, :return_to, :fresh, :session, :engagement,"
        " :now, :seconds)"
    )
    values = {
        "digest": digest,
        "provider": provider,
        "purpose": purpose,
        "delivery": delivery,
        "return_to": return_to,
        "fresh": fresh,
        "session": session_id,
        "engagement": engagement_id,
        "now": now,
        "seconds": seconds,
    }
    await db.execute(statement, values)


async def take(db: AsyncSession, digest: bytes, now: datetime | None) -> RowMapping | None:
    """Take out a log-in under way; None if there is none, or it is too old."""
    statement = text("select * from take_oidc_log_in(:digest, :now)")
    return (await db.execute(statement, {"digest": digest, "now": now})).mappings().first()


async def find(db: AsyncSession, issuer: str, subject_digest: bytes) -> RowMapping | None:
    """Return id and account of a linked identity, or None."""
    statement = text("select * from find_external_identity(:issuer, :subject)")
    return (await db.execute(statement, {"issuer": issuer, "subject": subject_digest})).mappings().first()


async def engagement_for(
    db: AsyncSession, account_id: UUID, roles: Collection[str], now: datetime | None
) -> UUID | None:
    """Return the engagement in force in one of these roles: the one last used, else the oldest."""
    statement = text(
        "select id from engagement where account_id = :account and role = any(:roles)"
        " and engagement_in_force(id, coalesce(cast(:now as timestamptz), clock_timestamp()))"
        " order by id = engagement_to_enter(:account, :now) desc, valid_from, id limit 1"
    )
    values = {"account": account_id, "roles": sorted(roles), "now": now}
    found: UUID | None = (await db.execute(statement, values)).scalar_one_or_none()
    return found


async def note_session(
    db: AsyncSession,
    *,
    session_id: UUID,
    identity_id: UUID,
    issuer: str,
    provider_session: bytes | None,
    roles: Collection[str],
) -> None:
    """Say where a session came from, so that it ends with the provider's, and in which roles it may act."""
    statement = text("select note_oidc_session(:session, :identity, :issuer, :theirs, :roles)")
    values = {
        "session": session_id,
        "identity": identity_id,
        "issuer": issuer,
        "theirs": provider_session,
        "roles": sorted(roles),
    }
    await db.execute(statement, values)


async def keep_completion(
    db: AsyncSession,
    *,
    digest: bytes,
    identity_id: UUID,
    provider: str,
    at: datetime,
    provider_session: bytes | None,
    now: datetime | None,
    seconds: int,
) -> None:
    """Keep a proven log-in until the program that asked fetches it."""
    statement = text("select keep_oidc_completion(:digest, :identity, :provider, :at, :theirs, :now, :seconds)")
    values = {
        "digest": digest,
        "identity": identity_id,
        "provider": provider,
        "at": at,
        "theirs": provider_session,
        "now": now,
        "seconds": seconds,
    }
    await db.execute(statement, values)


async def take_completion(db: AsyncSession, digest: bytes, now: datetime | None) -> RowMapping | None:
    """Take out a proven log-in; None if there is none, or it is too old."""
    statement = text("select * from take_oidc_completion(:digest, :now)")
    return (await db.execute(statement, {"digest": digest, "now": now})).mappings().first()


async def link(
    db: AsyncSession, *, identity_id: UUID, issuer: str, subject_digest: bytes, account_id: UUID, now: datetime
) -> bool:
    """Insert an identity of the actor's; False if this subject is linked already, to whomever."""
    statement = text(
        "insert into external_identity (id, issuer, subject_digest, account_id, linked_at)"
        " values (:id, :issuer, :subject, :account, :now) on conflict do nothing returning id"
    )
    values = {
        "id": identity_id,
        "issuer": issuer,
        "subject": subject_digest,
        "account": account_id,
        "now": now,
    }
    return (await db.execute(statement, values)).first() is not None


async def own(db: AsyncSession, permit: SelfPermit) -> Sequence[RowMapping]:
    """Return the actor's identities, oldest first; row-level security leaves only its own."""
    statement = text(
        "select id, issuer, linked_at from external_identity where account_id = :account order by linked_at, id"
    )
    return (await db.execute(statement, {"account": permit.actor.account_id})).mappings().all()


async def unlink(db: AsyncSession, permit: SelfPermit, identity_id: UUID) -> Sequence[UUID] | None:
    """Delete an identity of the actor's and return its live sessions; None if there is no such identity."""
    sessions = text("select oidc_sessions_of(:id)")
    found = (await db.execute(sessions, {"id": identity_id})).scalars().all()
    statement = text("delete from external_identity where id = :id and account_id = :account returning id")
    values = {"id": identity_id, "account": permit.actor.account_id}
    return found if (await db.execute(statement, values)).first() is not None else None


async def sessions_to_end(
    db: AsyncSession,
    issuer: str,
    *,
    subject_digest: bytes | None,
    provider_session: bytes | None,
    issued: datetime,
) -> Sequence[RowMapping]:
    """Return account and session of each live session that rests on what a provider ended."""
    statement = text("select * from oidc_sessions_to_end(:issuer, :subject, :theirs, :issued)")
    values = {"issuer": issuer, "subject": subject_digest, "theirs": provider_session, "issued": issued}
    return (await db.execute(statement, values)).mappings().all()


async def can_log_in(db: AsyncSession, permit: SelfPermit) -> bool:
    """Whether the actor has a way in."""
    statement = text("select can_log_in(:account)")
    return bool((await db.execute(statement, {"account": permit.actor.account_id})).scalar_one())
