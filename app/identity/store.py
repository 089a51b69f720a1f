"""SQL of identity for role ``app``."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit, SelfPermit
from app.access.vocabulary import PROFESSIONALS
from app.core.ids import OrganisationId
from app.identity.sessions import SessionStart

_ENTER = text("select * from enter(:session, :now, :engagement)")
_ENTER_BROWSER = text("select * from enter_browser(:digest, :now)")


async def enter(
    db: AsyncSession, session_id: UUID, engagement_id: UUID | None, now: datetime | None
) -> RowMapping | None:
    """Enter the transaction through the session row; None when it is no longer alive, or the engagement is not."""
    values = {"session": session_id, "engagement": engagement_id, "now": now}
    return (await db.execute(_ENTER, values)).mappings().first()


async def enter_browser(db: AsyncSession, digest: bytes, now: datetime | None) -> RowMapping | None:
    """Enter the transaction by what is kept of a browser's cookie; None when that leads to no live session."""
    return (await db.execute(_ENTER_BROWSER, {"digest": digest, "now": now})).mappings().first()


async def start_session(db: AsyncSession, session_id: UUID, start: SessionStart, now: datetime | None) -> datetime:
    """Insert a login session and return the instant of authentication."""
    statement = text(
        "select start_session(:id, :account, :engagement, :method, :acr, :scopes, :now, :seconds, :idle, :workplace)"
    )
    values = {
        "id": session_id,
        "account": start.account_id,
        "engagement": start.engagement_id,
        "method": start.method,
        "acr": start.acr,
        "scopes": sorted(start.scopes),
        "now": now,
        "seconds": start.seconds,
        "idle": start.idle_seconds,
        "workplace": start.workplace_id,
    }
    started: datetime = (await db.execute(statement, values)).scalar_one()
    return started


async def engagement_to_enter(db: AsyncSession, account_id: UUID, now: datetime | None) -> UUID | None:
    """Return the account's engagement in force that was last used, else the oldest, or None if there is none."""
    statement = text("select engagement_to_enter(:account, :now)")
    found: UUID | None = (await db.execute(statement, {"account": account_id, "now": now})).scalar_one_or_none()
    return found


async def add_refresh_token(
    db: AsyncSession, *, digest: bytes, session_id: UUID, engagement_id: UUID, now: datetime
) -> None:
    """Keep the digest of a refresh token of a session in an engagement."""
    await db.execute(
        text("select add_refresh_token(:digest, :session, :engagement, :now)"),
        {"digest": digest, "session": session_id, "engagement": engagement_id, "now": now},
    )


async def open_browser_session(
    db: AsyncSession, *, digest: bytes, session_id: UUID, engagement_id: UUID, now: datetime
) -> None:
    """Keep the digest of the secret that a browser carries a session on with."""
    await db.execute(
        text("select open_browser_session(:digest, :session, :engagement, :now)"),
        {"digest": digest, "session": session_id, "engagement": engagement_id, "now": now},
    )


async def backdate_session(db: AsyncSession, session_id: UUID, authenticated_at: datetime) -> None:
    """Say that the factors of a session were shown earlier than it began; never later."""
    await db.execute(text("select backdate_session(:id, :at)"), {"id": session_id, "at": authenticated_at})


async def end_sessions(
    db: AsyncSession, account_id: UUID, session_ids: Sequence[UUID] | None, why: str, now: datetime | None
) -> Sequence[UUID]:
    """End the live sessions of an account, all or those named, and raise the version of its cases; return which."""
    statement = text("select end_sessions(:account, :sessions, :why, :now)")
    values = {
        "account": account_id,
        "sessions": None if session_ids is None else list(session_ids),
        "why": why,
        "now": now,
    }
    return (await db.execute(statement, values)).scalars().all()


async def sessions_of(db: AsyncSession, permit: SelfPermit | RolePermit, account_id: UUID) -> Sequence[RowMapping]:
    """Return an account's live sessions, newest first; the function shows one's own, or of whom one watches over."""
    statement = text("select * from sessions_of(:account)")
    return (await db.execute(statement, {"account": account_id})).mappings().all()


async def watches_over(db: AsyncSession, permit: RolePermit, account_id: UUID) -> bool:
    """Whether the actor may see and end the sessions of an account."""
    return bool((await db.execute(text("select watches_over(:account)"), {"account": account_id})).scalar_one())


async def end_other_session(db: AsyncSession, permit: RolePermit, account_id: UUID, session_id: UUID) -> bool:
    """End a session of somebody whom the actor watches over; False if there is none alive."""
    statement = text("select end_other_session(:account, :id)")
    return bool((await db.execute(statement, {"account": account_id, "id": session_id})).scalar_one())


async def lock_session(db: AsyncSession, permit: SelfPermit) -> None:
    """Lock the actor's session, and take its socket tickets away."""
    await db.execute(text("select lock_session(:id)"), {"id": permit.actor.login_session_id})


async def switch_engagement(
    db: AsyncSession, permit: SelfPermit, engagement_id: UUID, digest: bytes | None, successor: bytes | None
) -> datetime | None:
    """Move the actor's session, and its browser if it is one, to another engagement; return when it runs out.

    None when the actor has no such engagement in force.
    """
    values = {
        "session": permit.actor.login_session_id,
        "engagement": engagement_id,
        "digest": digest,
        "successor": successor,
    }
    statement = text("select switch_engagement(:session, :engagement, :digest, :successor)")
    moved: datetime | None = (await db.execute(statement, values)).scalar_one()
    return moved


