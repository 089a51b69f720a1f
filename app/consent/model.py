"""Tables of consent records: never edited in place but for their end. Migrations hold the constraints."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, SmallInteger, text
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, POSITION, SEALED, TEXT, TEXTS


class Consent(SQLModel, table=True):
    """What one citizen is asked to agree to, with every field of DOMAIN R-3, and where that stands.

    ``decided_at`` and its fellows are those of the first yes; ``renew_on`` is the birthday that changes who decides.
    ``bundle_use_id`` is the same of all that one use of a bundle asked; ``refers_to_id`` is the consent that this one
    renews, narrows or adds to.
    """

    __tablename__ = "consent"
    __table_args__ = (
        ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),
        ForeignKeyConstraint(["case_id", "refers_to_id"], ["consent.case_id", "consent.id"]),
        ForeignKeyConstraint(
            ["case_id", "withdrawal_representation_id"], ["representation.case_id", "representation.id"]
        ),
        Index(
            "ix_consent_ending",
            "valid_until",
            postgresql_where=text("status = 'active' and valid_until is not null"),
        ),
        Index("ix_consent_reminder", "next_reminder_at", postgresql_where=text("status = 'active'")),
        Index("ix_consent_recorded", "recorded_at", "id"),
        Index("ix_consent_patient", "patient_id"),
    )
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True, unique=True)
    patient_id: UUID
    kind: str = Field(sa_type=TEXT)
    status: str = Field(sa_type=TEXT)
    from_domains: list[str] = Field(sa_type=TEXTS)
    categories: list[str] = Field(sa_type=TEXTS)
    both_ways: bool
    history: str = Field(sa_type=TEXT)
    history_from_seq: int = Field(sa_type=POSITION)
    threads_from_seq: int = Field(sa_type=POSITION)
    purpose: str = Field(sa_type=TEXT)
    regime: str = Field(sa_type=TEXT)
    capacity: str = Field(sa_type=TEXT)
    departure: str | None = Field(default=None, sa_type=TEXT)
    departure_reason_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    renew_on: date | None = None
    decided_by: str | None = Field(default=None, sa_type=TEXT)
    decided_by_account_id: UUID | None = Field(default=None, foreign_key="account.id")
    decided_at: datetime | None = Field(default=None, sa_type=INSTANT)
    method: str | None = Field(default=None, sa_type=TEXT)
    text_version: str | None = Field(default=None, sa_type=TEXT)
    text_sha256: str | None = Field(default=None, sa_type=TEXT)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
    valid_from: datetime = Field(sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)
    withdrawn_at: datetime | None = Field(default=None, sa_type=INSTANT)
    withdrawal_decided_by: str | None = Field(default=None, sa_type=TEXT)
    withdrawal_representation_id: UUID | None = None
    withdrawal_decided_at: datetime | None = Field(default=None, sa_type=INSTANT)
    withdrawal_method: str | None = Field(default=None, sa_type=TEXT)
    withdrawn_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    bundle: str | None = Field(default=None, sa_type=TEXT)
    bundle_version: str | None = Field(default=None, sa_type=TEXT)
    bundle_use_id: UUID | None = None
    refers_to_id: UUID | None = None
    refers_as: str | None = Field(default=None, sa_type=TEXT)
    superseded_at: datetime | None = Field(default=None, sa_type=INSTANT)
    review_months: int | None = Field(default=None, sa_type=SmallInteger)
    next_reminder_at: datetime | None = Field(default=None, sa_type=INSTANT)


class ConsentRecipient(SQLModel, table=True):
    """To whom: a member, an organisation, a team, or a role within the case."""

    __tablename__ = "consent_recipient"
    __table_args__ = (ForeignKeyConstraint(["case_id", "consent_id"], ["consent.case_id", "consent.id"]),)
    case_id: UUID = Field(primary_key=True)
    consent_id: UUID = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
    type: str = Field(sa_type=TEXT)
    recipient_id: UUID | None = None
    role: str | None = Field(default=None, sa_type=TEXT)


class ConsentDecision(SQLModel, table=True):
    """One person's yes or no about a consent; rows are added and never changed."""

    __tablename__ = "consent_decision"
    __table_args__ = (
        ForeignKeyConstraint(["case_id", "consent_id"], ["consent.case_id", "consent.id"]),
        ForeignKeyConstraint(["case_id", "representation_id"], ["representation.case_id", "representation.id"]),
    )
    case_id: UUID = Field(primary_key=True)
    consent_id: UUID = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
    decider: str = Field(sa_type=TEXT)
    representation_id: UUID | None = None
    yes: bool
    decided_at: datetime = Field(sa_type=INSTANT)
    method: str = Field(sa_type=TEXT)
    text_version: str = Field(sa_type=TEXT)
    text_sha256: str = Field(sa_type=TEXT)
    language: str = Field(sa_type=TEXT)
    interpreter: str | None = Field(default=None, sa_type=TEXT)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
