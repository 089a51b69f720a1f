"""The audit log's table: inserted and read, never changed. Source: NEN 7513, DOMAIN 4.6; EHDS Annex II 3.2."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from app.core.columns import INSTANT, POSITION, TEXT, UUIDS


class AuditEvent(SQLModel, table=True):
    """Who did what, on whose behalf, for what purpose, to what, on which ground, how it ended. Ids and codes only."""

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_at", "recorded_at", "id"),
        Index("ix_audit_event_actor", "actor_account_id", "recorded_at"),
        Index("ix_audit_event_patient", "patient_id", "recorded_at"),
    )
    id: UUID = Field(primary_key=True)
    recorded_at: datetime = Field(sa_type=INSTANT)
    action: str = Field(sa_type=TEXT)
    action_code: str = Field(sa_type=TEXT)
    outcome: str = Field(sa_type=TEXT)
    reason: str | None = Field(default=None, sa_type=TEXT)
    actor_account_id: UUID | None = None
    actor_engagement_id: UUID | None = None
    actor_role: str | None = Field(default=None, sa_type=TEXT)
    organisation_id: UUID | None = None
    on_behalf_of: UUID | None = None
    purpose: str | None = Field(default=None, sa_type=TEXT)
    case_id: UUID | None = None
    patient_id: UUID | None = None
    entity_type: str | None = Field(default=None, sa_type=TEXT)
    entity_id: UUID | None = None
    category: str | None = Field(default=None, sa_type=TEXT)
    domain: str | None = Field(default=None, sa_type=TEXT)
    ground: str | None = Field(default=None, sa_type=TEXT)
    consent_id: UUID | None = None
    access_version: int | None = Field(default=None, sa_type=POSITION)
    policy_version: str | None = Field(default=None, sa_type=TEXT)
    origin: str = Field(sa_type=TEXT)
    access_point: str | None = Field(default=None, sa_type=TEXT)
    source: str = Field(sa_type=TEXT)
    trace_id: UUID | None = None
    login_session_id: UUID | None = None
    audience: list[UUID] | None = Field(default=None, sa_type=UUIDS)
    first_seq: int | None = Field(default=None, sa_type=POSITION)
    last_seq: int | None = Field(default=None, sa_type=POSITION)
