"""Tables about safety. Migrations hold the constraints."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, SEALED


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
