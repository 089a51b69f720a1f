"""SQL of codes and factors for role ``app``, through the keeper's functions where there is no actor yet."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, insert, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Integer, LargeBinary

from app.access.policy import RolePermit, SelfPermit
from app.identity.factors.model import Enrolment, FactorReset, Passkey, RecoveryCode, TotpFactor, Workplace

_DIGESTS = ARRAY(LargeBinary)
_COUNT = text("select count_attempt(:keys, :limits, :seconds, :now)").bindparams(
    bindparam("keys", type_=_DIGESTS),
    bindparam("limits", type_=ARRAY(Integer)),
    bindparam("seconds", type_=ARRAY(Integer)),
)
_FORGIVE = text("select forgive_attempt(:cleared, :returned)").bindparams(
    bindparam("cleared", type_=_DIGESTS), bindparam("returned", type_=_DIGESTS)
)


async def add_enrolment(db: AsyncSession, row: Enrolment) -> None:
    """Store a code's digest, and void what was issued for the same account or patient before."""
    statement = text(
        "select add_enrolment(:id, :digest, :check_digest, :purpose, :account_id, :patient_id, :name_sealed,"
        " :identity_document, :delivery, :created_by_engagement_id, :created_at, :expires_at)"
    )
    await db.execute(statement, row.model_dump(exclude={"used_at", "voided_at", "tries"}))


async def take_enrolment(
    db: AsyncSession, *, digest: bytes, check: bytes, linking: bool, now: datetime
) -> RowMapping | None:
    """Use a code up; None when it opens nothing. What counts against it stands once the caller commits."""
    statement = text("select * from take_enrolment(:digest, :check, :linking, :now)")
    values = {"digest": digest, "check": check, "linking": linking, "now": now}
    return (await db.execute(statement, values)).mappings().first()


async def activate_citizen(
    db: AsyncSession, *, enrolment_id: UUID, account_id: UUID, engagement_id: UUID, name_sealed: bytes, now: datetime
) -> UUID | None:
    """Make the account if it is not there, link the patient and return the engagement; None if it cannot be."""
    statement = text("select activate_citizen(:enrolment, :account, :engagement, :name, :now)")
    values = {
        "enrolment": enrolment_id,
        "account": account_id,
        "engagement": engagement_id,
        "name": name_sealed,
        "now": now,
    }
    found: UUID | None = (await db.execute(statement, values)).scalar_one()
    return found


async def cases_of_mine(db: AsyncSession, patient_id: UUID) -> Sequence[RowMapping]:
    """Return (case_id, domain, seated) of the open cases about the actor as this patient, in the order of locking."""
    return (await db.execute(text("select * from cases_of_mine(:p)"), {"p": patient_id})).mappings().all()


async def can_log_in(db: AsyncSession, account_id: UUID) -> bool:
    """Whether the factors of an account suffice to log in."""
    return bool((await db.execute(text("select can_log_in(:a)"), {"a": account_id})).scalar_one())


async def factors(db: AsyncSession, permit: SelfPermit) -> Sequence[RowMapping]:
    """Return (kind, id, created_at, used_at, confirmed, remaining) of the actor's own factors, newest first."""
    statement = text(
        """
        select 'password' as kind, id, created_at, used_at, true as confirmed, null::bigint as remaining
          from password_factor where account_id = :account
        union all
        select 'totp', id, created_at, used_at, confirmed_at is not null, null from totp_factor
         where account_id = :account
        union all
        select 'passkey', id, created_at, used_at, true, null from passkey where account_id = :account
        union all
        select 'recovery-codes', sheet_id, min(created_at), max(used_at), true,
               count(*) filter (where used_at is null)
          from recovery_code where account_id = :account group by sheet_id
         order by created_at desc, id
        """
    )
    return (await db.execute(statement, {"account": permit.actor.account_id})).mappings().all()


async def remove_factor(db: AsyncSession, permit: SelfPermit, factor_id: UUID) -> bool:
    """Remove one of the actor's own factors, whatever it is; False if there is none."""
    values = {"account": permit.actor.account_id, "id": factor_id}
    removed = 0
    for table, column in _IDENTIFIED:
        statement = text(f"delete from {table} where account_id = :account and {column} = :id")  # noqa: S608  # ours
        removed += (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined]  # cursor result
    return removed > 0


_IDENTIFIED = (("password_factor", "id"), ("totp_factor", "id"), ("passkey", "id"), ("recovery_code", "sheet_id"))


async def has_password(db: AsyncSession, permit: SelfPermit) -> bool:
    """Whether the actor has a password."""
    statement = text("select exists (select 1 from password_factor where account_id = :account)")
    return bool((await db.execute(statement, {"account": permit.actor.account_id})).scalar_one())


