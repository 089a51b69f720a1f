"""Signing in: a session begins, and whoever signed in gets what carries it on, tokens or a cookie."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.vocabulary import Acr, ClientScope
from app.core.errors import Unauthenticated
from app.core.ids import AccountId, EngagementId, LoginSessionId
from app.crypto.digests import Digests, random_token
from app.identity import service as identity
from app.identity import store
from app.identity.service import Entered
from app.identity.sessions import (
    ENROLMENT_SECONDS,
    IDLE_SECONDS,
    SCREEN_LOCK_SECONDS,
    SESSION_SECONDS,
    Method,
    SessionStart,
)
from app.identity.tokens import TOKEN_SECONDS, TokenIssuer

REFRESHABLE = frozenset({Acr.ONE_FACTOR, Acr.TWO_FACTOR, Acr.DEMO})
"""What lives on beyond its first token. An enrolment is over soon; a client shows its key again (RFC 6749, 4.4.3)."""


class Delivery(StrEnum):
    """What carries a session on: tokens for programs, a cookie for browsers."""

    TOKENS = "tokens"
    COOKIE = "cookie"


class NothingToEnter(Unauthenticated):
    """Raised when somebody is who they say, but has no engagement in force, or not the one that was asked for."""

    code = "no-engagement"
    title = "There is no engagement in force to sign in with"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a sign-in gave: ``access_token`` and perhaps ``refresh_token``, or ``cookie`` and ``csrf_token``.

    ``expires_in`` is in seconds: of the token, or of the browser session; ``at`` is the instant of the transaction.
    """

    session_id: LoginSessionId
    account_id: AccountId
    engagement_id: EngagementId
    at: datetime
    access_token: str | None = field(repr=False)
    expires_in: int
    refresh_token: str | None = field(repr=False)
    cookie: str | None = field(repr=False)
    csrf_token: str | None = field(repr=False)


async def sign_in(
    db: AsyncSession,
    *,
    account_id: AccountId,
    engagement_id: EngagementId | None,
    method: Method,
    acr: Acr,
    issuer: TokenIssuer,
    digests: Digests,
    now: datetime | None,
    delivery: Delivery = Delivery.TOKENS,
    workplace_id: UUID | None = None,
    scopes: Collection[ClientScope] = (),
    authenticated_at: datetime | None = None,
) -> SignedIn:
    """Begin a session in the caller's transaction, which from here on acts as whoever signed in.

    ``digests`` is ``crypto.digests``. Without an engagement it is the one last used, else the oldest.
    ``authenticated_at`` is when another saw the factors, if that was before now.

    Raises:
        NothingToEnter: the account has no engagement in force, or not the one that is named.
    """
    chosen = engagement_id or await store.engagement_to_enter(db, account_id, now)
    if chosen is None:
        raise NothingToEnter
    seconds = ENROLMENT_SECONDS if acr is Acr.ENROLMENT else SESSION_SECONDS
    start = SessionStart(
        account_id=account_id,
        engagement_id=EngagementId(chosen),
        method=method,
        acr=acr,
        scopes=frozenset(scopes),
        seconds=seconds,
        idle_seconds=_idle_seconds(delivery, workplace_id),
        workplace_id=workplace_id,
    )
    session_id, started = await identity.start_session(db, start, now=now)
    if authenticated_at is not None:
        await store.backdate_session(db, session_id, authenticated_at)
    try:
        entered = await identity.enter(db, session_id, started, engagement_id=chosen)
    except identity.SessionEnded:
        raise NothingToEnter from None
    if delivery is Delivery.COOKIE:
        secret = random_token()
        await store.open_browser_session(
            db,
            digest=browser_digest(digests, secret),
            session_id=session_id,
            engagement_id=chosen,
            now=started,
        )
        return with_browser(entered, secret, digests, seconds=seconds)
    return await with_tokens(db, entered, issuer, digests)


def _idle_seconds(delivery: Delivery, workplace_id: UUID | None) -> int | None:
    if workplace_id is not None:
        return SCREEN_LOCK_SECONDS
    return IDLE_SECONDS if delivery is Delivery.COOKIE else None


async def with_tokens(db: AsyncSession, entered: Entered, issuer: TokenIssuer, digests: Digests) -> SignedIn:
    """Return fresh tokens for whoever entered the transaction, in the session and engagement it was entered in."""
    actor = entered.actor
    refresh_token = random_token() if actor.acr in REFRESHABLE else None
    if refresh_token is not None:
        await store.add_refresh_token(
            db,
            digest=refresh_digest(digests, refresh_token),
            session_id=actor.login_session_id,
            engagement_id=actor.engagement_id,
            now=entered.now,
        )
    return SignedIn(
        session_id=actor.login_session_id,
        account_id=actor.account_id,
        engagement_id=actor.engagement_id,
        at=entered.now,
        access_token=access_token(issuer, entered),
        expires_in=TOKEN_SECONDS,
        refresh_token=refresh_token,
        cookie=None,
        csrf_token=None,
    )


def with_browser(entered: Entered, secret: str, digests: Digests, *, seconds: int) -> SignedIn:
    """Return what a browser gets that carries a session on for ``seconds``: its secret, and what its pages say."""
    return SignedIn(
        session_id=entered.actor.login_session_id,
        account_id=entered.actor.account_id,
        engagement_id=entered.actor.engagement_id,
        at=entered.now,
        access_token=None,
        expires_in=seconds,
        refresh_token=None,
        cookie=secret,
        csrf_token=csrf_token(digests, secret),
    )


def access_token(issuer: TokenIssuer, entered: Entered) -> str:
    """Return an access token that says who entered; everything in it was looked up on entering."""
    actor = entered.actor
    return issuer.issue(
        sub=actor.account_id,
        org=actor.organisation_id,
        role=actor.role,
        spec=actor.speciality,
        resp=actor.responsible_account_id,
        eng=actor.engagement_id,
        scope=" ".join(sorted(actor.scopes)),
        sid=actor.login_session_id,
        acr=actor.acr,
        auth_time=int(actor.authenticated_at.timestamp()),
        now=int(entered.now.timestamp()),
    )


def refresh_digest(digests: Digests, token: str) -> bytes:
    """Return what is kept of a refresh token."""
    return digests.digest("refresh-token", token.encode("utf-8", "surrogatepass"))


def browser_digest(digests: Digests, secret: str) -> bytes:
    """Return what is kept of the secret that a browser holds."""
    return digests.digest("browser-session", secret.encode("utf-8", "surrogatepass"))


def csrf_token(digests: Digests, secret: str) -> str:
    """Return what a page must say to act with its cookie: derived from the secret, which the page cannot read."""
    return digests.digest("csrf-token", secret.encode("utf-8", "surrogatepass")).hex()
