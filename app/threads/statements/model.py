"""Table of what citizens say beside a record; rows are added and never changed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, POSITION, SEALED, TEXT


class Statement(SQLModel, table=True):
    """A statement beside a message or a consent; ``seq`` is its event, and which of two is the later."""

    __tablename__ = "statement"
    __table_args__ = (
        UniqueConstraint("case_id", "seq"),
        ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),
        ForeignKeyConstraint(["case_id", "consent_id"], ["consent.case_id", "consent.id"]),
        Index("ix_statement_message", "case_id", "message_id", postgresql_where=text("message_id is not null")),
        Index("ix_statement_consent", "case_id", "consent_id", postgresql_where=text("consent_id is not null")),
    )
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    id: UUID = Field(primary_key=True)
    seq: int = Field(sa_type=POSITION)
    patient_id: UUID
    message_id: UUID | None = Field(default=None, foreign_key="case_event.id")
    consent_id: UUID | None = None
    category: str = Field(sa_type=TEXT)
    text_sealed: bytes = Field(sa_type=SEALED)
    stated_by: str = Field(sa_type=TEXT)
    method: str = Field(sa_type=TEXT)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