async def set_password(
    db: AsyncSession, permit: SelfPermit, *, factor_id: UUID, name_index: bytes, password_hash: str
) -> None:
    """Insert or replace the actor's password and log-in name; a name of somebody else's breaks a constraint."""
    values = {
        "account": permit.actor.account_id,
        "id": factor_id,
        "name": name_index,
        "hash": password_hash,
        "now": permit.now,
    }
    # Not "on conflict": that would need the right to read hashes, which nobody has.
    changed = await db.execute(
        text(
            "update password_factor set name_index = :name, hash = :hash, created_at = :now"
            " where account_id = :account"
        ),
        values,
    )
    if not changed.rowcount:  # type: ignore[attr-defined]  # cursor result
        await db.execute(
            text(
                "insert into password_factor (account_id, id, name_index, hash, created_at)"
                " values (:account, :id, :name, :hash, :now)"
            ),
            values,
        )


async def begin_totp(db: AsyncSession, permit: SelfPermit, *, factor_id: UUID, secret_sealed: bytes) -> None:
    """Store a secret that is yet to be confirmed, in place of an earlier one that never was."""
    await db.execute(
        text("delete from totp_factor where account_id = :account and confirmed_at is null"),
        {"account": permit.actor.account_id},
    )
    row = TotpFactor(
        id=factor_id, account_id=permit.actor.account_id, secret_sealed=secret_sealed, created_at=permit.now
    )
    await db.execute(insert(TotpFactor).values(row.model_dump()))


async def pending_totp(db: AsyncSession, permit: SelfPermit) -> RowMapping | None:
    """Return the actor's secret that is yet to be confirmed."""
    statement = text("select id, secret_sealed from totp_factor where account_id = :account and confirmed_at is null")
    return (await db.execute(statement, {"account": permit.actor.account_id})).mappings().first()


async def confirm_totp(db: AsyncSession, permit: SelfPermit, factor_id: UUID, step: int) -> None:
    """Put a confirmed secret in force, in place of the one before it; its first code is used up."""
    values = {"account": permit.actor.account_id, "id": factor_id, "now": permit.now, "step": step}
    await db.execute(text("delete from totp_factor where account_id = :account and confirmed_at is not null"), values)
    await db.execute(
        text(
            "update totp_factor set confirmed_at = :now, last_step = :step where account_id = :account and id = :id"
        ),
        values,
    )


async def replace_recovery_codes(
    db: AsyncSession, permit: SelfPermit, *, sheet_id: UUID, digests: Sequence[bytes]
) -> None:
    """Store a sheet of codes in place of the one before it."""
    await db.execute(
        text("delete from recovery_code where account_id = :account"), {"account": permit.actor.account_id}
    )
    rows = [
        RecoveryCode(
            digest=digest, sheet_id=sheet_id, account_id=permit.actor.account_id, created_at=permit.now
        ).model_dump()
        for digest in digests
    ]
    await db.execute(insert(RecoveryCode).values(rows))


async def passkeys(db: AsyncSession, permit: SelfPermit) -> Sequence[bytes]:
    """Return the credential ids of the actor's passkeys."""
    statement = text("select credential_id from passkey where account_id = :account")
    return (await db.execute(statement, {"account": permit.actor.account_id})).scalars().all()


async def add_passkey(
    db: AsyncSession, permit: SelfPermit, *, factor_id: UUID, credential_id: bytes, public_key: bytes, sign_count: int
) -> None:
    """Store a passkey; one that is registered already breaks a constraint."""
    row = Passkey(
        id=factor_id,
        account_id=permit.actor.account_id,
        credential_id=credential_id,
        public_key=public_key,
        sign_count=sign_count,
        created_at=permit.now,
    )
    await db.execute(insert(Passkey).values(row.model_dump()))


async def passkey_with(db: AsyncSession, credential_id: bytes) -> RowMapping | None:
    """Return the passkey with this credential id, whosever it is."""
    statement = text("select * from passkey_with(:credential)")
    return (await db.execute(statement, {"credential": credential_id})).mappings().first()


async def use_passkey(db: AsyncSession, factor_id: UUID, sign_count: int, now: datetime) -> bool:
    """Note a passkey's use; False when its counter says that it was copied."""
    values = {"id": factor_id, "count": sign_count, "now": now}
    return bool((await db.execute(text("select use_passkey(:id, :count, :now)"), values)).scalar_one())


async def add_challenge(
    db: AsyncSession, *, challenge_id: UUID, digest: bytes, account_id: UUID | None, now: datetime, seconds: int
) -> None:
    """Store a challenge, and clear away some that nobody took."""
    statement = text("select add_challenge(:id, :digest, :account, :now, :seconds)")
    values = {"id": challenge_id, "digest": digest, "account": account_id, "now": now, "seconds": seconds}
    await db.execute(statement, values)


async def take_challenge(
    db: AsyncSession, challenge_id: UUID, *, account_id: UUID | None, now: datetime
) -> bytes | None:
    """Use a challenge up and return its digest; None if it was used, is too old, another's, or never was."""
    statement = text("select take_challenge(:id, :account, :now)")
    values = {"id": challenge_id, "account": account_id, "now": now}
    found: bytes | None = (await db.execute(statement, values)).scalar_one()
    return found


async def login_facts(
    db: AsyncSession, *, name_index: bytes | None = None, account_id: UUID | None = None
) -> RowMapping | None:
    """Return what a password log-in is checked against, by log-in name or of an account."""
    statement = text("select * from login_facts(:name, :account)")
    return (await db.execute(statement, {"name": name_index, "account": account_id})).mappings().first()


