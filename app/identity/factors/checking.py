"""Whether what somebody shows is theirs: a password with its second factor, or a passkey.

Who does not exist and who has another password cost the same work, and nothing says which part was wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import Unauthenticated
from app.core.ids import AccountId
from app.identity.factors import passkeys, store
from app.identity.factors.codes import plain_code
from app.identity.factors.means import Means
from app.identity.factors.passkeys import Shown
from app.identity.factors.totp import open_secret, step_of
from app.identity.service import present_instant


class LogInFailed(Unauthenticated):
    """Raised for every log-in that is refused, whatever was wrong: an unknown name looks like a wrong code."""

    code = "log-in-failed"
    title = "The log-in failed"


@dataclass(frozen=True, slots=True)
class PasswordShown:
    """A password, and beside it a code of an authenticator or of the printed sheet, or nothing."""

    password: str = field(repr=False)
    code: str | None = field(default=None, repr=False)
    recovery_code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PasskeyShown:
    """What a browser answered to a challenge."""

    challenge_id: UUID
    credential: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was accepted of an account, not yet used up."""

    account_id: AccountId
    password_hash: str | None = field(default=None, repr=False)
    totp_id: UUID | None = None
    step: int | None = None
    recovery: bytes | None = None
    passkey: Shown | None = None

    @property
    def two_factors(self) -> bool:
        """Whether that is two factors."""
        return self.passkey is not None or self.step is not None or self.recovery is not None


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found under a name or account, and when."""

    facts: RowMapping | None
    now: datetime

    @property
    def account_id(self) -> AccountId | None:
        """Whose it is, for the record alone."""
        return None if self.facts is None else AccountId(self.facts["account_id"])


async def look(means: Means, *, name_index: bytes | None = None, account_id: UUID | None = None) -> Looked:
    """Look up what a password is checked against; no connection is held while it is."""
    async with means.database.session() as db, db.begin():
        now = await present_instant(db, means.clock())
        return Looked(await store.login_facts(db, name_index=name_index, account_id=account_id), now)


async def check_password(means: Means, looked: Looked, shown: PasswordShown) -> Accepted | None:
    """Return what to use up, or None. The one slow comparison is made whether or not there is an account."""
    facts = looked.facts
    right = await means.passwords.matches(shown.password, None if facts is None else facts["hash"])
    if facts is None or not right:
        return None
    account_id = AccountId(facts["account_id"])
    if shown.code is not None:
        step = await _step(means, facts, shown.code, looked.now)
        return None if step is None else Accepted(account_id, facts["hash"], totp_id=facts["totp_id"], step=step)
    if shown.recovery_code is not None:
        digest = recovery_digest(means, shown.recovery_code)
        known = any(compare_digest(digest, one) for one in facts["recovery"])
        return Accepted(account_id, facts["hash"], recovery=digest) if known else None
    return Accepted(account_id, facts["hash"])


async def _step(means: Means, facts: RowMapping, code: str, now: datetime) -> int | None:
    if facts["totp_id"] is None:
        return None
    secret = await open_secret(
        means.crypto.data_keys,
        facts["secret_sealed"],
        factor_id=facts["totp_id"],
        account_id=facts["account_id"],
    )
    return step_of(secret, code, now=now, after=facts["last_step"])


def recovery_digest(means: Means, code: str) -> bytes:
    """Return what is kept of a printed code."""
    return means.crypto.digests.digest("recovery-code", plain_code(code))


async def check_passkey(means: Means, shown: PasskeyShown) -> Accepted | None:
    """Return what to use up, or None. The challenge is used up in any case, in a transaction of its own."""
    async with means.database.session() as db, db.begin():
        now = await present_instant(db, means.clock())
        digest = await store.take_challenge(db, shown.challenge_id, account_id=None, now=now)
    async with means.database.session() as db, db.begin():
        passkey = await passkeys.check_shown(db, shown.credential, digest, means.crypto.digests, means.party)
    return None if passkey is None else Accepted(passkey.account_id, passkey=passkey)


async def use_up(db: AsyncSession, accepted: Accepted, *, now: datetime) -> None:
    """Use up what was accepted, in the transaction of what it opens.

    Raises:
        LogInFailed: somebody was faster: it has been used, or replaced.
    """
    if accepted.passkey is not None:
        used = await store.use_passkey(db, accepted.passkey.factor_id, accepted.passkey.sign_count, now)
    else:
        used = await store.use_password(
            db,
            accepted.account_id,
            password_hash=accepted.password_hash,
            totp_id=accepted.totp_id,
            step=accepted.step,
            recovery=accepted.recovery,
            now=now,
        )
    if not used:
        raise LogInFailed
