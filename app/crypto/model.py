"""The table of wrapped data keys; what wraps them is never in the database."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, SEALED, TEXT


class DataKeyRow(SQLModel, table=True):
    """A wrapped data key of one scope (case, patient or directory), category and generation."""

    __tablename__ = "data_key"
    __table_args__ = (UniqueConstraint("scope", "category", "generation"),)
    id: UUID = Field(primary_key=True)
    scope: UUID
    category: str = Field(sa_type=TEXT)
    generation: int
    wrapped: bytes = Field(sa_type=SEALED)
    kek_id: UUID
    uses: int = Field(sa_column_kwargs={"server_default": text("0")}, default=0)
    created_at: datetime = Field(sa_type=INSTANT)
