"""Turns a token into an actor; sessions, tickets, organisations and accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.actor import Actor
from app.access.policy import RolePermit, SelfPermit
from app.access.refusals import StepUpNeeded
from app.access.vocabulary import Acr, ClientScope, Domain, Law, Role
from app.core.errors import NotFound, Unauthenticated
from app.core.ids import AccountId, EngagementId, LoginSessionId, OrganisationId, new_id
from app.crypto.digests import Digests, random_token
from app.identity import client_store, store
from app.identity.sessions import Method, SessionStart

TICKET_SECONDS = 30


class SessionEnded(Unauthenticated):
    """Raised when the token is good but its log-in session has ended or run out."""

    code = "session-ended"
    title = "This session has ended"


@dataclass(frozen=True, slots=True)
class Entered:
    """A transaction that was entered: who acts, and the one instant that holds in it."""

    actor: Actor
    now: datetime


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A signed-in device: how it signed in, its engagement at last, and its workplace if that is a registered one."""

    id: LoginSessionId
    method: Method
    acr: Acr
    engagement_id: EngagementId
    workplace_id: UUID | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class EngagementInfo:
    """An engagement in force, as its own holder sees it."""

    id: EngagementId
    role: Role
    speciality: str | None
    domain: Domain | None
    law: Law | None
    organisation_id: OrganisationId | None
    organisation: str | None
    responsible_account_id: AccountId | None
    valid_until: datetime | None
    confirmed_until: datetime | None


@dataclass(frozen=True, slots=True)
class OrganisationInfo:
    """An organisation as others see it."""

    id: OrganisationId
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Invitee:
    """The engagement somebody is invited under."""

    engagement_id: EngagementId
    account_id: AccountId
    role: Role
    domain: Domain | None
    law: Law | None
    organisation_id: OrganisationId | None


async def enter(
    db: AsyncSession, session_id: UUID, now: datetime | None, *, engagement_id: UUID | None = None
) -> Entered:
    """Enter the caller's transaction through the session row: sets who acts and when, for policy and database alike.

    Without an engagement it is the one the session began in. Entering is use: it puts the idle limit off.

    Raises:
        SessionEnded: the session was ended or ran out, or the engagement is not in force.
    """
    row = await store.enter(db, session_id, engagement_id, now)
    if row is None:
        raise SessionEnded
    return _entered(row, session_id)


async def enter_browser(db: AsyncSession, digest: bytes, now: datetime | None) -> Entered:
    """Enter the caller's transaction by what is kept of a browser's cookie, which names session and engagement.

    Raises:
        SessionEnded: there is no such browser session, or as for :func:`enter`.
    """
    row = await store.enter_browser(db, digest, now)
    if row is None:
        raise SessionEnded
    return _entered(row, row["session_id"])


def _entered(row: RowMapping, session_id: UUID) -> Entered:
    actor = Actor(
        account_id=row["account_id"],
        engagement_id=row["engagement_id"],
        organisation_id=row["organisation_id"],
        role=Role(row["role"]),
        speciality=row["speciality"],
        domain=Domain(row["domain"]) if row["domain"] else None,
        law=Law(row["law"]) if row["law"] else None,
        responsible_account_id=row["responsible_account_id"],
        login_session_id=LoginSessionId(session_id),
        acr=Acr(row["acr"]),
        authenticated_at=row["authenticated_at"],
        scopes=frozenset(ClientScope(scope) for scope in row["scopes"]),
        locked=row["locked"],
    )
    return Entered(actor, row["instant"])


async def hold_factors(db: AsyncSession, actor: Actor) -> None:
    """Let changes of the actor's ways in happen one after the other, so that no two together take the last one.

    Raises:
        SessionEnded: while this waited; a reset must not be followed by what it was to prevent.
        StepUpNeeded: a provider vouches for the actor in some capacities, and a way in would open the others.
    """
    held = await store.hold_factors(db, actor.login_session_id)
    if held == "ended":
        raise SessionEnded
    if held == "narrow":
        raise StepUpNeeded


async def start_session(
    db: AsyncSession, start: SessionStart, *, now: datetime | None
) -> tuple[LoginSessionId, datetime]:
    """Start a login session and return it with the instant of authentication."""
    session_id = LoginSessionId(new_id())
    return session_id, await store.start_session(db, session_id, start, now)


async def present_instant(db: AsyncSession, now: datetime | None) -> datetime:
    """Return the instant of a transaction that nobody entered: a test's, else the database's."""
    return now or await store.present_instant(db)


async def engagements_in_force(db: AsyncSession, account_id: AccountId, *, now: datetime) -> list[EngagementInfo]:
    """Return an account's engagements in force, oldest first: what it can act in."""
    return [
        EngagementInfo(
            id=row["id"],
            role=Role(row["role"]),
            speciality=row["speciality"],
            domain=Domain(row["domain"]) if row["domain"] else None,
            law=Law(row["law"]) if row["law"] else None,
            organisation_id=row["organisation_id"],
            organisation=row["organisation"],
            responsible_account_id=row["responsible_account_id"],
            valid_until=row["valid_until"],
            confirmed_until=row["confirmed_until"],
        )
        for row in await store.engagements_in_force(db, account_id, now)
    ]


