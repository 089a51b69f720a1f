"""Tables of threads. A message is an event of the case stream; a thread's title is the body of its opening event."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, POSITION, SEALED, TEXT


class Thread(SQLModel, table=True):
    """A conversation about one subject, under one category and one domain, for good.

    ``release_at`` is until when it is held back, or was; ``released_seq`` where in the stream that was told.
    """

    __tablename__ = "thread"
    __table_args__ = (
        Index(
            "ix_thread_held",
            "release_at",
            postgresql_where=text("release_at is not null and released_seq is null"),
        ),
    )
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    id: UUID = Field(primary_key=True, unique=True)
    patient_id: UUID = Field(foreign_key="patient.id")
    category: str = Field(sa_type=TEXT)
    domain: str = Field(sa_type=TEXT)
    opened_seq: int = Field(sa_type=POSITION)
    opened_by_account_id: UUID = Field(foreign_key="account.id")
    opened_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    opened_at: datetime = Field(sa_type=INSTANT)
    release_at: datetime | None = Field(default=None, sa_type=INSTANT)
    release_reason: str | None = Field(default=None, sa_type=TEXT)
    release_reason_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    released_seq: int | None = Field(default=None, sa_type=POSITION)


class AccessRequest(SQLModel, table=True):
    """A citizen, a representative, or a member on the citizen's word, asked to see what there is."""

    __tablename__ = "access_request"
    __table_args__ = (ForeignKeyConstraint(["case_id", "patient_id"], ["subject.case_id", "subject.patient_id"]),)
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    id: UUID = Field(primary_key=True)
    patient_id: UUID
    asked_by: str = Field(sa_type=TEXT)
    method: str = Field(sa_type=TEXT)
    recorded_by_account_id: UUID = Field(foreign_key="account.id")
    recorded_by_engagement_id: UUID = Field(foreign_key="engagement.id")
    recorded_at: datetime = Field(sa_type=INSTANT)
