"""Tables of what lets somebody in: one-time codes and factors. Migrations hold the constraints."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from app.core.columns import DIGEST, INSTANT, TEXT


class Enrolment(SQLModel, table=True):
    """A one-time code, as a keyed digest; ``check_digest`` also covers what its bearer must know."""

    __tablename__ = "enrolment"
    id: UUID = Field(primary_key=True)
    digest: bytes = Field(sa_type=DIGEST, unique=True)
    check_digest: bytes | None = Field(default=None, sa_type=DIGEST)
    purpose: str = Field(sa_type=TEXT)
    account_id: UUID | None = Field(default=None, foreign_key="account.id", index=True)
    patient_id: UUID | None = Field(default=None, foreign_key="patient.id", index=True)
    created_by_engagement_id: UUID | None = Field(default=None, foreign_key="engagement.id")
    created_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT)
    used_at: datetime | None = Field(default=None, sa_type=INSTANT)
    voided_at: datetime | None = Field(default=None, sa_type=INSTANT)
    tries: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
