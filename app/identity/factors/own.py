"""One's own factors: what there is, adding, replacing, taking away; never the last way in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import SelfPermit
from app.access.refusals import StepUpNeeded
from app.access.tables import FRESH_SECONDS, TWO_FACTORS
from app.access.vocabulary import Acr
from app.core.errors import Conflict, Fault, Invalid, NotFound
from app.identity import store as identity_store
from app.identity.factors import passkeys, store
from app.identity.factors.checking import recovery_digest
from app.identity.factors.codes import new_code
from app.identity.factors.means import Means
from app.identity.factors.passkeys import Challenge
from app.identity.factors.passwords import name_index, require_good
from app.identity.factors.totp import address_of, new_secret, open_secret, seal_secret, step_of
from app.identity.service import hold_factors

RECOVERY_CODES = 10
PASSKEYS_MAX = 10


class LoginNameTaken(Conflict):
    """Raised when somebody else logs in with this name."""

    code = "login-name-taken"
    title = "This log-in name is taken"


class LastWayIn(Conflict):
    """Raised when without this factor nobody could log in to the account any more."""

    code = "last-way-in"
    title = "Without this factor you could not log in"


class TooManyPasskeys(Conflict):
    """Raised when an account has as many passkeys as it may, or has this one already."""

    code = "passkey-refused"
    title = "This passkey cannot be added"


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor of one's own; ``remaining`` counts the unused codes of a printed sheet."""

    kind: str
    id: UUID
    created_at: datetime
    used_at: datetime | None
    confirmed: bool
    remaining: int | None


@dataclass(frozen=True, slots=True)
class NewTotp:
    """A secret to put into an authenticator, and the same as what a QR code says; shown once."""

    id: UUID
    secret: str
    address: str


def require_fresh(permit: SelfPermit) -> None:
    """Let somebody add factors who just got in by a one-time code, or has just shown two.

    Raises:
        StepUpNeeded: neither: a screen that was left open, or a stolen password, must not make a factor.
    """
    actor = permit.actor
    if actor.acr is Acr.ENROLMENT:
        return
    if actor.acr not in TWO_FACTORS or permit.now >= actor.authenticated_at + timedelta(seconds=FRESH_SECONDS):
        raise StepUpNeeded


async def list_factors(db: AsyncSession, permit: SelfPermit) -> list[Factor]:
    """Return the actor's own factors, newest first; nothing of what is secret about them."""
    return [Factor(**row) for row in await store.factors(db, permit)]


async def find(db: AsyncSession, permit: SelfPermit, factor_id: UUID) -> Factor:
    """Return one of the actor's own factors.

    Raises:
        NotFound: there is none.
    """
    found = [factor for factor in await list_factors(db, permit) if factor.id == factor_id]
    if not found:
        raise NotFound
    return found[0]


async def set_password(
    db: AsyncSession, permit: SelfPermit, means: Means, *, login_name: str, password: str, factor_id: UUID
) -> Sequence[UUID]:
    """Set or replace the actor's log-in name and password; return the other sessions, which a replacement ends.

    Raises:
        StepUpNeeded: see :func:`require_fresh`.
        Invalid: the password is too short, or what others would think of.
        LoginNameTaken: somebody else has the name.
    """
    require_fresh(permit)
    require_good(login_name, password)
    password_hash = await means.passwords.hash(password)
    await hold_factors(db, permit.actor)
    replaced = await store.has_password(db, permit)
    try:
        await store.set_password(
            db,
            permit,
            factor_id=factor_id,
            name_index=name_index(means.crypto.digests, login_name),
            password_hash=password_hash,
        )
    except IntegrityError:
        # Without the cause, which quotes the row.
        raise LoginNameTaken from None
    return await _end_others(db, permit) if replaced else []


