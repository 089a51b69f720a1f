"""Tables of threads. A message is an event of the case stream; a thread's title is the body of its opening event."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, POSITION, TEXT


class Thread(SQLModel, table=True):
    """A conversation about one subject, under one category and one domain, for good."""

    __tablename__ = "thread"
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    id: UUID = Field(primary_key=True, unique=True)
    patient_id: UUID = Field(foreign_key="patient.id")
    category: str = Field(sa_type=TEXT)
    domain: str = Field(sa_type=TEXT)
    opened_seq: int = Field(sa_type=POSITION)
    opened_by_account_id: UUID = Field(foreign_key="account.id")
    opened_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    opened_at: datetime = Field(sa_type=INSTANT)
