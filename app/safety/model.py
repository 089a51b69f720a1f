"""Tables about safety. Migrations hold the constraints."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Computed, ForeignKeyConstraint, Index, Integer
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, SEALED, TEXT, UUIDS


class SafeContact(SQLModel, table=True):
    """That nothing goes to a subject's home, or does again; rows are added, and the newest one counts."""

    __tablename__ = "safe_contact"
    __table_args__ = (ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),)
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    safe: bool
    reason_sealed: bytes = Field(sa_type=SEALED)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)


class SafetyReport(SQLModel, table=True):
    """That unsafety is suspected around somebody; for everybody but the author's colleagues there is none."""

    __tablename__ = "safety_report"
    __table_args__ = (ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),)
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    organisation_id: UUID = Field(foreign_key="organisation.id")
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)


class SafetyStep(SQLModel, table=True):
    """One of the five steps of the meldcode, in their order; rows are added and never changed."""

    __tablename__ = "safety_step"
    __table_args__ = (
        ForeignKeyConstraint(["case_id", "report_id"], ["safety_report.case_id", "safety_report.id"]),
        ForeignKeyConstraint(
            ["case_id", "report_id", "previous"],
            ["safety_step.case_id", "safety_step.report_id", "safety_step.ordinal"],
        ),
    )
    case_id: UUID = Field(primary_key=True)
    report_id: UUID = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
    previous: int | None = Field(
        default=None, sa_column=Column(Integer, Computed("nullif(ordinal - 1, 0)", persisted=True))
    )
    step: str = Field(sa_type=TEXT)
    body_sealed: bytes = Field(sa_type=SEALED)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)


class Disclosure(SQLModel, table=True):
    """What was given to whom outside of the case, and why; it opens nothing."""

    __tablename__ = "disclosure"
    __table_args__ = (
        ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),
        Index("ix_disclosure_recorded", "recorded_at", "id"),
    )
    case_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    organisation_id: UUID = Field(foreign_key="organisation.id")
    kind: str = Field(sa_type=TEXT)
    message_ids: list[UUID] = Field(sa_type=UUIDS)
    body_sealed: bytes = Field(sa_type=SEALED)
    delayed_until: datetime | None = Field(default=None, sa_type=INSTANT)
    delay_reason_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
