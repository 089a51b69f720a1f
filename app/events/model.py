"""Tables of the case stream: heads, events, idempotency."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from app.core.columns import DIGEST, INSTANT, JSON, POSITION, SEALED, TEXT, UUIDS


class CaseHead(SQLModel, table=True):
    """Where a case's stream stands. ``dirty`` says that an input of the grants changed since they were derived."""

    __tablename__ = "case_head"
    case_id: UUID = Field(primary_key=True, foreign_key="care_case.id")
    seq: int = Field(default=0, sa_type=POSITION, sa_column_kwargs={"server_default": text("0")})
    access_version: int = Field(default=0, sa_type=POSITION, sa_column_kwargs={"server_default": text("0")})
    dirty: bool = Field(sa_column_kwargs={"server_default": text("false")}, default=False)


class CaseEvent(SQLModel, table=True):
    """One durable change of a case. ``data`` holds ids and codes only; what people wrote is in ``body_sealed``."""

    __tablename__ = "case_event"
    __table_args__ = (
        Index("ix_case_event_thread", "case_id", "thread_id", "seq", postgresql_where=text("thread_id is not null")),
        Index("ix_case_event_author", "actor_account_id", "case_id", "seq"),
    )
    case_id: UUID = Field(primary_key=True)  # no foreign key: the append locks the case's head, which has one
    seq: int = Field(primary_key=True, sa_type=POSITION)
    id: UUID = Field(unique=True)
    type: str = Field(sa_type=TEXT)
    at: datetime = Field(sa_type=INSTANT)
    actor_account_id: UUID | None = None
    actor_engagement_id: UUID | None = None
    thread_id: UUID | None = None
    patient_id: UUID | None = None
    category: str | None = Field(default=None, sa_type=TEXT)
    domain: str | None = Field(default=None, sa_type=TEXT)
    kind: str | None = Field(default=None, sa_type=TEXT)
    refers_to: UUID | None = None
    data: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    body_sealed: bytes | None = Field(default=None, sa_type=SEALED)
    addressees: list[UUID] | None = Field(default=None, sa_type=UUIDS)
    retracted_seq: int | None = Field(default=None, sa_type=POSITION)
    superseded_seq: int | None = Field(default=None, sa_type=POSITION)


class Idempotency(SQLModel, table=True):
    """A write that had its effect: retried with the same key it has no second one."""

    __tablename__ = "idempotency"
    account_id: UUID = Field(primary_key=True)
    scope: str = Field(primary_key=True, sa_type=TEXT)
    key_digest: bytes = Field(primary_key=True, sa_type=DIGEST)
    body_digest: bytes = Field(sa_type=DIGEST)
    resource_id: UUID
    created_at: datetime = Field(sa_type=INSTANT)