async def use_password(
    db: AsyncSession,
    account_id: UUID,
    *,
    password_hash: str | None,
    totp_id: UUID | None,
    step: int | None,
    recovery: bytes | None,
    now: datetime,
) -> bool:
    """Note a password's use and use the second factor up; False when that was used, or the password replaced."""
    statement = text("select use_password(:account, :hash, :totp, :step, :recovery, :now)")
    values = {
        "account": account_id,
        "hash": password_hash,
        "totp": totp_id,
        "step": step,
        "recovery": recovery,
        "now": now,
    }
    return bool((await db.execute(statement, values)).scalar_one())


async def count_attempt(
    db: AsyncSession,
    keys: Sequence[bytes],
    limits: Sequence[int],
    seconds: Sequence[int],
    now: datetime | None,
) -> int:
    """Count an attempt under each key unless one is used up; return how many seconds to wait, 0 for none."""
    values = {"keys": list(keys), "limits": list(limits), "seconds": list(seconds), "now": now}
    return int((await db.execute(_COUNT, values)).scalar_one())


async def forgive_attempt(db: AsyncSession, cleared: Sequence[bytes], returned: Sequence[bytes]) -> None:
    """Begin the first keys anew and take this attempt back from the others."""
    await db.execute(_FORGIVE, {"cleared": list(cleared), "returned": list(returned)})


async def session_factors(db: AsyncSession, session_id: UUID) -> RowMapping:
    """Return (workplace, two_factors_at) of the actor's own session."""
    statement = text("select * from session_factors(:id)")
    return (await db.execute(statement, {"id": session_id})).mappings().one()


async def reauthenticate(db: AsyncSession, session_id: UUID, *, two: bool) -> None:
    """Note that the actor's own session showed factors now, and unlock it."""
    await db.execute(text("select reauthenticate(:id, :two)"), {"id": session_id, "two": two})


async def other_sessions(db: AsyncSession, permit: SelfPermit) -> Sequence[UUID]:
    """Return the actor's own live sessions but for the present one."""
    statement = text(
        "select id from login_session where account_id = :account and ended_at is null and id <> :current"
    )
    values = {"account": permit.actor.account_id, "current": permit.actor.login_session_id}
    return (await db.execute(statement, values)).scalars().all()


async def workplace_with(db: AsyncSession, digest: bytes) -> UUID | None:
    """Return the workplace with this key, while it is registered and its organisation is not suspended."""
    found: UUID | None = (await db.execute(text("select workplace_with(:d)"), {"d": digest})).scalar_one()
    return found


async def end_workplace(db: AsyncSession, permit: RolePermit, workplace_id: UUID) -> Sequence[UUID] | None:
    """End a workplace and the sessions there, and return these; None if the organisation has no such workplace."""
    found: Sequence[UUID] | None = (
        await db.execute(text("select end_workplace(:id)"), {"id": workplace_id})
    ).scalar_one()
    return found


async def add_workplace(db: AsyncSession, permit: RolePermit, row: Workplace) -> None:
    """Store a workplace of the actor's organisation."""
    await db.execute(insert(Workplace).values(row.model_dump()))


async def workplaces(db: AsyncSession, permit: RolePermit) -> Sequence[RowMapping]:
    """Return (id, name, created_at) of the registered workplaces of the actor's organisation, newest first."""
    statement = text("select id, name, created_at from workplace where ended_at is null order by created_at desc, id")
    return (await db.execute(statement)).mappings().all()


async def may_reset(db: AsyncSession, permit: RolePermit, account_id: UUID) -> bool:
    """Whether the actor may let this account begin anew, together with another."""
    return bool((await db.execute(text("select may_reset(:a)"), {"a": account_id})).scalar_one())


async def add_reset(db: AsyncSession, permit: RolePermit, row: FactorReset) -> None:
    """Store the request of the first of two."""
    await db.execute(insert(FactorReset).values(row.model_dump()))


async def resets(db: AsyncSession, permit: RolePermit) -> Sequence[RowMapping]:
    """Return the open requests that the actor may see, newest first."""
    statement = text(
        "select id, account_id, reason_code, requested_by_engagement_id, requested_at, expires_at from factor_reset"
        " where confirmed_at is null and expires_at > :now order by requested_at desc, id"
    )
    return (await db.execute(statement, {"now": permit.now})).mappings().all()


async def reset(db: AsyncSession, permit: RolePermit, reset_id: UUID) -> RowMapping | None:
    """Return one request, if the actor may see it."""
    statement = text(
        "select id, account_id, reason_code, requested_by_engagement_id, requested_at, expires_at, confirmed_at"
        " from factor_reset where id = :id"
    )
    return (await db.execute(statement, {"id": reset_id})).mappings().first()


async def confirm_reset(db: AsyncSession, permit: RolePermit, reset_id: UUID) -> UUID | None:
    """Take every factor of the account away, as the second of two, and return whose; None if it is not to be."""
    found: UUID | None = (await db.execute(text("select confirm_reset(:id)"), {"id": reset_id})).scalar_one()
    return found
