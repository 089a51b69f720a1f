"""Carrying a session on: the next tokens for a refresh token, and another engagement without signing in again."""

from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access import policy
from app.access.policy import SelfPermit
from app.access.vocabulary import Action
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who, who
from app.core.clock import Clock
from app.core.db import Database
from app.core.errors import NotFound, Unauthenticated
from app.core.ids import CaseId, EngagementId
from app.crypto.digests import Digests, random_token
from app.identity import service as identity
from app.identity import store
from app.identity.signing_in import SignedIn, browser_digest, refresh_digest, with_browser, with_tokens
from app.identity.tokens import TokenIssuer

AfterCommit = Callable[[Iterable[CaseId], Iterable[UUID]], Awaitable[None]]


class RefreshInvalid(Unauthenticated):
    """Raised for a refresh token that gives no tokens: unknown, used before, or of a session that is over.

    Using one twice ends its session, because one of the two who used it is not who it was given to: sign in again.
    """

    code = "refresh-token-invalid"
    title = "This refresh token is not valid"


async def refresh(
    database: Database,
    clock: Clock,
    token: str,
    *,
    issuer: TokenIssuer,
    digests: Digests,
    origin: Origin,
    source: str,
    after_commit: AfterCommit,
) -> SignedIn:
    """Use a refresh token up and return the next tokens, in a transaction of its own, with its audit record.

    Session, engagement, ``acr`` and ``auth_time`` stay; rights are looked up again.

    Raises:
        RefreshInvalid: see there. If it was used before, its session has been ended and that is committed.
        SessionEnded, SessionLocked: it is good, but its session is over or locked; it stays good.
    """
    async with database.session() as db, db.begin():
        used = await store.use_refresh_token(db, refresh_digest(digests, token), clock())
        if used is not None and used["state"] == "fresh":
            entered = await identity.enter(db, used["session_id"], clock(), engagement_id=used["engagement_id"])
            policy.authorize_self(entered.actor, Action.TOKEN_REFRESH, now=entered.now)
            signed_in = await with_tokens(db, entered, issuer, digests)
            touch = Touch("session", used["session_id"])
            record = Record(
                Action.TOKEN_REFRESH, ActionCode.EXECUTE, Outcome.SUCCESS, who(entered.actor), touch, origin
            )
            await audit.record(db, [record], at=entered.now, source=source)
            return signed_in
        if used is not None:
            stolen = Who(
                account_id=used["account_id"],
                engagement_id=used["engagement_id"],
                login_session_id=used["session_id"],
            )
            record = Record(
                Action.TOKEN_REFRESH,
                ActionCode.EXECUTE,
                Outcome.DENIED,
                stolen,
                Touch("session", used["session_id"]),
                origin,
                reason="refresh-token-reused",
            )
            await audit.record(db, [record], at=await identity.present_instant(db, clock()), source=source)
    # What was found out is committed before it is told: the refusal must not roll it back.
    if used is not None:
        await after_commit([], [used["session_id"]])
    raise RefreshInvalid


async def switch(
    db: AsyncSession,
    permit: SelfPermit,
    engagement_id: EngagementId,
    *,
    browser: bytes | None,
    issuer: TokenIssuer,
    digests: Digests,
) -> SignedIn:
    """Go on in another of the actor's engagements; the caller's transaction acts in it from here on.

    A program gets further tokens of the same session and keeps those it has. A browser, named by the digest of its
    cookie, acts in one engagement at a time: it gets another cookie, and its sockets and tickets end.

    Raises:
        NotFound: the actor has no such engagement in force.
    """
    successor = None if browser is None else random_token()
    digest = None if successor is None else browser_digest(digests, successor)
    runs_out = await store.switch_engagement(db, permit, engagement_id, browser, digest)
    if runs_out is None:
        raise NotFound
    session_id = permit.actor.login_session_id
    entered = await identity.enter(db, session_id, permit.now, engagement_id=engagement_id)
    if successor is None:
        return await with_tokens(db, entered, issuer, digests)
    return with_browser(entered, successor, digests, seconds=int((runs_out - permit.now).total_seconds()))
