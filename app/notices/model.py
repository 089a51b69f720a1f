"""The table of notices. The migration holds the constraints."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, TEXT


class Notice(SQLModel, table=True):
    """That something happened, for one engagement or for the citizen ``patient_id``; ids and a kind, nothing else.

    ``always`` is whether it reaches an engagement that no longer sits in the case. ``ended_at`` takes it back.
    """

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint(
            "kind", "about", "case_id", "engagement_id", "patient_id", postgresql_nulls_not_distinct=True
        ),
        Index("ix_notice_engagement", "engagement_id", "created_at"),
        Index("ix_notice_case", "case_id"),
        Index("ix_notice_about", "about"),
    )
    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=TEXT)
    about: UUID
    case_id: UUID | None = Field(default=None, foreign_key="care_case.id")
    engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    patient_id: UUID | None = Field(default=None, foreign_key="patient.id")
    always: bool
    created_at: datetime = Field(sa_type=INSTANT)
    not_before: datetime = Field(sa_type=INSTANT)
    read_at: datetime | None = Field(default=None, sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