async def hold_factors(db: AsyncSession, session_id: UUID) -> str:
    """Let changes of the actor's ways in happen one after the other; return ``held``, ``ended`` or ``narrow``."""
    held: str = (await db.execute(text("select hold_factors(:id)"), {"id": session_id})).scalar_one()
    return held


async def use_refresh_token(db: AsyncSession, digest: bytes, now: datetime | None) -> RowMapping | None:
    """Use a refresh token up; ``reused`` says that it was before, and that its session has been ended for that."""
    statement = text("select * from use_refresh_token(:digest, :now)")
    return (await db.execute(statement, {"digest": digest, "now": now})).mappings().first()


async def end_session(db: AsyncSession, permit: SelfPermit, session_id: UUID) -> bool:
    """End one of the actor's sessions and raise the version of its cases; False if there is none alive."""
    return bool((await db.execute(text("select end_session(:id)"), {"id": session_id})).scalar_one())


async def present_instant(db: AsyncSession) -> datetime:
    """Return the database's time."""
    now: datetime = (await db.execute(text("select clock_timestamp()"))).scalar_one()
    return now


async def engagements_in_force(db: AsyncSession, account_id: UUID, now: datetime) -> Sequence[RowMapping]:
    """Return an account's engagements in force, oldest first, with organisation and responsible professional."""
    statement = text(
        "select e.id, e.role, e.speciality, e.domain, e.law, e.organisation_id, o.name as organisation,"
        " r.account_id as responsible_account_id, e.valid_until, e.confirmed_until"
        " from engagement e left join organisation o on o.id = e.organisation_id"
        " left join engagement r on r.id = e.responsible_engagement_id"
        " where e.account_id = :account and engagement_in_force(e.id, :now) order by e.valid_from, e.id"
    )
    return (await db.execute(statement, {"account": account_id, "now": now})).mappings().all()


async def organisations(db: AsyncSession, permit: RolePermit) -> Sequence[RowMapping]:
    """Return every organisation, by name."""
    return (await db.execute(text("select id, kind, name from organisation order by name, id"))).mappings().all()


async def engagements(
    db: AsyncSession, permit: RolePermit, *, organisation_id: UUID | None, role: str | None
) -> Sequence[UUID]:
    """Return the professionals' engagements in force; private persons stand in no list."""
    statement = text(
        "select id from engagement where role = any(:professionals)"
        " and (cast(:organisation as uuid) is null or organisation_id = :organisation)"
        " and (cast(:role as text) is null or role = :role)"
        " and valid_from <= :now and (valid_until is null or valid_until > :now) order by id"
    )
    values = {
        "professionals": sorted(PROFESSIONALS),
        "organisation": organisation_id,
        "role": role,
        "now": permit.now,
    }
    return (await db.execute(statement, values)).scalars().all()


async def engagement_of(db: AsyncSession, account_id: UUID, now: datetime) -> RowMapping | None:
    """Return the engagement in force that an account is invited under: the oldest, and never as a citizen."""
    statement = text(
        "select id, account_id, role, domain, law, organisation_id from engagement where account_id = :account"
        " and role <> 'citizen' and valid_from <= :now and (valid_until is null or valid_until > :now)"
        " order by valid_from, id limit 1"
    )
    return (await db.execute(statement, {"account": account_id, "now": now})).mappings().first()


async def add_ticket(
    db: AsyncSession, *, digest: bytes, session_id: UUID, engagement_id: UUID, expires_at: datetime
) -> None:
    """Store the digest of a socket ticket, and clear away those nobody used."""
    await db.execute(text("delete from realtime_ticket where expires_at <= clock_timestamp() - interval '1 minute'"))
    await db.execute(
        text(
            "insert into realtime_ticket (digest, login_session_id, engagement_id, expires_at)"
            " values (:d, :s, :g, :e)"
        ),
        {"d": digest, "s": session_id, "g": engagement_id, "e": expires_at},
    )


async def take_ticket(db: AsyncSession, digest: bytes, now: datetime | None) -> RowMapping | None:
    """Use a ticket up and return its session and engagement; None if it was used, is too old, or never was."""
    statement = text(
        "delete from realtime_ticket where digest = :d returning login_session_id, engagement_id,"
        " expires_at > coalesce(cast(:now as timestamptz), clock_timestamp()) as fresh"
    )
    row = (await db.execute(statement, {"d": digest, "now": now})).mappings().one_or_none()
    return row if row is not None and row["fresh"] else None


async def organisation_of(db: AsyncSession, engagement_id: UUID) -> OrganisationId | None:
    """Return the organisation of an engagement, if it has one."""
    statement = text("select organisation_id from engagement where id = :id")
    found: OrganisationId | None = (await db.execute(statement, {"id": engagement_id})).scalar_one_or_none()
    return found


async def engagement_under(db: AsyncSession, engagement_id: UUID, law: str) -> bool:
    """Whether an engagement carries out tasks under this law."""
    statement = text(
        "select exists (select 1 from engagement where id = :id and law = :law and role = 'social_team')"
    )
    return bool((await db.execute(statement, {"id": engagement_id, "law": law})).scalar_one())