async def client_rate(db: AsyncSession, client_id: UUID, now: datetime | None) -> int | None:
    """Return how many requests a second are agreed with a client, or None if none in force is one."""
    terms = await client_store.terms(db, client_id, now)
    return None if terms is None else int(terms["rate"])


async def list_sessions(db: AsyncSession, permit: SelfPermit) -> list[SessionInfo]:
    """Return the actor's own live sessions, newest first."""
    return [_session(row) for row in await store.sessions_of(db, permit, permit.actor.account_id)]


async def list_sessions_of(db: AsyncSession, permit: RolePermit, account_id: UUID) -> list[SessionInfo]:
    """Return the live sessions of somebody whom the actor watches over, newest first.

    Raises:
        NotFound: there is no such account, or none of the actor's own people.
    """
    if not await store.watches_over(db, permit, account_id):
        raise NotFound
    return [_session(row) for row in await store.sessions_of(db, permit, account_id)]


def _session(row: RowMapping) -> SessionInfo:
    return SessionInfo(**{**row, "method": Method(row["method"]), "acr": Acr(row["acr"])})


async def end_session(db: AsyncSession, permit: SelfPermit, session_id: UUID) -> None:
    """End one of the actor's own sessions: its tokens fail at the next request, its sockets close.

    Raises:
        NotFound: the actor has no such session.
    """
    if not await store.end_session(db, permit, session_id):
        raise NotFound


async def end_session_of(db: AsyncSession, permit: RolePermit, account_id: UUID, session_id: UUID) -> None:
    """End a session of somebody whom the actor watches over, likewise.

    Raises:
        NotFound: that account has no such session, or the actor does not watch over it.
    """
    if not await store.end_other_session(db, permit, account_id, session_id):
        raise NotFound


async def lock_session(db: AsyncSession, permit: SelfPermit) -> None:
    """Lock the screen of the actor's session until a factor is shown; its sockets close. Again changes nothing."""
    await store.lock_session(db, permit)


async def list_organisations(db: AsyncSession, permit: RolePermit) -> list[OrganisationInfo]:
    """Return every organisation of the region, by name."""
    return [OrganisationInfo(**row) for row in await store.organisations(db, permit)]


async def list_engagements(
    db: AsyncSession, permit: RolePermit, *, organisation_id: UUID | None, role: Role | None
) -> Sequence[UUID]:
    """Return the engagements of those who can be invited, narrowed by organisation and role."""
    return await store.engagements(db, permit, organisation_id=organisation_id, role=role)


async def invitee(db: AsyncSession, account_id: AccountId, *, now: datetime) -> Invitee | None:
    """Return the engagement under which an account would be invited, or None if nobody can be."""
    row = await store.engagement_of(db, account_id, now)
    if row is None:
        return None
    return Invitee(
        engagement_id=row["id"],
        account_id=row["account_id"],
        role=Role(row["role"]),
        domain=Domain(row["domain"]) if row["domain"] else None,
        law=Law(row["law"]) if row["law"] else None,
        organisation_id=row["organisation_id"],
    )


async def organisation_of(db: AsyncSession, engagement_id: EngagementId) -> OrganisationId | None:
    """Return the organisation that an engagement is with, or None for a private person's."""
    return await store.organisation_of(db, engagement_id)


async def engagement_under(db: AsyncSession, engagement_id: UUID, law: Law) -> bool:
    """Whether an engagement carries out public tasks under this law."""
    return await store.engagement_under(db, engagement_id, law)


async def issue_ticket(db: AsyncSession, permit: SelfPermit, tickets: Digests) -> tuple[str, datetime]:
    """Return a fresh single-use socket ticket and when it stops working; only its digest is kept."""
    ticket = random_token()
    expires_at = permit.now + timedelta(seconds=TICKET_SECONDS)
    await store.add_ticket(
        db,
        digest=tickets.digest("realtime-ticket", ticket.encode()),
        session_id=permit.actor.login_session_id,
        engagement_id=permit.actor.engagement_id,
        expires_at=expires_at,
    )
    return ticket, expires_at


async def redeem_ticket(db: AsyncSession, ticket: str, tickets: Digests, *, now: datetime | None) -> Entered:
    """Use a ticket up and enter through its session.

    Raises:
        Unauthenticated: used before, too old, unknown, or its session has ended.
    """
    digest = tickets.digest("realtime-ticket", ticket.encode("utf-8", "surrogatepass"))
    ticket_row = await store.take_ticket(db, digest, now)
    if ticket_row is None:
        raise Unauthenticated
    entered = await enter(db, ticket_row["login_session_id"], now, engagement_id=ticket_row["engagement_id"])
    if entered.actor.locked:
        raise SessionEnded
    return entered
