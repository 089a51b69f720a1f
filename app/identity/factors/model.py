"""Tables of what lets somebody in: one-time codes and factors. Migrations hold the constraints."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from app.core.columns import DIGEST, INSTANT, POSITION, SEALED, TEXT


class Enrolment(SQLModel, table=True):
    """A one-time code, as a keyed digest; ``check_digest`` also covers what its bearer must know."""

    __tablename__ = "enrolment"
    id: UUID = Field(primary_key=True)
    digest: bytes = Field(sa_type=DIGEST, unique=True)
    check_digest: bytes | None = Field(default=None, sa_type=DIGEST)
    purpose: str = Field(sa_type=TEXT)
    account_id: UUID | None = Field(default=None, foreign_key="account.id", index=True)
    patient_id: UUID | None = Field(default=None, foreign_key="patient.id", index=True)
    name_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    identity_document: str | None = Field(default=None, sa_type=TEXT)
    delivery: str | None = Field(default=None, sa_type=TEXT)
    created_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    created_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT)
    used_at: datetime | None = Field(default=None, sa_type=INSTANT)
    voided_at: datetime | None = Field(default=None, sa_type=INSTANT)
    tries: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})


class PasswordFactor(SQLModel, table=True):
    """An account's password as a slow hash, and its log-in name as a keyed index."""

    __tablename__ = "password_factor"
    account_id: UUID = Field(primary_key=True, foreign_key="account.id")
    id: UUID = Field(unique=True)
    name_index: bytes = Field(sa_type=DIGEST, unique=True)
    hash: str = Field(sa_type=TEXT)
    created_at: datetime = Field(sa_type=INSTANT)
    used_at: datetime | None = Field(default=None, sa_type=INSTANT)


class TotpFactor(SQLModel, table=True):
    """A secret that one-time codes are computed from, sealed; at most one confirmed and one not yet an account."""

    __tablename__ = "totp_factor"
    __table_args__ = (Index("uq_totp_factor_confirmed", "account_id", text("(confirmed_at is null)"), unique=True),)
    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id")
    secret_sealed: bytes = Field(sa_type=SEALED)
    created_at: datetime = Field(sa_type=INSTANT)
    confirmed_at: datetime | None = Field(default=None, sa_type=INSTANT)
    used_at: datetime | None = Field(default=None, sa_type=INSTANT)
    last_step: int | None = Field(default=None, sa_type=POSITION)


class Passkey(SQLModel, table=True):
    """The public half of a passkey."""

    __tablename__ = "passkey"
    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id", index=True)
    credential_id: bytes = Field(sa_type=LargeBinary, unique=True)
    public_key: bytes = Field(sa_type=LargeBinary)
    sign_count: int = Field(sa_type=POSITION)
    created_at: datetime = Field(sa_type=INSTANT)
    used_at: datetime | None = Field(default=None, sa_type=INSTANT)


class RecoveryCode(SQLModel, table=True):
    """One code of a printed sheet, as a keyed digest."""

    __tablename__ = "recovery_code"
    digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    sheet_id: UUID
    account_id: UUID = Field(foreign_key="account.id", index=True)
    created_at: datetime = Field(sa_type=INSTANT)
    used_at: datetime | None = Field(default=None, sa_type=INSTANT)


class PasskeyChallenge(SQLModel, table=True):
    """What a passkey has to sign, as a keyed digest; to log in it is nobody's, to register the account's."""

    __tablename__ = "passkey_challenge"
    id: UUID = Field(primary_key=True)
    digest: bytes = Field(sa_type=DIGEST)
    account_id: UUID | None = Field(default=None, foreign_key="account.id")
    expires_at: datetime = Field(sa_type=INSTANT, index=True)


class Attempt(SQLModel, table=True):
    """How often something was tried under one key, until when."""

    __tablename__ = "attempt"
    key: bytes = Field(primary_key=True, sa_type=DIGEST)
    count: int
    until: datetime = Field(sa_type=INSTANT, index=True)


class Workplace(SQLModel, table=True):
    """A computer that an organisation registered; its key is kept as a digest."""

    __tablename__ = "workplace"
    id: UUID = Field(primary_key=True)
    organisation_id: UUID = Field(foreign_key="organisation.id", index=True)
    name: str = Field(sa_type=TEXT)
    digest: bytes = Field(sa_type=DIGEST, unique=True)
    created_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    created_at: datetime = Field(sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)


class FactorReset(SQLModel, table=True):
    """Two people who let a third begin anew."""

    __tablename__ = "factor_reset"
    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id", index=True)
    reason_code: str = Field(sa_type=TEXT)
    requested_by_account_id: UUID = Field(foreign_key="account.id")
    requested_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    requested_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT)
    confirmed_by_account_id: UUID | None = Field(default=None, foreign_key="account.id")
    confirmed_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    confirmed_at: datetime | None = Field(default=None, sa_type=INSTANT)
