"""Showing a factor again within a session: it becomes fresh, and a locked screen opens."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import SelfPermit
from app.access.vocabulary import Acr
from app.core.errors import Forbidden, RateLimited
from app.identity import service as identity
from app.identity.factors import store, throttle
from app.identity.factors.checking import (
    Accepted,
    LogInFailed,
    Looked,
    PasskeyShown,
    PasswordShown,
    check_passkey,
    check_password,
    use_up,
)
from app.identity.factors.means import Means
from app.identity.service import Entered

WORKING_DAY = timedelta(hours=12)
"""How long two factors hold on a registered workplace, where one then opens the screen again."""

BEYOND = frozenset({Acr.ENROLMENT, Acr.CLIENT_KEY})


async def reauthenticate(
    db: AsyncSession, permit: SelfPermit, means: Means, shown: PasswordShown | PasskeyShown
) -> Entered:
    """Show factors of the actor's own again and return the session as it is now: fresh, and open.

    Two factors are needed; on a registered workplace a password alone is enough within the working day that began
    with two.

    Raises:
        Forbidden: the session began with a one-time code or a client's key: log in instead.
        TooManyAttempts: it was tried too often in this session.
        LogInFailed: anything else.
    """
    actor = permit.actor
    if actor.acr in BEYOND:
        raise Forbidden("This session is not one that shows factors: log in instead.")
    # Counting and checking take a connection beside this request's own: never so many that none is left for it.
    if means.beside.locked():
        raise RateLimited(1)
    async with means.beside:
        attempt = means.throttle.within("reauthentication", actor.login_session_id.bytes)
        await throttle.count(means.database, means.clock, attempt)
        accepted = await _check(db, permit, means, shown)
    if accepted is None or accepted.account_id != actor.account_id:
        raise LogInFailed
    if not accepted.two_factors and not await _one_suffices(db, permit):
        raise LogInFailed
    await use_up(db, accepted, now=permit.now)
    await store.reauthenticate(db, actor.login_session_id, two=accepted.two_factors)
    await store.forgive_attempt(db, attempt.cleared, attempt.returned)
    return await identity.enter(db, actor.login_session_id, permit.now, engagement_id=actor.engagement_id)


async def _check(
    db: AsyncSession, permit: SelfPermit, means: Means, shown: PasswordShown | PasskeyShown
) -> Accepted | None:
    if isinstance(shown, PasskeyShown):
        return await check_passkey(means, shown)
    facts = await store.login_facts(db, account_id=permit.actor.account_id)
    return await check_password(means, Looked(facts, permit.now), shown)


async def _one_suffices(db: AsyncSession, permit: SelfPermit) -> bool:
    session = await store.session_factors(db, permit.actor.login_session_id)
    shown_at = session["two_factors_at"]
    return bool(session["workplace"]) and shown_at is not None and permit.now < shown_at + WORKING_DAY