async def begin_totp(db: AsyncSession, permit: SelfPermit, means: Means, *, name: str, factor_id: UUID) -> NewTotp:
    """Return a new secret; it counts once a code of it is confirmed. An earlier unconfirmed one is dropped."""
    require_fresh(permit)
    secret = new_secret()
    sealed = await seal_secret(
        means.crypto.data_keys, secret, factor_id=factor_id, account_id=permit.actor.account_id
    )
    await hold_factors(db, permit.actor)
    await store.begin_totp(db, permit, factor_id=factor_id, secret_sealed=sealed)
    return NewTotp(factor_id, secret, address_of(secret, name))


async def confirm_totp(db: AsyncSession, permit: SelfPermit, means: Means, code: str) -> Factor:
    """Put the new secret in force, in place of the one before it, now that an authenticator shows its codes.

    Raises:
        NotFound: no secret waits for it.
        Invalid: the code is not one of now.
    """
    require_fresh(permit)
    await hold_factors(db, permit.actor)
    pending = await store.pending_totp(db, permit)
    if pending is None:
        raise NotFound
    secret = await open_secret(
        means.crypto.data_keys,
        pending["secret_sealed"],
        factor_id=pending["id"],
        account_id=permit.actor.account_id,
    )
    step = step_of(secret, code, now=permit.now)
    if step is None:
        raise Invalid(Fault("/code", "wrong-code", "The authenticator shows another code. Is its clock right?"))
    await store.confirm_totp(db, permit, pending["id"], step)
    return await find(db, permit, pending["id"])


async def new_recovery_codes(db: AsyncSession, permit: SelfPermit, means: Means, *, sheet_id: UUID) -> list[str]:
    """Return ten codes to print, each good once beside the password; the sheet before it is void."""
    require_fresh(permit)
    codes = [new_code() for _ in range(RECOVERY_CODES)]
    await hold_factors(db, permit.actor)
    await store.replace_recovery_codes(
        db, permit, sheet_id=sheet_id, digests=[recovery_digest(means, code) for code in codes]
    )
    return codes


async def begin_passkey(db: AsyncSession, permit: SelfPermit, means: Means, *, name: str) -> Challenge:
    """Return a challenge to register a passkey with."""
    require_fresh(permit)
    return await passkeys.begin_registration(db, permit, means.crypto.digests, means.party, name=name)


async def add_passkey(
    db: AsyncSession,
    permit: SelfPermit,
    means: Means,
    *,
    challenge_id: UUID,
    credential: Mapping[str, Any],
    factor_id: UUID,
) -> None:
    """Store a passkey that was registered against a challenge of the actor's own.

    Raises:
        Invalid: what the browser sent does not answer that challenge, or the user was not verified.
        TooManyPasskeys: there are ten already, or this one is.
    """
    require_fresh(permit)
    digest = await store.take_challenge(db, challenge_id, account_id=permit.actor.account_id, now=permit.now)
    registered = passkeys.check_registration(credential, digest, means.crypto.digests, means.party)
    if registered is None:
        raise Invalid(Fault("/credential", "not-registered", "This does not answer the challenge."))
    await hold_factors(db, permit.actor)
    if len(await store.passkeys(db, permit)) >= PASSKEYS_MAX:
        raise TooManyPasskeys
    try:
        await store.add_passkey(
            db,
            permit,
            factor_id=factor_id,
            credential_id=registered.credential_id,
            public_key=registered.public_key,
            sign_count=registered.sign_count,
        )
    except IntegrityError:
        raise TooManyPasskeys from None


async def remove(db: AsyncSession, permit: SelfPermit, factor_id: UUID) -> Sequence[UUID]:
    """Take a factor away and end the actor's other sessions, which may be whoever found it; return these.

    Raises:
        NotFound: there is none.
        LastWayIn: nobody could log in without it.
    """
    await hold_factors(db, permit.actor)
    before = await store.can_log_in(db, permit.actor.account_id)
    if not await store.remove_factor(db, permit, factor_id):
        raise NotFound
    if before and not await store.can_log_in(db, permit.actor.account_id):
        raise LastWayIn
    return await _end_others(db, permit)


async def _end_others(db: AsyncSession, permit: SelfPermit) -> Sequence[UUID]:
    others = await store.other_sessions(db, permit)
    return await identity_store.end_sessions(db, permit.actor.account_id, others, "factor-changed", permit.now)
