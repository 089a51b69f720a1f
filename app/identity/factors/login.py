"""Logging in, in one request: nothing on the way says which part was wrong."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.vocabulary import Acr, Action
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who
from app.core.ids import AccountId
from app.identity import service as identity
from app.identity.factors import store, throttle
from app.identity.factors.checking import (
    Accepted,
    LogInFailed,
    PasskeyShown,
    PasswordShown,
    check_passkey,
    check_password,
    look,
    use_up,
)
from app.identity.factors.means import Means
from app.identity.factors.passkeys import Challenge, begin_showing
from app.identity.factors.passwords import name_index
from app.identity.factors.throttle import CHALLENGES_FROM_HERE, Attempt
from app.identity.factors.workplaces import workplace_digest
from app.identity.sessions import Method
from app.identity.signing_in import Delivery, NothingToEnter, SignedIn, sign_in


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the session is to be carried on, and at which registered workplace, if any."""

    delivery: Delivery = Delivery.TOKENS
    workplace_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NamedDevice:
    """A log-in name, and what the device was given when it last logged in with it."""

    login_name: str = field(repr=False)
    device: str | None = field(default=None, repr=False)


async def challenge(means: Means, origin: Origin) -> Challenge:
    """Return a challenge for a passkey.

    Raises:
        TooManyAttempts: from this address there were too many.
    """
    attempt = means.throttle.from_here("passkey-challenge", origin.access_point, CHALLENGES_FROM_HERE)
    await throttle.count(means.database, means.clock, attempt)
    async with means.database.session() as db, db.begin():
        now = await identity.present_instant(db, means.clock())
        return await begin_showing(db, means.crypto.digests, means.party, now=now)


async def with_password(
    means: Means, named: NamedDevice, shown: PasswordShown, wanted: Wanted, origin: Origin
) -> tuple[SignedIn, str]:
    """Log in with a name, a password and a second factor; return also what makes this device known next time.

    Raises:
        TooManyAttempts: it was tried too often from here, or under this name from devices that nobody knows.
        LogInFailed: anything else.
    """
    name = name_index(means.crypto.digests, named.login_name)
    attempt = means.throttle.log_in(name, origin.access_point, named.device)
    await throttle.count(means.database, means.clock, attempt)
    looked = await look(means, name_index=name)
    accepted = await check_password(means, looked, shown)
    if accepted is None or not accepted.two_factors:
        await _failed(means, looked.account_id, origin)
        raise LogInFailed
    signed_in = await _enter(means, accepted, wanted, origin, Method.PASSWORD, attempt)
    return signed_in, means.throttle.new_device(name)


async def with_passkey(means: Means, shown: PasskeyShown, wanted: Wanted, origin: Origin) -> SignedIn:
    """Log in with a passkey, which is two factors.

    Raises:
        LogInFailed: whatever is wrong.
    """
    accepted = await check_passkey(means, shown)
    if accepted is None:
        await _failed(means, None, origin)
        raise LogInFailed
    return await _enter(means, accepted, wanted, origin, Method.PASSKEY, None)


async def _enter(
    means: Means, accepted: Accepted, wanted: Wanted, origin: Origin, method: Method, attempt: Attempt | None
) -> SignedIn:
    """Use the factors up, begin the session and record it, in one transaction."""
    try:
        async with means.database.session() as db, db.begin():
            now = await identity.present_instant(db, means.clock())
            await use_up(db, accepted, now=now)
            workplace = await _workplace(db, means, wanted.workplace_key)
            signed_in = await sign_in(
                db,
                account_id=accepted.account_id,
                engagement_id=None,
                method=method,
                acr=Acr.TWO_FACTOR,
                issuer=means.issuer,
                digests=means.crypto.digests,
                now=now,
                delivery=wanted.delivery,
                workplace_id=workplace,
            )
            if attempt is not None:
                await store.forgive_attempt(db, attempt.cleared, attempt.returned)
            who = Who(
                account_id=accepted.account_id,
                engagement_id=signed_in.engagement_id,
                login_session_id=signed_in.session_id,
            )
            await audit.record(db, [_record(who, Outcome.SUCCESS, signed_in, origin)], at=now, source=means.source)
            return signed_in
    except (LogInFailed, NothingToEnter):
        await _failed(means, accepted.account_id, origin)
        raise LogInFailed from None


async def _workplace(db: AsyncSession, means: Means, key: str | None) -> UUID | None:
    if key is None:
        return None
    found = await store.workplace_with(db, workplace_digest(means.crypto.digests, key))
    if found is None:
        raise LogInFailed
    return found


async def _failed(means: Means, account_id: AccountId | None, origin: Origin) -> None:
    """Record a refusal: whose account it was, if anybody's, and never what was typed."""
    async with means.database.session() as db, db.begin():
        now: datetime = await identity.present_instant(db, means.clock())
        record = _record(Who(account_id=account_id), Outcome.DENIED, None, origin)
        await audit.record(db, [record], at=now, source=means.source)


def _record(who: Who, outcome: Outcome, signed_in: SignedIn | None, origin: Origin) -> Record:
    return Record(
        action=Action.LOGIN_ENTER,
        action_code=ActionCode.EXECUTE,
        outcome=outcome,
        who=who,
        touch=Touch("session", None if signed_in is None else signed_in.session_id),
        origin=origin,
        reason=LogInFailed.code if outcome is Outcome.DENIED else None,
    )
