"""Tables of what grants meet beside consents: rows are added, and never edited but for their end."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, SEALED, TEXT, TEXTS

_SUBJECT = (["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"])
_SEAT = (["case_id", "member_id"], ["member.case_id", "member.id"])


class RecordedColumns(SQLModel):
    """In whose name a row stands, since when, and who ended it when."""

    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    ended_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")


class Representation(RecordedColumns, table=True):
    """Somebody's recorded say for a patient; ``scope`` null means every category."""

    __tablename__ = "representation"
    __table_args__ = (ForeignKeyConstraint(*_SUBJECT), ForeignKeyConstraint(*_SEAT))
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    member_id: UUID
    engagement_id: UUID = Field(foreign_key="engagement.id")
    kind: str = Field(sa_type=TEXT)
    evidence: str = Field(sa_type=TEXT)
    evidence_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    scope: list[str] | None = Field(default=None, sa_type=TEXTS)
    capacity_lost: bool
    valid_from: datetime = Field(sa_type=INSTANT)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)


class Withholding(RecordedColumns, table=True):
    """What a representative is not shown, with a reason; ``categories`` null means all of it."""

    __tablename__ = "withholding"
    __table_args__ = (
        ForeignKeyConstraint(["case_id", "representation_id"], ["representation.case_id", "representation.id"]),
    )
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    representation_id: UUID
    categories: list[str] | None = Field(default=None, sa_type=TEXTS)
    reason_sealed: bytes = Field(sa_type=SEALED)


class Exclusion(RecordedColumns, table=True):
    """Somebody of whom the citizen says: not this one."""

    __tablename__ = "exclusion"
    __table_args__ = (
        ForeignKeyConstraint(*_SUBJECT),
        Index(
            "uq_exclusion",
            "case_id",
            "patient_id",
            "account_id",
            "recorded_by_engagement_id",
            unique=True,
            postgresql_where=text("ended_at is null"),
        ),
        Index("ix_exclusion_patient", "patient_id", postgresql_where=text("ended_at is null")),
        Index("ix_exclusion_account", "account_id", postgresql_where=text("ended_at is null")),
    )
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    account_id: UUID = Field(foreign_key="account.id")


class Objection(RecordedColumns, table=True):
    """What the citizen does not want one member to see by treatment; ``categories`` null means all of it."""

    __tablename__ = "objection"
    __table_args__ = (ForeignKeyConstraint(*_SUBJECT), ForeignKeyConstraint(*_SEAT))
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    member_id: UUID
    categories: list[str] | None = Field(default=None, sa_type=TEXTS)


class Opening(RecordedColumns, table=True):
    """A category that treatment leaves closed, opened for one member with a reason."""

    __tablename__ = "opening"
    __table_args__ = (ForeignKeyConstraint(*_SUBJECT), ForeignKeyConstraint(*_SEAT))
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    member_id: UUID
    category: str = Field(sa_type=TEXT)
    reason_sealed: bytes = Field(sa_type=SEALED)
    valid_until: datetime | None = Field(default=None, sa_type=INSTANT)


class EmergencyAccess(RecordedColumns, table=True):
    """Somebody broke the glass about a patient, for at most an hour; written by the database's own functions."""

    __tablename__ = "emergency_access"
    __table_args__ = (ForeignKeyConstraint(*_SUBJECT), ForeignKeyConstraint(*_SEAT))
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    member_id: UUID
    life_threatening: bool
    valid_from: datetime = Field(sa_type=INSTANT)
    valid_until: datetime = Field(sa_type=INSTANT)
